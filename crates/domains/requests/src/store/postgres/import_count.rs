//! Importing the Go server's tables, in one transaction.

use tally_store::error::Step as _;
use tally_store::faults;
use tally_store::postgres::{Database, Isolation, Transaction};

use super::super::Result;
use super::{append, endpoints};
use crate::import_count::{Additions, Count, CountTables, Imported, Piece};

/// Imports what is new.
pub(super) async fn import_count(database: &Database, mut tables: CountTables) -> Result<Imported> {
    let step = "begin to import the Go server's tables";
    let is_real = !tables.settling.how.dry_run;
    let mut connection = database.connection().await?;
    let transaction = connection.begin(Isolation::Default).await?;
    transaction.batch_execute(include_str!("lock_imported.sql")).await.step(step)?;
    transaction.batch_execute(include_str!("wait_for_tables.sql")).await.step(step)?;
    loop {
        let piece = tables.next().await?;
        let settling = &mut tables.settling;
        match piece {
            Piece::Source(source, time_zone) => {
                let rows = transaction
                    .query(include_str!("imported_sources.sql"), &[])
                    .await
                    .step(step)?;
                let before: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
                settling.begin(source, time_zone, &before)?;
            }
            Piece::Methods(methods) => {
                let names = settling.resolve(&methods);
                if is_real {
                    let moved = endpoints::add(&transaction, &names).await?;
                    settling.moved(&methods, &moved);
                }
            }
            Piece::Counts(counts) => {
                let before = imported(&transaction, &settling.imported.source, &counts).await?;
                let additions = settling.settle(&counts, &before)?;
                if is_real {
                    add(&transaction, &settling.imported.source, &additions).await?;
                }
            }
            Piece::Requests(requests) => {
                append::copy_rows(&transaction, &[settling.rows(&requests)?]).await?;
            }
            Piece::End => break,
        }
    }
    if is_real {
        accept(&transaction, &tables).await?;
        faults::point("import_count.before_commit").await;
        transaction.commit().await?;
        faults::point("import_count.committed").await;
    } else {
        transaction.rollback().await?;
    }
    connection.release();
    Ok(tables.settling.imported)
}

/// How many were imported before of each.
async fn imported(
    transaction: &Transaction<'_>,
    source: &str,
    counts: &[Count],
) -> Result<Vec<i64>> {
    let step = "read what was imported before";
    let days: Vec<i32> = counts.iter().map(|count| count.day).collect();
    let methods: Vec<i64> = counts.iter().map(|count| i64::from(count.method)).collect();
    let sql = transaction.prepare_cached(include_str!("imported.sql")).await.step(step)?;
    let rows = transaction.query(&sql, &[&source, &days, &methods]).await.step(step)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Adds to the totals, and notes what was imported.
async fn add(transaction: &Transaction<'_>, source: &str, additions: &Additions) -> Result<()> {
    let step = "add to the totals";
    let days: Vec<i32> = additions.totals.keys().map(|(day, _)| day.0).collect();
    let endpoints: Vec<i64> = additions.totals.keys().map(|(_, endpoint)| *endpoint).collect();
    let totals: Vec<i64> = additions.totals.values().copied().collect();
    let sql = transaction.prepare_cached(include_str!("add_totals.sql")).await.step(step)?;
    transaction.execute(&sql, &[&days, &endpoints, &totals]).await.step(step)?;
    let step = "note what was imported";
    let days: Vec<i32> = additions.imported.iter().map(|one| one.0).collect();
    let methods: Vec<i64> = additions.imported.iter().map(|one| i64::from(one.1)).collect();
    let imported: Vec<i64> = additions.imported.iter().map(|one| one.2).collect();
    let sql = transaction.prepare_cached(include_str!("note_imported.sql")).await.step(step)?;
    transaction.execute(&sql, &[&source, &days, &methods, &imported]).await.step(step)?;
    Ok(())
}

/// Counts the requests to their days, as every batch does.
async fn accept(transaction: &Transaction<'_>, tables: &CountTables) -> Result<()> {
    let step = "count what was accepted";
    let accepted = &tables.settling.accepted;
    let days: Vec<i32> = accepted.keys().map(|day| day.0).collect();
    let counts: Vec<i64> = accepted.values().copied().collect();
    let none = vec![0_i64; days.len()];
    transaction
        .execute(include_str!("keep_days.sql"), &[&days, &counts, &none])
        .await
        .step(step)?;
    Ok(())
}
