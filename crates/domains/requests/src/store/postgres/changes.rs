//! Merges and forgets: what was decided, and moving what is counted.

use futures_util::TryStreamExt as _;
use hashbrown::{HashMap, HashSet};
use tally_runtime::faults;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::{Result, cockroach, is_cockroach};
use super::{books, series};
use crate::books::{Level, Posting};
use crate::changes::{Changes, Draft, Line, Outdated, Targets, Version};
use crate::error::refused;
use crate::model::{Day, Namespace, Series, SeriesId};
use crate::renaming::{Columns, Renamings};
use crate::selection::NewNames;

const STEP: &str = "move series";
/// How many series move in one transaction of CockroachDB, which advises against larger ones. Elsewhere
/// all of them do.
const COCKROACH_SERIES: usize = 1_000;

/// Waiting for the lock on the names holds up batches that bring some. So it waits briefly, and lets them
/// pass between two attempts.
const MOVING: Policy = Policy { attempts_max: 300, ..Policy::long(STEP) };

/// The last change.
pub(crate) async fn version(database: &Database) -> Result<Version> {
    let (step, sql) = ("look for changes of series", include_str!("last_change.sql"));
    Ok(version_of(&Policy::short(step).run(|| database.rows(step, sql, &[])).await?))
}

/// The same in a transaction: with names that it has brought, it sees every change that was made before
/// it could bring them.
pub(super) async fn version_in(transaction: &Transaction) -> Result<Version> {
    let step = "look for changes of series";
    Ok(version_of(&transaction.rows(step, include_str!("last_change.sql"), &[]).await?))
}

fn version_of(rows: &[Row]) -> Version {
    let version = |row: &Row| Version { seq: row.get(0), token: row.get(1) };
    rows.first().map(version).unwrap_or_default()
}

/// What has changed since a version.
pub(crate) async fn load(database: &Database, since: Version) -> Result<Changes> {
    Policy::short("read which series have moved").run(|| load_once(database, since)).await
}

async fn load_once(database: &Database, since: Version) -> Result<Changes> {
    let step = "read which series have moved";
    let transaction = database.begin(Isolation::Snapshot).await?;
    let version = version_in(&transaction).await?;
    let rows = transaction.rows(step, include_str!("change_token.sql"), &[&since.seq]).await?;
    let (are_all, since) = since.read_on(rows.first().map(|row| row.get(0)));
    let rows = transaction.rows(step, include_str!("renamings.sql"), &[]).await?;
    let columns = |row: &Row| {
        let name = |at| row.get::<_, Option<String>>(at).map(Box::from);
        let into = NewNames { service: name(3), path: name(4), customer: name(5) };
        let (service, path, customer) = (row.get(0), row.get(1), row.get(2));
        let (namespace, hash_key) = (Namespace(row.get(8)), row.get(6));
        (Columns { namespace, service, path, customer, into, hash_key }, row.get(7))
    };
    let (renamings, seqs) = Renamings::read(&rows.iter().map(columns).collect::<Vec<_>>())?;
    let rows = transaction.rows(step, include_str!("moves_since.sql"), &[&since]).await?;
    let moves = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rows = transaction.stream(step, include_str!("move_targets.sql"), &[&since]).await?;
    let targets = series::read(rows, usize::MAX, usize::MAX).await?;
    transaction.commit().await?;
    Ok(Changes { version, renamings, seqs, are_all, moves, targets })
}

/// Moves series, and notes it. Returns how many.
pub(crate) async fn write(database: &Database, draft: &Draft) -> Result<usize> {
    let max = if is_cockroach(database) { COCKROACH_SERIES } else { usize::MAX };
    let mut moved = 0;
    loop {
        let step = || step(database, draft, max);
        let some = MOVING.run(step).await?;
        moved += some;
        if some < max {
            return Ok(moved);
        }
        faults::point("moves.step").await;
    }
}

/// One transaction. The first one notes the change.
async fn step(database: &Database, draft: &Draft, max: usize) -> Result<usize> {
    let transaction = books::begin(database).await?;
    match move_some(database, &transaction, draft, max).await {
        Ok(moved) => {
            faults::point("moves.before_commit").await;
            transaction.commit().await?;
            faults::point("moves.committed").await;
            Ok(moved)
        }
        Err(error) => Err(transaction.failed(error).await),
    }
}

async fn move_some(
    database: &Database,
    transaction: &Transaction,
    draft: &Draft,
    max: usize,
) -> Result<usize> {
    if !is_cockroach(database) {
        transaction.script(STEP, include_str!("lock_timeout_1_s.sql")).await?;
        transaction.script("lock the names", include_str!("lock_series.sql")).await?;
    }
    let now = version_in(transaction).await?;
    // It is, in a later step, or if the answer to the COMMIT was lost.
    let is_noted = draft.line.as_ref().is_some_and(|line| line.token == now.token);
    if now != draft.version && !is_noted {
        return Err(Outdated.into());
    }
    let mut plan = draft.plan.clone();
    let rows = transaction.stream(STEP, include_str!("series.sql"), &[]).await?;
    let known: HashSet<SeriesId> = rows
        .try_fold(HashSet::new(), |mut known, row| {
            let (id, series) = (row.get(0), series::of_row(&row));
            plan.see(id, series);
            known.insert(id);
            std::future::ready(Ok(known))
        })
        .await?;
    // Some may have moved already, in a step before.
    plan.moves.retain(|(id, _)| known.contains(id));
    let all = plan.moves.len();
    plan.moves.truncate(max);
    let mut seq = now.seq;
    match &draft.line {
        Some(line) if !is_noted => {
            seq += 1;
            note(transaction, line, seq, all).await?;
            for (earlier, columns) in &draft.redacted {
                redact(transaction, *earlier, columns).await?;
            }
        }
        Some(_) => {}
        None => {
            let sql = include_str!("delete_moved_names.sql");
            transaction.write(STEP, sql, &[]).await?;
        }
    }
    faults::point("moves.noted").await;
    write_moves(transaction, &plan.moves, seq, draft.is_merge()).await?;
    Ok(plan.moves.len())
}

async fn note(transaction: &Transaction, line: &Line, seq: i64, series: usize) -> Result<()> {
    let Line { namespace, token, kind, selected, author, requests, columns } = line;
    let (kind, series) = (kind.text(), i64::try_from(series).unwrap_or(i64::MAX));
    let names = columns.values();
    let own: [&(dyn ToSql + Sync); 8] =
        [&seq, token, &namespace.0, &kind, selected, author, &series, requests];
    let values: Vec<_> = own.into_iter().chain(names.iter().map(|name| name as _)).collect();
    transaction.write("note a change of series", include_str!("add_change.sql"), &values).await?;
    Ok(())
}

async fn redact(transaction: &Transaction, seq: i64, columns: &Columns) -> Result<()> {
    let names = columns.values();
    let own: [&(dyn ToSql + Sync); 1] = [&seq];
    let values: Vec<_> = own.into_iter().chain(names.iter().map(|name| name as _)).collect();
    transaction
        .write("forget names of changes", include_str!("redact_change.sql"), &values)
        .await?;
    Ok(())
}

async fn write_moves(
    transaction: &Transaction,
    moves: &[(SeriesId, Series)],
    change: i64,
    is_merge: bool,
) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let mut targets = Targets::of(moves);
    targets.renumber(&series::add(transaction, &targets.named()).await?);
    let further = moved(transaction, &targets.ids()).await?;
    let (from, to): (Vec<SeriesId>, Vec<SeriesId>) =
        targets.moves(&further, is_merge).map_err(refused(STEP))?.into_iter().unzip();
    let values: [&(dyn ToSql + Sync); 2] = [&from, &to];
    transaction.write(STEP, include_str!("add_moves.sql"), &[&from, &to, &change]).await?;
    transaction.write(STEP, include_str!("lengthen_moves.sql"), &values).await?;
    transaction.write(STEP, include_str!("delete_names.sql"), &[&from]).await?;
    transaction.write(STEP, include_str!("move_corrections.sql"), &values).await?;
    Ok(())
}

/// Those of these series that have moved, and where.
async fn moved(transaction: &Transaction, ids: &[SeriesId]) -> Result<HashMap<SeriesId, SeriesId>> {
    let rows = transaction.rows(STEP, include_str!("moved.sql"), &[&ids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What is counted goes to the series that those of the postings have moved to.
pub(super) async fn follow(transaction: &Transaction, postings: &mut [Posting]) -> Result<()> {
    if faults::is_on("moves.ignore") || postings.is_empty() {
        return Ok(());
    }
    let ids: HashSet<SeriesId> = postings.iter().map(|posting| posting.series).collect();
    let moves = moved(transaction, &ids.into_iter().collect::<Vec<_>>()).await?;
    if !moves.is_empty() {
        for posting in postings {
            posting.series = moves.get(&posting.series).copied().unwrap_or(posting.series);
        }
    }
    Ok(())
}

/// The changes that are not settled, and their ages in seconds.
pub(crate) async fn unsettled(database: &Database) -> Result<Vec<(i64, i64)>> {
    let (step, sql) = ("look for changes of series", include_str!("unsettled_changes.sql"));
    let rows = Policy::short(step).run(|| database.rows(step, sql, &[])).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(crate) async fn mark_settled(database: &Database, through: i64) -> Result<()> {
    let (step, sql) = ("note that series have moved", include_str!("mark_settled.sql"));
    let mark = || async { database.commit_rows(step, sql, &[&through]).await };
    Policy::short(step).run(mark).await?;
    Ok(())
}

/// The months that may have something of series that have moved.
pub(crate) async fn months(database: &Database) -> Result<Vec<Day>> {
    let (step, sql) = ("list months", include_str!("calendar_months.sql"));
    let rows = Policy::short(step).run(|| database.rows(step, sql, &[])).await?;
    Ok(rows.iter().map(|row| Day(row.get(0))).collect())
}

/// The series of a month and its days that have moved.
pub(crate) async fn moved_in_month(database: &Database, month: Day) -> Result<Vec<SeriesId>> {
    let (step, sql) = ("look for series that have moved", include_str!("moved_in_month.sql"));
    let last = Day::from(month.date().last_of_month());
    let find = || async { database.rows(step, sql, &[&month.0, &last.0]).await };
    let rows = Policy::long(step).run(find).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// One transaction: adds what these series have in a month and its days to those that they have moved to.
/// Returns whether it did: not while a roll-up has some series of a day left, because what moves must be on
/// one side of it.
pub(crate) async fn settle(database: &Database, month: Day, ids: &[SeriesId]) -> Result<bool> {
    let once = || async {
        let transaction = books::begin(database).await?;
        if is_cockroach(database) && cockroach::begun::is_under_way(&transaction, month).await? {
            return transaction.abandon().await.map(|()| false);
        }
        settle_some(&transaction, month, ids).await?;
        faults::point("settle.before_commit").await;
        transaction.commit().await?;
        faults::point("settle.committed").await;
        Ok(true)
    };
    Policy::long(STEP).run(once).await
}

async fn settle_some(transaction: &Transaction, month: Day, ids: &[SeriesId]) -> Result<()> {
    let moves = moved(transaction, ids).await?;
    let ids: Vec<SeriesId> = moves.keys().copied().collect();
    let last = Day::from(month.date().last_of_month());
    let (mut months, mut days) = (Vec::new(), Vec::new());
    let sql = include_str!("take_months.sql");
    for row in transaction.rows(STEP, sql, &[&month.0, &ids]).await? {
        let to = moves[&row.get::<_, SeriesId>(0)];
        for one in Posting::of_row(Level::Months, month, to, row.get(1)) {
            months.push(one?);
        }
    }
    let sql = include_str!("take_days.sql");
    for row in transaction.rows(STEP, sql, &[&month.0, &last.0, &ids]).await? {
        let (day, to) = (Day(row.get(0)), moves[&row.get::<_, SeriesId>(1)]);
        for one in Posting::of_row(Level::Days, day, to, row.get(2)) {
            days.push(one?);
        }
    }
    months.sort_unstable();
    days.sort_unstable();
    books::add(transaction, Level::Months, &months).await?;
    books::add(transaction, Level::Days, &days).await
}
