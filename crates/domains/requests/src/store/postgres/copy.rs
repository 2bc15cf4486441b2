//! Postgres's binary COPY format, in pieces: for each row the number of its fields, and the length and
//! value of each.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::micros::EPOCH_MICROS;
use crate::rows::Row;

/// The signature, flags and extension length.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end: a field count of -1.
const TRAILER: &[u8] = b"\xff\xff";

/// How large a piece is: what is copied is never in memory twice.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes of a row with two fields, and with three.
const TWO: usize = 26;
const THREE: usize = 38;
/// With a third field that is NULL: its length is -1.
const NULL: usize = 30;

/// A row of so many fields of 8 bytes each, all 0.
const fn row<const BYTES: usize>(fields: u8) -> [u8; BYTES] {
    let mut row = [0; BYTES];
    row[1] = fields;
    (row[5], row[17]) = (8, 8);
    row
}

/// Encodes rows: series and time, and if `counted` how many requests each is, or NULL for one.
pub(crate) fn pieces(
    mut rows: impl Iterator<Item = Row>,
    counted: bool,
) -> impl Iterator<Item = Bytes> {
    let mut piece = BytesMut::from(HEADER);
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        piece.reserve(PIECE_BYTES);
        while piece.len() < PIECE_BYTES - THREE {
            match rows.next() {
                Some(row) if !counted => piece.put_slice(&two(row)),
                Some(row) if row.requests == 1 => piece.put_slice(&null(row)),
                Some(row) => piece.put_slice(&three(row)),
                None => {
                    piece.put_slice(TRAILER);
                    is_over = true;
                    break;
                }
            }
        }
        Some(piece.split().freeze())
    })
}

fn two(row_: Row) -> [u8; TWO] {
    const EMPTY: [u8; TWO] = row(2);
    fill(EMPTY, row_)
}

fn null(row_: Row) -> [u8; NULL] {
    const EMPTY: [u8; NULL] = {
        let mut row = row(3);
        (row[26], row[27], row[28], row[29]) = (0xff, 0xff, 0xff, 0xff);
        row
    };
    fill(EMPTY, row_)
}

fn three(row_: Row) -> [u8; THREE] {
    const EMPTY: [u8; THREE] = {
        let mut row = row(3);
        row[29] = 8;
        row
    };
    let mut bytes = fill(EMPTY, row_);
    bytes[30..].copy_from_slice(&row_.requests.to_be_bytes());
    bytes
}

fn fill<const BYTES: usize>(mut bytes: [u8; BYTES], row: Row) -> [u8; BYTES] {
    bytes[6..14].copy_from_slice(&row.series.to_be_bytes());
    bytes[18..26].copy_from_slice(&(row.micros - EPOCH_MICROS).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(rows: &[Row], counted: bool) -> Vec<u8> {
        pieces(rows.iter().copied(), counted).flatten().collect()
    }

    /// As the documentation of COPY has it.
    #[test]
    fn a_row_has_its_fields() {
        let one = Row { series: 1, micros: EPOCH_MICROS + 2, requests: 1 };
        let many = Row { requests: 3, ..one };
        let field = |value: i64| [&8_i32.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let null = (-1_i32).to_be_bytes().to_vec();
        let row = |fields: &[Vec<u8>]| {
            [&(fields.len() as i16).to_be_bytes()[..], &fields.concat()].concat()
        };
        let two = row(&[field(1), field(2)]);
        assert_eq!(bytes(&[one], false), [HEADER, &two, TRAILER].concat());
        let (single, merged) =
            (row(&[field(1), field(2), null]), row(&[field(1), field(2), field(3)]));
        assert_eq!(bytes(&[one, many], true), [HEADER, &single, &merged, TRAILER].concat());
        assert_eq!(bytes(&[], true), [HEADER, TRAILER].concat());
    }

    #[test]
    fn pieces_are_small_and_whole() {
        let rows: Vec<Row> =
            (0..10_000).map(|n| Row { series: n, micros: 0, requests: n % 3 + 1 }).collect();
        let all: Vec<Bytes> = pieces(rows.iter().copied(), true).collect();
        assert!(all.len() > 4 && all.iter().all(|piece| piece.len() <= PIECE_BYTES));
        let length: usize = all.iter().map(Bytes::len).sum();
        let expected: usize =
            rows.iter().map(|row| if row.requests == 1 { NULL } else { THREE }).sum();
        assert_eq!(length, HEADER.len() + expected + TRAILER.len());
    }
}
