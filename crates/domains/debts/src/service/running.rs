//! What the app knows of the domain while it runs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tally_runtime::metrics::Scrape;
use tally_runtime::{Chore, chain};
use tally_serve::{Fact, Running};
use tokio::time::Instant;

use super::Service;
use crate::domain::NAME;

/// How often debts are counted for whoever scrapes; and the pause is so many times as long as that took.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);
const LOOK_SHARE: u32 = 50;

// === impl Service ===

impl Service {
    /// Asks the database what a scrape is told of its debts.
    ///
    /// # Errors
    /// When the database fails; a scrape is told what was there before.
    pub async fn look(&self) -> Result<(), tally_store::Error> {
        let _place = self.place().await;
        self.store.measured().saw(self.store.seen(self.metrics_max).await?);
        Ok(())
    }

    /// Does so again and again, until the server stops.
    pub(crate) async fn keep_looking(self) {
        let mut pause = LOOK_INTERVAL;
        while self.drain.pause(pause).await {
            let began = Instant::now();
            if let Err(error) = self.look().await {
                tracing::debug!(error = chain(&error), "debts are not counted");
            }
            pause = LOOK_INTERVAL.max(began.elapsed() * LOOK_SHARE);
        }
    }
}

#[async_trait]
impl Running for Service {
    async fn ready(&self) -> Result<(), String> {
        let Some(trouble) = self.workers.trouble() else { return Ok(()) };
        if trouble.is_trying {
            return Err(trouble.message);
        }
        self.store.database().ping().await.map_err(|error| chain(&error))?;
        self.workers.recovered();
        Ok(())
    }

    fn queued_rows(&self) -> usize {
        self.queue.rows()
    }

    fn measure(&self, scrape: &mut Scrape) {
        self.workers.measure(&self.queue, NAME, self.now(), scrape);
        self.store.measured().measure(scrape);
    }

    fn chores(&self) -> Vec<Chore> {
        vec![self.keeper.chore()]
    }

    fn facts(&self) -> Vec<Fact> {
        let keeps = self.is_keeping.load(Ordering::Relaxed);
        vec![Fact::text("sweeps", if keeps { "this server" } else { "another server" })]
    }

    async fn stored_facts(&self) -> Result<Vec<Fact>, tally_store::Error> {
        let counts = self.store.counts(None, self.now()).await?;
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Ok(vec![
            Fact::count("debts", count(counts.all())),
            Fact::count("debts overdue", count(counts.down)),
        ])
    }

    async fn finished(&self) {
        self.tasks.finished().await;
        self.queue.close();
        self.workers.finished().await;
    }
}
