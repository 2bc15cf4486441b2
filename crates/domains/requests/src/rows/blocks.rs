//! A list of rows that grows without being moved: what is reserved beyond its rows is less than a block.

use super::Row;

/// Rows of a block: 48 KiB.
const BLOCK_ROWS: usize = 2_048;

/// Rows in blocks, which are full but for the last one.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Vec<Row>>);

// === impl Blocks ===

impl Blocks {
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * BLOCK_ROWS + last.len())
    }

    #[inline]
    pub(super) fn push(&mut self, row: Row) {
        match self.0.last_mut() {
            Some(last) if last.len() < BLOCK_ROWS => last.push(row),
            _ => self.begin_block(row),
        }
    }

    #[cold]
    fn begin_block(&mut self, row: Row) {
        // A list that fits into one block grows as it needs to.
        let rows = if self.0.is_empty() { 0 } else { BLOCK_ROWS };
        let mut block = Vec::with_capacity(rows);
        block.push(row);
        self.0.push(block);
    }

    #[inline]
    pub(super) fn at(&self, at: usize) -> &Row {
        &self.0[at / BLOCK_ROWS][at % BLOCK_ROWS]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, at: usize) -> &mut Row {
        &mut self.0[at / BLOCK_ROWS][at % BLOCK_ROWS]
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows.div_ceil(BLOCK_ROWS));
        if let Some(last) = self.0.last_mut() {
            last.truncate(rows - (rows - 1) / BLOCK_ROWS * BLOCK_ROWS);
        }
    }

    /// The rows from this place on.
    pub(super) fn from(&self, at: usize) -> impl Iterator<Item = &Row> + Clone {
        let blocks = self.0.get(at / BLOCK_ROWS..).unwrap_or_default();
        blocks.iter().flatten().skip(at % BLOCK_ROWS)
    }
}

impl FromIterator<Row> for Blocks {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut blocks = Self::default();
        rows.into_iter().for_each(|row| blocks.push(row));
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_one_list() {
        let row = |n: usize| Row { series: n as i64, micros: 0, requests: 1 };
        let sizes = [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS];
        for rows in sizes {
            let mut blocks: Blocks = (0..rows).map(row).collect();
            assert_eq!(blocks.len(), rows);
            for at in sizes.into_iter().filter(|at| *at <= rows) {
                assert!(blocks.from(at).copied().eq((at..rows).map(row)), "{rows} from {at}");
            }
            for at in sizes.into_iter().rev().filter(|at| *at <= rows) {
                blocks.truncate(at);
                assert!(blocks.from(0).copied().eq((0..at).map(row)), "{rows} up to {at}");
                if let Some(last) = at.checked_sub(1) {
                    blocks.at_mut(last).requests += 1;
                    assert_eq!(blocks.at(last).requests, 2);
                    blocks.at_mut(last).requests -= 1;
                }
            }
            blocks.push(row(7));
            assert_eq!((blocks.len(), *blocks.at(0)), (1, row(7)));
        }
    }
}
