//! A timeline's chart in characters.

use std::io::{self, Write};

use jiff::{SignedDuration, Timestamp};
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::text::lasted;
use unicode_width::UnicodeWidthStr as _;

use super::print::{brief, read, span};
use crate::output::table::shortened;
use crate::output::{plural, visible};

/// How wide a chart is that need not fit a terminal.
const COLUMNS: usize = 100;
/// The least width of its bars, and the share of the names.
const BARS_MIN: usize = 10;
const NAMES_SHARE: usize = 3;

/// What is drawn on.
pub(super) struct Canvas {
    /// How wide it is, if it has an end.
    pub(super) columns: Option<usize>,
    pub(super) is_utf8: bool,
}

/// What a chart is made of.
struct Pen {
    working: char,
    waiting: char,
    open: char,
    point: char,
    several: char,
}

/// Where times are.
struct Scale {
    from: Timestamp,
    whole: SignedDuration,
    columns: usize,
}

// === impl Scale ===

impl Scale {
    /// The column of a time.
    fn column(&self, time: Timestamp) -> usize {
        let part = time.duration_since(self.from).as_nanos().max(0).unsigned_abs();
        let whole = self.whole.as_nanos().max(1).unsigned_abs();
        let last = self.columns - 1;
        usize::try_from(part * last as u128 / whole).unwrap_or(last).min(last)
    }
}

/// Draws a timeline: a line for each row, with its name, its bars and its duration.
pub(super) fn draw(
    out: &mut impl Write,
    context: &str,
    shown: &proto::ShowTimelineResponse,
    canvas: &Canvas,
) -> io::Result<()> {
    let timeline = shown.timeline.clone().unwrap_or_default();
    writeln!(out, "{}, {}", visible(context), brief(&timeline))?;
    let (Some(from), Some(until)) = (read(shown.from), read(shown.until)) else {
        return out.flush();
    };
    let whole = until.duration_since(from);
    if !shown.rows.is_empty() {
        writeln!(out, "from {from}, {}", lasted(whole))?;
    }
    let columns = canvas.columns.unwrap_or(COLUMNS);
    let names: Vec<String> = shown.rows.iter().map(name).collect();
    let notes: Vec<String> = shown.rows.iter().map(note).collect();
    let widest = |texts: &[String]| texts.iter().map(|text| text.width()).max().unwrap_or(0);
    let name_width = widest(&names).min((columns / NAMES_SHARE).max(1));
    let bars = columns.saturating_sub(name_width + widest(&notes) + 4).max(BARS_MIN);
    let (scale, pen) = (Scale { from, whole, columns: bars }, pen(canvas.is_utf8));
    for ((row, name), note) in shown.rows.iter().zip(&names).zip(&notes) {
        let name = shortened(name, name_width);
        let pad = " ".repeat(name_width.saturating_sub(name.width()));
        let line = format!("{name}{pad}  {}  {note}", bar(row, &scale, &pen));
        writeln!(out, "{}", line.trim_end())?;
    }
    let length = |of: Option<prost_types::Duration>| of.map(span).unwrap_or_default();
    let (waited, worked) = (length(shown.waited), length(shown.worked));
    if !waited.is_zero() {
        writeln!(out, "waited {}, worked {}", lasted(waited), lasted(worked))?;
    }
    for clock in &shown.clocks {
        let behind = length(clock.behind);
        let side = if behind.is_negative() { "ahead of" } else { "behind" };
        let host = if clock.host.is_empty() { "a sender".into() } else { visible(&clock.host) };
        writeln!(out, "the clock of {host} is {} {side} the server's", lasted(behind.abs()))?;
    }
    out.flush()
}

fn pen(is_utf8: bool) -> Pen {
    if is_utf8 {
        let (working, waiting) = ('\u{2588}', '\u{2591}');
        Pen { working, waiting, open: '\u{25b6}', point: '\u{25c6}', several: '\u{2500}' }
    } else {
        Pen { working: '=', waiting: '.', open: '>', point: '*', several: '-' }
    }
}

/// The last part of its name, indented, with what tells its event apart.
fn name(row: &proto::Row) -> String {
    let last = row.name.rsplit('.').next().unwrap_or_default();
    let mut name = format!("{}{}", "  ".repeat(row.depth as usize), visible(last));
    if let Some(event) = &row.event {
        for more in [&event.host, &event.span] {
            if !more.is_empty() {
                name += &format!(" ({})", visible(more));
            }
        }
        if event.attempt > 1 {
            name += &format!(" #{}", event.attempt);
        }
    }
    name
}

/// How long it took, how it stands, and what is usual.
fn note(row: &proto::Row) -> String {
    let mark = if row.is_critical { "!" } else { " " };
    let lasts = read(row.until).zip(read(row.from)).map(|(until, from)| until.duration_since(from));
    let Some(event) = &row.event else {
        return format!("{mark} {}", lasts.map(lasted).unwrap_or_default());
    };
    let mut note = match &*event.state {
        "point" | "unstarted" => format!("{mark} {}", event.state),
        "ok" => format!("{mark} {}", lasts.map(lasted).unwrap_or_default()),
        state => format!("{mark} {} {state}", lasts.map(lasted).unwrap_or_default()),
    };
    if let Some(reversed) = event.reversed {
        note += &format!(", its end is {} before its start", lasted(span(reversed)));
    }
    if let Some(typical) = &row.typical {
        let median = typical.median.map(span).unwrap_or_default();
        note += &format!(" (usually {}, of {})", lasted(median), plural(typical.timelines, "run"));
    }
    note
}

fn bar(row: &proto::Row, scale: &Scale, pen: &Pen) -> String {
    let mut cells = vec![' '; scale.columns];
    let (from, until) =
        (read(row.from).unwrap_or(scale.from), read(row.until).unwrap_or(scale.from));
    let (first, last) = (scale.column(from), scale.column(until));
    let lasts =
        row.event.as_ref().is_some_and(|event| !row.bars.is_empty() || event.took.is_some());
    if row.event.is_none() {
        cells[first..=last].fill(pen.several);
    } else if !lasts {
        cells[first] = pen.point;
    }
    for piece in &row.bars {
        let (Some(from), Some(until)) = (read(piece.from), read(piece.until)) else { continue };
        let is_waiting = piece.phase() == proto::Phase::Waiting;
        let (first, last) = (scale.column(from), scale.column(until));
        cells[first..=last].fill(if is_waiting { pen.waiting } else { pen.working });
    }
    if row.is_open && row.event.is_some() {
        cells[last] = pen.open;
    }
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds: 1_900_000_000 + second, nanos: 0 })
    }

    fn row(name: &str, depth: u32, state: &str, from: i64, until: i64) -> proto::Row {
        let bar = proto::Bar { from: at(from), until: at(until), phase: 2 };
        let event = proto::Event { state: state.to_owned(), attempt: 1, ..Default::default() };
        proto::Row {
            depth,
            name: name.to_owned(),
            event: Some(event),
            from: at(from),
            until: at(until),
            is_open: state == "open",
            bars: if state == "point" { Vec::new() } else { vec![bar] },
            ..Default::default()
        }
    }

    fn drawn(rows: Vec<proto::Row>, until: i64, canvas: &Canvas) -> Vec<String> {
        let timeline =
            proto::Timeline { number: 7, state: "open".into(), events: 3, ..Default::default() };
        let shown = proto::ShowTimelineResponse {
            timeline: Some(timeline),
            from: at(0),
            until: at(until),
            rows,
            ..Default::default()
        };
        let mut out = Vec::new();
        draw(&mut out, "deploy", &shown, canvas).expect("written");
        String::from_utf8(out).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_chart_has_a_line_for_each_row_under_one_scale() {
        let several = proto::Row { event: None, bars: Vec::new(), ..row("a", 0, "", 0, 20) };
        let mut waits = row("a.b", 1, "ok", 0, 10);
        waits.bars.insert(0, proto::Bar { from: at(0), until: at(4), phase: 1 });
        waits.bars[1].from = at(4);
        let rows = vec![several, waits, row("a.c", 1, "open", 10, 20), row("t", 0, "point", 5, 5)];
        let lines = drawn(rows, 20, &Canvas { columns: Some(60), is_utf8: false });
        assert_eq!(lines[0], "deploy, timeline 7, open, 3 events");
        assert_eq!(lines[1], "from 2030-03-17T17:46:40Z, 20.0 s");
        let bars: Vec<_> = lines[2..]
            .iter()
            .map(|line| line.chars().filter(|c| "=.>*-".contains(*c)).collect::<String>())
            .collect();
        assert!(bars[0].starts_with("---") && !bars[0].contains('='), "{lines:#?}");
        assert!(bars[1].starts_with("...") && bars[1].contains("==="), "{lines:#?}");
        assert!(bars[2].ends_with(">.") || bars[2].contains("=>"), "{lines:#?}");
        assert!(bars[3].contains('*') && !bars[3].contains('='), "{lines:#?}");
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:#?}");
    }

    /// However odd its times and names are, every row is drawn, and nothing steers the terminal.
    #[test]
    fn odd_rows_are_drawn() {
        for until in [0, 1, i64::from(u32::MAX)] {
            for columns in [None, Some(1), Some(20)] {
                let rows = vec![
                    row(
                        "\u{1b}[2J.日本語日本語日本語日本語日本語日本語日本語日本語日本語",
                        40,
                        "ok",
                        0,
                        until,
                    ),
                    row("", 0, "failed", until, until),
                    row("late", 0, "ok", until, until + 9),
                ];
                let lines = drawn(rows, until, &Canvas { columns, is_utf8: true });
                assert_eq!(lines.len(), 5, "{lines:#?}");
                assert!(!lines.concat().contains('\u{1b}'), "{lines:#?}");
            }
        }
    }
}
