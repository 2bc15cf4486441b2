//! Importing the Go server's tables, in one transaction.

use std::sync::Arc;

use hashbrown::HashMap;
use tally_runtime::{Kind, Namespace, faults};
use tally_store::Error;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;

use super::super::{Result, is_cockroach};
use super::{append, books, series};
use crate::NAME;
use crate::import_count::{Count, CountTables, Imported, Noted, Part};
use crate::model::{Named, SeriesId};

/// Imports what is new.
pub(crate) async fn import_count(database: &Database, mut tables: CountTables) -> Result<Imported> {
    if is_cockroach(database) {
        let step = "import the Go server's tables into CockroachDB, where one transaction cannot \
                    take so much: import them into Postgres or SQLite";
        return Err(Error::permanent(step, Kind::FailedPrecondition));
    }
    let step = "begin to import the Go server's tables";
    let is_real = !tables.importing.how.dry_run;
    let namespace = tables.importing.how.namespace;
    let transaction = database.begin(Isolation::Default).await?;
    transaction.script(step, include_str!("lock_imported.sql")).await?;
    transaction.script(step, include_str!("wait_for_tables.sql")).await?;
    loop {
        let part = tables.next().await?;
        let importing = &mut tables.importing;
        match part {
            Part::Source(source, time_zone) => {
                let sql = include_str!("imported_sources.sql");
                let rows = transaction.rows(step, sql, &[&namespace.0]).await?;
                let before: Vec<_> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                importing.begin(source, time_zone, &before)?;
            }
            Part::Methods(methods) => {
                let names = importing.resolve(&methods);
                if is_real {
                    importing.renumber(&methods, &name(database, &names).await?);
                }
            }
            Part::Counts(counts) => {
                let source = &importing.imported.source;
                let before = imported(&transaction, namespace, source, &counts).await?;
                let new = importing.new_in(&counts, &before)?;
                if is_real {
                    note(&transaction, namespace, &importing.imported, &new).await?;
                }
            }
            Part::Requests(requests) => {
                append::import_rows(&transaction, &importing.rows(&requests)?).await?;
            }
            Part::End => break,
        }
    }
    if is_real {
        faults::point("import_count.copied").await;
        // Last, because servers that write the same lines wait for the COMMIT.
        let (totals, days) = tables.importing.for_months();
        books::import(&transaction, &totals, &days).await?;
        tally_producers::postgres::add_days(
            &transaction,
            NAME,
            namespace,
            &tables.importing.accepted,
        )
        .await?;
        faults::point("import_count.before_commit").await;
        transaction.commit().await?;
        faults::point("import_count.committed").await;
    } else {
        transaction.abandon().await?;
    }
    Ok(tables.importing.imported)
}

/// Adds names in a transaction of their own: servers that need the same names would wait for the
/// long one. Names without counts do no harm.
async fn name(database: &Database, names: &[Arc<Named>]) -> Result<HashMap<SeriesId, SeriesId>> {
    let add = || async {
        let transaction = database.begin(Isolation::Default).await?;
        let renumbered = series::add(&transaction, names).await?;
        transaction.commit().await?;
        Result::Ok(renumbered)
    };
    Policy::short("add series").run(add).await
}

/// How many of each were imported before.
async fn imported(
    transaction: &Transaction,
    namespace: Namespace,
    source: &str,
    counts: &[Count],
) -> Result<Vec<i64>> {
    let step = "read what was imported before";
    let days: Vec<Option<i32>> = counts.iter().map(|count| count.day).collect();
    let methods: Vec<i64> = counts.iter().map(|count| i64::from(count.method)).collect();
    let sql = include_str!("imported.sql");
    let rows = transaction.rows(step, sql, &[&source, &days, &methods, &namespace.0]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Notes what was imported.
async fn note(
    transaction: &Transaction,
    namespace: Namespace,
    of: &Imported,
    new: &[Noted],
) -> Result<()> {
    let step = "note what was imported";
    let days: Vec<i32> = new.iter().map(|one| one.day).collect();
    let methods: Vec<i64> = new.iter().map(|one| i64::from(one.method)).collect();
    let imported: Vec<i64> = new.iter().map(|one| one.imported).collect();
    let (sql, source, zone) = (include_str!("note_imported.sql"), &of.source, &of.time_zone);
    transaction.write(step, sql, &[source, zone, &days, &methods, &imported, &namespace.0]).await?;
    Ok(())
}
