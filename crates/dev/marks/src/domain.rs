//! The domain as an app lists it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use tally_producers::{OPENINGS_MAX, Terms};
use tally_runtime::config::{Given, Problems, name};
use tally_serve::{Configured, Connections, Domain, Doors, Needs, Parts, Running};

use crate::grpc::MarkServer;
use crate::service::{Service, WORKERS};
use crate::{http, pages, store};

/// The domain's name, in the tables as well.
pub(crate) const NAME: &str = "marks";

/// Storing marks.
pub const DOMAIN: Domain = Domain {
    name: NAME,
    migrations: store::MIGRATIONS,
    hints: &[],
    arguments: Arguments::augment_args,
    check,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Marks")]
#[group(skip)]
struct Arguments {
    /// How often the producers of marks are looked after
    #[arg(long, env = "TALLY_MARKS_ROUND_MS", value_name = "MS", default_value = "3600000")]
    marks_round_ms: Given<u64>,
}

/// What the service is made with.
pub(crate) struct Settings {
    pub(crate) terms: Terms,
    pub(crate) round: Duration,
}

fn check(
    matches: &ArgMatches,
    terms: Terms,
    problems: &mut Problems,
) -> Option<Box<dyn Configured>> {
    let arguments = Arguments::from_arg_matches(matches).expect("the command has these arguments");
    let round = problems.ms(&name("marks-round-ms"), &arguments.marks_round_ms);
    Some(Box::new(Settings { terms, round }))
}

#[async_trait]
impl Configured for Settings {
    fn connections(&self) -> Connections {
        Connections {
            writers: WORKERS.workers + OPENINGS_MAX + 1,
            // The count and housekeeping.
            others: 2,
            write_max: WORKERS.attempt_max(),
        }
    }

    async fn start(
        self: Box<Self>,
        parts: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error> {
        let service = Service::start(parts, &self);
        let doors = Doors::new()
            .grpc(MarkServer(Arc::clone(&service)), &[("Record", Needs::Ingest)])
            .api(http::api(Arc::clone(&service)))
            .pages(pages::pages(Arc::clone(&service)));
        Ok((service, doors))
    }
}
