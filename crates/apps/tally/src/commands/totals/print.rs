//! Printing totals as they arrive.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::io::{self, Write};
use std::mem::take;

use tally_proto::tally::producers::v1::Setback;
use tally_proto::tally::requests::v1::{Endpoint, PeriodTotals, QueryTotalsResponse};

use crate::output::csv::{push_field, push_number};
use crate::output::json::{Array, quoted};
use crate::output::table::{self, Align};
use crate::output::{OutputFormat, thousands, visible};
use crate::{dates, methods};

/// Prints the parts of an answer. CSV and JSON are written at once. A table is measured first, and
/// what is to be sorted must be there, so these are kept until the end.
pub(super) struct Printer<W> {
    out: W,
    format: OutputFormat,
    /// How wide the lines of a table may be.
    terminal_columns: Option<usize>,
    /// Whether each period has one total, over all endpoints.
    is_sum: bool,
    is_largest_first: bool,
    /// Of each endpoint, what stands between the date and the count, quoted once.
    endpoints: Vec<Vec<u8>>,
    /// Of each endpoint, the method and the path, for the table.
    names: Vec<(Cow<'static, str>, String)>,
    /// Their dates; empty for the whole range.
    periods: Vec<String>,
    /// Period, endpoint, count: what is kept.
    rows: Vec<(usize, usize, i64)>,
    /// A line of CSV, for its room.
    line: Vec<u8>,
    array: Array,
    begun: bool,
    printed: Printed,
    setbacks: Vec<Setback>,
}

/// What was printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) requests: i128,
    pub(super) totals: u64,
    pub(super) endpoints: u64,
    /// How many requests of the range the clients said to have dropped.
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
    pub(super) fn new(out: W, format: OutputFormat) -> Self {
        Self {
            out,
            format,
            terminal_columns: None,
            is_sum: false,
            is_largest_first: false,
            endpoints: Vec::new(),
            names: Vec::new(),
            periods: Vec::new(),
            rows: Vec::new(),
            line: Vec::new(),
            array: Array::new(),
            begun: false,
            printed: Printed::default(),
            setbacks: Vec::new(),
        }
    }

    /// Makes a table fit the terminal.
    pub(super) fn fit(self, terminal_columns: Option<usize>) -> Self {
        Self { terminal_columns, ..self }
    }

    /// Expects and prints one total for each period, over all endpoints.
    pub(super) fn sums(self, is_sum: bool) -> Self {
        Self { is_sum, ..self }
    }

    /// Prints the largest totals first.
    pub(super) fn largest_first(self, is_largest_first: bool) -> Self {
        Self { is_largest_first, ..self }
    }

    pub(super) fn printed(&self) -> Printed {
        Printed { endpoints: self.endpoints.len() as u64, ..self.printed }
    }

    /// What is missing since the database went back.
    pub(super) fn setbacks(&self) -> &[Setback] {
        &self.setbacks
    }

    /// Takes the next part of the answer. The inner result is that of writing.
    pub(super) fn take(&mut self, part: QueryTotalsResponse) -> Result<io::Result<()>, Nonsense> {
        self.printed.dropped += i128::from(part.dropped);
        self.setbacks.extend(part.setbacks);
        self.name(part.endpoints);
        for period in part.periods {
            self.check(&period)?;
            self.keep(period);
            if !self.is_largest_first
                && self.format != OutputFormat::Table
                && let Err(error) = self.print_rows()
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Ends the output.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.is_largest_first {
            // Equal ones stay in the usual order.
            self.rows.sort_by_key(|(.., count)| Reverse(*count));
        }
        match self.format {
            OutputFormat::Table => self.print_table()?,
            OutputFormat::Csv | OutputFormat::Json => self.print_rows()?,
        }
        match self.format {
            OutputFormat::Csv => self.begin()?,
            OutputFormat::Json => self.array.end(&mut self.out)?,
            OutputFormat::Table => {}
        }
        self.out.flush()
    }

    fn name(&mut self, endpoints: Vec<Endpoint>) {
        for Endpoint { method, path } in endpoints {
            let method = methods::name(method);
            let mut text = Vec::new();
            match self.format {
                OutputFormat::Csv => {
                    text.push(b',');
                    push_field(&mut text, &method);
                    text.push(b',');
                    push_field(&mut text, &path);
                    text.push(b',');
                }
                OutputFormat::Json => {
                    let (method, path) = (quoted(&method), quoted(&path));
                    let text = &mut text;
                    text.extend(b"\"method\":".iter().chain(method.as_bytes()));
                    text.extend(b",\"path\":".iter().chain(path.as_bytes()));
                    text.extend(b",\"count\":");
                }
                OutputFormat::Table => self.names.push((method, visible(&path).into_owned())),
            }
            self.endpoints.push(text);
        }
    }

    fn check(&self, period: &PeriodTotals) -> Result<(), Nonsense> {
        let (endpoints, counts) = (period.endpoint.len(), period.count.len());
        if self.is_sum {
            let is_one = (endpoints, counts) == (0, 1);
            return if is_one { Ok(()) } else { Err(Nonsense::Sums { endpoints, counts }) };
        }
        if endpoints != counts {
            return Err(Nonsense::Lengths { endpoints, counts });
        }
        let named = self.endpoints.len();
        match period.endpoint.iter().find(|endpoint| **endpoint as usize >= named) {
            Some(&endpoint) => Err(Nonsense::Endpoint { endpoint, named }),
            None => Ok(()),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            let header = if self.is_sum { "date,count\n" } else { "date,method,path,count\n" };
            self.out.write_all(header.as_bytes())?;
        }
        Ok(())
    }

    /// Keeps a period whose endpoints are all named.
    fn keep(&mut self, period: PeriodTotals) {
        let PeriodTotals { period, mut endpoint, count } = period;
        endpoint.resize(count.len(), 0);
        self.printed.totals += count.len() as u64;
        self.printed.requests += count.iter().copied().map(i128::from).sum::<i128>();
        let at = self.periods.len();
        self.periods.push(period.map(dates::iso).unwrap_or_default());
        self.rows.extend(endpoint.iter().zip(count).map(|(one, count)| (at, *one as usize, count)));
    }

    /// Prints the kept rows as CSV or JSON, and forgets them.
    fn print_rows(&mut self) -> io::Result<()> {
        let (rows, periods) = (take(&mut self.rows), take(&mut self.periods));
        if self.format == OutputFormat::Csv {
            self.begin()?;
        }
        for (period, endpoint, count) in rows {
            let date = periods[period].as_str();
            let nothing: &[u8] =
                if self.format == OutputFormat::Csv { b"," } else { b"\"count\":" };
            let endpoint = if self.is_sum { nothing } else { &self.endpoints[endpoint] };
            self.line.clear();
            if self.format == OutputFormat::Csv {
                self.line.extend_from_slice(date.as_bytes());
                self.line.extend_from_slice(endpoint);
                push_number(&mut self.line, count);
                self.line.push(b'\n');
            } else {
                self.array.next(&mut self.out)?;
                self.line.extend(b"{\"date\":\"".iter().chain(date.as_bytes()).chain(b"\","));
                self.line.extend_from_slice(endpoint);
                push_number(&mut self.line, count);
                self.line.push(b'}');
            }
            self.out.write_all(&self.line)?;
        }
        Ok(())
    }

    fn print_table(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (date, count) = (("date", Align::Left), ("count", Align::Right));
        let (method, path) = (("method", Align::Left), ("path", Align::Shorten));
        let dates = |period: usize| Cow::Borrowed(self.periods[period].as_str());
        let width = self.terminal_columns;
        if self.is_sum {
            let rows = self.rows.iter();
            let rows = rows.map(|row| [dates(row.0), Cow::Owned(thousands(row.2))]);
            return table::write(&mut self.out, width, [date, count], rows);
        }
        let rows = self.rows.iter().map(|&(period, endpoint, count)| {
            let (method, path) = &self.names[endpoint];
            let (method, path) = (Cow::Borrowed(method.as_ref()), Cow::Borrowed(path.as_str()));
            [dates(period), method, path, Cow::Owned(thousands(count))]
        });
        table::write(&mut self.out, width, [date, method, path, count], rows)
    }
}

#[cfg(test)]
mod tests;
