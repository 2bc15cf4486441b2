//! Reading daily totals by COPY, for large answers.

use bytes::{Buf as _, BytesMut};
use futures_util::{StreamExt as _, pin_mut};
use tally_runtime::Kind;
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::postgres::Transaction;

use super::super::Result;
use super::super::kept::Reading;
use crate::model::{Day, EndpointId};
use crate::totals::{Collector, TooMany};

/// The signature, flags and extension length before the first row.
const HEADER_BYTES: usize = 19;
/// Postgres counts days from 2000-01-01.
const POSTGRES_EPOCH_DAYS: i32 = 10_957;
/// A field count, and three fields of 4, 8 and 8 bytes with their lengths.
const ROW_BYTES: usize = 2 + (4 + 4) + (4 + 8) + (4 + 8);

/// Cuts the bytes of a COPY into rows, however they come.
#[derive(Debug, Default)]
struct Rows {
    waiting: BytesMut,
    has_begun: bool,
}

/// Takes the daily totals of the days that the reading lacks.
pub(super) async fn daily_totals(
    transaction: &Transaction<'_>,
    reading: &mut Reading<'_>,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let step = "read daily totals";
    let ranges = reading.rest().iter().map(|days| format!("({}, {})", days.first.0, days.last.0));
    let ranges = ranges.collect::<Vec<_>>().join(", ");
    let sql = include_str!("daily_totals_copy.sql").replace(":ranges", &ranges);
    let parts = transaction.copy_out(&sql).await.step(step)?;
    pin_mut!(parts);
    let mut rows = Rows::default();
    while let Some(part) = parts.next().await {
        rows.waiting.extend_from_slice(&part.step(step)?);
        while let Some((day, endpoint, total)) = rows.next()? {
            if reading.found(day, endpoint, total, collector).is_err() {
                return Ok(Err(TooMany));
            }
        }
    }
    Ok(Ok(()))
}

// === impl Rows ===

impl Rows {
    /// The next row, if all of it is there.
    fn next(&mut self) -> Result<Option<(Day, EndpointId, i64)>> {
        if !self.has_begun {
            if self.waiting.len() < HEADER_BYTES {
                return Ok(None);
            }
            self.waiting.advance(HEADER_BYTES);
            self.has_begun = true;
        }
        if self.waiting.len() < ROW_BYTES {
            // At the very end two bytes are left, which say that there are no more rows.
            return Ok(None);
        }
        let mut row = self.waiting.split_to(ROW_BYTES);
        let shape = (row.get_i16(), row.get_i32());
        let day = Day(row.get_i32() + POSTGRES_EPOCH_DAYS);
        let shape = (shape, row.get_i32());
        let endpoint = row.get_i64();
        if (shape, row.get_i32()) != (((3, 4), 8), 8) {
            return Err(Error::permanent("read daily totals in the COPY format", Kind::Internal));
        }
        Ok(Some((day, endpoint, row.get_i64())))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    #[test]
    fn rows_are_found_however_the_bytes_come() {
        let mut bytes = BytesMut::new();
        bytes.put_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        for row in 0..3_i32 {
            bytes.put_i16(3);
            bytes.put_i32(4);
            bytes.put_i32(row - POSTGRES_EPOCH_DAYS);
            bytes.put_i32(8);
            bytes.put_i64(i64::from(row) * 10);
            bytes.put_i32(8);
            bytes.put_i64(i64::from(row) * 100);
        }
        bytes.put_i16(-1);
        for size in [1, 7, 34, 1000] {
            let mut rows = Rows::default();
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                rows.waiting.extend_from_slice(part);
                while let Some(row) = rows.next().unwrap() {
                    found.push(row);
                }
            }
            assert_eq!(found, [(Day(0), 0, 0), (Day(1), 10, 100), (Day(2), 20, 200)]);
        }
    }

    #[test]
    fn another_shape_is_an_error() {
        let mut rows = Rows { has_begun: true, ..Rows::default() };
        rows.waiting.put_bytes(1, ROW_BYTES);
        assert!(rows.next().is_err());
    }
}
