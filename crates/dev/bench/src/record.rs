//! Streams of batches: as fast as they go, and at a given rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tally_proto::tally::producers::v1::Acknowledgement;
use tally_proto::tally::requests::v1::RecordRequest;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::message::{self, Named, Request};
use crate::mix::Mix;
use crate::samples::Samples;

/// How many batches are on their way at most, even if the server allows more.
const IN_FLIGHT_MAX: u64 = 16;

/// How many requests a batch of a fast stream has.
pub(crate) const BATCH_ROWS: u64 = 5_000;

/// How often a fast stream may be refused.
const REFUSALS_MAX: u32 = 100;

/// How often a client at a given rate sends a batch.
const TICK: Duration = Duration::from_millis(5);

/// How long the last batches may take.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A producer and its open stream.
struct Recording {
    sender: mpsc::Sender<RecordRequest>,
    answers: Streaming<Acknowledgement>,
    in_flight_max: u64,
    named: Named,
    committed: u64,
}

/// What a client at a given rate counts.
#[derive(Clone)]
pub(crate) struct Paced {
    pub(crate) mix: Arc<Mix>,
    /// Which client it is.
    pub(crate) number: u64,
    /// Requests a second.
    pub(crate) rate: u64,
    pub(crate) lasts: Duration,
    /// The time of a request that is sent now, in microseconds.
    pub(crate) now: fn(i64) -> i64,
    pub(crate) last_micros: i64,
    /// How many requests of all clients are acknowledged.
    pub(crate) acknowledged: Arc<AtomicU64>,
}

/// What a client at a given rate has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// From the time at which each batch should have been sent to its acknowledgement, so that a
    /// server that makes a client wait cannot hide it.
    pub(crate) waits: Samples,
    pub(crate) requests: u64,
}

// === impl Recording ===

impl Recording {
    /// Opens the producer; `epoch` is that of the answer before.
    async fn open(
        channel: Channel,
        producer: Uuid,
        epoch: &mut u64,
        acknowledged: u64,
        series: usize,
    ) -> Result<Self, Status> {
        let (sender, messages) = mpsc::channel(4);
        let first = message::open(producer, *epoch, acknowledged);
        sender.try_send(first).expect("the channel is empty");
        let mut client = RequestServiceClient::new(channel);
        let mut answers = client.record(ReceiverStream::new(messages)).await?.into_inner();
        let first = answers.message().await?;
        let Some(Acknowledgement { opened: Some(opened), committed_sequence, .. }) = first else {
            return Err(Status::internal("the stream does not begin with Opened"));
        };
        *epoch = opened.epoch;
        let in_flight_max = u64::from(opened.batches_in_flight_max).clamp(1, IN_FLIGHT_MAX);
        let (named, committed) = (Named::none(series), committed_sequence);
        Ok(Self { sender, answers, in_flight_max, named, committed })
    }

    async fn send(&mut self, mix: &Mix, sequence: u64, requests: &[Request]) -> Result<(), Status> {
        let message = message::batch(sequence, &mix.series, requests, &mut self.named);
        if self.sender.send(message).await.is_ok() {
            return Ok(());
        }
        // The stream has ended, and its answers say why.
        loop {
            self.answer().await?;
        }
    }

    async fn answer(&mut self) -> Result<(), Status> {
        match self.answers.message().await? {
            Some(answer) => {
                self.committed = answer.committed_sequence;
                Ok(())
            }
            None => Err(Status::unavailable("the server ended the stream")),
        }
    }
}

/// Sends requests as fast as the server takes them, and opens again when it refuses some. Returns how
/// often that was. `request` gives each request by its position.
pub(crate) async fn fast(
    channel: Channel,
    mix: &Mix,
    requests: u64,
    request: impl Fn(u64) -> Request,
) -> Result<u32, Status> {
    let (producer, mut epoch, mut acknowledged) = (Uuid::now_v7(), 0, 0);
    let batches = requests.div_ceil(BATCH_ROWS);
    for refusals in 0..=REFUSALS_MAX {
        let series = mix.series.len();
        let opened = Recording::open(channel.clone(), producer, &mut epoch, acknowledged, series);
        let mut stream = opened.await?;
        let sent = async {
            for sequence in stream.committed + 1..=batches {
                while sequence - stream.committed > stream.in_flight_max {
                    stream.answer().await?;
                }
                let first = (sequence - 1) * BATCH_ROWS;
                let rows: Vec<Request> =
                    (first..requests.min(first + BATCH_ROWS)).map(&request).collect();
                stream.send(mix, sequence, &rows).await?;
            }
            while stream.committed < batches {
                stream.answer().await?;
            }
            Ok::<_, Status>(())
        };
        match sent.await {
            Ok(()) => return Ok(refusals),
            Err(status) if status.code() == Code::Unavailable => acknowledged = stream.committed,
            Err(status) => return Err(status),
        }
    }
    Err(Status::unavailable(format!("refused {REFUSALS_MAX} times")))
}

/// Counts at a given rate: when the server is slow, batches are late, and their waits count from
/// when they should have been sent.
pub(crate) async fn paced(channel: Channel, client: Paced) -> Result<Seen, Status> {
    let Paced { mix, number, rate, lasts, now, last_micros, acknowledged } = client;
    let rows = (u128::from(rate) * TICK.as_micros() / 1_000_000).max(1) as u64;
    let interval = Duration::from_secs_f64(rows as f64 / rate.max(1) as f64);
    let batches = (lasts.as_secs_f64() / interval.as_secs_f64()).ceil() as u64;
    let (producer, mut epoch) = (Uuid::now_v7(), 0);
    let mut stream = Recording::open(channel, producer, &mut epoch, 0, mix.series.len()).await?;
    // The clients do not send at the same moments.
    let start = Instant::now() + interval * (number % 4) as u32 / 4;
    let due = |sequence: u64| start + interval * (sequence - 1) as u32;
    let end = due(batches) + END_LIMIT;
    let (mut seen, mut next) = (Seen::default(), 1);
    while stream.committed < batches {
        let may_send = next <= batches && next - stream.committed <= stream.in_flight_max;
        let before = stream.committed;
        tokio::select! {
            answer = stream.answer() => answer?,
            () = tokio::time::sleep_until(due(next).into()), if may_send => {
                let micros = now(last_micros);
                let row = |n| (mix.pick(number, (next - 1) * rows + n), micros);
                let requests: Vec<Request> = (0..rows).map(row).collect();
                stream.send(&mix, next, &requests).await?;
                next += 1;
            }
            () = tokio::time::sleep_until(end.into()) => {
                return Err(Status::deadline_exceeded("the last batches take too long"));
            }
        }
        let answered = Instant::now();
        for sequence in before + 1..=stream.committed {
            seen.waits.add(answered.saturating_duration_since(due(sequence)));
            seen.requests += rows;
            acknowledged.fetch_add(rows, Ordering::Relaxed);
        }
    }
    Ok(seen)
}
