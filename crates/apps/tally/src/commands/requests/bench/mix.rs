//! Which series requests are of, and how they look on the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::{Batch, RecordRequest, Series};

use super::args::{Mix, Via};

/// How many requests are drawn; streams go round these. More for many series, so that all of them come.
const DRAWN_MIN: usize = 1 << 17;
const DRAWN_OF_A_SERIES: usize = 4;

/// The method of all requests: GET.
const METHOD: (i32, &str) = (3, "GET");
const SERVICE: &str = "tally-bench";
const STATUS: u32 = 200;

/// gRPC's prefix of a message: not compressed, and a length.
const PREFIX: [u8; 5] = [0; 5];

/// How large a message that names series may become: half of what a server allows, which leaves
/// room for requests.
const NAMES_BYTES_MAX: usize = 1 << 19;

/// What every series and request of a run looks like.
pub(super) struct Work {
    /// The series of each request, in the order in which they are sent.
    drawn: Vec<u32>,
    /// `drawn`, cut into batches of this many requests: the lists of their numbers, encoded one after
    /// another.
    rows: usize,
    numbers: Vec<u8>,
    number_ends: Vec<u32>,
    /// The list of times of a whole batch after the first one, encoded, and the time from the first to
    /// the last of them.
    deltas: Bytes,
    span: i64,
    /// From one request of a stream to the next, in microseconds.
    gap: f64,
    /// What names the series.
    pub(super) names: Vec<Names>,
    /// How `count.v1` names each series: gRPC's prefix and the first fields of its messages, one after
    /// another.
    heads: Vec<u8>,
    head_ends: Vec<u32>,
}

/// Successive series that are named together.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The number of the first one.
    first: u32,
    series: Vec<Series>,
}

/// The field of a time as `AddRequest` has it, encoded. Successive times mostly have the same second.
#[derive(Default)]
struct Time {
    bytes: [u8; Self::BYTES_MAX],
    /// The second that is there, and the end of it.
    second: Option<i64>,
    second_end: usize,
}

/// How large things are that are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// How many requests a send has.
    pub(super) rows: u64,
    /// How many requests a call of `Add` has.
    pub(super) call: u64,
    /// How much time is between two requests of a stream, in microseconds.
    pub(super) gap: f64,
}

// === impl Work ===

impl Work {
    pub(super) fn new(via: Via, names: Vec<Names>, mix: Mix, seed: u64, shape: Shape) -> Self {
        let rows = usize::try_from(shape.rows).expect("bounded by its flag");
        let series = names.iter().map(|names| names.series.len()).sum();
        let mut work = Self {
            drawn: draw(series, mix, seed, rows),
            rows,
            numbers: Vec::new(),
            number_ends: Vec::new(),
            deltas: Bytes::new(),
            span: 0,
            gap: shape.gap,
            names,
            heads: Vec::new(),
            head_ends: Vec::new(),
        };
        match via {
            Via::Record => {
                (work.deltas, work.span) = deltas(rows, work.gap);
                for drawn in work.drawn.chunks_exact(rows) {
                    numbers(drawn, &mut work.numbers);
                    work.number_ends.push(end(&work.numbers));
                }
            }
            Via::Add => work.add_heads(),
        }
        work
    }

    /// A batch whose last request is of this time. `turn` says which of the requests that were drawn it
    /// has: the same ones for the same number.
    pub(super) fn batch(&self, sequence: u64, turn: u64, rows: u64, last_micros: i64) -> Bytes {
        let place = (turn % self.number_ends.len() as u64) as usize;
        let rows = usize::try_from(rows).expect("at most a whole batch");
        if rows == self.rows {
            let numbers = part(&self.numbers, &self.number_ends, place);
            return message(sequence, numbers, (&self.deltas, self.span), rows, last_micros);
        }
        let (mut list, (deltas, span)) = (Vec::new(), deltas(rows, self.gap));
        numbers(&self.drawn[place * self.rows..][..rows], &mut list);
        message(sequence, &list, (&deltas, span), rows, last_micros)
    }

    /// Messages of `Add` with their prefixes, for requests from `at` on of those that were drawn.
    pub(super) fn messages(&self, at: u64, rows: u64, last_micros: i64) -> Bytes {
        let bytes = self.heads.len() / self.head_ends.len() + Time::BYTES_MAX;
        let mut frame = Vec::with_capacity(rows as usize * bytes);
        let mut place = (at % self.drawn.len() as u64) as usize;
        let first_micros = last_micros - (self.gap * (rows - 1) as f64) as i64;
        let mut time = Time::default();
        for n in 0..rows {
            let head = part(&self.heads, &self.head_ends, self.drawn[place] as usize);
            place = if place + 1 == self.drawn.len() { 0 } else { place + 1 };
            let time = time.encode(first_micros + (self.gap * n as f64) as i64);
            let length = (head.len() - PREFIX.len() + time.len()) as u32;
            let begin = frame.len();
            frame.extend_from_slice(head);
            frame[begin + 1..begin + PREFIX.len()].copy_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(time);
        }
        frame.into()
    }

    fn add_heads(&mut self) {
        for series in self.names.iter().flat_map(|names| &names.series) {
            self.heads.extend(PREFIX);
            self.heads.extend([0x08, METHOD.0 as u8, 0x12]);
            encode_varint(series.path.len() as u64, &mut self.heads);
            self.heads.extend(series.path.as_bytes());
            self.head_ends.push(end(&self.heads));
        }
    }
}

// === impl Time ===

impl Time {
    /// Two bytes before the message, ten bytes and a tag of seconds, five and a tag of nanoseconds.
    const BYTES_MAX: usize = 2 + 11 + 6;

    #[inline]
    fn encode(&mut self, micros: i64) -> &[u8] {
        let second = micros.div_euclid(1_000_000);
        if self.second != Some(second) {
            (self.bytes[0], self.bytes[2], self.second) = (0x1a, 0x08, Some(second));
            self.second_end = self.varint(3, second.cast_unsigned());
        }
        let nanos = micros.rem_euclid(1_000_000).cast_unsigned() * 1_000;
        let mut end = self.second_end;
        if nanos > 0 {
            self.bytes[end] = 0x10;
            end = self.varint(end + 1, nanos);
        }
        self.bytes[1] = (end - 2) as u8;
        &self.bytes[..end]
    }

    /// Writes a number, and returns its end.
    #[inline]
    fn varint(&mut self, at: usize, number: u64) -> usize {
        let (mut at, mut rest) = (at, number);
        while rest >= 0x80 {
            self.bytes[at] = rest as u8 | 0x80;
            (at, rest) = (at + 1, rest >> 7);
        }
        self.bytes[at] = rest as u8;
        at + 1
    }
}

// === impl Names ===

impl Names {
    /// How many requests the batch has that names them.
    pub(super) fn rows(&self, with_all: bool) -> u64 {
        if with_all { self.series.len() as u64 } else { 1 }
    }

    /// A batch that names them, with a request of each or of the first one.
    pub(super) fn batch(&self, sequence: u64, with_all: bool, micros: i64) -> Bytes {
        let count = u32::try_from(self.rows(with_all)).expect("at most 100,000 series");
        let mut time_delta = vec![0; count as usize];
        time_delta[0] = micros;
        let batch = Batch {
            sequence,
            series: self.series.clone(),
            number: (self.first..self.first + count).collect(),
            time_delta,
            count,
            ..Batch::default()
        };
        RecordRequest { kind: Some(Kind::Batch(batch)) }.encode_to_vec().into()
    }
}

/// The series of a run, in messages of bounded size.
pub(super) fn names(via: Via, series: usize, prefix: &str) -> Vec<Names> {
    // `Add` has no words for the others.
    let (service, status) = match via {
        Via::Add => ("", 0),
        Via::Record => (SERVICE, STATUS),
    };
    let one = |n: usize| Series {
        service: service.to_owned(),
        method: METHOD.1.to_owned(),
        path: format!("{prefix}{n}"),
        status,
        customer: String::new(),
    };
    let last = one(series - 1);
    let together = (NAMES_BYTES_MAX / (last.encoded_len() + 16)).max(1);
    let all: Vec<Series> = (0..series).map(one).collect();
    let chunks = all.chunks(together).enumerate();
    let first = |chunk: usize| u32::try_from(chunk * together).expect("at most 100,000 series");
    chunks.map(|(n, series)| Names { first: first(n), series: series.to_vec() }).collect()
}

/// The series of successive requests: whole batches of them.
fn draw(series: usize, mix: Mix, seed: u64, rows: usize) -> Vec<u32> {
    let count = DRAWN_MIN.max(series * DRAWN_OF_A_SERIES).div_ceil(rows) * rows;
    // Sums of the weights up to each series.
    let weight = |n: usize| match mix {
        Mix::Uniform => 1.0,
        Mix::Zipf => 1.0 / (n + 1) as f64,
    };
    let sums = (0..series).scan(0.0, |sum, n| {
        *sum += weight(n);
        Some(*sum)
    });
    let sums: Vec<f64> = sums.collect();
    let all = sums.last().copied().unwrap_or_default();
    let pick = |n: usize| {
        let at = (mixed(seed, n as u64) >> 11) as f64 / (1_u64 << 53) as f64 * all;
        u32::try_from(sums.partition_point(|sum| *sum <= at).min(series - 1)).expect("few series")
    };
    (0..count).map(pick).collect()
}

/// A number that depends on these two only: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) fn mixed(seed: u64, number: u64) -> u64 {
    let mut mixed = (seed ^ number.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}

fn numbers(drawn: &[u32], into: &mut Vec<u8>) {
    drawn.iter().for_each(|series| encode_varint(u64::from(*series), into));
}

/// The part at this place of parts that lie one after another.
#[inline]
fn part<'a>(all: &'a [u8], ends: &[u32], place: usize) -> &'a [u8] {
    let from = if place == 0 { 0 } else { ends[place - 1] };
    &all[from as usize..ends[place] as usize]
}

fn end(all: &[u8]) -> u32 {
    u32::try_from(all.len()).expect("100,000 paths of 2 KB are below 4 GB")
}

/// The differences of times after the first one, and their sum.
fn deltas(rows: usize, gap: f64) -> (Bytes, i64) {
    let (mut bytes, mut before) = (BytesMut::with_capacity(rows), 0);
    for n in 1..rows {
        let micros = (gap * n as f64) as i64;
        encode_varint(zigzag(micros - before), &mut bytes);
        before = micros;
    }
    (bytes.freeze(), before)
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// A `RecordRequest` with a batch, as prost encodes it.
fn message(
    sequence: u64,
    numbers: &[u8],
    (deltas, span): (&[u8], i64),
    rows: usize,
    last_micros: i64,
) -> Bytes {
    let first = zigzag(last_micros - span);
    let (count, times) = (rows as u64, encoded_len_varint(first) + deltas.len());
    let list = |bytes: usize| 1 + encoded_len_varint(bytes as u64) + bytes;
    let number = |number| 1 + encoded_len_varint(number);
    let length = number(sequence) + list(numbers.len()) + list(times) + number(count);
    let mut bytes = BytesMut::with_capacity(list(length));
    bytes.put_u8(0x12);
    encode_varint(length as u64, &mut bytes);
    bytes.put_u8(0x08);
    encode_varint(sequence, &mut bytes);
    bytes.put_u8(0x1a);
    encode_varint(numbers.len() as u64, &mut bytes);
    bytes.put_slice(numbers);
    bytes.put_u8(0x22);
    encode_varint(times as u64, &mut bytes);
    encode_varint(first, &mut bytes);
    bytes.put_slice(deltas);
    bytes.put_u8(0x28);
    encode_varint(count, &mut bytes);
    bytes.freeze()
}

#[cfg(test)]
mod tests;
