//! What a scrape is told of the pools.

use tally_runtime::metrics::{Metric, Scrape};

use super::Database;

const USED: Metric = Metric::gauge(
    "tally_database_connections_used",
    "Connections to the database that are in use, by pool; none on SQLite.",
);
const MAX: Metric = Metric::gauge(
    "tally_database_connections_max",
    "How many connections to the database may be in use, by pool; none on SQLite.",
);

// === impl Database ===

impl Database {
    /// Tells a scrape of the connections.
    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        let pools = [("writers", &self.writers), ("others", &self.pool), ("probe", &self.probe)];
        for (name, pool) in pools {
            let (status, labels) = (pool.status(), &[("pool", name)]);
            scrape.put(USED, labels, status.size.saturating_sub(status.available));
            scrape.put(MAX, labels, status.max_size);
        }
    }
}
