//! Contexts, timelines and events as tables.

use std::borrow::Cow;
use std::io::{self, Write};

use jiff::{SignedDuration, Timestamp};
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::durations;
use tally_runtime::text::lasted;

use crate::output::table::Align;
use crate::output::times::{minute, time};
use crate::output::{self, Cell, OutputFormat, plural, visible};

/// A timeline in a few words: `timeline 7 (nightly), open, 3 events`.
pub(super) fn brief(timeline: &proto::Timeline) -> String {
    let label = match &*timeline.label {
        "" => String::new(),
        label => format!(" ({})", visible(label)),
    };
    let events = plural(timeline.events, "event");
    format!("timeline {}{label}, {}, {events}", timeline.number, timeline.state)
}

/// What is agreed of a context.
pub(super) fn terms(context: &proto::Context) -> String {
    let kept = match context.retention_days {
        None => "timelines are kept as the server's settings say".to_owned(),
        Some(0) => "timelines are kept for ever".to_owned(),
        Some(days) => format!("timelines are kept for {}", plural(days, "day")),
    };
    let after = context.abandon_after.and_then(|after| std::time::Duration::try_from(after).ok());
    let abandoned = match after {
        None => "as the server's settings say".to_owned(),
        Some(after) => format!("after {}", durations::shown(after)),
    };
    format!("{}: {kept}, open events are abandoned {abandoned}", visible(&context.name))
}

/// Writes contexts, each with its newest timeline.
pub(super) fn contexts(
    out: &mut impl Write,
    format: OutputFormat,
    contexts: &[proto::Context],
) -> io::Result<()> {
    let columns = [
        ("context", Align::Shorten),
        ("newest", Align::Right),
        ("state", Align::Left),
        ("heard_at", Align::Left),
        ("events", Align::Right),
        ("open", Align::Right),
        ("failed", Align::Right),
    ];
    let rows = contexts.iter().map(|context| {
        let newest = context.newest.as_ref();
        let number = |of: fn(&proto::Timeline) -> i64| {
            newest.map_or(Cell::Unknown, |one| Cell::Number(of(one).into()))
        };
        [
            text(&context.name),
            number(|one| one.number),
            newest.map_or(Cell::Unknown, |one| text(&one.state)),
            newest.map_or(Cell::Unknown, |one| when(format, one.heard_at)),
            number(|one| one.events),
            number(|one| one.open),
            number(|one| one.failed),
        ]
    });
    output::print(out, format, columns, rows)
}

/// Writes timelines.
pub(super) fn timelines(
    out: &mut impl Write,
    format: OutputFormat,
    timelines: &[proto::Timeline],
) -> io::Result<()> {
    let columns = [
        ("number", Align::Right),
        ("label", Align::Shorten),
        ("state", Align::Left),
        ("begun_at", Align::Left),
        ("took", Align::Right),
        ("events", Align::Right),
        ("open", Align::Right),
        ("failed", Align::Right),
        ("abandoned", Align::Right),
    ];
    let rows = timelines.iter().map(|one| {
        let took = read(one.first).zip(read(one.last));
        let took = took.map(|(first, last)| last.duration_since(first));
        [
            Cell::Number(one.number.into()),
            text(&one.label),
            text(&one.state),
            when(format, one.begun_at),
            took.map_or(Cell::Unknown, |took| lasting(format, took)),
            Cell::Number(one.events.into()),
            Cell::Number(one.open.into()),
            Cell::Number(one.failed.into()),
            Cell::Number(one.abandoned.into()),
        ]
    });
    output::print(out, format, columns, rows)
}

/// Writes events.
pub(super) fn events(
    out: &mut impl Write,
    format: OutputFormat,
    events: &[proto::Event],
) -> io::Result<()> {
    let columns = [
        ("number", Align::Right),
        ("name", Align::Left),
        ("host", Align::Left),
        ("span", Align::Left),
        ("attempt", Align::Right),
        ("state", Align::Left),
        ("start", Align::Left),
        ("end", Align::Left),
        ("took", Align::Right),
        ("waited", Align::Right),
    ];
    let duration = |of: Option<prost_types::Duration>| {
        of.map_or(Cell::Unknown, |of| lasting(format, span(of)))
    };
    let exact = |of| read(of).map_or(Cell::Unknown, |of| Cell::Text(of.to_string().into()));
    let rows = events.iter().map(|one| {
        [
            Cell::Number(one.number.into()),
            text(&one.name),
            text(&one.host),
            text(&one.span),
            Cell::Number(one.attempt.into()),
            text(&one.state),
            exact(one.start),
            exact(one.end),
            duration(one.took),
            duration(one.waited),
        ]
    });
    output::print(out, format, columns, rows)
}

pub(super) fn read(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

pub(super) fn span(duration: prost_types::Duration) -> SignedDuration {
    let nanos = SignedDuration::from_nanos(duration.nanos.into());
    SignedDuration::from_secs(duration.seconds).saturating_add(nanos)
}

/// For people in words; for programs in seconds.
fn lasting(format: OutputFormat, duration: SignedDuration) -> Cell<'static> {
    if format == OutputFormat::Table {
        return Cell::Text(lasted(duration).into());
    }
    let micros = duration.as_micros();
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, micros) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    Cell::Text(format!("{sign}{seconds}.{micros:06}").into())
}

fn when(format: OutputFormat, at: Option<prost_types::Timestamp>) -> Cell<'static> {
    match (at, format) {
        (None, _) => Cell::Unknown,
        (_, OutputFormat::Table) => Cell::Text(minute(at).into()),
        _ => Cell::Text(time(at).into()),
    }
}

fn text(text: &str) -> Cell<'_> {
    if text.is_empty() { Cell::Unknown } else { Cell::Text(Cow::Borrowed(text)) }
}
