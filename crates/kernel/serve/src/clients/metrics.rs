//! What a scrape is told of the connections of clients.

use tally_runtime::metrics::{Metric, Scrape};

use super::Clients;

const CONNECTIONS: Metric =
    Metric::gauge("tally_client_connections", "Connections that clients have.");
const CONNECTIONS_MAX: Metric =
    Metric::gauge("tally_client_connections_max", "How many connections clients may have.");
const MADE_ROOM: Metric = Metric::counter(
    "tally_client_connections_closed_total",
    "Connections that were closed to make room for others, or for their requests, because there were as many as there may be.",
);
const REFUSED: Metric = Metric::counter(
    "tally_client_connections_refused_total",
    "Connections that found no room, because all others were in use.",
);

// === impl Clients ===

impl Clients {
    /// Tells a scrape.
    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        let (now, made_room, refused) = self.counts();
        scrape.put(CONNECTIONS, &[], now);
        scrape.put(CONNECTIONS_MAX, &[], self.0.connections_max);
        scrape.put(MADE_ROOM, &[], made_room);
        scrape.put(REFUSED, &[], refused);
    }
}
