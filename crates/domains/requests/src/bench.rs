//! Single steps of taking requests in, for benchmarks. Each goes through many requests, so that the call
//! costs nothing.

use std::sync::Arc;

use bytes::Bytes;
use tally_producers::Content as _;
use tally_producers::stream::Builder as _;
use tally_proto::wire::PATH_BYTES_MAX;
use tally_runtime::SystemClock;

use crate::ahead::Ahead;
use crate::batch::{self, Batch, RecordLimits, Request};
use crate::grpc::add::message::{Framing, Plain};
use crate::grpc::add::{Chunk, MESSAGE_BYTES_MAX, Wrong, recent};
use crate::intake::Intake;
use crate::metrics::Measured;
use crate::model::{Namespace, Series, SeriesRef};
use crate::rows::{self, Row, Rows, RowsBuilder};
use crate::series::{KnownSeries, REQUESTS_ENOUGH};
use crate::store::postgres::copy;
use crate::{Resolution, SeriesId};

/// A server without a database, which has all names.
pub struct Server(Intake);

/// A batch as a `Record` stream brings it.
pub struct Read(Batch);

// === impl Server ===

impl Server {
    /// It knows these series.
    pub fn new(resolution: Resolution, series: &[Series]) -> Self {
        let known = KnownSeries::new(series.len() + 1);
        let belief = known.belief();
        let named = known.resolve(series.iter().map(|one| (one.into(), REQUESTS_ENOUGH)));
        named.iter().for_each(|named| named.confirm(belief));
        Self(Intake {
            series: Arc::new(known),
            clock: Arc::new(SystemClock),
            path_bytes_max: PATH_BYTES_MAX,
            ahead: Ahead::new(),
            record: RecordLimits::default(),
            resolution,
            measured: Arc::new(Measured::new(0)),
        })
    }

    /// Takes in what an `Add` stream brings in a frame, and returns how many rows that is.
    pub fn add(&self, frame: Bytes) -> usize {
        let (mut chunk, mut rows) = (Chunk::new(&self.0, Namespace::DEFAULT), 0);
        let (mut framing, mut wrong) = (Framing::new(MESSAGE_BYTES_MAX), Wrong::default());
        framing.put(frame);
        loop {
            chunk.take_all(&self.0, &mut framing, &mut wrong).expect("it is whole");
            chunk.len = 0;
            match chunk.rows.take(self.0.series.belief()).rows() {
                0 => return rows,
                more => rows += more,
            }
        }
    }

    /// Looks series up in the table that all threads share; returns how many it has.
    pub fn find(&self, all: &[Series]) -> usize {
        let view = self.0.series.view();
        all.iter().filter(|one| view.find(SeriesRef::from(*one)).is_some()).count()
    }

    /// Looks endpoints up in this thread's cache, and puts there those that it lacks; returns how many it
    /// had.
    pub fn find_recent(&self, all: &[(i32, Series)]) -> usize {
        recent::with(&self.0.series, Namespace::DEFAULT, |recent| {
            let had = |recent: &mut recent::Recent, (method, series): &(i32, Series)| {
                let is_there = recent.find(*method, series.path.as_bytes()).is_some();
                if !is_there {
                    self.0.series.find(series.into(), |named| recent.note(*method, named));
                }
                is_there
            };
            all.iter().filter(|one| had(recent, one)).count()
        })
    }

    /// Makes rows of a batch; `ids` are those of the stream's series.
    pub fn encode(&self, Read(batch): &Read, ids: &[SeriesId]) -> Rows {
        let mut rows = self.0.builder();
        let rules = self.0.rules(Namespace::DEFAULT);
        batch::add_rows(batch, ids, rules, &mut rows).expect("it is valid");
        rows.finish()
    }
}

/// Decodes the messages of a frame of an `Add` stream, and returns how many they are.
pub fn decode(frame: Bytes) -> usize {
    let mut framing = Framing::new(MESSAGE_BYTES_MAX);
    framing.put(frame);
    let mut decoded = 0;
    while let Some(message) = framing.next().expect("it is whole") {
        decoded += usize::from(Plain::read(message).is_some());
    }
    decoded
}

/// Reads the message of a batch in place.
pub fn read(message: Bytes) -> Read {
    let Ok(Request::Batch(batch)) = Request::read(message) else { panic!("a batch") };
    batch::entries(&batch, &RecordLimits::default()).expect("it is valid");
    Read(batch)
}

/// Adds requests up by series and step.
pub fn add_up(requests: &[Row], resolution: Resolution) -> Rows {
    let mut rows = RowsBuilder::new(0, resolution);
    requests.iter().for_each(|row| rows.push(row.series, row.micros, row.requests));
    rows.finish()
}

/// Merges what streams have brought, and returns how many rows that is.
pub fn merge(all: Vec<Rows>) -> usize {
    rows::merge(all).iter().map(Rows::rows).sum()
}

/// Encodes rows for COPY, and returns how many bytes they take.
pub fn copy(rows: &Rows, counted: bool) -> usize {
    pieces(rows.iter(), counted).map(|piece| piece.len()).sum()
}

/// What COPY gets for rows, piece by piece.
pub fn pieces(rows: impl Iterator<Item = Row>, counted: bool) -> impl Iterator<Item = Bytes> {
    copy::pieces(rows, counted)
}
