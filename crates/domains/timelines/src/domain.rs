//! The domain as an app lists it.

use std::sync::Arc;

use async_trait::async_trait;
use clap::{ArgMatches, Args as _, FromArgMatches as _};
use tally_access::Store;
use tally_producers::Terms;
use tally_runtime::Namespace;
use tally_runtime::config::Problems;
use tally_serve::{Configured, Connections, Datagrams, Domain, Doors, Parts, Running};

use crate::grpc;
use crate::migrations::MIGRATIONS;
use crate::service::{READERS_MAX, Service};
use crate::settings::{Arguments, Settings, Udp};
use crate::traces::otlp::TRACE_SERVICE;
use crate::udp::Door;

/// The domain's name, in the tables as well.
pub(crate) const NAME: &str = "timelines";

/// Timelines: runs of a process, made of events that start and end.
pub const DOMAIN: Domain = Domain {
    name: NAME,
    migrations: MIGRATIONS,
    hints: &[],
    arguments: Arguments::augment_args,
    check,
};

fn check(
    matches: &ArgMatches,
    _terms: Terms,
    problems: &mut Problems,
) -> Option<Box<dyn Configured>> {
    let arguments = Arguments::from_arg_matches(matches).expect("the command has these arguments");
    Some(Box::new(arguments.check(problems)))
}

// === impl Service ===

impl Service {
    /// The ways into it.
    #[must_use]
    pub fn doors(&self) -> Doors {
        Doors::new()
            .grpc(self.timeline_service(), grpc::TIMELINE_SERVICE)
            .grpc(self.trace_service(), TRACE_SERVICE)
            .api(self.api())
            .foreign(self.foreign())
            .pages(self.pages())
            .foreign(self.traces())
    }

    /// The way in for datagrams, which write to this namespace.
    #[must_use]
    pub fn datagrams(&self, namespace: Namespace) -> Arc<dyn Datagrams> {
        Arc::new(Door::new(self.clone(), namespace))
    }
}

#[async_trait]
impl Configured for Settings {
    fn connections(&self) -> Connections {
        Connections {
            writers: self.workers.workers,
            // Those who read, and the duties.
            others: READERS_MAX + 1,
            write_max: self.workers.attempt_max(),
        }
    }

    async fn start(
        self: Box<Self>,
        parts: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error> {
        let tasks = parts.tasks.clone();
        let (udp, access) = (self.udp.clone(), Store::new(parts.database.clone()));
        let service = Service::start(parts, &self);
        // If that fails, it is done soon.
        let _ = service.look().await;
        tasks.spawn("count timelines", service.clone().keep_looking());
        let mut doors = service.doors();
        if let Some(Udp { address, namespace }) = udp {
            let namespace = access.some_namespace(&namespace).await?;
            doors = doors.udp(address.to_string(), service.datagrams(namespace));
        }
        Ok((Arc::new(service), doors))
    }
}
