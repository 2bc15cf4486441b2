//! `tally import --dry-run`: what would be counted, without a server.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use tally_proto::wire::OTHER_PATH;
use tokio::sync::mpsc;

use super::feed::Fed;
use super::send::Outcome;
use crate::commands::requests::methods;
use crate::output::table::{self, Align};
use crate::output::{self, csv, thousands, visible};

const ENDPOINTS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct DryRun {
    /// By method, then path.
    counts: BTreeMap<i32, HashMap<String, u64>>,
    endpoints: usize,
}

// === impl DryRun ===

impl DryRun {
    pub(super) async fn take(
        &mut self,
        mut chunks: mpsc::Receiver<Fed>,
        news: &mut dyn FnMut(u64, u64),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(fed) = chunks.recv().await {
            match fed {
                Fed::Whole(..) => {}
                Fed::Failed(failure) => outcome.failures.push(failure),
                Fed::Chunk(chunk) => {
                    outcome.counted += chunk.entries.requests() as u64;
                    outcome.counts.add(chunk.counts);
                    for entry in chunk.entries.iter() {
                        self.add(entry.method, &entry.path, entry.times.into());
                    }
                    news(chunk.bytes, outcome.counted);
                }
            }
        }
        outcome
    }

    fn add(&mut self, method: i32, path: &str, times: u64) {
        let counts = self.counts.entry(method).or_default();
        if let Some(count) = counts.get_mut(path) {
            *count += times;
            return;
        }
        let path = if self.endpoints < ENDPOINTS_MAX { path } else { OTHER_PATH };
        let count = counts.entry(path.to_owned()).or_default();
        self.endpoints += usize::from(*count == 0);
        *count += times;
    }

    pub(super) fn endpoints(&self) -> usize {
        self.endpoints
    }

    /// The most called first.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(self.endpoints);
        for (method, counts) in &self.counts {
            rows.extend(counts.iter().map(|(path, count)| (*method, &**path, *count)));
        }
        rows.sort_unstable_by_key(|(method, path, count)| (Reverse(*count), *method, *path));
        rows
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        let rows = self.rows();
        let mut out = output::stdout();
        let result = if output::stdout_is_terminal() {
            print_table(&mut out, &rows)
        } else {
            print_csv(&mut out, &rows)
        };
        output::written(result.and_then(|()| out.flush())).map(|_| ())
    }
}

/// Method, path, count.
type Row<'a> = (i32, &'a str, u64);

fn print_table(out: &mut impl Write, rows: &[Row<'_>]) -> io::Result<()> {
    let columns = [("method", Align::Left), ("path", Align::Shorten), ("count", Align::Right)];
    let rows = rows.iter().map(|(method, path, count)| {
        [methods::name(*method), visible(path), Cow::Owned(thousands(*count))]
    });
    table::write(out, output::terminal_columns(), columns, rows)
}

fn print_csv(out: &mut impl Write, rows: &[Row<'_>]) -> io::Result<()> {
    out.write_all(b"method,path,count\n")?;
    rows.iter().try_for_each(|(method, path, count)| {
        writeln!(out, "{},{},{count}", csv::quoted(&methods::name(*method)), csv::quoted(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_called_come_first() {
        let mut dry_run = DryRun::default();
        for (method, path, times) in [(3, "/b", 2), (6, "/c,d", 2), (3, "/a", 2), (6, "/c,d", 1)] {
            dry_run.add(method, path, times);
        }
        let mut out = Vec::new();
        print_csv(&mut out, &dry_run.rows()).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "method,path,count\nPOST,\"/c,d\",3\nGET,/a,2\nGET,/b,2\n");
        assert_eq!(dry_run.endpoints(), 3);
    }
}
