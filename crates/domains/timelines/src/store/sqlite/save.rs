//! Writing what messages have made of timelines.

use rusqlite::{Params, Transaction, params};
use tally_store::error::Step as _;

use super::super::codes::{self, Parts};
use super::{Result, micros};
use crate::ledger::Changes;
use crate::message::nanos;
use crate::model::{Event, Timeline};

pub(super) fn save(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    for context in &changes.contexts {
        let values = params![context.id.as_bytes(), context.timelines];
        run(transaction, "store contexts", include_str!("update_context.sql"), values)?;
    }
    changes.timelines.iter().try_for_each(|one| save_timeline(transaction, one))?;
    changes.events.iter().try_for_each(|one| save_event(transaction, one))?;
    for one in &changes.durations {
        let values = params![
            one.context.as_bytes(),
            one.timeline_number,
            one.key.name,
            one.key.host,
            one.key.span,
            one.begun.as_microsecond(),
            one.took.map(codes::micros),
            codes::micros(one.waited),
            one.failed,
        ];
        run(transaction, "store durations", include_str!("put_duration.sql"), values)?;
    }
    for one in &changes.messages {
        let values = params![
            one.context.as_bytes(),
            one.once.as_bytes(),
            one.known.fingerprint,
            one.known.timeline.as_bytes(),
            one.received.as_microsecond(),
        ];
        run(transaction, "note messages", include_str!("insert_message.sql"), values)?;
    }
    Ok(())
}

fn save_timeline(transaction: &Transaction<'_>, one: &Timeline) -> Result<()> {
    let values = params![
        one.id.as_bytes(),
        one.context.as_bytes(),
        one.number,
        Some(&one.label).filter(|label| !label.is_empty()),
        one.begun.as_microsecond(),
        one.heard.as_microsecond(),
        micros(one.expires),
        one.first.and_then(nanos),
        one.last.and_then(nanos),
        one.counts.events,
        one.counts.open,
        one.counts.abandoned,
        one.counts.failed,
    ];
    run(transaction, "store timelines", include_str!("put_timeline.sql"), values)
}

fn save_event(transaction: &Transaction<'_>, one: &Event) -> Result<()> {
    let parts = Parts::of(one);
    let values = params![
        one.timeline.as_bytes(),
        one.number,
        one.context.as_bytes(),
        one.key.name,
        one.key.host,
        one.key.span,
        i64::from(one.is_point),
        one.rank,
        parts.started,
        micros(parts.start_received),
        parts.start_attributes,
        parts.ended,
        micros(parts.end_received),
        parts.end_attributes,
        parts.status,
        parts.phases,
        micros(one.overdue),
        micros(one.abandoned),
    ];
    run(transaction, "store events", include_str!("put_event.sql"), values)
}

fn run(
    transaction: &Transaction<'_>,
    step: &'static str,
    sql: &str,
    values: impl Params,
) -> Result<()> {
    transaction.prepare_cached(sql).step(step)?.execute(values).step(step).map(drop)
}
