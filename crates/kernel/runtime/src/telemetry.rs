//! Log output: to stderr, for people or as JSON.
//!
//! As JSON, each line that the process writes there is an object of its own: what is logged, what is said to
//! people all the same, such as at the start, and panics. Lines that are written on behalf of a request have the
//! ids of its [trace](crate::trace).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Event, Level as Severity, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::metrics::{Counter, Metric, Scrape};
use crate::{Clock as _, SystemClock, Trace};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; with colours on a terminal.
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

/// Which messages are written: `error`, `warn`, `info`, `debug`, `trace`, or directives such
/// as `info,tally_store=debug`.
#[derive(Debug, Clone, PartialEq)]
pub struct Level(Targets);

const PANICS: Metric = Metric::counter(
    "tally_panics_total",
    "Faults of Tally that ended a call or a task; the log has them.",
);

static IS_JSON: AtomicBool = AtomicBool::new(false);
static PANICKED: Counter = Counter::new();

/// Adds the ids of the trace, if there is one.
struct Traced<F> {
    inner: F,
    format: Format,
}

/// From now on panics are counted, and what the process says has this format.
pub fn begin(format: Format) {
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.add(1);
        match format {
            Format::Text => usual(panic),
            Format::Json => say_panic(panic),
        }
    }));
}

/// Says something to the people who run the process, whatever is logged. For people, the line is as it is. A
/// failure does not matter.
pub fn say(severity: Severity, line: impl fmt::Display) {
    let _ = if is_json() {
        write_json(severity, &line.to_string(), &[])
    } else {
        writeln!(io::stderr().lock(), "{line}")
    };
}

/// Whether the process says everything as JSON.
pub fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Tells a scrape.
pub fn measure(scrape: &mut Scrape) {
    scrape.put(PANICS, &[], PANICKED.get());
}

/// Starts writing log lines to stderr. Fails when the process has a log already.
pub fn install(level: &Level, format: Format) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let filtered = tracing_subscriber::registry().with(level.0.clone());
    match format {
        Format::Text => {
            let lines = lines.with_target(false);
            filtered.with(lines.map_event_format(|inner| Traced { inner, format })).try_init()
        }
        Format::Json => {
            let lines = lines.json().flatten_event(true);
            filtered.with(lines.map_event_format(|inner| Traced { inner, format })).try_init()
        }
    }
}

fn say_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("something that is no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    let thread = std::thread::current();
    let mut more = vec![("place", &*place), ("thread", thread.name().unwrap_or_default())];
    if !backtrace.is_empty() {
        more.push(("backtrace", &backtrace));
    }
    let _ = write_json(Severity::ERROR, &format!("panicked: {message}"), &more);
}

/// Writes an object like those of the log.
fn write_json(severity: Severity, message: &str, more: &[(&str, &str)]) -> io::Result<()> {
    let mut line = format!("{{\"timestamp\":\"{:.6}\"", SystemClock.now());
    let level = severity.to_string();
    for (name, text) in [("level", &*level), ("message", message)].iter().chain(more) {
        member(&mut line, name, text);
    }
    if let Some(trace) = Trace::current() {
        ids(&mut line, &trace);
    }
    line.push_str("}\n");
    io::stderr().lock().write_all(line.as_bytes())
}

fn ids(object: &mut String, trace: &Trace) {
    member(object, "trace_id", trace.trace_id());
    member(object, "span_id", trace.span_id());
}

/// Adds a member to an object that has one.
fn member(object: &mut String, name: &str, text: &str) {
    // A String takes all that is written to it.
    let _ = write!(object, ",\"{name}\":\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => object.extend(['\\', c]),
            '\n' => object.push_str("\\n"),
            c if c.is_control() => _ = write!(object, "\\u{:04x}", u32::from(c)),
            c => object.push(c),
        }
    }
    object.push('"');
}

// === impl Traced ===

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(trace) = Trace::current() else {
            return self.inner.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        line.truncate(line.trim_end().len());
        match self.format {
            Format::Text => {
                let (trace_id, span_id) = (trace.trace_id(), trace.span_id());
                write!(line, " trace_id={trace_id} span_id={span_id}")?;
            }
            Format::Json => {
                line.pop();
                ids(&mut line, &trace);
                line.push('}');
            }
        }
        writeln!(writer, "{line}")
    }
}

// === impl Format ===

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `text` or `json`"),
        }
    }
}

// === impl Level ===

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let targets = text.parse().map_err(|error| format!("{error}"))?;
        // A bare word that is no level would be a target, and would silence all others.
        let is_bare = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_bare && text.parse::<LevelFilter>().is_err() {
            return Err("it is not a level: error, warn, info, debug, trace or off".to_owned());
        }
        Ok(Self(targets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for level in ["error", "INFO", "off", "info,tally_store=debug", "tally_store=trace"] {
            assert!(level.parse::<Level>().is_ok(), "{level}");
        }
        for level in ["loud", "tally", "tally=loud"] {
            assert!(level.parse::<Level>().is_err(), "{level}");
        }
    }
}
