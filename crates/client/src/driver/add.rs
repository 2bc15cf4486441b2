//! `Add` streams, for a server that speaks only `count.v1`.
//!
//! It has no words for a service, a status and a customer: these are lost, and the requests count
//! under their method and path.
//!
//! Such a stream is acknowledged as a whole after its end, so each carries one batch. If it breaks,
//! the trailer `tally-counted` says how much is counted; without it all is in doubt, and not sent
//! again, because that could count it twice.

use std::iter::repeat_n;
use std::sync::Arc;

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::wire::{self, COUNTED_TRAILER, REFUSED_TRAILER};
use tonic::codegen::tokio_stream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Driver, Ended, Source};
use crate::ledger::Settled;
use crate::progress::Connection;
use crate::rows::{self, Row};
use crate::series::Table;
use crate::transport::causes;

/// Sends streams until one fails.
pub(super) async fn run<S: Source>(driver: &mut Driver<S>, channel: Channel) -> Ended {
    let mut client = CountServiceClient::new(channel);
    driver.connected(Connection::Add);
    let mut healthy = false;
    loop {
        // This protocol cannot report drops.
        driver.batches.carry.drops.0.clear();
        if driver.is_done() {
            return Ended::Done;
        }
        if driver.batches.carry.is_empty() {
            let taken = driver.source.take().await;
            driver.take(taken);
            continue;
        }
        let rows = driver.batches.adding(driver.link.settings.batch_rows_max as u64);
        let count = rows::total(&rows);
        let messages = messages(rows, Arc::clone(&driver.batches.table));
        let request = driver.link.target.request(tokio_stream::iter(messages));
        let limit = driver.link.settings.acknowledge_timeout;
        let answer = match tokio::time::timeout(limit, client.add(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                let limit = limit.as_millis();
                Err(Status::deadline_exceeded(format!("no answer within {limit} ms")))
            }
        };
        let settled = match &answer {
            Ok(_) => Settled { acknowledged: count, ..Settled::default() },
            Err(status) => settled(count, status),
        };
        let Settled { acknowledged, rejected, in_doubt, .. } = settled;
        driver.batches.added(acknowledged + rejected + in_doubt);
        driver.accounts.settle(settled);
        match answer {
            Ok(_) => healthy = true,
            Err(status) => {
                if rejected > 0 {
                    driver.accounts.notices.rejected(0, rejected, &status);
                }
                if in_doubt > 0 {
                    driver.accounts.notices.in_doubt(in_doubt, &status);
                }
                return Ended::Broken { status, healthy };
            }
        }
    }
}

/// What is certain about the requests of a failed stream. The others are not counted.
fn settled(requests: u64, status: &Status) -> Settled {
    let Some(counted) =
        wire::number(status, COUNTED_TRAILER).filter(|counted| *counted <= requests)
    else {
        // Without the method or a connection, nothing is counted.
        let is_uncounted = status.code() == Code::Unimplemented || is_unconnected(status);
        let in_doubt = if is_uncounted { 0 } else { requests };
        return Settled { in_doubt, ..Settled::default() };
    };
    // Refused for their times; the server does not say which.
    let mut rejected = wire::number(status, REFUSED_TRAILER).unwrap_or(0).min(counted);
    let acknowledged = counted - rejected;
    if status.code() == Code::InvalidArgument && counted < requests {
        rejected += 1;
    }
    Settled { acknowledged, rejected, ..Settled::default() }
}

/// A message for each request.
fn messages(
    rows: Vec<Row>,
    table: Arc<Table>,
) -> impl Iterator<Item = AddRequest> + Send + 'static {
    let requests = rows.into_iter().flat_map(|row| repeat_n(row, row.requests as usize));
    requests.map(move |row| {
        let key = table.key(row.series.0);
        AddRequest {
            method: key.method.0,
            path: key.path.to_owned(),
            request_timestamp: Some(wire::timestamp(row.time_us)),
        }
    })
}

/// Whether nothing could be sent because there was no connection.
fn is_unconnected(status: &Status) -> bool {
    causes(status).any(<dyn std::error::Error>::is::<tonic::ConnectError>)
}

#[cfg(test)]
mod tests;
