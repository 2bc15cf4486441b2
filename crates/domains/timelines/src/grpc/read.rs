//! What a message of a client says, with everything that is wrong with it.

use jiff::{SignedDuration, Timestamp};
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::Namespace;

use crate::error::Error;
use crate::message::{Kind, Message, Phase, Status, Written, Wrong, wrong_key};
use crate::service::Service;

/// How many items a list has, unless it is told otherwise, and at most.
const ITEMS_USUAL: u32 = 100;
const ITEMS_MAX: u32 = 1_000;

// === impl Service ===

impl Service {
    /// Reads a message, with everything that is wrong with it.
    pub(super) fn read(
        &self,
        namespace: Namespace,
        request: proto::RecordRequest,
    ) -> Result<Message, Error> {
        let mut wrong = Wrong::new();
        let mut note = |field: &str, why: String| wrong.push((field.to_owned(), why));
        let kind = match proto::Kind::try_from(request.kind) {
            Ok(proto::Kind::New) => Some(Kind::New),
            Ok(proto::Kind::Start) => Some(Kind::Start),
            Ok(proto::Kind::End) => Some(Kind::End),
            Ok(proto::Kind::Point) => Some(Kind::Point),
            Ok(proto::Kind::Phase) => Some(Kind::Phase),
            Ok(proto::Kind::Unspecified) | Err(_) => None,
        };
        if kind.is_none() {
            note("kind", format!("{} is none that this server knows", request.kind));
        }
        let status = match proto::Status::try_from(request.status) {
            Ok(proto::Status::Unspecified) => Status::Ok,
            Ok(proto::Status::Failed) => Status::Failed,
            Ok(proto::Status::Skipped) => Status::Skipped,
            Err(_) => {
                note("status", format!("{} is none that this server knows", request.status));
                Status::Ok
            }
        };
        let phase = match proto::Phase::try_from(request.phase) {
            Ok(proto::Phase::Unspecified) => None,
            Ok(proto::Phase::Waiting) => Some(Phase::Waiting),
            Ok(proto::Phase::Working) => Some(Phase::Working),
            Err(_) => {
                note("phase", format!("{} is none that this server knows", request.phase));
                Some(Phase::Working)
            }
        };
        let time = request.time.and_then(|time| {
            let read = moment(time);
            if read.is_none() {
                note("time", "it is no moment: its nanoseconds are 0 to 999,999,999".to_owned());
            }
            read
        });
        let key = Some(&*request.idempotency_key).filter(|key| !key.is_empty());
        if let Some(why) = key.and_then(wrong_key) {
            note("idempotency_key", why);
        }
        let said = Written {
            // What else is wrong is told of what a message of any kind may have.
            kind: kind.unwrap_or_default(),
            context: request.context,
            timeline: request.timeline,
            name: request.name,
            host: request.host,
            span: request.span,
            time,
            status,
            phase: phase.filter(|_| kind.is_some()),
            attributes: request.attributes.into_iter().collect(),
        };
        self.message(namespace, said, key, wrong)
    }
}

fn moment(time: prost_types::Timestamp) -> Option<Timestamp> {
    let is_within = (0..1_000_000_000).contains(&time.nanos);
    Timestamp::new(time.seconds, time.nanos).ok().filter(|_| is_within)
}

pub(super) fn limit(limit: u32) -> Result<u32, Error> {
    match limit {
        0 => Ok(ITEMS_USUAL),
        1..=ITEMS_MAX => Ok(limit),
        _ => Err(Error::wrong("limit", format!("it is {limit}, and may be 1 to {ITEMS_MAX}"))),
    }
}

pub(super) fn abandon_after(after: prost_types::Duration) -> Result<SignedDuration, Error> {
    match after.nanos {
        0 => Ok(SignedDuration::from_secs(after.seconds)),
        _ => Err(Error::wrong("abandon_after", "it has parts of a second")),
    }
}
