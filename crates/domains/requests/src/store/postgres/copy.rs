//! Postgres's binary COPY format, in pieces: for each row the number of its fields, and the length and
//! value of each.

use bytes::Bytes;

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
    let mut begins: &[u8] = HEADER;
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        piece.extend_from_slice(std::mem::take(&mut begins));
        let mut room =
            (PIECE_BYTES - HEADER.len() - TRAILER.len()) / if counted { THREE } else { TWO };
        rows.by_ref().take(room).for_each(|row| {
            room -= 1;
            match row.requests {
                _ if !counted => piece.extend_from_slice(&two(row)),
                1 => piece.extend_from_slice(&null(row)),
                _ => piece.extend_from_slice(&three(row)),
            }
        });
        if room > 0 {
            piece.extend_from_slice(TRAILER);
            is_over = true;
        }
        Some(piece.into())
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

    /// Also where the last row fills a piece.
    #[test]
    fn pieces_are_small_and_whole() {
        for (counted, fit) in [(false, PIECE_BYTES / TWO), (true, PIECE_BYTES / THREE)] {
            for len in (fit - 3..fit + 3).chain([5 * fit]) {
                let row = |n: i64| Row { series: n, micros: 0, requests: n % 3 + 1 };
                let rows: Vec<Row> = (0..).take(len).map(row).collect();
                let all: Vec<Bytes> = pieces(rows.iter().copied(), counted).collect();
                assert!(all.iter().all(|piece| piece.len() <= PIECE_BYTES));
                assert!(all.len() <= len.div_ceil(fit) + 1, "{} for {len} rows", all.len());
                let only = |row: &Row| {
                    let whole = bytes(&[*row], counted);
                    whole[HEADER.len()..whole.len() - TRAILER.len()].to_vec()
                };
                let rows: Vec<u8> = rows.iter().flat_map(only).collect();
                assert!(all.concat() == [HEADER, &rows, TRAILER].concat(), "{len} rows");
            }
        }
    }
}
