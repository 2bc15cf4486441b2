//! Contexts, timelines, events and charts as messages.

use jiff::{SignedDuration, Timestamp};
use tally_proto::tally::timelines::v1 as proto;

use crate::chart::{Bar, Chart, Row};
use crate::message::Phase;
use crate::model::{Context, Event, Timeline};
use crate::service::Shown;
use crate::typical::Typical;

fn at(time: Timestamp) -> prost_types::Timestamp {
    const SECOND: i128 = 1_000_000_000;
    let nanos = time.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(SECOND)).expect("some ten thousand years"),
        nanos: i32::try_from(nanos.rem_euclid(SECOND)).expect("below a second"),
    }
}

fn lasts(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

pub(super) fn context(of: &Context, newest: Option<&Timeline>) -> proto::Context {
    proto::Context {
        name: of.name.clone(),
        created_at: Some(at(of.created)),
        timelines: of.timelines,
        retention_days: of.terms.retention_days,
        abandon_after: of.terms.abandon_after.map(lasts),
        newest: newest.map(timeline),
    }
}

pub(super) fn timeline(of: &Timeline) -> proto::Timeline {
    proto::Timeline {
        id: of.id.to_string(),
        number: of.number,
        label: of.label.clone(),
        begun_at: Some(at(of.begun)),
        heard_at: Some(at(of.heard)),
        expires_at: of.expires.map(at),
        first: of.first.map(at),
        last: of.last.map(at),
        events: of.counts.events,
        open: of.counts.open,
        abandoned: of.counts.abandoned,
        failed: of.counts.failed,
        state: of.standing().to_owned(),
    }
}

pub(super) fn event(of: &Event, now: Timestamp) -> proto::Event {
    let attempt = &of.attempt;
    proto::Event {
        number: of.number,
        name: of.key.name.clone(),
        host: of.key.host.clone(),
        span: of.key.span.clone(),
        attempt: of.rank,
        state: of.standing().name().to_owned(),
        start: attempt.start.as_ref().map(|start| at(start.time)),
        start_received_at: attempt.start.as_ref().map(|start| at(start.received)),
        end: of.end().map(|end| at(end.time)),
        end_received_at: of.end().map(|end| at(end.received)),
        heard_at: Some(at(attempt.heard())),
        overdue_at: of.overdue.map(at),
        abandoned_at: of.abandoned.map(at),
        took: of.took().map(lasts),
        waited: Some(lasts(of.spent(now).waiting)),
        reversed: attempt.reversed().map(lasts),
        attributes: of.attributes().into_iter().collect(),
    }
}

pub(super) fn chart(shown: &Shown) -> proto::ShowTimelineResponse {
    let Shown { timeline: of, events, chart, now } = shown;
    let Chart { from, until, rows, spent, clocks } = chart;
    let clock = |(host, behind): &(String, SignedDuration)| proto::Clock {
        host: host.clone(),
        behind: Some(lasts(*behind)),
    };
    proto::ShowTimelineResponse {
        timeline: Some(timeline(of)),
        from: Some(at(*from)),
        until: Some(at(*until)),
        rows: rows.iter().map(|one| row(one, events, *now)).collect(),
        waited: Some(lasts(spent.waiting)),
        worked: Some(lasts(spent.working)),
        clocks: clocks.iter().map(clock).collect(),
    }
}

fn row(of: &Row, events: &[Event], now: Timestamp) -> proto::Row {
    proto::Row {
        depth: u32::try_from(of.depth).unwrap_or(u32::MAX),
        name: of.name.clone(),
        event: of.event.and_then(|at| events.get(at)).map(|one| event(one, now)),
        from: Some(at(of.from)),
        until: Some(at(of.until)),
        is_open: of.is_open,
        bars: of.bars.iter().map(bar).collect(),
        typical: of.typical.map(typical),
        is_critical: of.is_critical,
    }
}

fn bar(of: &Bar) -> proto::Bar {
    let phase = match of.phase {
        Phase::Waiting => proto::Phase::Waiting,
        Phase::Working => proto::Phase::Working,
    };
    proto::Bar { from: Some(at(of.from)), until: Some(at(of.until)), phase: phase.into() }
}

fn typical(of: Typical) -> proto::Typical {
    proto::Typical {
        median: Some(lasts(of.median)),
        shortest: Some(lasts(of.shortest)),
        longest: Some(lasts(of.longest)),
        timelines: of.timelines,
        failed: of.failed,
    }
}
