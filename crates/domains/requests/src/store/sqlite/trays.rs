//! Trays: which one takes rows now, and folding them. The rows are counted by a thread that only reads,
//! while the other tray takes rows; the writer's thread is busy only while it adds what was counted.

use std::sync::Arc;

use hashbrown::HashMap;
use rusqlite::Connection;
use tally_runtime::faults::{blocking_point, is_on};
use tally_store::error::Step as _;
use tally_store::sqlite::{Database, begin};

use super::super::Result;
use super::state::Seen;
use super::{State, books};
use crate::books::{Folded, Posting};
use crate::model::{Quarter, SeriesId};

const NAMES: [&str; 2] = ["tally_requests_0", "tally_requests_1"];

/// A tray of this size is folded although its quarter goes on.
const LARGE_ROWS: i64 = 200_000;
/// How many quarters and series a fold holds in memory: some 40 MiB. Beyond that it folds a tray in
/// parts.
const POSTINGS_MAX: usize = 1 << 20;

/// How often another program may write while a tray is counted. After that it is counted by the writer,
/// which keeps others out.
const DISTURBED_MAX: u32 = 3;

/// A table of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tray(pub(super) usize);

/// What was counted.
struct Counted {
    postings: Vec<Posting>,
    /// The last row, if there are more.
    through: Option<i64>,
}

// === impl Tray ===

impl Tray {
    pub(super) fn other(self) -> Self {
        Self(1 - self.0)
    }

    pub(super) fn sql(self, template: &str) -> String {
        template.replace(":tray", NAMES[self.0])
    }
}

/// Folds what is due: a tray that takes no rows, and the other one if `is_due` says so, which is told
/// whether it is large. Returns what became of each.
pub(crate) async fn fold_due(
    database: &Database,
    state: &Arc<State>,
    is_due: impl Fn(usize, bool) -> bool,
) -> Result<Vec<(usize, Result<Folded>)>> {
    let sizes = database.read_long(sizes).await?;
    let filling = state.filling();
    let mut folded = Vec::new();
    for tray in [filling.other(), filling] {
        let rows = sizes[tray.0];
        if rows > 0 && (tray != filling || is_due(tray.0, rows >= LARGE_ROWS)) {
            folded.push((tray.0, fold(database, state, tray).await));
        }
    }
    Ok(folded)
}

/// Folds every row that is committed now.
pub(crate) async fn fold_all(database: &Database, state: &Arc<State>) -> Result<Folded> {
    let filling = state.filling();
    let mut all = fold(database, state, filling.other()).await?;
    all += fold(database, state, filling).await?;
    Ok(all)
}

/// About how many rows are not folded.
pub(crate) fn unfolded_rows(connection: &mut Connection) -> Result<i64> {
    Ok(sizes(connection)?.iter().sum())
}

/// About how many rows each tray has.
fn sizes(connection: &mut Connection) -> Result<[i64; 2]> {
    let mut sizes = [0; 2];
    for (tray, size) in [Tray(0), Tray(1)].into_iter().zip(&mut sizes) {
        *size = connection
            .prepare_cached(&tray.sql(include_str!("last_row.sql")))
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .step("measure a tray")?;
    }
    Ok(sizes)
}

/// Folds a tray, which takes no rows meanwhile.
async fn fold(database: &Database, state: &Arc<State>, tray: Tray) -> Result<Folded> {
    let (mut all, mut disturbed) = (Folded::default(), 0);
    loop {
        let of = Arc::clone(state);
        let Some(seen) = database.write(move |connection| leave(connection, &of, tray)).await?
        else {
            return Ok(all);
        };
        let counted = if disturbed < DISTURBED_MAX {
            Some(database.read_long(move |connection| count(connection, tray)).await?)
        } else {
            None
        };
        let of = Arc::clone(state);
        let add = move |connection: &mut Connection| add(connection, &of, tray, counted, seen);
        match database.write(add).await? {
            None => disturbed += 1,
            Some((folded, is_all)) => {
                all += folded;
                if is_all {
                    return Ok(all);
                }
            }
        }
    }
}

/// Lets the other tray take rows. Returns the state of the file; `None` if the tray is empty.
fn leave(connection: &mut Connection, state: &State, tray: Tray) -> Result<Option<Seen>> {
    let transaction = begin(connection)?;
    blocking_point("fold.begun");
    let has_rows: bool = transaction
        .prepare_cached(&tray.sql(include_str!("has_rows.sql")))
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .step("look into a tray")?;
    if has_rows && state.filling() == tray {
        state.fill(tray.other());
    }
    let seen = state.seen(&transaction)?;
    Ok(has_rows.then_some(seen))
}

/// Counts a tray by quarter and series: in Rust, which is ten times faster than GROUP BY.
fn count(connection: &Connection, tray: Tray) -> Result<Counted> {
    let step = "count the rows of a tray";
    let mut counts: HashMap<(Quarter, SeriesId), i64> = HashMap::new();
    let mut statement =
        connection.prepare_cached(&tray.sql(include_str!("count_tray.sql"))).step(step)?;
    let mut rows = statement.query([]).step(step)?;
    let mut through = None;
    while let Some(row) = rows.next().step(step)? {
        let (series, micros) = (row.get(1).step(step)?, row.get(2).step(step)?);
        let requests = row.get::<_, Option<i64>>(3).step(step)?.unwrap_or(1);
        if counts.len() == POSTINGS_MAX {
            through = Some(row.get::<_, i64>(0).step(step)? - 1);
            break;
        }
        let count = counts.entry((Quarter::of_micros(micros), series)).or_default();
        *count = count.saturating_add(requests);
    }
    let posting = |((quarter, series), requests)| Posting::of_quarter(quarter, series, requests);
    Ok(Counted { postings: counts.into_iter().map(posting).collect(), through })
}

/// One transaction: empty the tray, and add what was counted, or is counted now. Returns whether that
/// was all. `None`, and nothing happens, if another program has written since it was counted, or another
/// store has folded.
fn add(
    connection: &mut Connection,
    state: &State,
    tray: Tray,
    counted: Option<Counted>,
    seen: Seen,
) -> Result<Option<(Folded, bool)>> {
    let step = "empty a tray";
    let transaction = begin(connection)?;
    let counted = match counted {
        Some(_) if state.seen(&transaction)? != seen => return Ok(None),
        Some(counted) => counted,
        None => count(&transaction, tray)?,
    };
    state.turn();
    // First, because a file that is full has only this room.
    match counted.through {
        _ if is_on("fold.keep") => 0,
        None => transaction.execute(&tray.sql(include_str!("empty_tray.sql")), []).step(step)?,
        Some(row) => {
            transaction.execute(&tray.sql(include_str!("empty_part.sql")), [row]).step(step)?
        }
    };
    let transaction = if is_on("fold.split") {
        transaction.commit().step("commit")?;
        begin(connection)?
    } else {
        transaction
    };
    let folded = books::fold(&transaction, counted.postings)?;
    blocking_point("fold.added");
    blocking_point("fold.before_commit");
    transaction.commit().step("commit")?;
    blocking_point("fold.committed");
    Ok(Some((folded, counted.through.is_none())))
}
