//! Merges and forgets: what was decided, and moving what is counted. Only the writer's thread moves.

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, Transaction};
use tally_runtime::faults::{blocking_point, is_on};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};

use super::super::Result;
use super::super::changes::SETTLED_SERIES;
use super::{books, series};
use crate::books::{Level, Posting};
use crate::changes::{Changes, Draft, Line, Outdated, Targets, Version};
use crate::error::refused;
use crate::model::{Day, Namespace, Series, SeriesId};
use crate::renaming::{Columns, Renamings};
use crate::selection::NewNames;

const STEP: &str = "move series";

/// The last change.
pub(crate) fn version(connection: &Connection) -> Result<Version> {
    let version = |row: &Row<'_>| Ok(Version { seq: row.get(0)?, token: row.get(1)? });
    let found = connection
        .prepare_cached(include_str!("last_change.sql"))
        .and_then(|mut statement| statement.query_row([], version).optional())
        .step("look for changes of series")?;
    Ok(found.unwrap_or_default())
}

/// What has changed since a version.
pub(crate) fn load(connection: &mut Connection, since: Version) -> Result<Changes> {
    let step = "read which series have moved";
    let snapshot = connection.transaction().step("begin a snapshot")?;
    let version = version(&snapshot)?;
    let mut statement = snapshot.prepare_cached(include_str!("change_token.sql")).step(step)?;
    let token: Option<i64> =
        statement.query_row([since.seq], |row| row.get(0)).optional().step(step)?;
    let (are_all, since) = since.read_on(token);
    let (renamings, seqs) = renamings(&snapshot, step)?;
    let sql = include_str!("moves_since.sql");
    let moves = rows(&snapshot, step, sql, [since], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = include_str!("move_targets.sql");
    let targets = rows(&snapshot, step, sql, [since], series::series)?;
    Ok(Changes { version, renamings, seqs, are_all, moves, targets })
}

fn renamings(connection: &Connection, step: &'static str) -> Result<(Renamings, Vec<i64>)> {
    let columns = |row: &Row<'_>| {
        let name = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(at)?.map(Box::from));
        let into = NewNames { service: name(3)?, path: name(4)?, customer: name(5)? };
        let (service, path, customer) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (namespace, hash_key) = (Namespace(row.get(8)?), row.get(6)?);
        Ok((Columns { namespace, service, path, customer, into, hash_key }, row.get(7)?))
    };
    Renamings::read(&rows(connection, step, include_str!("renamings.sql"), [], columns)?)
}

/// Moves series, and notes it. Returns how many.
pub(crate) fn write(connection: &mut Connection, mut draft: Draft) -> Result<usize> {
    let transaction = begin(connection)?;
    if version(&transaction)? != draft.version {
        return Err(Outdated.into());
    }
    rows(&transaction, STEP, include_str!("series.sql"), [], series::series)?
        .iter()
        .for_each(|(id, one)| draft.plan.see(*id, one.into()));
    if draft.line.is_none() {
        transaction.execute(include_str!("delete_moved_names.sql"), []).step(STEP)?;
    }
    let is_merge = draft.is_merge();
    let moves = &draft.plan.moves;
    let version = match &draft.line {
        Some(line) => note(&transaction, line, draft.version.seq + 1, moves.len())?,
        None => draft.version.seq,
    };
    for (earlier, columns) in &draft.redacted {
        redact(&transaction, *earlier, columns)?;
    }
    blocking_point("moves.noted");
    write_moves(&transaction, moves, version, is_merge)?;
    blocking_point("moves.before_commit");
    transaction.commit().step("commit")?;
    blocking_point("moves.committed");
    Ok(moves.len())
}

fn note(transaction: &Transaction<'_>, line: &Line, seq: i64, series: usize) -> Result<i64> {
    let Line { namespace, token, kind, selected, author, requests, columns } = line;
    let (kind, series) = (kind.text(), i64::try_from(series).unwrap_or(i64::MAX));
    let names = columns.values();
    let own: [&dyn ToSql; 8] =
        [&seq, token, &namespace.0, &kind, selected, author, &series, requests];
    let values: Vec<_> = own.into_iter().chain(names.iter().map(|name| name as _)).collect();
    transaction
        .execute(include_str!("add_change.sql"), &*values)
        .step("note a change of series")?;
    Ok(seq)
}

fn redact(transaction: &Transaction<'_>, seq: i64, columns: &Columns) -> Result<()> {
    let names = columns.values();
    let own: [&dyn ToSql; 1] = [&seq];
    let values: Vec<_> = own.into_iter().chain(names.iter().map(|name| name as _)).collect();
    transaction
        .execute(include_str!("redact_change.sql"), &*values)
        .step("forget names of changes")?;
    Ok(())
}

fn write_moves(
    transaction: &Transaction<'_>,
    moves: &[(SeriesId, Series)],
    change: i64,
    is_merge: bool,
) -> Result<()> {
    let mut targets = Targets::of(moves);
    targets.renumber(&series::add(transaction, &targets.named())?);
    let further = moved(transaction, targets.ids())?;
    let mut add = transaction.prepare_cached(include_str!("add_move.sql")).step(STEP)?;
    let mut lengthen = transaction.prepare_cached(include_str!("lengthen_moves.sql")).step(STEP)?;
    let mut forget = transaction.prepare_cached(include_str!("delete_name.sql")).step(STEP)?;
    let mut correct =
        transaction.prepare_cached(include_str!("move_corrections.sql")).step(STEP)?;
    for (from, to) in targets.moves(&further, is_merge).map_err(refused(STEP))? {
        add.execute((from, to, change)).step(STEP)?;
        lengthen.execute((from, to)).step(STEP)?;
        forget.execute([from]).step(STEP)?;
        correct.execute((from, to)).step(STEP)?;
    }
    Ok(())
}

/// Those of these series that have moved, and where.
fn moved(
    connection: &Connection,
    ids: impl IntoIterator<Item = SeriesId>,
) -> Result<HashMap<SeriesId, SeriesId>> {
    let step = "look whether a series has moved";
    let mut find = connection.prepare_cached(include_str!("moved.sql")).step(step)?;
    let mut moves = HashMap::new();
    for id in ids {
        let to: Option<SeriesId> = find.query_row([id], |row| row.get(0)).optional().step(step)?;
        moves.extend(to.map(|to| (id, to)));
    }
    Ok(moves)
}

/// What is counted goes to the series that those of the postings have moved to.
pub(super) fn follow(transaction: &Transaction<'_>, postings: &mut [Posting]) -> Result<()> {
    if is_on("moves.ignore") {
        return Ok(());
    }
    let ids: HashSet<SeriesId> = postings.iter().map(|posting| posting.series).collect();
    let moves = moved(transaction, ids)?;
    for posting in postings {
        posting.series = moves.get(&posting.series).copied().unwrap_or(posting.series);
    }
    Ok(())
}

/// The changes that are not settled, and their ages in seconds.
pub(crate) fn unsettled(connection: &Connection) -> Result<Vec<(i64, i64)>> {
    let (step, sql) = ("look for changes of series", include_str!("unsettled_changes.sql"));
    rows(connection, step, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

pub(crate) fn mark_settled(connection: &Connection, through: i64) -> Result<()> {
    connection
        .execute(include_str!("mark_settled.sql"), [through])
        .step("note that series have moved")?;
    Ok(())
}

/// The months that may have something of series that have moved.
pub(crate) fn months(connection: &Connection) -> Result<Vec<Day>> {
    let (step, sql) = ("list months", include_str!("calendar_months.sql"));
    rows(connection, step, sql, [], |row| Ok(Day(row.get(0)?)))
}

/// The series of a month and its days that have moved.
pub(crate) fn moved_in_month(connection: &Connection, month: Day) -> Result<Vec<SeriesId>> {
    let (step, sql) = ("look for series that have moved", include_str!("moved_in_month.sql"));
    let last = Day::from(month.date().last_of_month());
    rows(connection, step, sql, (month.0, last.0), |row| row.get(0))
}

/// One transaction: adds what these series have in a month and its days to those that they have moved to.
pub(crate) fn settle(connection: &mut Connection, month: Day, ids: &[SeriesId]) -> Result<()> {
    debug_assert!(ids.len() <= SETTLED_SERIES, "a step is short");
    let transaction = begin(connection)?;
    let last = Day::from(month.date().last_of_month());
    let (mut months, mut days, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    {
        let prepare = |sql| transaction.prepare_cached(sql).step(STEP);
        let mut find_month = prepare(include_str!("find_month.sql"))?;
        let mut find_day = prepare(include_str!("find_day.sql"))?;
        let mut drop_month = prepare(include_str!("drop_month.sql"))?;
        let mut drop_day = prepare(include_str!("drop_day.sql"))?;
        for (id, to) in moved(&transaction, ids.iter().copied())? {
            let slots = find_month.query_row((month.0, id), |row| row.get::<_, String>(1));
            if let Some(slots) = slots.optional().step(STEP)? {
                for one in Posting::of_row(Level::Months, month, to, &slots) {
                    months.push(one?);
                }
                drop_month.execute((month.0, id)).step(STEP)?;
            }
            for day in (month.0..=last.0).map(Day) {
                let slots = find_day.query_row((day.0, id), |row| row.get::<_, String>(1));
                if let Some(slots) = slots.optional().step(STEP)? {
                    for one in Posting::of_row(Level::Days, day, to, &slots) {
                        days.push(one?);
                    }
                    drop_day.execute((day.0, id)).step(STEP)?;
                    taken.push(day);
                }
            }
        }
    }
    // Those too of which only rows with nothing go.
    taken.sort_unstable();
    taken.dedup();
    books::stamp(&transaction, &taken)?;
    months.sort_unstable();
    days.sort_unstable();
    books::add(&transaction, Level::Months, &months)?;
    books::add(&transaction, Level::Days, &days)?;
    blocking_point("settle.before_commit");
    transaction.commit().step("commit")?;
    blocking_point("settle.committed");
    Ok(())
}
