//! The domain as an app lists it.

use std::sync::Arc;

use async_trait::async_trait;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use tally_producers::{OPENINGS_MAX, Terms};
use tally_runtime::config::Problems;
use tally_serve::{Configured, Connections, Domain, Doors, Parts, Running};

use crate::grpc;
use crate::migrations::MIGRATIONS;
use crate::service::{QUERIES_MAX, Service};
use crate::settings::{Arguments, Settings};

/// The domain's name, in the tables as well.
pub(crate) const NAME: &str = "requests";

/// Counting requests.
pub const DOMAIN: Domain = Domain {
    name: NAME,
    migrations: MIGRATIONS,
    hints: &[
        ("count something", "tally add GET /hello"),
        ("and look at it", "tally totals --live"),
        ("or watch it", "tally top"),
    ],
    arguments: Arguments::augment_args,
    check,
};

fn check(
    matches: &ArgMatches,
    terms: Terms,
    problems: &mut Problems,
) -> Option<Box<dyn Configured>> {
    let arguments = Arguments::from_arg_matches(matches).expect("the command has these arguments");
    Some(Box::new(arguments.check(terms, problems)))
}

// === impl Service ===

impl Service {
    /// The ways into it.
    #[must_use]
    pub fn doors(&self) -> Doors {
        Doors::new()
            .grpc(self.count_service(), grpc::COUNT_SERVICE)
            .grpc(self.request_service(), grpc::REQUEST_SERVICE)
            .grpc(self.book_service(), grpc::BOOK_SERVICE)
            .grpc(self.rule_service(), grpc::RULE_SERVICE)
            .descriptors(tally_proto::FILE_DESCRIPTOR_SET)
            .api(self.api())
            .pages(self.pages())
    }
}

#[async_trait]
impl Configured for Settings {
    fn connections(&self) -> Connections {
        Connections {
            // Opening a producer stores, and so does the health check.
            writers: self.workers + OPENINGS_MAX + 1,
            // The queries, a roll-up, the duties, judging rules, and learning or following series.
            others: QUERIES_MAX + 4,
            write_max: self.of_workers().attempt_max(),
        }
    }

    async fn start(
        self: Box<Self>,
        parts: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error> {
        let service = Service::start(parts, *self).await?;
        let doors = service.doors();
        Ok((Arc::new(service), doors))
    }
}
