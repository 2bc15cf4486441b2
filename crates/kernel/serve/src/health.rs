//! Whether the server is ready: the domains can store, nothing that it has to do is overdue, and it does not stop.

use std::future::Future;
use std::time::Duration;

use tally_runtime::Drain;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::Domains;

const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a server is ready, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nobody has asked the domains yet.
    Starting,
    Ready,
    /// Nothing can be stored. The log has the database's own words, which are not for strangers.
    CannotStore,
    /// What is overdue.
    Overdue(String),
    Draining,
}

// === impl Readiness ===

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        *self == Self::Ready
    }

    /// One line, for whoever asks.
    pub(crate) fn sentence(&self) -> String {
        let reason = match self {
            Self::Ready => return "serving\n".to_owned(),
            Self::Starting => "the server has just started",
            Self::CannotStore => "nothing can be stored now; the server's log says why",
            Self::Overdue(what) => what,
            Self::Draining => "the server is stopping",
        };
        format!("not serving: {reason}\n")
    }

    /// Whether it has become another one: how long something is overdue does not count.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Asks until the drain begins whether the server is ready, and reports it for each service. The service without
/// a name is the whole server. `probe` says whether it can store.
pub(crate) async fn watch<P, F>(
    probe: P,
    domains: Domains,
    reporter: HealthReporter,
    services: Vec<&'static str>,
    readiness: watch::Sender<Readiness>,
    drain: Drain,
) where
    P: Fn() -> F + Send,
    F: Future<Output = Result<(), String>> + Send,
{
    loop {
        let (now, reason) = tokio::select! {
            () = drain.begun() => (Readiness::Draining, None),
            now = ask(probe(), &domains) => now,
        };
        let before = readiness.send_replace(now.clone());
        if !now.is_like(&before) {
            match (&now, reason) {
                (Readiness::Ready, _) => tracing::info!("ready"),
                (_, Some(error)) => tracing::warn!(error, "not ready"),
                _ => {}
            }
        }
        let status =
            if now.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &services {
            reporter.set_service_status(*service, status).await;
        }
        if drain.has_begun() {
            return;
        }
        drain.pause(PROBE_INTERVAL).await;
    }
}

/// How it is now; if it is not ready, why, for the log.
async fn ask(
    probe: impl Future<Output = Result<(), String>>,
    domains: &Domains,
) -> (Readiness, Option<String>) {
    let answer = timeout(PROBE_TIMEOUT, probe).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}")));
    if let Err(error) = answer {
        return (Readiness::CannotStore, Some(error));
    }
    let Some((what, failed)) = domains.overdue() else { return (Readiness::Ready, None) };
    let reason = failed.map_or_else(|| what.clone(), |failed| format!("{what}; {failed}"));
    (Readiness::Overdue(what), Some(reason))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tonic_health::server::health_reporter;

    use super::*;

    /// It does not wait for the answer of a database that is away.
    #[tokio::test]
    async fn a_server_that_stops_is_not_ready() {
        let (readiness, asked) = watch::channel(Readiness::Ready);
        let (drain, (reporter, _service)) = (Drain::new(), health_reporter());
        drain.begin();
        watch(pending, Domains([].into()), reporter, vec![""], readiness, drain).await;
        assert_eq!(*asked.borrow(), Readiness::Draining);
        assert_eq!(asked.borrow().sentence(), "not serving: the server is stopping\n");
    }
}
