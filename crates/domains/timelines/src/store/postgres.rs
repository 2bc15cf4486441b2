//! Timelines in Postgres and CockroachDB.
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

use std::collections::HashMap;

use futures_util::future::try_join;
use jiff::Timestamp;
use tally_runtime::{Namespace, faults, random};
use tally_store::postgres::{Database, Isolation, Transaction};
use uuid::Uuid;

pub(super) use self::keep::{abandon, configure, expire, prune};
pub(super) use self::look::{durations, latest, trends};
use self::read::read_context;
pub(super) use self::read::{context, contexts, events, sums, timeline, timelines, typical};
use self::read::{read_event, read_timeline};
use self::save::save;
use super::{
    Context, Event, Limits, Loaded, Outcome, Result, Sums, Terms, Timeline, Took, Which, judge,
    wanted,
};
use crate::ledger::{Known, LOOKED_BACK_MAX};
use crate::message::Message;
use crate::model::Key;

pub(super) async fn record(
    database: &Database,
    messages: &[Message],
    now: Timestamp,
    limits: Limits,
) -> Result<Vec<Outcome>> {
    let transaction = database.writer().await?.transaction(Isolation::Default).await?;
    let mut loaded = load(&transaction, messages, now, limits).await?;
    let changes = judge(&mut loaded, messages, now, limits);
    save(&transaction, &changes).await?;
    faults::point("timelines.before_commit").await;
    transaction.commit().await?;
    faults::point("timelines.committed").await;
    Ok(changes.outcomes)
}

/// Makes the contexts that are missing, locks all, and reads what messages are about.
async fn load(
    transaction: &Transaction,
    messages: &[Message],
    now: Timestamp,
    limits: Limits,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    let all = wanted::contexts(messages);
    let (namespaces, names): (Vec<i64>, Vec<&str>) =
        all.iter().map(|(of, name)| (of.0, *name)).unzip();
    let sql = include_str!("postgres/find.sql");
    let there: HashMap<(i64, String), ()> = transaction
        .rows("find contexts", sql, &[&namespaces, &names])
        .await?
        .iter()
        .map(|row| ((row.get(0), row.get(1)), ()))
        .collect();
    for (namespace, name) in &all {
        let is_there = there.contains_key(&(namespace.0, (*name).to_owned()));
        if !is_there && !make(transaction, *namespace, name, now, limits).await? {
            loaded.too_many.insert((*namespace, (*name).to_owned()));
        }
    }
    let sql = include_str!("postgres/lock.sql");
    for row in transaction.rows("lock contexts", sql, &[&namespaces, &names]).await? {
        let context = read_context(&row, 0);
        let of = (context.namespace, context.name.clone());
        loaded.too_many.remove(&of);
        loaded.contexts.insert(of, context);
    }
    let (of_numbers, numbers): (Vec<Uuid>, Vec<i64>) = wanted::newest(&loaded).unzip();
    let labels = wanted::labels(&loaded, messages);
    let (of_labels, labels): (Vec<Uuid>, Vec<&str>) = labels.into_iter().unzip();
    let sql = include_str!("postgres/timelines_to_judge.sql");
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&of_numbers, &numbers, &of_labels, &labels];
    for row in transaction.rows("read timelines", sql, &values).await? {
        loaded.put_timeline(read_timeline(&row, 0));
    }
    // Sent at once: they wait for the database together.
    let (events, known) =
        try_join(tracks(transaction, &loaded, messages), known(transaction, &loaded, messages))
            .await?;
    events.into_iter().for_each(|event| loaded.put_event(event));
    loaded.known = known;
    let missing = loaded.missing_timelines();
    if !missing.is_empty() {
        let sql = include_str!("postgres/timelines_by_id.sql");
        for row in transaction.rows("read timelines", sql, &[&missing]).await? {
            loaded.put_timeline(read_timeline(&row, 0));
        }
    }
    Ok(loaded)
}

/// Makes a context, if there is room.
async fn make(
    transaction: &Transaction,
    namespace: Namespace,
    name: &str,
    now: Timestamp,
    limits: Limits,
) -> Result<bool> {
    let (step, max) = ("make a context", i64::from(limits.contexts_max));
    let sql = include_str!("postgres/count_up.sql");
    if transaction.rows(step, sql, &[&namespace.0, &max]).await?.is_empty() {
        return Ok(false);
    }
    let (id, sql) = (random::id(now), include_str!("postgres/insert_context.sql"));
    if transaction.write(step, sql, &[&id, &namespace.0, &name, &now]).await? == 0 {
        let sql = include_str!("postgres/count_down.sql");
        transaction.write(step, sql, &[&namespace.0]).await?;
    }
    Ok(true)
}

async fn tracks(
    transaction: &Transaction,
    loaded: &Loaded,
    messages: &[Message],
) -> Result<Vec<Event>> {
    let keys = wanted::keys(loaded, messages);
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let contexts: Vec<Uuid> = keys.iter().map(|one| one.context).collect();
    let names: Vec<&str> = keys.iter().map(|one| &*one.key.name).collect();
    let hosts: Vec<&str> = keys.iter().map(|one| &*one.key.host).collect();
    let spans: Vec<&str> = keys.iter().map(|one| &*one.key.span).collect();
    let timelines: Vec<Option<Uuid>> = keys.iter().map(|one| one.timeline).collect();
    let phases: Vec<bool> = keys.iter().map(|one| one.is_phase).collect();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&contexts, &names, &hosts, &spans, &timelines, &phases, &LOOKED_BACK_MAX];
    let sql = include_str!("postgres/tracks.sql");
    transaction.rows("read events", sql, &values).await?.iter().map(read_event).collect()
}

async fn known(
    transaction: &Transaction,
    loaded: &Loaded,
    messages: &[Message],
) -> Result<HashMap<(Uuid, Uuid), Known>> {
    let (contexts, once): (Vec<Uuid>, Vec<Uuid>) =
        wanted::once(loaded, messages).into_iter().unzip();
    let sql = include_str!("postgres/known.sql");
    let rows = transaction.rows("look which messages are known", sql, &[&contexts, &once]).await?;
    let one = |row: &tokio_postgres::Row| {
        ((row.get(0), row.get(1)), Known { timeline: row.get(2), fingerprint: row.get(3) })
    };
    Ok(rows.iter().map(one).collect())
}
