//! Printing totals as they arrive.

use std::borrow::Cow;
use std::io::{self, Write};

use tally_proto::tally::requests::v1::{Endpoint, PeriodTotals, QueryTotalsResponse, Setback};

use crate::output::csv::{push_field, push_number};
use crate::output::json::{Array, quoted};
use crate::output::table::{self, Align};
use crate::output::{OutputFormat, thousands, visible};
use crate::{dates, methods};

/// Prints the parts of an answer. CSV and JSON are written at once; a table is measured first,
/// so it is kept until the end.
pub(super) struct Printer<W> {
    out: W,
    format: OutputFormat,
    /// Of each endpoint, what stands between the date and the count, quoted once.
    endpoints: Vec<Vec<u8>>,
    /// Of each endpoint, the method and the path, for the table.
    names: Vec<(Cow<'static, str>, String)>,
    periods: Vec<String>,
    /// Period, endpoint, count.
    rows: Vec<(usize, usize, i64)>,
    /// A line of CSV, for its room.
    line: Vec<u8>,
    array: Array,
    begun: bool,
    sum: Sum,
    setbacks: Vec<Setback>,
}

/// What was printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) requests: i128,
    pub(super) totals: u64,
    pub(super) endpoints: u64,
    /// How many requests of the range the clients said to have dropped.
    pub(super) dropped: i128,
}

/// An answer that breaks its own rules.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Nonsense {
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
            endpoints: Vec::new(),
            names: Vec::new(),
            periods: Vec::new(),
            rows: Vec::new(),
            line: Vec::new(),
            array: Array::new(),
            begun: false,
            sum: Sum::default(),
            setbacks: Vec::new(),
        }
    }

    pub(super) fn sum(&self) -> Sum {
        Sum { endpoints: self.endpoints.len() as u64, ..self.sum }
    }

    /// What is missing since the database went back.
    pub(super) fn setbacks(&self) -> &[Setback] {
        &self.setbacks
    }

    /// Takes the next part of the answer. The inner result is that of writing.
    pub(super) fn take(&mut self, part: QueryTotalsResponse) -> Result<io::Result<()>, Nonsense> {
        self.sum.dropped += i128::from(part.dropped);
        self.setbacks.extend(part.setbacks);
        self.name(part.endpoints);
        for period in &part.periods {
            self.check(period)?;
            if let Err(error) = self.print(period) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Ends the output.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.format {
            OutputFormat::Csv => self.begin()?,
            OutputFormat::Json => self.array.end(&mut self.out)?,
            OutputFormat::Table => self.print_table()?,
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
            self.out.write_all(b"date,method,path,count\n")?;
        }
        Ok(())
    }

    /// Prints a period whose endpoints are all named.
    fn print(&mut self, period: &PeriodTotals) -> io::Result<()> {
        let date = period.period.map(dates::iso);
        let totals = period.endpoint.iter().map(|endpoint| *endpoint as usize).zip(&period.count);
        self.sum.totals += period.count.len() as u64;
        self.sum.requests += period.count.iter().copied().map(i128::from).sum::<i128>();
        match self.format {
            OutputFormat::Csv => {
                self.begin()?;
                let date = date.unwrap_or_default();
                for (endpoint, count) in totals {
                    self.line.clear();
                    self.line.extend_from_slice(date.as_bytes());
                    self.line.extend_from_slice(&self.endpoints[endpoint]);
                    push_number(&mut self.line, *count);
                    self.line.push(b'\n');
                    self.out.write_all(&self.line)?;
                }
            }
            OutputFormat::Json => {
                let date = date.map_or_else(|| "null".to_owned(), |date| quoted(&date));
                for (endpoint, count) in totals {
                    self.array.next(&mut self.out)?;
                    write!(self.out, "{{\"date\":{date},")?;
                    self.out.write_all(&self.endpoints[endpoint])?;
                    write!(self.out, "{count}}}")?;
                }
            }
            OutputFormat::Table => {
                let at = self.periods.len();
                self.periods.push(date.unwrap_or_else(|| "whole".to_owned()));
                self.rows.extend(totals.map(|(endpoint, count)| (at, endpoint, *count)));
            }
        }
        Ok(())
    }

    fn print_table(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let columns = [
            ("date", Align::Left),
            ("method", Align::Left),
            ("path", Align::Left),
            ("count", Align::Right),
        ];
        let rows = self.rows.iter().map(|&(period, endpoint, count)| {
            let (method, path) = &self.names[endpoint];
            let (date, method) = (self.periods[period].as_str(), method.as_ref());
            let count = Cow::Owned(thousands(count));
            [Cow::Borrowed(date), Cow::Borrowed(method), Cow::Borrowed(path.as_str()), count]
        });
        table::write(&mut self.out, columns, rows)
    }
}

#[cfg(test)]
mod tests {
    use tally_proto::google::r#type::Date;

    use super::*;

    fn endpoint(method: i32, path: &str) -> Endpoint {
        Endpoint { method, path: path.to_owned() }
    }

    fn period(month: i32, day: i32, endpoint: &[u32], count: &[i64]) -> PeriodTotals {
        let period = (month > 0).then_some(Date { year: 2015, month, day });
        PeriodTotals { period, endpoint: endpoint.to_vec(), count: count.to_vec() }
    }

    fn parts() -> [QueryTotalsResponse; 3] {
        [
            QueryTotalsResponse {
                endpoints: vec![endpoint(3, "/a,b"), endpoint(0, "/\x1b")],
                periods: vec![period(5, 17, &[0, 1], &[1_000, 2])],
                ..Default::default()
            },
            QueryTotalsResponse {
                endpoints: vec![endpoint(42, "/\"c\"")],
                periods: vec![period(5, 17, &[2], &[3]), period(5, 0, &[0], &[4])],
                ..Default::default()
            },
            QueryTotalsResponse {
                endpoints: vec![],
                periods: vec![period(0, 0, &[1], &[5])],
                ..Default::default()
            },
        ]
    }

    fn printed(format: OutputFormat, parts: &[QueryTotalsResponse]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, format);
        for part in parts {
            printer.take(part.clone()).expect("sense").expect("written");
        }
        printer.finish().expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn csv_is_for_scripts() {
        let expected = "date,method,path,count\n\
                        2015-05-17,GET,\"/a,b\",1000\n\
                        2015-05-17,UNSPECIFIED,/\x1b,2\n\
                        2015-05-17,42,\"/\"\"c\"\"\",3\n\
                        2015-05,GET,\"/a,b\",4\n\
                        ,UNSPECIFIED,/\x1b,5\n";
        assert_eq!(printed(OutputFormat::Csv, &parts()), expected);
        assert_eq!(printed(OutputFormat::Csv, &[]), "date,method,path,count\n");
    }

    #[test]
    fn json_is_an_array() {
        let text = printed(OutputFormat::Json, &parts());
        assert_eq!(text.lines().count(), 7, "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let total = serde_json::json!({
            "date": "2015-05-17", "method": "42", "path": "/\"c\"", "count": 3
        });
        assert_eq!(value[2], total);
        assert_eq!(value[4]["date"], serde_json::Value::Null);
        assert_eq!(printed(OutputFormat::Json, &[]), "[]\n");
    }

    #[test]
    fn a_table_lines_up_and_steers_nothing() {
        let expected = "date        method       path     count\n\
                        2015-05-17  GET          /a,b     1,000\n\
                        2015-05-17  UNSPECIFIED  /\\u{1b}      2\n\
                        2015-05-17  42           /\"c\"         3\n\
                        2015-05     GET          /a,b         4\n\
                        whole       UNSPECIFIED  /\\u{1b}      5\n";
        assert_eq!(printed(OutputFormat::Table, &parts()), expected);
        assert_eq!(printed(OutputFormat::Table, &[]), "");
    }

    #[test]
    fn an_answer_that_breaks_its_rules_is_no_answer() {
        let take = |periods| {
            let endpoints = vec![endpoint(3, "/")];
            let part =
                QueryTotalsResponse { endpoints, periods: vec![periods], ..Default::default() };
            Printer::new(Vec::new(), OutputFormat::Csv).take(part).map(|_| ())
        };
        assert_eq!(take(period(5, 1, &[0], &[1])), Ok(()));
        assert!(matches!(take(period(5, 1, &[0], &[])), Err(Nonsense::Lengths { .. })));
        assert!(matches!(take(period(5, 1, &[1], &[1])), Err(Nonsense::Endpoint { .. })));
    }
}
