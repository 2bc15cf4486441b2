//! `Add` streams, for a server that speaks only `count.v1`.
//!
//! Such a stream is acknowledged as a whole once it is half-closed, so each carries one chunk.
//! When it breaks, the trailer `tally-counted` says how far it is counted. Without that, all of its
//! requests are in doubt. They are not sent again: that could count them twice.

use std::sync::Arc;

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::wire::{self, COUNTED_TRAILER, REFUSED_TRAILER};
use tonic::codegen::tokio_stream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Driver, Ended};
use crate::endpoints::Endpoints;
use crate::ledger::Settled;
use crate::progress::Connection;
use crate::rows::Row;

// === impl Driver ===

impl Driver {
    /// Sends one stream after the other until one fails.
    pub(super) async fn add(&mut self, channel: Channel) -> Ended {
        let mut client = CountServiceClient::new(channel);
        self.connected(Connection::Add);
        let mut healthy = false;
        loop {
            // Drops cannot be told here.
            self.carry.drops.0.clear();
            if self.is_done() {
                return Ended::Done;
            }
            if self.carry.rows.is_empty() {
                let chunk = self.chunks.take().await;
                self.take(chunk);
                continue;
            }
            let limit = self.settings.batch_rows_max.min(self.carry.rows.len());
            let rest = self.carry.rows.split_off(limit);
            self.adding = std::mem::replace(&mut self.carry.rows, rest).into();
            let endpoints = Arc::clone(&self.endpoints);
            let messages = messages(Arc::clone(&self.adding), endpoints);
            let request = self.target.request(tokio_stream::iter(messages));
            let limit = self.settings.acknowledge_timeout;
            let answer = match tokio::time::timeout(limit, client.add(request)).await {
                Ok(answer) => answer,
                Err(_) => {
                    let limit = limit.as_millis();
                    Err(Status::deadline_exceeded(format!("no answer within {limit} ms")))
                }
            };
            let rows = std::mem::take(&mut self.adding);
            match answer {
                Ok(_) => {
                    let acknowledged = rows.len() as u64;
                    self.settle(Settled { acknowledged, ..Settled::default() });
                    healthy = true;
                }
                Err(status) => {
                    self.add_failed(&rows, &status);
                    return Ended::Broken { status, healthy };
                }
            }
        }
    }

    /// Settles what is certain, and keeps what is certainly not counted.
    fn add_failed(&mut self, rows: &[Row], status: &Status) {
        let counted = trailer(status, COUNTED_TRAILER);
        let Some(counted) = counted.filter(|counted| *counted <= rows.len()) else {
            // A server without the method has counted nothing, nor has one without a connection.
            if status.code() == Code::Unimplemented || is_unconnected(status) {
                self.keep(rows);
                return;
            }
            let in_doubt = rows.len() as u64;
            self.notices.in_doubt(in_doubt, status);
            self.settle(Settled { in_doubt, ..Settled::default() });
            return;
        };
        // For their times; nobody says which.
        let mut rejected = trailer(status, REFUSED_TRAILER).unwrap_or(0).min(counted);
        let acknowledged = counted - rejected;
        let mut rest = &rows[counted..];
        if status.code() == Code::InvalidArgument && !rest.is_empty() {
            rejected += 1;
            rest = &rest[1..];
        }
        if rejected > 0 {
            self.notices.rejected(0, rejected as u64, status);
        }
        let (acknowledged, rejected) = (acknowledged as u64, rejected as u64);
        self.settle(Settled { acknowledged, rejected, ..Settled::default() });
        self.keep(rest);
    }

    fn keep(&mut self, rows: &[Row]) {
        let mut kept = rows.to_vec();
        kept.append(&mut self.carry.rows);
        self.carry.rows = kept;
    }
}

fn messages(
    rows: Arc<[Row]>,
    endpoints: Arc<Endpoints>,
) -> impl Iterator<Item = AddRequest> + Send + 'static {
    (0..rows.len()).map(move |at| {
        let row = rows[at];
        let (method, path) = endpoints.name(row.endpoint.0);
        AddRequest {
            method: method.0,
            path: path.to_owned(),
            request_timestamp: Some(wire::timestamp(row.time_us)),
        }
    })
}

/// Whether there was no connection to send anything by.
fn is_unconnected(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn trailer(status: &Status, name: &str) -> Option<usize> {
    status.metadata().get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server has ended while nothing was on its way to it: what comes next is not sent.
    #[tokio::test]
    async fn without_a_connection_nothing_is_in_doubt() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.expect("an address").connect_lazy();
        let messages = tokio_stream::iter([AddRequest::default()]);
        let status = CountServiceClient::new(channel).add(messages).await.expect_err("nobody");
        assert!(is_unconnected(&status), "{status:?}");
        assert!(!is_unconnected(&Status::unavailable("lost answer")));
    }
}
