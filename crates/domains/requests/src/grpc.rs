//! `count.v1.CountService`, and `RequestService`, `BookService` and `RuleService` of `tally.requests.v1`: between messages and service.
//!
//! | file | what it owns |
//! |---|---|
//! | `add.rs`, `add/` | `Add`, whose messages bypass tonic |
//! | `changes.rs` | `BookService`: corrections, merges and forgets |
//! | `count.rs` | the other calls of `CountService` |
//! | `messages.rs` | an answer of many messages, made as the client takes them |
//! | `requests.rs` | `RequestService` |
//! | `record.rs` | the messages of `Record` |
//! | `rules.rs` | `RuleService` |
//! | `totals.rs` | `QueryTotals`: a query from its message, and an answer in messages |
//! | `unread.rs` | calls whose messages are decoded here |

pub(crate) mod add;
mod changes;
mod count;
mod messages;
mod record;
mod requests;
mod rules;
mod totals;
mod unread;

use jiff::civil;
use tally_producers::stream;
use tally_proto::count::v1::count_service_server::CountServiceServer;
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1::book_service_server::BookServiceServer;
use tally_proto::tally::requests::v1::request_service_server::RequestServiceServer;
use tally_proto::tally::requests::v1::rule_service_server::RuleServiceServer;
use tally_proto::wire::{ADD_METHOD, RECORD_METHOD};
use tally_serve::Needs;
use tonic::Status;

use self::add::MESSAGE_BYTES_MAX;
use self::unread::Unreading;
use crate::error::Error;
use crate::periods::Granularity;
use crate::service::Service;

/// What the methods of each service need. A roll-up and a fold are of all namespaces.
pub(crate) const COUNT_SERVICE: &[(&str, Needs)] = &[
    ("Add", Needs::Ingest),
    ("CountDailyTotals", Needs::Operator),
    ("ListDailyTotals", Needs::Read),
    ("GetPeriodTotals", Needs::Read),
];
/// See [`COUNT_SERVICE`].
pub(crate) const REQUEST_SERVICE: &[(&str, Needs)] = &[
    ("Record", Needs::Ingest),
    ("ListProducers", Needs::Read),
    ("ClearSetbacks", Needs::Admin),
    ("ForgetProducer", Needs::Admin),
    ("Fold", Needs::Operator),
    ("QueryTotals", Needs::Read),
];
/// See [`COUNT_SERVICE`].
pub(crate) const BOOK_SERVICE: &[(&str, Needs)] = &[
    ("Correct", Needs::Admin),
    ("ListCorrections", Needs::Read),
    ("StrikeDrops", Needs::Admin),
    ("Forget", Needs::Admin),
    ("Merge", Needs::Admin),
];
/// See [`COUNT_SERVICE`].
pub(crate) const RULE_SERVICE: &[(&str, Needs)] = &[
    ("AddRule", Needs::Admin),
    ("ListRules", Needs::Read),
    ("ShowRule", Needs::Read),
    ("RemoveRule", Needs::Admin),
    ("TestRule", Needs::Admin),
];

// === impl Service ===

impl Service {
    /// The public counting API.
    pub fn count_service(&self) -> Unreading<CountServiceServer<Self>> {
        let server = CountServiceServer::new(self.clone());
        let server = server.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Unreading { server, path: ADD_METHOD }
    }

    /// What people do to the books.
    pub fn book_service(&self) -> BookServiceServer<Self> {
        BookServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Rules about counts.
    pub fn rule_service(&self) -> RuleServiceServer<Self> {
        RuleServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Tally's own API.
    pub fn request_service(&self) -> Unreading<RequestServiceServer<Self>> {
        let server = RequestServiceServer::new(self.clone());
        let server = server.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Unreading { server, path: RECORD_METHOD }
    }
}

fn date(first: civil::Date, granularity: Granularity) -> Option<Date> {
    let (year, month, day) =
        (i32::from(first.year()), i32::from(first.month()), i32::from(first.day()));
    match granularity {
        Granularity::Quarter | Granularity::Hour | Granularity::Day | Granularity::Week => {
            Some(Date { year, month, day })
        }
        Granularity::Month => Some(Date { year, month, day: 0 }),
        Granularity::Year => Some(Date { year, month: 0, day: 0 }),
        Granularity::Whole => None,
    }
}

/// The only place where an error becomes a gRPC status.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        stream::status(&error, error.kind(), error.reason())
    }
}
