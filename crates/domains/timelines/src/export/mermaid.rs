//! Gantt charts of Mermaid, which GitHub and GitLab draw in Markdown.
//!
//! A task is a line for each event: `✓ migrate (web-1) :done, START, 4100ms`. A section is what the events of one
//! first part of a name are in, because that is all the nesting there is. Mermaid draws nothing that is longer
//! than 50,000 characters, so a long timeline is several diagrams.
//!
//! | event | mark | tag |
//! |---|---|---|
//! | ended well | `✓` | `done` |
//! | failed | `✗` | `crit` |
//! | skipped | `–` | `done` |
//! | open, drawn up to now | `▶`, and `(open)` | `active` |
//! | abandoned, drawn up to when it was last heard of | `…`, and `(abandoned)` | `active` |
//! | a point, or an end without a start | `◆` | `milestone` |
//!
//! The mark is what makes a task of any name: no keyword, date or comment of Mermaid begins like it. Signs that end
//! or split a field are written in their wide forms.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tally_runtime::text::is_hidden;

use crate::chart::{Chart, Row};
use crate::message::Status;
use crate::model::{Event, Standing};
use crate::service::Shown;

/// How long a diagram may be, in the units of UTF-16, which are what Mermaid counts.
const DIAGRAM_UNITS_MAX: usize = 49_999;
/// How long a name is drawn, and a section, whose name runs into the bars.
const NAME_CHARS_MAX: usize = 80;
const SECTION_CHARS_MAX: usize = 24;
const TITLE_CHARS_MAX: usize = 200;

/// The diagrams of a timeline; an empty one has one too.
pub(super) fn diagrams(title: &str, shown: &Shown) -> Vec<String> {
    let head = head(title, &shown.chart);
    let mut diagrams = Vec::new();
    let mut diagram = head.clone();
    let mut length = units(&head);
    let mut last = None;
    for row in &shown.chart.rows {
        let Some(event) = row.event.and_then(|at| shown.events.get(at)) else { continue };
        let of = event.key.name.split('.').next().unwrap_or_default();
        let section = format!("    section {}\n", plain(of, SECTION_CHARS_MAX));
        let task = task(row, event);
        let mut more = if last == Some(of) { task.clone() } else { format!("{section}{task}") };
        if length + units(&more) > DIAGRAM_UNITS_MAX {
            diagrams.push(std::mem::replace(&mut diagram, head.clone()));
            length = units(&head);
            more = format!("{section}{task}");
        }
        length += units(&more);
        diagram += &more;
        last = Some(of);
    }
    diagrams.push(diagram);
    diagrams
}

/// All of them in Markdown.
pub(super) fn markdown(diagrams: &[String]) -> String {
    let fenced: Vec<_> = diagrams.iter().map(|one| format!("```mermaid\n{one}```\n")).collect();
    fenced.join("\n")
}

fn head(title: &str, chart: &Chart) -> String {
    let whole = chart.until.duration_since(chart.from);
    let axis = match whole.as_secs() {
        0..10 => "%H:%M:%S.%L",
        10..86_400 => "%H:%M:%S",
        _ => "%Y-%m-%d %H:%M",
    };
    let title = plain(title, TITLE_CHARS_MAX);
    format!(
        "gantt\n    title {title}, UTC\n    dateFormat YYYY-MM-DDTHH:mm:ss.SSS\n    axisFormat {axis}\n"
    )
}

fn task(row: &Row, event: &Event) -> String {
    let standing = event.standing();
    let (mark, tag, note) = match standing {
        Standing::Ended(Status::Ok) => ("✓", "done", ""),
        Standing::Ended(Status::Failed) => ("✗", "crit", ""),
        Standing::Ended(Status::Skipped) => ("–", "done", ""),
        Standing::Open => ("▶", "active", " (open)"),
        Standing::Abandoned => ("…", "active", " (abandoned)"),
        Standing::Point | Standing::Unstarted => ("◆", "milestone", ""),
    };
    let mut name = event.key.name.clone();
    if !event.key.host.is_empty() {
        name += &format!(" ({})", event.key.host);
    }
    if event.rank > 1 {
        name += &format!(" {}", event.rank);
    }
    let took = row.until.duration_since(row.from).as_millis().max(0);
    format!(
        "    {mark} {}{note} :{tag}, {}, {took}ms\n",
        plain(&name, NAME_CHARS_MAX),
        moment(row.from)
    )
}

/// In UTC, as everybody sees it.
fn moment(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// A text without what has a meaning here.
fn plain(text: &str, chars_max: usize) -> String {
    let of = |one: char| match one {
        ':' => '\u{ff1a}',
        '#' => '\u{ff03}',
        ';' => '\u{ff1b}',
        ',' => '\u{ff0c}',
        '%' => '\u{ff05}',
        '<' => '\u{ff1c}',
        '>' => '\u{ff1e}',
        '{' => '\u{ff5b}',
        '}' => '\u{ff5d}',
        '`' => '\u{ff40}',
        _ if is_hidden(one) => char::REPLACEMENT_CHARACTER,
        _ => one,
    };
    let mut short: String = text.chars().take(chars_max).map(of).collect();
    if text.chars().nth(chars_max).is_some() {
        short.push('…');
    }
    short
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
