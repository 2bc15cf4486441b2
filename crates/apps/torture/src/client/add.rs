//! A client of `count.v1`: streams of `Add`, none of which it sends again.

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_runtime::Signals;
use tonic::Status;
use tonic::transport::Channel;

use super::load::{clock, day};
use super::pace::Pace;
use super::{Arguments, back_off, last_sent, now_micros};
use crate::journal::{Journal, Key, Line, Parcel};

/// The trailer that says how many requests of a failed stream are counted all the same.
const COUNTED_TRAILER: &str = "tally-counted";

/// Sends one stream after the other, until a signal comes.
pub(super) async fn run(
    arguments: &Arguments,
    mut journal: Journal,
    past: &[Line],
    mut signals: Signals,
) -> anyhow::Result<()> {
    journal.write(&Line::Start { resumed: false, drops: false })?;
    let load = arguments.load(0, past);
    let endpoints = load.endpoints();
    let mut random = arguments.random(past);
    let mut pace = Pace::new(arguments.rate);
    let mut number = last_sent(past);
    let mut channel: Option<Channel> = None;
    loop {
        tokio::select! {
            _ = signals.recv() => break,
            () = pace.turn() => {}
        }
        let connected = match channel.take() {
            Some(connected) => connected,
            None => match arguments.connect().await {
                Ok(connected) => connected,
                Err(_) => {
                    back_off(&mut random).await;
                    continue;
                }
            },
        };
        number += 1;
        // A path for each stream: what may be stored of one that failed hides nothing of others.
        let (method, _) = endpoints[random.index(endpoints.len())];
        let path = format!("/{}/{number}", arguments.name);
        let count = random.within(1, load.rows_max * 4);
        let micros = clock(&mut random, now_micros());
        let key = Key { day: day(micros), method, path };
        journal.write(&Line::Sent(number, Parcel::of(key.clone(), count)))?;
        pace.sent(count);
        match send(connected.clone(), &key, micros, count).await {
            Ok(()) => journal.write(&Line::Acknowledged(number))?,
            Err(status) => journal.write(&outcome(number, count, &status))?,
        }
        if random.percent(95) {
            channel = Some(connected);
        }
    }
    journal.write(&Line::Done)?;
    Ok(())
}

/// Sends so many equal requests, and waits for the answer.
async fn send(channel: Channel, key: &Key, micros: i64, count: u64) -> Result<(), Status> {
    // All at the same microsecond, so that all are of one day.
    let seconds = micros.div_euclid(1_000_000);
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("below a second");
    let request = AddRequest {
        method: key.method,
        path: key.path.clone(),
        request_timestamp: Some(prost_types::Timestamp { seconds, nanos }),
    };
    let requests = tokio_stream::iter((0..count).map(move |_| request.clone()));
    CountServiceClient::new(channel).add(requests).await.map(|_| ())
}

/// What is known of a stream that failed.
fn outcome(number: u64, count: u64, status: &Status) -> Line {
    let counted = status.metadata().get(COUNTED_TRAILER).and_then(|value| value.to_str().ok());
    match counted.and_then(|text| text.parse::<u64>().ok()) {
        Some(counted) if counted <= count => Line::Exactly(number, counted),
        Some(counted) => Line::Broken(format!("{COUNTED_TRAILER} is {counted} of {count}")),
        None => Line::Doubtful(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stream_is_what_its_trailer_says() {
        let status = |counted: Option<&'static str>| {
            let mut status = Status::unavailable("");
            if let Some(counted) = counted {
                status.metadata_mut().insert(COUNTED_TRAILER, counted.parse().unwrap());
            }
            status
        };
        assert_eq!(outcome(1, 9, &status(Some("4"))), Line::Exactly(1, 4));
        assert_eq!(outcome(1, 9, &status(None)), Line::Doubtful(1));
        assert!(matches!(outcome(1, 9, &status(Some("10"))), Line::Broken(_)));
    }
}
