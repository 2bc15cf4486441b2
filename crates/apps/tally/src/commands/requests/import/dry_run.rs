//! `tally import --dry-run`: what would be counted, without a server.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use tally_proto::wire::OTHER_PATH;
use tokio::sync::mpsc;

use super::feed::Fed;
use super::position::Position;
use super::send::Outcome;
use crate::commands::requests::methods;
use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat};

const ENDPOINTS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct DryRun {
    /// By method, then path.
    counts: BTreeMap<i32, HashMap<String, u64>>,
    pub(super) endpoints: usize,
}

// === impl DryRun ===

impl DryRun {
    /// Counts an input, and returns how far it was read.
    pub(super) async fn take(
        &mut self,
        mut chunks: mpsc::Receiver<Fed>,
        all: &mut Outcome,
        news: &mut dyn FnMut(u64, u64),
    ) -> Position {
        let mut end = Position::default();
        while let Some(fed) = chunks.recv().await {
            match fed {
                Fed::Failed(failure) => all.failures.push(failure),
                Fed::Chunk(chunk) => {
                    all.counted += chunk.entries.requests() as u64;
                    all.counts.add(chunk.counts);
                    for entry in chunk.entries.iter() {
                        self.add(entry.method, &entry.path, entry.times.into());
                    }
                    end = chunk.end;
                    news(chunk.bytes, all.counted);
                }
            }
        }
        end
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

    /// The most called first.
    pub(super) fn print(&self, out: &mut impl Write, format: OutputFormat) -> io::Result<()> {
        let mut rows = Vec::with_capacity(self.endpoints);
        for (method, counts) in &self.counts {
            rows.extend(counts.iter().map(|(path, count)| (*method, &**path, *count)));
        }
        rows.sort_unstable_by_key(|(method, path, count)| (Reverse(*count), *method, *path));
        let columns = [("method", Align::Left), ("path", Align::Shorten), ("count", Align::Right)];
        let rows = rows.into_iter().map(|(method, path, count)| {
            let (method, path) = (methods::name(method), Cow::Borrowed(path));
            [Cell::Text(method), Cell::Text(path), Cell::Number(count.into())]
        });
        output::print(out, format, columns, rows)
    }
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
        dry_run.print(&mut out, OutputFormat::Csv).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "method,path,count\nPOST,\"/c,d\",3\nGET,/a,2\nGET,/b,2\n");
        assert_eq!(dry_run.endpoints, 3);
    }
}
