//! Importing the Go server's tables, in one transaction.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use tally_runtime::{Namespace, faults};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};

use super::super::Result;
use super::{State, append, books, series};
use crate::NAME;
use crate::import_count::{Count, CountTables, Imported, Noted, Part};

/// Imports what is new. The thread waits for each part.
pub(crate) fn import_count(
    connection: &mut Connection,
    mut tables: CountTables,
    state: &State,
) -> Result<Imported> {
    let filling = state.filling();
    let is_real = !tables.importing.how.dry_run;
    let namespace = tables.importing.how.namespace;
    let transaction = begin(connection)?;
    loop {
        let part = tables.blocking_next()?;
        let importing = &mut tables.importing;
        match part {
            Part::Source(source, time_zone) => {
                importing.begin(source, time_zone, &sources(&transaction, namespace)?)?;
            }
            Part::Methods(methods) => {
                let names = importing.resolve(&methods);
                if is_real {
                    let renumbered = series::add(&transaction, &names)?;
                    importing.renumber(&methods, &renumbered);
                }
            }
            Part::Counts(counts) => {
                let source = &importing.imported.source;
                let before = imported(&transaction, namespace, source, &counts)?;
                let new = importing.new_in(&counts, &before)?;
                if is_real {
                    note(&transaction, namespace, &importing.imported, &new)?;
                }
            }
            Part::Requests(requests) => {
                append::insert(&transaction, filling, &[importing.rows(&requests)?])?;
            }
            Part::End => break,
        }
    }
    if is_real {
        let (totals, days) = tables.importing.for_months();
        books::import(&transaction, &totals, &days)?;
        tally_producers::sqlite::add_days(
            &transaction,
            NAME,
            namespace,
            &tables.importing.accepted,
        )?;
        faults::blocking_point("import_count.before_commit");
        transaction.commit().step("commit")?;
        faults::blocking_point("import_count.committed");
    }
    Ok(tables.importing.imported)
}

fn sources(transaction: &Transaction<'_>, namespace: Namespace) -> Result<Vec<(String, String)>> {
    let (step, sql) = ("read what was imported before", include_str!("imported_sources.sql"));
    let source = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    rows(transaction, step, sql, [namespace.0], source)
}

/// How many of each were imported before.
fn imported(
    transaction: &Transaction<'_>,
    namespace: Namespace,
    source: &str,
    counts: &[Count],
) -> Result<Vec<i64>> {
    let step = "read what was imported before";
    let mut statement = transaction.prepare_cached(include_str!("imported.sql")).step(step)?;
    let mut one = |count: &Count| {
        let imported =
            statement.query_row((source, count.day, count.method, namespace.0), |row| row.get(0));
        imported.optional().map(Option::unwrap_or_default).step(step)
    };
    counts.iter().map(&mut one).collect()
}

/// Notes what was imported.
fn note(
    transaction: &Transaction<'_>,
    namespace: Namespace,
    of: &Imported,
    new: &[Noted],
) -> Result<()> {
    let step = "note what was imported";
    let mut note = transaction.prepare_cached(include_str!("note_imported.sql")).step(step)?;
    for one in new {
        let values = (&of.source, &of.time_zone, one.day, one.method, one.imported, namespace.0);
        note.execute(values).step(step)?;
    }
    Ok(())
}
