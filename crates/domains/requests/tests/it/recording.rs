//! A minimal client of `Record`.

use std::collections::HashMap;

use tally_proto::tally::producers::v1 as producers;

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::backend::{NOW, at};
use crate::server::Counting;

/// A stream with an open producer.
pub(crate) struct Recording {
    messages: mpsc::Sender<proto::RecordRequest>,
    pub(crate) answers: Streaming<producers::Acknowledgement>,
    pub(crate) opened: producers::Opened,
    /// The highest number that was acknowledged.
    pub(crate) committed: u64,
}

// === impl Recording ===

impl Recording {
    /// Opens a new producer.
    pub(crate) async fn start(counting: &Counting) -> Self {
        Self::open(counting, open(Uuid::now_v7(), 0, &[1])).await.expect("it opens")
    }

    /// Opens a producer.
    pub(crate) async fn open(counting: &Counting, open: producers::Open) -> Result<Self, Status> {
        let (messages, stream) = mpsc::channel(100_000);
        messages.try_send(message(Kind::Open(open))).expect("room");
        let mut client = counting.request_client().await;
        let mut answers = client.record(ReceiverStream::new(stream)).await?.into_inner();
        let first = answers.message().await?.expect("an answer before the end");
        let opened = first.opened.expect("the first answer says so");
        Ok(Self { messages, answers, opened, committed: first.committed_sequence })
    }

    pub(crate) fn send(&self, batch: proto::Batch) {
        // Closed if the stream was ended; its answer says why.
        let _ = self.messages.try_send(message(Kind::Batch(batch)));
    }

    pub(crate) fn send_kind(&self, kind: Option<Kind>) {
        let _ = self.messages.try_send(proto::RecordRequest { kind });
    }

    /// Waits until a batch is acknowledged.
    pub(crate) async fn acknowledged(&mut self, sequence: u64) -> Result<(), Status> {
        while self.committed < sequence {
            let answer = self.answers.message().await?.expect("an acknowledgement");
            assert!(answer.opened.is_none(), "opened twice");
            assert!(answer.committed_sequence >= self.committed, "the acknowledgement decreased");
            self.committed = answer.committed_sequence;
        }
        Ok(())
    }

    /// Half-closes the stream and waits for its end.
    pub(crate) async fn finish(self) -> Result<u64, Status> {
        let Self { messages, mut answers, mut committed, .. } = self;
        drop(messages);
        while let Some(answer) = answers.message().await? {
            committed = answer.committed_sequence;
        }
        Ok(committed)
    }

    /// Waits until the server ends the stream with an error.
    pub(crate) async fn ended(&mut self) -> Status {
        loop {
            match self.answers.message().await {
                Ok(Some(answer)) => self.committed = answer.committed_sequence,
                Ok(None) => panic!("it ended with OK"),
                Err(status) => return status,
            }
        }
    }
}

fn message(kind: Kind) -> proto::RecordRequest {
    proto::RecordRequest { kind: Some(kind) }
}

pub(crate) fn open(id: Uuid, epoch: u64, claims: &[u64]) -> producers::Open {
    let (producer_id, claims) = (id.as_bytes().to_vec(), claims.to_vec());
    producers::Open { producer_id, epoch, claims, name: "a test".into(), ..Default::default() }
}

/// A series with GET and this path.
pub(crate) fn series(path: &str) -> proto::Series {
    proto::Series { method: "GET".into(), path: path.into(), ..Default::default() }
}

/// A batch that names its own series, after `named` earlier ones.
pub(crate) fn batch(sequence: u64, named: u32, requests: &[(&str, &str)]) -> proto::Batch {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut batch = proto::Batch { sequence, ..Default::default() };
    let mut last = 0;
    for (path, time) in requests {
        let next = named + u32::try_from(numbers.len()).expect("few");
        let number = *numbers.entry(path).or_insert_with(|| {
            batch.series.push(series(path));
            next
        });
        batch.number.push(number);
        batch.time_delta.push(at(time) - std::mem::replace(&mut last, at(time)));
    }
    batch.count = u32::try_from(requests.len()).expect("few");
    batch
}

/// A batch of `rows` requests of series 0, which it names if it is the stream's first one.
pub(crate) fn many(sequence: u64, is_first: bool, rows: u32) -> proto::Batch {
    let mut time_delta = vec![0; rows as usize];
    if let Some(first) = time_delta.first_mut() {
        *first = at(NOW);
    }
    proto::Batch {
        sequence,
        series: is_first.then(|| series("/")).into_iter().collect(),
        number: vec![0; rows as usize],
        time_delta,
        count: rows,
        ..Default::default()
    }
}

/// A trailer of a failed stream.
pub(crate) fn trailer(status: &Status, name: &str) -> Option<String> {
    status.metadata().get(name).map(|value| value.to_str().expect("ASCII").to_owned())
}

/// The sums of all live totals and of drops, from the service.
pub(crate) async fn totals(counting: &Counting) -> (i64, i64) {
    let request = proto::QueryTotalsRequest {
        granularity: proto::Granularity::Whole.into(),
        live: true,
        ..Default::default()
    };
    let mut client = counting.request_client().await;
    let mut answers = client.query_totals(request).await.expect("totals").into_inner();
    let (mut sum, mut dropped, mut position) = (0, 0, 0);
    while let Some(answer) = answers.message().await.expect("totals") {
        assert!(position == 0 || answer.dropped == 0, "only the first message has drops");
        position += 1;
        dropped += answer.dropped;
        sum += answer.periods.iter().flat_map(|period| &period.count).sum::<i64>();
    }
    (sum, dropped)
}
