//! One open `Record` stream, whose batches are encoded already.

use bytes::{BufMut as _, Bytes};
use prost::Message as _;
use tally_proto::tally::producers::v1::{Acknowledgement, Open, Opened};
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::{Done, RecordRequest};
use tally_proto::wire::RECORD_METHOD;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status, Streaming};
use uuid::Uuid;

use crate::client::Caller;

/// How many messages wait for HTTP/2.
const WAITING_MAX: usize = 2;

/// An open stream.
pub(super) struct Session {
    pub(super) sender: mpsc::Sender<Bytes>,
    pub(super) answers: Streaming<Acknowledgement>,
    pub(super) limits: Opened,
    /// The last batch that is committed, as of the answer to Open.
    pub(super) committed: u64,
}

/// A producer as it is opened each time.
#[derive(Debug, Clone)]
pub(super) struct Producer {
    pub(super) id: Uuid,
    pub(super) claim: u64,
    pub(super) epoch: u64,
    pub(super) acknowledged: u64,
}

/// Sends bytes as they are, and reads acknowledgements.
#[derive(Debug, Clone, Copy)]
struct Encoded;

// === impl Session ===

impl Session {
    pub(super) async fn open(caller: Caller, producer: &mut Producer) -> Result<Self, Status> {
        let (sender, messages) = mpsc::channel(WAITING_MAX);
        let open = Open {
            producer_id: producer.id.as_bytes().to_vec(),
            epoch: producer.epoch,
            claims: vec![producer.claim],
            name: "tally bench".to_owned(),
            acknowledged_sequence: Some(producer.acknowledged),
            acknowledged_at: None,
            take_over: false,
        };
        let open = RecordRequest { kind: Some(Kind::Open(open)) };
        let open = Bytes::from(open.encode_to_vec());
        sender.try_send(open).map_err(|_| Status::internal("no room for the first message"))?;
        let mut grpc = Grpc::new(caller);
        let unready = |error: tonic::codegen::StdError| Status::from_error(error);
        grpc.ready().await.map_err(unready)?;
        let request = Request::new(ReceiverStream::new(messages));
        let answer =
            grpc.streaming(request, PathAndQuery::from_static(RECORD_METHOD), Encoded).await?;
        let mut answers = answer.into_inner();
        let first = answers.message().await?;
        let Some(Acknowledgement { opened: Some(limits), committed_sequence: committed }) = first
        else {
            return Err(Status::internal("the stream does not begin with Opened"));
        };
        producer.epoch = limits.epoch;
        Ok(Self { sender, answers, limits, committed })
    }

    /// Sends a message. If the stream has ended, its answer says why.
    pub(super) async fn send(&mut self, message: Bytes) -> Result<(), Status> {
        if self.sender.send(message).await.is_ok() {
            return Ok(());
        }
        loop {
            committed(&mut self.answers).await?;
        }
    }

    /// Says that the producer does not come back, once all is acknowledged. A server that does not hear
    /// it forgets the producer later.
    pub(super) async fn done(self) {
        let Self { sender, mut answers, .. } = self;
        let done = RecordRequest { kind: Some(Kind::Done(Done {})) };
        if sender.send(Bytes::from(done.encode_to_vec())).await.is_ok() {
            drop(sender);
            while let Ok(Some(_)) = answers.message().await {}
        }
    }
}

/// The next answer: the last batch that is committed.
pub(super) async fn committed(answers: &mut Streaming<Acknowledgement>) -> Result<u64, Status> {
    let ended = || Status::unavailable("the server ended the stream");
    Ok(answers.message().await?.ok_or_else(ended)?.committed_sequence)
}

// === impl Encoded ===

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Acknowledgement;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Acknowledgement;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Acknowledgement>, Status> {
        let read = Acknowledgement::decode(from);
        read.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
