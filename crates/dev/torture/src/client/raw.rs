//! A client that speaks the `Record` protocol by hand, as docs/exactly-once.md specifies it, and
//! checks that the server follows it.

use std::collections::HashMap;
use std::time::Duration;

use prost_types::Timestamp;
use tally_proto::methods;
use tally_proto::tally::producers::v1::{Acknowledgement, Drops, Open};
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{Batch, RecordRequest, Series, record_request::Kind};
use tally_proto::wire::{self, COMMITTED_TRAILER, REASON_TRAILER, reason, timestamp};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::load::{Entries, Load, Row};
use super::memory::Memory;
use super::pace::Pace;
use super::{Session, back_off, now_micros};
use crate::door::Link;
use crate::journal::{self, Line};
use crate::random::Random;

/// Maximum batches in flight, even if the server allows more.
const IN_FLIGHT_MAX: u64 = 16;

/// Timeout of Open. A server without its database should report that earlier.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout for a batch sent twice: longer than it takes to notice a dead connection.
const TWIN_TIMEOUT: Duration = Duration::from_secs(6);

/// Percentage of streams that resend batches the server already has.
const STUBBORN_PERCENT: u64 = 30;

struct Raw<'a> {
    session: Session<'a>,
    load: Load,
    series: Vec<journal::Series>,
    memory: Memory,
    claim: u64,
    random: Random,
    pace: Pace,
    /// The last parcel announced in the journal, and the last acknowledged one.
    sent: u64,
    acknowledged: u64,
    /// When this process last received an acknowledgement.
    heard: Option<Timestamp>,
    /// Whether the server has opened the producer on the stream that there is now.
    is_open: bool,
    stopping: bool,
}

/// An open stream.
struct Stream {
    /// None once this side is closed.
    requests: Option<mpsc::Sender<RecordRequest>>,
    answers: Streaming<Acknowledgement>,
    in_flight_max: u64,
    /// The next parcel to send.
    next: u64,
    /// The numbers of the series named on it.
    named: HashMap<usize, u32>,
    /// The last parcel acknowledged on this stream.
    committed: u64,
}

/// Sends batches until a signal arrives, then until all of them are acknowledged.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let arguments = session.arguments;
    let file = arguments.folder.join(format!("{}.memory", arguments.name));
    let memory = Memory::open(&file, now_micros())?;
    let number = u64::MAX - session.past.len() as u64;
    let mut random = Random::derived(arguments.seed, &arguments.name, number);
    let load = session.load(memory.base_micros);
    let mut raw = Raw {
        series: load.series(),
        load,
        memory,
        claim: random.next() | 1,
        random,
        pace: Pace::new(arguments.rate),
        sent: session.last_sent(),
        acknowledged: last_acknowledged(&session.past),
        heard: None,
        is_open: false,
        stopping: false,
        session,
    };
    while !(raw.stopping && raw.acknowledged == raw.sent) {
        if let Ok(channel) = arguments.connect().await
            && let Err(error) = raw.stream(channel).await
        {
            raw.failed(&error.downcast()?)?;
        }
        tokio::select! {
            () = back_off(&mut raw.random) => {}
            _ = raw.session.signals.recv() => raw.stopping = true,
        }
    }
    Ok(raw.session.journal.write(&Line::Done)?)
}

/// The last parcel that is not resent.
fn last_acknowledged(past: &[Line]) -> u64 {
    let upto = past.iter().filter_map(|line| match line {
        Line::UpTo(number) | Line::Doubtful(number) => Some(*number),
        _ => None,
    });
    upto.max().unwrap_or(0)
}

// === impl Raw ===

impl Raw<'_> {
    /// Runs one stream to its end. An error other than a [`Status`] is ours.
    async fn stream(&mut self, channel: Link) -> anyhow::Result<()> {
        let stubborn = self.session.arguments.stubborn || self.random.percent(STUBBORN_PERCENT);
        let mut stream = self.open(channel.clone(), stubborn).await?;
        if stubborn && !self.stopping {
            stream = self.twice(channel, stream).await?;
        }
        loop {
            let in_flight = (stream.next - 1).saturating_sub(stream.committed);
            let has_more = stream.next <= self.sent || !self.stopping;
            if !has_more {
                stream.requests = None;
            }
            tokio::select! {
                answer = stream.answers.message() => match answer? {
                    Some(answer) => self.answer(&mut stream, answer.committed_sequence)?,
                    None => return self.ended(&stream),
                },
                () = self.pace.ready(), if has_more && in_flight < stream.in_flight_max => {
                    self.send(&mut stream).await?;
                }
                _ = self.session.signals.recv(), if !self.stopping => self.stopping = true,
            }
        }
    }

    /// Opens a second stream, as a client does when it takes the first one for dead. Then sends the
    /// next parcel on the first, waits until it is committed, and continues on the second, which
    /// starts with the same parcel.
    async fn twice(&mut self, channel: Link, mut first: Stream) -> anyhow::Result<Stream> {
        let mut second = self.open(channel, true).await?;
        let number = first.committed + 1;
        (first.next, second.next) = (number, number);
        self.send(&mut first).await?;
        // Whatever happens to the parcel, the second stream sends it again.
        while first.committed < number
            && let Ok(Ok(Some(answer))) = timeout(TWIN_TIMEOUT, first.answers.message()).await
        {
            self.answer(&mut first, answer.committed_sequence)?;
        }
        Ok(second)
    }

    /// Opens the producer on a new stream.
    async fn open(&mut self, channel: Link, stubborn: bool) -> anyhow::Result<Stream> {
        self.is_open = false;
        if self.memory.claims.last() != Some(&self.claim) {
            self.memory.claims.push(self.claim);
            self.memory.save()?;
        }
        let open = Open {
            producer_id: self.memory.producer.as_bytes().to_vec(),
            epoch: self.memory.epoch,
            claims: self.memory.claims.clone(),
            name: self.session.arguments.name.clone(),
            acknowledged_sequence: Some(self.acknowledged - self.memory.before),
            acknowledged_at: self.heard,
            take_over: false,
        };
        let (requests, receiver) = mpsc::channel(2);
        let first = RecordRequest { kind: Some(Kind::Open(open)) };
        requests.try_send(first).expect("the channel is empty");
        let opening = async {
            let mut client = RequestServiceClient::new(channel);
            let mut answers = client.record(ReceiverStream::new(receiver)).await?.into_inner();
            let first = answers.message().await?;
            Ok::<_, Status>((first, answers))
        };
        let late = |_| Status::unavailable("no answer to Open in time");
        let (first, answers) = timeout(OPEN_TIMEOUT, opening).await.map_err(late)??;
        let Some(Acknowledgement { opened: Some(opened), committed_sequence, .. }) = first else {
            self.broken(format!("the stream begins with {first:?} in place of Opened"))?;
            return Err(Status::unavailable("no Opened").into());
        };
        self.is_open = true;
        self.memory.epoch = opened.epoch;
        self.memory.claims = vec![self.claim];
        self.memory.save()?;
        let committed = self.memory.before + committed_sequence;
        if committed < self.acknowledged {
            let before = self.acknowledged;
            let what = format!("Opened has {committed}, and {before} was acknowledged");
            // A server that does not have the producer cannot tell either, unless it hears when.
            let is_lost = committed_sequence > 0 || self.heard.is_some();
            let line = if is_lost { Line::Lost(what) } else { Line::Setback(what) };
            self.session.journal.write(&line)?;
            // Acknowledged requests are not resent: a real client no longer has them.
            self.memory.renew(before)?;
            return Err(Status::data_loss("the database lost batches").into());
        }
        let mut stream = Stream {
            requests: Some(requests),
            answers,
            in_flight_max: u64::from(opened.batches_in_flight_max).clamp(1, IN_FLIGHT_MAX),
            next: 1 + if stubborn { self.acknowledged } else { committed },
            named: HashMap::new(),
            committed: 0,
        };
        self.answer(&mut stream, committed_sequence)?;
        Ok(stream)
    }

    /// Sends the next batch. A new one is first announced in the journal.
    async fn send(&mut self, stream: &mut Stream) -> anyhow::Result<()> {
        let number = stream.next;
        if number > self.sent {
            self.session.journal.write(&Line::Sent(number, self.load.parcel(number)))?;
            self.sent = number;
        }
        let batch = self.batch(stream, number);
        self.pace.sent(self.load.paced(number));
        stream.next += 1;
        let message = RecordRequest { kind: Some(Kind::Batch(batch)) };
        if let Some(requests) = &stream.requests {
            // If the stream has ended, its answers say why.
            let _ = requests.send(message).await;
        }
        Ok(())
    }

    fn batch(&self, stream: &mut Stream, number: u64) -> Batch {
        let rows = self.load.rows(number);
        let mut batch = Batch { sequence: number - self.memory.before, ..Batch::default() };
        let mut before = 0;
        for Row { series, micros, requests } in rows {
            let known = u32::try_from(stream.named.len()).expect("a few series");
            let number = *stream.named.entry(series).or_insert_with(|| {
                let journal::Series { path, method, service, status, customer, .. } =
                    &self.series[series];
                batch.series.push(Series {
                    service: service.clone(),
                    method: methods::text(*method).into_owned(),
                    path: path.clone(),
                    status: (*status).into(),
                    customer: customer.clone(),
                });
                known
            });
            batch.number.push(number);
            batch.time_delta.push(micros - before);
            before = micros;
            batch.count += 1;
            batch.requests.push(requests);
        }
        if self.load.entries(number) == Entries::Single {
            batch.requests.clear();
        }
        let drops = self.load.drops_of(number);
        batch.drops = drops.into_iter().map(|(day, count)| Drops { day, count }).collect();
        batch
    }

    /// Notes which batches an answer acknowledges.
    fn answer(&mut self, stream: &mut Stream, sequence: u64) -> anyhow::Result<()> {
        let committed = self.memory.before + sequence;
        if committed > self.sent {
            let sent = self.sent;
            return self.broken(format!("{committed} is acknowledged, but only {sent} were sent"));
        }
        if committed < stream.committed {
            let before = stream.committed;
            self.broken(format!("acknowledged {committed} after {before}"))?;
        }
        stream.committed = committed;
        self.acknowledge(committed)
    }

    fn acknowledge(&mut self, committed: u64) -> anyhow::Result<()> {
        if committed > self.acknowledged {
            self.acknowledged = committed;
            self.heard = Some(timestamp(now_micros()));
            self.session.journal.write(&Line::UpTo(committed))?;
        }
        Ok(())
    }

    /// The stream ended with OK.
    fn ended(&mut self, stream: &Stream) -> anyhow::Result<()> {
        let committed = stream.committed;
        if stream.requests.is_some() {
            self.broken(format!("the server ended the stream with OK after {committed}"))?;
        } else if committed + 1 < stream.next {
            let last = stream.next - 1;
            self.broken(format!("the stream ended with OK after {committed} of {last}"))?;
        }
        Ok(())
    }

    /// The stream ended with an error; some errors break the protocol.
    fn failed(&mut self, status: &Status) -> anyhow::Result<()> {
        let said = wire::trailer(status, REASON_TRAILER).unwrap_or_default();
        let committed = wire::number(status, COMMITTED_TRAILER);
        if let Some(committed) = committed.map(|committed| committed + self.memory.before) {
            if committed > self.sent {
                self.broken(format!("the trailer acknowledges {committed}, which was not sent"))?;
            } else {
                self.acknowledge(committed)?;
            }
        }
        let what = format!("{:?} {said}: {}", status.code(), status.message());
        let has_begun = self.acknowledged > self.memory.before;
        if said == reason::PRODUCER_FORGOTTEN && self.is_open {
            // The next stream opens it again, and tells the server what was acknowledged.
        } else if said == reason::PRODUCER_FORGOTTEN {
            // A producer that has stored nothing may start again.
            if has_begun {
                // Without this time the server cannot tell either.
                let is_lost = self.heard.is_some();
                self.start_over(&if is_lost { Line::Lost(what) } else { Line::Setback(what) })?;
            }
        } else if said == reason::PRODUCER_IN_USE {
            self.start_over(&Line::Setback(what))?;
        } else if said == reason::LIMIT || status.code() == Code::InvalidArgument {
            self.broken(what)?;
        }
        eprintln!("{:?} {said} {}", status.code(), status.message());
        Ok(())
    }

    /// The server can no longer tell this producer's batches apart because its database was set
    /// back. Whatever was sent is in doubt and is not resent.
    fn start_over(&mut self, why: &Line) -> anyhow::Result<()> {
        self.session.journal.write(why)?;
        for number in self.acknowledged + 1..=self.sent {
            self.session.journal.write(&Line::Doubtful(number))?;
        }
        self.acknowledged = self.sent;
        self.memory.renew(self.sent)
    }

    fn broken(&mut self, what: String) -> anyhow::Result<()> {
        Ok(self.session.journal.write(&Line::Broken(what))?)
    }
}
