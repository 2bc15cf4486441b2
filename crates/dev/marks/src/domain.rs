//! The domain as an app lists it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use tally_ingest::Limits;
use tally_producers::{PLACES, Terms};
use tally_runtime::config::{Given, Problems, name};
use tally_serve::{Configured, Connections, Domain, Doors, Parts, Running};

use crate::grpc::MarkServer;
use crate::service::Service;
use crate::{http, store};

/// The domain's name, in the tables as well.
pub(crate) const NAME: &str = "marks";
/// How many batches of a client may be on their way: few, so that a run is short.
pub(crate) const WINDOW: u32 = 8;

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
    pub(crate) limits: Limits,
    pub(crate) workers: tally_ingest::Settings,
    pub(crate) round: Duration,
}

fn check(
    matches: &ArgMatches,
    terms: Terms,
    problems: &mut Problems,
) -> Option<Box<dyn Configured>> {
    let arguments = Arguments::from_arg_matches(matches).expect("the command has these arguments");
    let round = problems.ms(&name("marks-round-ms"), &arguments.marks_round_ms);
    let wait_max = Duration::from_secs(5);
    let write_wait_max = Duration::from_secs(30);
    Some(Box::new(Settings {
        terms,
        limits: Limits { rows_max: 10_000, bytes_max: 1 << 20, wait_max },
        workers: tally_ingest::Settings { workers: 2, batch_rows_max: 5_000, write_wait_max },
        round,
    }))
}

#[async_trait]
impl Configured for Settings {
    fn connections(&self) -> Connections {
        Connections {
            writers: self.workers.workers + PLACES + 1,
            // The count and housekeeping.
            others: 2,
            write_max: self.workers.attempt_max(),
        }
    }

    async fn start(
        self: Box<Self>,
        parts: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error> {
        let service = Service::start(parts, *self);
        let doors =
            Doors::new().grpc(MarkServer(service.clone())).http(http::routes(service.clone()));
        Ok((Arc::new(service), doors))
    }
}

#[async_trait]
impl Running for Service {
    async fn ready(&self) -> Result<(), String> {
        self.ready().await
    }

    fn queued_rows(&self) -> usize {
        self.streams.queued_rows()
    }

    async fn finished(&self) {
        self.streams.finished().await;
    }
}
