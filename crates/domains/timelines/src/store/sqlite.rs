//! Timelines in SQLite.
//!
//! | file | what it owns |
//! |---|---|
//! | `keep.rs` | abandoning, deleting, and other terms |
//! | `look.rs` | what the pages read |
//! | `read.rs` | reading contexts, timelines, events and durations |
//! | `save.rs` | writing what messages have made of timelines |

mod keep;
mod look;
mod read;
mod save;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use tally_runtime::{Namespace, faults, random};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use uuid::Uuid;

pub(super) use self::keep::{abandon, configure, expire, prune};
pub(super) use self::look::{durations, latest, trends};
use self::read::read_events;
pub(super) use self::read::{context, contexts, events, sums, timeline, timelines, typical};
use self::save::save;
use super::wanted::Wanted;
use super::{
    Context, Event, Limits, Loaded, Outcome, Result, Sums, Terms, Timeline, Took, Which, judge,
    wanted,
};
use crate::ledger::{Known, LOOKED_BACK_MAX};
use crate::message::Message;
use crate::model::Key;

pub(super) fn record(
    connection: &mut Connection,
    messages: &[Message],
    now: Timestamp,
    limits: Limits,
) -> Result<Vec<Outcome>> {
    let transaction = begin(connection)?;
    let mut loaded = load(&transaction, messages, now, limits)?;
    let changes = judge(&mut loaded, messages, now, limits);
    save(&transaction, &changes)?;
    faults::blocking_point("timelines.before_commit");
    transaction.commit().step("commit")?;
    faults::blocking_point("timelines.committed");
    Ok(changes.outcomes)
}

/// Makes the contexts that are missing, and reads what messages are about.
fn load(
    transaction: &Transaction<'_>,
    messages: &[Message],
    now: Timestamp,
    limits: Limits,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for (namespace, name) in wanted::contexts(messages) {
        let of = (namespace, name.to_owned());
        let there = match context(transaction, namespace, name)? {
            None if make(transaction, namespace, name, now, limits)? => {
                context(transaction, namespace, name)?
            }
            there => there,
        };
        match there {
            Some(context) => drop(loaded.contexts.insert(of, context)),
            None => drop(loaded.too_many.insert(of)),
        }
    }
    let newest: Vec<_> = wanted::newest(&loaded).collect();
    for (context, number) in newest {
        let sql = include_str!("sqlite/timeline_by_number.sql");
        let found = read::one_timeline(transaction, sql, params![context.as_bytes(), number])?;
        found.into_iter().for_each(|one| loaded.put_timeline(one));
    }
    for (context, label) in wanted::labels(&loaded, messages) {
        let sql = include_str!("sqlite/timeline_by_label.sql");
        let found = read::one_timeline(transaction, sql, params![context.as_bytes(), label])?;
        found.into_iter().for_each(|one| loaded.put_timeline(one));
    }
    for Wanted { context, key, timeline, is_phase } in wanted::keys(&loaded, messages) {
        let Key { name, host, span } = &key;
        let values = params![context.as_bytes(), name, host, span, LOOKED_BACK_MAX];
        let id = |row: &Row<'_>| row.get(0).map(Uuid::from_bytes);
        let sql = include_str!("sqlite/halves.sql");
        let mut among = rows(transaction, "read events", sql, values, id)?;
        if is_phase {
            let (sql, values) =
                (include_str!("sqlite/last.sql"), params![context.as_bytes(), LOOKED_BACK_MAX]);
            among.extend(rows(transaction, "read events", sql, values, id)?);
        }
        for timeline in among.into_iter().chain(timeline) {
            let values = params![timeline.as_bytes(), name, host, span];
            let events = read_events(transaction, include_str!("sqlite/track.sql"), values)?;
            events.into_iter().for_each(|event| loaded.put_event(event));
        }
    }
    let mut statement =
        transaction.prepare_cached(include_str!("sqlite/known.sql")).step("look what is known")?;
    for (context, once) in wanted::once(&loaded, messages) {
        let known = |row: &Row<'_>| {
            Ok(Known { timeline: Uuid::from_bytes(row.get(0)?), fingerprint: row.get(1)? })
        };
        let values = (context.as_bytes(), once.as_bytes());
        let known = statement.query_row(values, known).optional().step("look what is known")?;
        loaded.known.extend(known.map(|known| ((context, once), known)));
    }
    for id in loaded.missing_timelines() {
        let sql = include_str!("sqlite/timeline_by_id.sql");
        let found = read::one_timeline(transaction, sql, params![id.as_bytes()])?;
        found.into_iter().for_each(|one| loaded.put_timeline(one));
    }
    Ok(loaded)
}

/// Makes a context, if there is room.
fn make(
    transaction: &Transaction<'_>,
    namespace: Namespace,
    name: &str,
    now: Timestamp,
    limits: Limits,
) -> Result<bool> {
    let step = "make a context";
    let values = (namespace.0, limits.contexts_max);
    let sql = include_str!("sqlite/count_up.sql");
    let count = transaction.query_row(sql, values, |row| row.get::<_, i64>(0)).optional();
    if count.step(step)?.is_none() {
        return Ok(false);
    }
    let id = random::id(now);
    let values = params![id.as_bytes(), namespace.0, name, now.as_microsecond()];
    transaction.execute(include_str!("sqlite/insert_context.sql"), values).step(step)?;
    Ok(true)
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_microsecond)
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
