//! Waiting for a moment that may not be known yet.

use tokio::sync::watch;
use tokio::time::Instant;

/// Waits until a deadline is set.
pub(super) async fn begins(deadline: &mut watch::Receiver<Option<Instant>>) {
    // Whoever could set one may be gone.
    if deadline.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until a deadline is set and over.
pub(super) async fn expired(deadline: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            changed = deadline.changed() => if changed.is_err() {
                // Whoever could set another one is gone.
                return sleep_until(at).await;
            },
        }
    }
}

/// Waits until then, if there is a then.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
