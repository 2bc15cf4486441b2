//! SERVING only while the domains can store.

use std::future::Future;
use std::time::Duration;

use tally_runtime::Drain;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Probes the server until the drain begins, and reports the answer for each service. The service
/// without a name is the whole server.
pub(crate) async fn watch<P, F>(
    probe: P,
    reporter: HealthReporter,
    services: Vec<&'static str>,
    serving: watch::Sender<bool>,
    drain: Drain,
) where
    P: Fn() -> F + Send,
    F: Future<Output = Result<(), String>> + Send,
{
    loop {
        let answer = timeout(PROBE_TIMEOUT, probe())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}")));
        let is_serving = answer.is_ok() && !drain.has_begun();
        let changed =
            serving.send_if_modified(|known| std::mem::replace(known, is_serving) != is_serving);
        if changed && !drain.has_begun() {
            match answer {
                Ok(()) => tracing::info!("ready"),
                Err(error) => tracing::warn!(error, "not ready"),
            }
        }
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &services {
            reporter.set_service_status(*service, status).await;
        }
        if drain.has_begun() {
            return;
        }
        tokio::select! {
            () = drain.begun() => {}
            () = tokio::time::sleep(PROBE_INTERVAL) => {}
        }
    }
}
