//! What clients send. It is written by hand, so that nothing of it is in Tally's own descriptors.

use tally_proto::tally::producers::v1::Open;

/// One message of a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MarkRequest {
    /// What it is.
    #[prost(oneof = "Kind", tags = "1, 2")]
    pub kind: Option<Kind>,
}

/// What a message is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// The first message.
    #[prost(message, tag = "1")]
    Open(Open),
    /// Every message after it.
    #[prost(message, tag = "2")]
    Batch(Batch),
}

/// Marks that are stored together.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Batch {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// Any numbers.
    #[prost(int64, repeated, tag = "2")]
    pub marks: Vec<i64>,
}
