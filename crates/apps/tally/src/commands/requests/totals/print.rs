//! Printing totals as they arrive.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::io::{self, Write};

use tally_proto::tally::requests::v1::{Group, Omitted, PeriodTotals, QueryTotalsResponse};

use super::super::series::Part;
use super::trend::{TrendHow, Trends};
use crate::dates;
use crate::output::json::Array;
use crate::output::table::{self, Align};
use crate::output::{OutputFormat, thousands};

/// Prints the parts of an answer. The rows of a table, which are measured, and rows that are sorted
/// are held until the end; others are written at once.
pub(super) struct Printer<W> {
    out: W,
    how: How,
    /// The cells of each group, as the format writes them.
    groups: Vec<Box<[String]>>,
    /// The dates; empty for the whole range.
    periods: Vec<String>,
    /// For trends, where each of them is in time.
    slots: Vec<i64>,
    /// The held rows: period, group, count, correction.
    rows: Vec<(usize, usize, i64, i64)>,
    /// The next line; at first the header of CSV.
    line: Vec<u8>,
    array: Array,
    printed: Printed,
}

#[derive(Debug, Clone)]
pub(super) struct How {
    pub(super) format: OutputFormat,
    /// `None` if it is printed elsewhere.
    pub(super) terminal_columns: Option<usize>,
    /// What stands between the date and the count.
    pub(super) columns: Vec<Part>,
    /// Whether each period has one total over all groups.
    pub(super) is_sum: bool,
    /// Whether corrections have a column beside the count.
    pub(super) has_corrections: bool,
    pub(super) is_largest_first: bool,
    /// A table of groups with the trend of each, in place of one of periods.
    pub(super) trend: Option<TrendHow>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) requests: i128,
    pub(super) corrections: i128,
    pub(super) totals: u64,
    pub(super) groups: u64,
    /// How many requests of the range were dropped, as clients reported.
    pub(super) dropped: i128,
}

/// An answer that breaks its own rules.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("a sum of {groups} groups with {counts} counts")]
    Sums { groups: usize, counts: usize },
    #[error("{groups} groups with {counts} counts")]
    Lengths { groups: usize, counts: usize },
    #[error("a total of group {group}, of {named} that were named")]
    Group { group: u32, named: usize },
}

/// The column of corrections.
const CORRECTION: &str = "correction";

// === impl How ===

impl How {
    /// How many columns of numbers there are.
    fn counts(&self) -> usize {
        1 + usize::from(self.has_corrections)
    }
}

// === impl Printer ===

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, how: How) -> Self {
        let format = how.format;
        let header = match format {
            OutputFormat::Csv => {
                let names = how.columns.iter().map(|part| part.name());
                let counts = ["count", CORRECTION].into_iter().take(how.counts());
                let names: Vec<_> = ["date"].into_iter().chain(names).chain(counts).collect();
                names.join(",") + "\n"
            }
            OutputFormat::Json | OutputFormat::Jsonl | OutputFormat::Table => String::new(),
        };
        Self {
            out,
            how,
            groups: Vec::new(),
            periods: Vec::new(),
            slots: Vec::new(),
            rows: Vec::new(),
            line: header.into(),
            array: Array::of(format),
            printed: Printed::default(),
        }
    }

    pub(super) fn printed(&self) -> Printed {
        Printed { groups: self.groups.len() as u64, ..self.printed }
    }

    /// Takes the next part of the answer; the inner result is that of writing.
    pub(super) fn take(&mut self, part: QueryTotalsResponse) -> Result<io::Result<()>, Nonsense> {
        self.printed.dropped += i128::from(part.dropped);
        self.name(&part.groups);
        for period in part.periods {
            self.check(&period)?;
            self.hold(period);
            if !self.how.is_largest_first
                && self.how.format != OutputFormat::Table
                && let Err(error) = self.print_rows()
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Returns what was printed, and what a trend's limit has left out.
    pub(super) fn finish(mut self) -> io::Result<(Printed, Option<Omitted>)> {
        if let Some(how) = self.how.trend {
            return self.print_trends(how);
        }
        if self.how.is_largest_first {
            // A stable sort: equal counts stay in the usual order.
            self.rows.sort_by_key(|(_, _, count, _)| Reverse(*count));
        }
        if self.how.format == OutputFormat::Table {
            self.print_table()?;
        } else {
            self.print_rows()?;
            self.out.write_all(&self.line)?;
        }
        if self.how.format.is_json() {
            self.array.end(&mut self.out)?;
        }
        self.out.flush()?;
        Ok((self.printed(), None))
    }

    fn name(&mut self, groups: &[Group]) {
        let How { columns, format, terminal_columns, .. } = &self.how;
        let is_terminal = terminal_columns.is_some();
        let cells =
            |group| columns.iter().map(|part| part.cell(group, *format, is_terminal)).collect();
        self.groups.extend(groups.iter().map(cells));
    }

    fn check(&self, period: &PeriodTotals) -> Result<(), Nonsense> {
        let (groups, counts) = (period.number.len(), period.count.len());
        if self.how.is_sum {
            let is_one = (groups, counts) == (0, 1);
            return if is_one { Ok(()) } else { Err(Nonsense::Sums { groups, counts }) };
        }
        if groups != counts {
            return Err(Nonsense::Lengths { groups, counts });
        }
        let named = self.groups.len();
        match period.number.iter().find(|group| **group as usize >= named) {
            Some(&group) => Err(Nonsense::Group { group, named }),
            None => Ok(()),
        }
    }

    fn hold(&mut self, period: PeriodTotals) {
        let at = self.periods.len();
        self.periods.push(date(&period));
        if let Some(how) = &self.how.trend {
            self.slots.push(how.by.slot(&period));
        }
        let PeriodTotals { number: mut groups, count, mut correction, .. } = period;
        groups.resize(count.len(), 0);
        correction.resize(count.len(), 0);
        self.printed.totals += count.len() as u64;
        self.printed.requests += count.iter().copied().map(i128::from).sum::<i128>();
        self.printed.corrections += correction.iter().copied().map(i128::from).sum::<i128>();
        let counts = count.into_iter().zip(correction);
        let row = |(group, (count, more)): (&u32, (i64, i64))| (at, *group as usize, count, more);
        self.rows.extend(groups.iter().zip(counts).map(row));
    }

    /// Prints the held rows as CSV or JSON.
    fn print_rows(&mut self) -> io::Result<()> {
        let is_json = self.how.format.is_json();
        let line = &mut self.line;
        let has_corrections = self.how.has_corrections;
        for (period, group, count, correction) in self.rows.drain(..) {
            if is_json {
                self.array.next(&mut self.out)?;
                line.extend_from_slice(b"{\"date\":\"");
            }
            let mut push = |text: &str| line.extend_from_slice(text.as_bytes());
            push(&self.periods[period]);
            push(if is_json { "\"" } else { "" });
            // A sum has no group.
            let cells = self.groups.get(group).map(AsRef::as_ref).unwrap_or_default();
            for (part, cell) in self.how.columns.iter().zip(cells) {
                push(",");
                if is_json {
                    ["\"", part.name(), "\":"].into_iter().for_each(&mut push);
                }
                push(cell);
            }
            let (count_at, end) = if is_json { (",\"count\":", "}") } else { (",", "\n") };
            [count_at, &count.to_string()].into_iter().for_each(&mut push);
            if has_corrections {
                let at = if is_json { format!(",\"{CORRECTION}\":") } else { ",".to_owned() };
                [&*at, &correction.to_string()].into_iter().for_each(&mut push);
            }
            push(end);
            self.out.write_all(line)?;
            line.clear();
        }
        self.periods.clear();
        Ok(())
    }

    /// Prints a line for each group: its sums, and how it went.
    fn print_trends(mut self, how: TrendHow) -> io::Result<(Printed, Option<Omitted>)> {
        let mut trends = Trends::new(&self.slots);
        for (period, group, count, correction) in self.rows.drain(..) {
            trends.add(group, self.slots[period], count, correction);
        }
        let cells = |group: usize| self.groups.get(group).map(AsRef::as_ref).unwrap_or_default();
        let is_largest_first = self.how.is_largest_first;
        let (lines, omitted) = trends.finish(how.limit, |one, other| {
            let by_name = cells(one.group).cmp(cells(other.group));
            if is_largest_first { other.count.cmp(&one.count).then(by_name) } else { by_name }
        });
        let mut columns: Vec<_> =
            self.how.columns.iter().map(|part| (part.name(), part.align())).collect();
        let counts = ["count", CORRECTION].map(|name| (name, Align::Right));
        columns.extend(counts.into_iter().take(self.how.counts()));
        columns.extend(how.is_shown.then_some(("trend", Align::Left)));
        let rows = lines.iter().map(|line| {
            let names = cells(line.group).iter().map(|cell| Cow::Borrowed(cell.as_str()));
            let mut row: Vec<Cow<'_, str>> = names.collect();
            row.push(thousands(line.count).into());
            if self.how.has_corrections {
                row.push(thousands(line.correction).into());
            }
            row.extend(how.is_shown.then(|| line.trend().into()));
            row
        });
        if !lines.is_empty() {
            table::write(&mut self.out, self.how.terminal_columns, &columns, rows)?;
        }
        self.out.flush()?;
        let printed = Printed {
            requests: lines.iter().map(|line| line.count).sum(),
            corrections: lines.iter().map(|line| line.correction).sum(),
            totals: lines.len() as u64,
            ..self.printed()
        };
        Ok((printed, omitted))
    }

    fn print_table(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let parts = self.how.columns.iter().map(|part| (part.name(), part.align()));
        let counts = ["count", CORRECTION].map(|name| (name, Align::Right));
        let counts = counts.into_iter().take(self.how.counts());
        let date = ("date", Align::Left);
        let columns: Vec<_> = [date].into_iter().chain(parts).chain(counts).collect();
        let rows = self.rows.iter().map(|&(period, group, count, correction)| {
            let cells = self.groups.get(group).map(AsRef::as_ref).unwrap_or_default();
            let mut row: Vec<Cow<'_, str>> = Vec::with_capacity(columns.len());
            row.push(self.periods[period].as_str().into());
            row.extend(cells.iter().map(|cell| Cow::Borrowed(cell.as_str())));
            row.push(thousands(count).into());
            if self.how.has_corrections {
                row.push(thousands(correction).into());
            }
            row
        });
        table::write(&mut self.out, self.how.terminal_columns, &columns, rows)
    }
}

/// What a period is called: its date, or of a quarter-hour or an hour what the zone's clock shows, with its offset.
fn date(totals: &PeriodTotals) -> String {
    let date = totals.period.map(dates::iso).unwrap_or_default();
    let Some(start) = &totals.start else { return date };
    let shown = start.seconds.saturating_add(totals.utc_offset_seconds.into()).rem_euclid(86_400);
    let sign = if totals.utc_offset_seconds < 0 { '-' } else { '+' };
    let time = |seconds: u64| format!("{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    let offset = time(totals.utc_offset_seconds.unsigned_abs().into());
    format!("{date}T{}:{:02}{sign}{offset}", time(shown.unsigned_abs()), shown % 60)
}

#[cfg(test)]
mod tests;
