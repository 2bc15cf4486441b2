//! Rows and times in the binary form that Postgres takes.
//!
//! A row is encoded once, as it comes, for COPY: the number of fields, then the length and value of
//! the series' id and of the time, 26 bytes in all. Postgres counts times from 2000-01-01.

use std::error::Error as StdError;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::model::EndpointId;

/// 2000-01-01 UTC in microseconds since 1970-01-01 UTC.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The signature, flags and extension length of Postgres's binary COPY format.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the format: a field count of -1.
pub(crate) const TRAILER: &[u8] = b"\xff\xff";

/// Bytes that one row takes.
pub(crate) const ROW_BYTES: usize = 26;

/// A row with two fields of 8 bytes, all 0.
const ROW: [u8; ROW_BYTES] = {
    let mut row = [0; ROW_BYTES];
    (row[1], row[5], row[17]) = (2, 8, 8);
    row
};

/// A time as Postgres keeps it, from microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Micros(pub(crate) i64);

/// A request of an endpoint at `micros` since 1970-01-01 UTC.
pub(crate) fn row(endpoint: EndpointId, micros: i64) -> [u8; ROW_BYTES] {
    let mut row = ROW;
    row[6..14].copy_from_slice(&endpoint.to_be_bytes());
    row[18..].copy_from_slice(&(micros - EPOCH_MICROS).to_be_bytes());
    row
}

/// The endpoints and times of rows.
pub(crate) fn rows(bytes: &[u8]) -> impl ExactSizeIterator<Item = (EndpointId, i64)> + '_ {
    let int = |bytes: &[u8]| {
        i64::from_be_bytes(bytes.try_into().expect("a row's fields have eight bytes"))
    };
    bytes
        .chunks_exact(ROW_BYTES)
        .map(move |row| (int(&row[6..14]), int(&row[18..26]) + EPOCH_MICROS))
}

// === impl Micros ===

impl ToSql for Micros {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_i64(self.0 - EPOCH_MICROS);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}
