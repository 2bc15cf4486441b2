//! What the screen looks like: a title, a summary, what is unusual, the table, the keys.

use std::borrow::Cow;
use std::time::Duration;

use ratatui::Frame;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::super::series::Part;
use super::GroupBy;
use super::history::{self, Rate, TREND_INTERVALS};
use super::view::View;
use crate::output::table::{fitting, shortened};
use crate::output::{age, is_utf8, known_drops, plural, sparkline, thousands, visible};

const RATE_WIDTH: usize = 9;
const SHARE_WIDTH: usize = 8;
const COUNT_WIDTH: usize = 14;
/// The first of two names, which is a method.
const METHOD_WIDTH: usize = 8;
const GAP: &str = "  ";
/// Below this width there is no trend, so that names have room.
const TREND_COLUMNS_MIN: usize = 72;
/// Above and below the lines of the table.
const FRAME_LINES: usize = 5;

const KEYS: &str =
    "e endpoint  s service  t status  c customer  o order  / filter  p pause  ? help  q quit";
const KEYS_SHORT: &str = "by: e s t c (? says)  o order  / filter  p pause  ? help  q quit";

const HELP: [(&str, &str); 11] = [
    ("e", "by endpoint: method and path"),
    ("s", "by service"),
    ("t", "by status"),
    ("c", "by customer"),
    ("Tab", "by the next of these"),
    ("o", "another order: rate, count, name"),
    ("/", "show only lines that contain a text; Enter keeps it, Esc clears it"),
    ("p, Space", "pause, and go on"),
    ("Up, Down", "scroll; also PageUp, PageDown, Home, End"),
    ("?, h", "this help"),
    ("q, Esc", "quit; also Ctrl-C"),
];
const HELP_WORDS: [&str; 4] = [
    "req/s     requests per second, a mean of the last 10 seconds",
    "share     of all requests per second that match",
    "requests  of today and yesterday in UTC, by their own times",
    "trend     each of the last intervals, of this line's largest",
];

pub(super) fn draw(frame: &mut Frame<'_>, view: &View, now: Duration) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let lines = lines(view, now, width, height, is_utf8());
    frame.render_widget(Paragraph::new(lines), area);
}

/// The lines of a screen of this size.
fn lines(
    view: &View,
    now: Duration,
    width: usize,
    height: usize,
    is_utf8: bool,
) -> Vec<Line<'static>> {
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let bar = |text: &str| Line::styled(format!("{:width$}", cut(text, width)), reversed);
    let mut lines = vec![bar(&title(view))];
    if view.shows_help {
        let key = |(key, what): (&str, &str)| Line::from(format!("  {key:<10}{what}"));
        lines.extend(std::iter::once(Line::default()).chain(HELP.into_iter().map(key)));
        lines.push(Line::default());
        lines.extend(HELP_WORDS.map(|words| Line::from(format!("  {words}"))));
        lines.truncate(height.saturating_sub(1));
        lines.resize(height.saturating_sub(1), Line::default());
        lines.push(bar("any key goes back"));
        return lines;
    }
    lines.push(Line::from(cut(&summary(view, is_utf8), width).into_owned()));
    lines.push(notice(view, now, width));
    let table = Table::new(view.by, width, is_utf8);
    lines.push(Line::styled(table.header(), Style::new().add_modifier(Modifier::UNDERLINED)));
    lines.extend(table.rows(view, height.saturating_sub(FRAME_LINES)));
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(bar(if KEYS.len() <= width { KEYS } else { KEYS_SHORT }));
    lines
}

fn title(view: &View) -> String {
    let View { server, by, sort, interval, .. } = view;
    let (server, seconds) = (visible(server), interval.as_secs());
    format!("tally top {server}  by {}, order: {}, every {seconds} s", by.name(), sort.name())
}

fn summary(view: &View, is_utf8: bool) -> String {
    let (Some(last), Some(since)) = (view.history.last(), view.since()) else {
        return "asking the server".to_owned();
    };
    let rate = view.history.total_rate();
    let rate = rate.map_or("...".to_owned(), |rate| rate.to_string());
    let trend = view.history.trend(None);
    let trend = if is_utf8 && !trend.is_empty() { sparkline(&trend) + GAP } else { String::new() };
    let dropped = match last.dropped {
        0 => String::new(),
        dropped => format!("; short by {}", known_drops(dropped)),
    };
    let total = plural(last.total, "request");
    format!("{rate} requests/s{GAP}{trend}{total} since {since}{dropped}")
}

/// What is not as usual: one thing at a time, the worst first.
fn notice(view: &View, now: Duration, width: usize) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let text = match &view.away {
        Some((since, why)) => {
            let away = age(now.saturating_sub(*since).as_secs().try_into().unwrap_or(i64::MAX));
            format!("NO ANSWER for {away}, trying again: {}", visible(why))
        }
        None if view.is_typing => format!("filter: {}_", visible(&view.filter)),
        None if view.is_paused => "PAUSED: p goes on".to_owned(),
        None if !view.filter.is_empty() => {
            format!("filter: {} (Esc clears it)", visible(&view.filter))
        }
        None => return Line::default(),
    };
    Line::styled(cut(&text, width).into_owned(), bold)
}

/// The columns: numbers first, so that names have what is left of the width.
struct Table {
    by: GroupBy,
    width: usize,
    has_trend: bool,
}

// === impl Table ===

impl Table {
    fn new(by: GroupBy, width: usize, is_utf8: bool) -> Self {
        Self { by, width, has_trend: is_utf8 && width >= TREND_COLUMNS_MIN }
    }

    fn header(&self) -> String {
        let trend = self.has_trend.then(|| "trend".to_owned());
        let names: Vec<_> = self.by.parts().iter().map(|part| part.name().to_owned()).collect();
        let line = self.line("req/s", "share", "requests", trend, &names);
        format!("{line:width$}", width = self.width)
    }

    fn rows(&self, view: &View, height: usize) -> Vec<Line<'static>> {
        let lines = view.lines();
        if lines.is_empty() {
            return vec![Line::from(match view.history.last() {
                None => String::new(),
                Some(last) if last.counts.is_empty() => "nothing was counted yet".to_owned(),
                Some(_) => "no line contains the filter's text".to_owned(),
            })];
        }
        let all = view.history.total_rate();
        let others = view.history.last().map(|last| last.others).filter(|others| *others > 0);
        let others = others.filter(|_| view.filter.is_empty());
        let room = height.saturating_sub(usize::from(others.is_some()));
        let shown = lines.iter().skip(view.scrolled).take(room);
        let mut rows: Vec<_> = shown.map(|line| self.row(view, line, all)).collect();
        if let Some(others) = others {
            let rate = view.history.others_rate(&lines);
            let name = format!("({})", plural(others, "other line"));
            let names =
                if self.by.parts().len() > 1 { vec![String::new(), name] } else { vec![name] };
            let (rate, share) = (text(rate), share(rate, all));
            let trend = self.has_trend.then(String::new);
            rows.push(Line::from(self.line(&rate, &share, "", trend, &names)));
        }
        rows
    }

    fn row(&self, view: &View, line: &history::Line, all: Option<Rate>) -> Line<'static> {
        let history::Line { name, rate, count } = line;
        let trend = self.has_trend.then(|| sparkline(&view.history.trend(Some(name))));
        let names: Vec<_> =
            name.iter().zip(self.by.parts()).map(|(cell, part)| named(cell, *part)).collect();
        let line = self.line(&text(*rate), &share(*rate, all), &thousands(*count), trend, &names);
        let is_busy = rate.is_some_and(|rate| !rate.is_zero());
        let weight = if is_busy { Modifier::empty() } else { Modifier::DIM };
        Line::from(Span::styled(line, Style::new().add_modifier(weight)))
    }

    fn line(
        &self,
        rate: &str,
        share: &str,
        count: &str,
        trend: Option<String>,
        names: &[String],
    ) -> String {
        let mut line =
            format!("{rate:>RATE_WIDTH$}{share:>SHARE_WIDTH$}{count:>COUNT_WIDTH$}{GAP}");
        if let Some(trend) = trend {
            line += &format!("{trend:>TREND_INTERVALS$}{GAP}");
        }
        for (at, name) in names.iter().enumerate() {
            if at + 1 < names.len() {
                line += &format!("{:METHOD_WIDTH$}{GAP}", cut(name, METHOD_WIDTH));
            } else {
                line += &shortened(name, self.width.saturating_sub(line.width()));
            }
        }
        line
    }
}

fn text(rate: Option<Rate>) -> String {
    rate.map_or("-".to_owned(), |rate| rate.to_string())
}

fn share(rate: Option<Rate>, all: Option<Rate>) -> String {
    let share = rate.zip(all).and_then(|(rate, all)| rate.share_of(all));
    share.map_or(String::new(), |share| format!("{}.{}%", share / 10, share % 10))
}

/// A status may be unknown; what else is empty, there is none of.
fn named(cell: &str, part: Part) -> String {
    match (cell, part) {
        ("", Part::Status) => "(not known)".to_owned(),
        ("", _) => "(none)".to_owned(),
        _ => cell.to_owned(),
    }
}

/// Without the end of what is too wide.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let kept = fitting(text.chars(), width.saturating_sub(1));
    Cow::Owned(format!("{}\u{2026}", &text[..kept]))
}

#[cfg(test)]
mod tests;
