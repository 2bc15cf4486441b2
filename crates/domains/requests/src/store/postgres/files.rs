//! Files that were counted as a whole.

use jiff::Timestamp;
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::Result;
use crate::counted::{CountedFile, REMEMBERED_MAX};
use crate::model::Namespace;
use crate::rows::Micros;

/// Remembers files.
pub(crate) async fn note(transaction: &Transaction, files: &[CountedFile]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let fingerprints: Vec<&[u8]> = files.iter().map(|file| &*file.fingerprint).collect();
    let names: Vec<&str> = files.iter().map(|file| &*file.name).collect();
    let readings: Vec<&[u8]> = files.iter().map(|file| &*file.reading).collect();
    let requests: Vec<i64> = files.iter().map(|file| file.requests).collect();
    let malformed: Vec<i64> = files.iter().map(|file| file.malformed).collect();
    let times: Vec<Micros> = files.iter().map(|file| Micros(file.counted_micros)).collect();
    let values: [&(dyn ToSql + Sync); 7] =
        [&fingerprints, &names, &readings, &requests, &malformed, &times, &Namespace::DEFAULT.0];
    let sql = include_str!("note_files.sql");
    transaction.write("remember which files are counted", sql, &values).await?;
    Ok(())
}

/// Which of these were counted.
pub(crate) async fn find(
    database: &Database,
    fingerprints: &[Vec<u8>],
) -> Result<Vec<CountedFile>> {
    let (step, sql) = ("look for counted files", include_str!("counted_files.sql"));
    let once = async || database.rows(step, sql, &[&fingerprints, &Namespace::DEFAULT.0]).await;
    let rows = Policy::short(step).run(once).await?;
    let file = |row: &Row| CountedFile {
        fingerprint: row.get(0),
        name: row.get(1),
        reading: row.get(2),
        requests: row.get(3),
        malformed: row.get(4),
        counted_micros: row.get::<_, Timestamp>(5).as_microsecond(),
    };
    Ok(rows.iter().map(file).collect())
}

/// Forgets all but the latest.
pub(crate) async fn forget(database: &Database) -> Result<()> {
    let (step, sql) = ("forget counted files", include_str!("forget_files.sql"));
    Policy::short(step).run(|| database.commit_rows(step, sql, &[&REMEMBERED_MAX])).await?;
    Ok(())
}
