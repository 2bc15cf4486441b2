//! Counting the rows of trays by quarter and series, part by part.

use futures_util::{StreamExt as _, stream};
use hashbrown::HashMap;
use tally_store::postgres::Transaction;
use tokio_postgres::Row;

use super::super::Result;
use super::micros::Micros;
use super::trays::Tray;
use crate::books::Posting;
use crate::model::{Quarter, SeriesId};

/// How many quarters and series are counted in memory, before the last part: 30 MiB.
const COUNTS_MAX: usize = 1 << 19;
/// Blocks of one part: 4 MiB, some 95,000 rows at most.
const PART_BLOCKS: usize = 512;

/// The requests of each quarter and series in the parts that were counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    quarters: HashMap<Quarter, HashMap<SeriesId, i64>>,
}

/// What a part of a tray has.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The series of the rows that are one request each, one after another, if all are of one quarter.
    singles: Option<(Quarter, Row)>,
    /// The requests of all other rows.
    rest: Vec<(Quarter, SeriesId, i64)>,
}

/// The parts of a tray that takes no rows now. The database looks for this many at a time.
pub(super) async fn parts(
    transaction: &Transaction,
    tray: Tray,
    at_once: usize,
) -> Result<impl stream::Stream<Item = Result<Part>> + Unpin> {
    let sql = include_str!("tray_blocks.sql");
    let blocks: i64 = transaction.row("measure a tray", sql, &[&tray.name()]).await?.get(0);
    let parts = (0..blocks).step_by(PART_BLOCKS).map(move |first| part(transaction, tray, first));
    Ok(stream::iter(parts).buffered(at_once).boxed())
}

async fn part(transaction: &Transaction, tray: Tray, first: i64) -> Result<Part> {
    let step = "count a part of a tray";
    let [begin, end] = [first, first + PART_BLOCKS as i64].map(|block| format!("({block},0)"));
    let sql = tray.sql(include_str!("count_part.sql"));
    let row = transaction.row(step, &sql, &[&begin, &end]).await?;
    let quarter = |time: Micros| Quarter::of_micros(time.0);
    let [first, last] = [1, 2].map(|column| row.get::<_, Option<Micros>>(column).map(quarter));
    let Some(first) = first else { return Ok(Part::default()) };
    let is_one = last == Some(first);
    let mut rest = Vec::new();
    if !is_one || row.get::<_, i64>(3) > 0 {
        let sql = tray.sql(include_str!("count_blocks.sql"));
        let rows = transaction.rows(step, &sql, &[&begin, &end, &!is_one]).await?;
        rest = rows.iter().map(counted).collect();
    }
    Ok(Part { singles: is_one.then_some((first, row)), rest })
}

fn counted(row: &Row) -> (Quarter, SeriesId, i64) {
    let Micros(start) = row.get(0);
    (Quarter::of_micros(start), row.get(1), row.get(2))
}

// === impl Counted ===

impl Counted {
    /// Adds what a part has. Sums saturate at 64 bits.
    pub(super) fn add(&mut self, part: Part) {
        if let Some((quarter, row)) = part.singles {
            let counts = self.quarters.entry(quarter).or_default();
            let series: Option<&[u8]> = row.get(0);
            for series in series.unwrap_or_default().as_chunks().0 {
                let count = counts.entry(SeriesId::from_be_bytes(*series)).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (quarter, series, requests) in part.rest {
            let count = self.quarters.entry(quarter).or_default().entry(series).or_default();
            *count = count.saturating_add(requests);
        }
    }

    /// Whether no further part should be added to it.
    pub(super) fn is_full(&self) -> bool {
        self.quarters.values().map(HashMap::len).sum::<usize>() >= COUNTS_MAX
    }

    /// Takes what was counted.
    pub(super) fn take(&mut self) -> Vec<Posting> {
        let quarters = std::mem::take(&mut self.quarters).into_iter();
        let postings = |(quarter, counts): (_, HashMap<_, _>)| {
            let posting = move |(series, requests)| Posting::of_quarter(quarter, series, requests);
            counts.into_iter().map(posting)
        };
        quarters.flat_map(postings).collect()
    }
}
