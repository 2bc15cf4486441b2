//! Printing totals as they arrive.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::io::{self, Write};

use tally_proto::tally::requests::v1::{Group, PeriodTotals, QueryTotalsResponse};

use crate::commands::requests::methods;
use crate::dates;
use crate::output::json::{Array, quoted};
use crate::output::table::{self, Align};
use crate::output::{OutputFormat, csv, thousands, visible};

/// Prints the parts of an answer. The rows of a table, which are measured, and rows that are sorted
/// are held until the end; others are written at once.
pub(super) struct Printer<W> {
    out: W,
    how: How,
    /// The method and the path of each endpoint, quoted for the format.
    endpoints: Vec<(String, String)>,
    /// The dates; empty for the whole range.
    periods: Vec<String>,
    /// The held rows: period, endpoint, count.
    rows: Vec<(usize, usize, i64)>,
    /// The next line; at first the header of CSV.
    line: Vec<u8>,
    array: Array,
    printed: Printed,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) format: OutputFormat,
    pub(super) terminal_columns: Option<usize>,
    /// Whether each period has one total over all endpoints.
    pub(super) is_sum: bool,
    pub(super) is_largest_first: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) requests: i128,
    pub(super) totals: u64,
    pub(super) endpoints: u64,
    /// How many requests of the range were dropped, as clients reported.
    pub(super) dropped: i128,
}

/// An answer that breaks its own rules.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("a sum of {endpoints} endpoints with {counts} counts")]
    Sums { endpoints: usize, counts: usize },
    #[error("{endpoints} endpoints with {counts} counts")]
    Lengths { endpoints: usize, counts: usize },
    #[error("a total of endpoint {endpoint}, of {named} that were named")]
    Endpoint { endpoint: u32, named: usize },
}

// === impl Printer ===

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, how: How) -> Self {
        let header = match how.format {
            OutputFormat::Csv if how.is_sum => "date,count\n",
            OutputFormat::Csv => "date,method,path,count\n",
            OutputFormat::Json | OutputFormat::Table => "",
        };
        Self {
            out,
            how,
            endpoints: Vec::new(),
            periods: Vec::new(),
            rows: Vec::new(),
            line: header.into(),
            array: Array::new(),
            printed: Printed::default(),
        }
    }

    pub(super) fn printed(&self) -> Printed {
        Printed { endpoints: self.endpoints.len() as u64, ..self.printed }
    }

    /// Takes the next part of the answer; the inner result is that of writing.
    pub(super) fn take(&mut self, part: QueryTotalsResponse) -> Result<io::Result<()>, Nonsense> {
        self.printed.dropped += i128::from(part.dropped);
        self.name(part.groups);
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

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.how.is_largest_first {
            // A stable sort: equal counts stay in the usual order.
            self.rows.sort_by_key(|(.., count)| Reverse(*count));
        }
        if self.how.format == OutputFormat::Table {
            self.print_table()?;
        } else {
            self.print_rows()?;
            self.out.write_all(&self.line)?;
        }
        if self.how.format == OutputFormat::Json {
            self.array.end(&mut self.out)?;
        }
        self.out.flush()
    }

    fn name(&mut self, groups: Vec<Group>) {
        for Group { method, path, .. } in groups {
            let method = if method.is_empty() { methods::name(0) } else { Cow::Borrowed(&*method) };
            self.endpoints.push(match self.how.format {
                OutputFormat::Csv => {
                    (csv::quoted(&method).into_owned(), csv::quoted(&path).into_owned())
                }
                OutputFormat::Json => (quoted(&method), quoted(&path)),
                OutputFormat::Table => (method.into_owned(), visible(&path).into_owned()),
            });
        }
    }

    fn check(&self, period: &PeriodTotals) -> Result<(), Nonsense> {
        let (endpoints, counts) = (period.number.len(), period.count.len());
        if self.how.is_sum {
            let is_one = (endpoints, counts) == (0, 1);
            return if is_one { Ok(()) } else { Err(Nonsense::Sums { endpoints, counts }) };
        }
        if endpoints != counts {
            return Err(Nonsense::Lengths { endpoints, counts });
        }
        let named = self.endpoints.len();
        match period.number.iter().find(|endpoint| **endpoint as usize >= named) {
            Some(&endpoint) => Err(Nonsense::Endpoint { endpoint, named }),
            None => Ok(()),
        }
    }

    fn hold(&mut self, period: PeriodTotals) {
        let PeriodTotals { period, number: mut endpoint, count, .. } = period;
        endpoint.resize(count.len(), 0);
        self.printed.totals += count.len() as u64;
        self.printed.requests += count.iter().copied().map(i128::from).sum::<i128>();
        let at = self.periods.len();
        self.periods.push(period.map(dates::iso).unwrap_or_default());
        self.rows.extend(endpoint.iter().zip(count).map(|(one, count)| (at, *one as usize, count)));
    }

    /// Prints the held rows as CSV or JSON.
    fn print_rows(&mut self) -> io::Result<()> {
        let is_json = self.how.format == OutputFormat::Json;
        // Stands before the date, the method, the path and the count, and after the count.
        let [date_at, method_at, path_at, count_at, end] = if is_json {
            ["{\"date\":\"", "\",\"method\":", ",\"path\":", ",\"count\":", "}"]
        } else {
            ["", ",", ",", ",", "\n"]
        };
        let sum_at = if is_json { "\",\"count\":" } else { "," };
        let line = &mut self.line;
        for (period, endpoint, count) in self.rows.drain(..) {
            if is_json {
                self.array.next(&mut self.out)?;
            }
            let mut push = |text: &str| line.extend_from_slice(text.as_bytes());
            push(date_at);
            push(&self.periods[period]);
            if self.how.is_sum {
                push(sum_at);
            } else {
                let (method, path) = &self.endpoints[endpoint];
                [method_at, method, path_at, path, count_at].into_iter().for_each(&mut push);
            }
            [&count.to_string(), end].into_iter().for_each(push);
            self.out.write_all(line)?;
            line.clear();
        }
        self.periods.clear();
        Ok(())
    }

    fn print_table(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (date, count) = (("date", Align::Left), ("count", Align::Right));
        let (method, path) = (("method", Align::Left), ("path", Align::Shorten));
        let dates = |period: usize| Cow::Borrowed(self.periods[period].as_str());
        let width = self.how.terminal_columns;
        if self.how.is_sum {
            let rows = self.rows.iter();
            let rows = rows.map(|row| [dates(row.0), Cow::Owned(thousands(row.2))]);
            return table::write(&mut self.out, width, [date, count], rows);
        }
        let rows = self.rows.iter().map(|&(period, endpoint, count)| {
            let (method, path) = &self.endpoints[endpoint];
            let (method, path) = (method.as_str().into(), path.as_str().into());
            [dates(period), method, path, Cow::Owned(thousands(count))]
        });
        table::write(&mut self.out, width, [date, method, path, count], rows)
    }
}

#[cfg(test)]
mod tests;
