//! Taking the Go server's books over, in one transaction.

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use tally_store::error::Step as _;
use tally_store::faults;
use uuid::Uuid;

use super::super::Result;
use super::{append, begin, endpoints};
use crate::take_over::{Books, Count, Piece, Taken, Taking};

/// Takes what is new. The thread waits for the books meanwhile.
pub(super) fn take_over(connection: &mut Connection, mut books: Books) -> Result<Taken> {
    let is_real = !books.settling.how.dry_run;
    let transaction = begin(connection)?;
    loop {
        let piece = books.blocking_next()?;
        let settling = &mut books.settling;
        match piece {
            Piece::Source(source, time_zone) => {
                settling.begin(source, time_zone, &sources(&transaction)?)?;
            }
            Piece::Methods(methods) => {
                let names = settling.resolve(&methods);
                if is_real {
                    let moved = endpoints::add(&transaction, &names)?;
                    settling.moved(&methods, &moved);
                }
            }
            Piece::Counts(counts) => {
                let taken = taken(&transaction, &settling.taken.source, &counts)?;
                let taking = settling.settle(&counts, &taken)?;
                if is_real {
                    take(&transaction, &settling.taken.source, &taking)?;
                }
            }
            Piece::Requests(requests) => {
                append::insert(&transaction, &[settling.rows(&requests)?])?;
            }
            Piece::End => break,
        }
    }
    if is_real {
        for (day, count) in &books.settling.accepted {
            transaction
                .prepare_cached(include_str!("count_day.sql"))
                .and_then(|mut sql| sql.execute((Uuid::nil().as_bytes(), day.0, count, 0)))
                .step("count what was accepted")?;
        }
        faults::blocking_point("take_over.before_commit");
        transaction.commit().step("commit")?;
        faults::blocking_point("take_over.committed");
    }
    Ok(books.settling.taken)
}

fn sources(transaction: &Transaction<'_>) -> Result<Vec<String>> {
    let step = "read what was taken before";
    let mut statement = transaction.prepare(include_str!("taken_sources.sql")).step(step)?;
    let rows = statement.query_map([], |row| row.get(0)).step(step)?;
    rows.collect::<rusqlite::Result<_>>().step(step)
}

/// How many were taken before of each.
fn taken(transaction: &Transaction<'_>, source: &str, counts: &[Count]) -> Result<Vec<i64>> {
    let step = "read what was taken before";
    let mut statement = transaction.prepare_cached(include_str!("taken.sql")).step(step)?;
    let mut one = |count: &Count| {
        let taken = statement.query_row((source, count.day, count.method), |row| row.get(0));
        taken.optional().map(Option::unwrap_or_default).step(step)
    };
    counts.iter().map(&mut one).collect()
}

/// Adds to the totals, and notes what was taken.
fn take(transaction: &Transaction<'_>, source: &str, taking: &Taking) -> Result<()> {
    let step = "add to the totals";
    let mut add = transaction.prepare_cached(include_str!("add_total.sql")).step(step)?;
    for ((day, endpoint), total) in &taking.totals {
        add.execute((day.0, endpoint, total)).step(step)?;
    }
    let step = "note what was taken";
    let mut note = transaction.prepare_cached(include_str!("note_taken.sql")).step(step)?;
    for (day, method, taken) in &taking.taken {
        note.execute((source, day, method, taken)).step(step)?;
    }
    Ok(())
}
