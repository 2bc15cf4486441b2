//! Sends the same requests to a running server by `Add` and by `Record`, in turns, and prints how
//! many per second were acknowledged:
//!
//! `cargo run --release -p tally-requests --example insert_paths -- [URL] [REQUESTS] [STREAMS] [BATCH] [ROUNDS]`

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::time::Instant;

use futures_util::future::try_join_all;
use prost_types::Timestamp;
use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_runtime::{Clock as _, SystemClock};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many different paths.
const PATHS: usize = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:7777".into());
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (requests, streams) = (number(2_000_000)?, number(4)?);
    let (batch, rounds) = (number(1_000)?, number(3)?);
    println!("{requests} requests, {streams} streams, {PATHS} paths, batches of {batch}");
    let endpoint = Endpoint::new(url)?;
    let share = requests / streams;
    for _ in 0..rounds {
        let mut channels = Vec::new();
        for _ in 0..streams {
            channels.push(endpoint.connect().await?);
        }
        let start = Instant::now();
        try_join_all(channels.iter().map(|channel| add(channel.clone(), share))).await?;
        let added = start.elapsed();
        let start = Instant::now();
        try_join_all(channels.iter().map(|channel| record(channel.clone(), share, batch))).await?;
        let recorded = start.elapsed();
        let rate = |elapsed: std::time::Duration| (share * streams) as f64 / elapsed.as_secs_f64();
        println!(
            "Add {:>10.0}/s   Record {:>10.0}/s   Record/Add {:.2}",
            rate(added),
            rate(recorded),
            added.as_secs_f64() / recorded.as_secs_f64()
        );
    }
    Ok(())
}

/// One stream of single requests, which is acknowledged at its end.
async fn add(channel: Channel, requests: usize) -> Result<()> {
    let now = SystemClock.now();
    let messages = (0..requests).map(move |n| AddRequest {
        method: 3,
        path: format!("/path/{}", n % PATHS),
        request_timestamp: Some(Timestamp { seconds: now.as_second(), nanos: 0 }),
    });
    CountServiceClient::new(channel).add(tokio_stream::iter(messages)).await?;
    Ok(())
}

/// One stream of batches, as many on their way as the server allows.
async fn record(channel: Channel, requests: usize, rows: usize) -> Result<()> {
    let (sender, messages) = mpsc::channel(64);
    let send = async |kind| sender.send(proto::RecordRequest { kind: Some(kind) }).await;
    let id = Uuid::now_v7().as_bytes().to_vec();
    let name = "bench".into();
    let open = producers::Open { producer_id: id, claims: vec![1], name, ..Default::default() };
    send(Kind::Open(open)).await?;
    let mut client = RequestServiceClient::new(channel);
    let mut answers = client.record(ReceiverStream::new(messages)).await?.into_inner();
    let first = answers.message().await?.ok_or("no answer")?;
    let window = u64::from(first.opened.ok_or("not opened")?.batches_in_flight_max);
    let now = SystemClock.now().as_second() * 1_000_000;
    let batches = requests.div_ceil(rows) as u64;
    let mut committed = 0;
    for sequence in 1..=batches {
        while sequence - committed > window {
            committed = answers.message().await?.ok_or("it ended early")?.committed_sequence;
        }
        let sent = (usize::try_from(sequence)? - 1) * rows;
        let mut batch = batch(rows.min(requests - sent), now);
        batch.sequence = sequence;
        if sequence == 1 {
            let name = |n| proto::Series {
                method: "GET".into(),
                path: format!("/path/{n}"),
                ..Default::default()
            };
            batch.series = (0..PATHS).map(name).collect();
        }
        send(Kind::Batch(batch)).await?;
    }
    while committed < batches {
        committed = answers.message().await?.ok_or("it ended early")?.committed_sequence;
    }
    Ok(())
}

fn batch(rows: usize, now: i64) -> proto::Batch {
    let mut time_delta = vec![0; rows];
    time_delta[0] = now;
    proto::Batch {
        number: (0..rows).map(|n| u32::try_from(n % PATHS).unwrap_or(0)).collect(),
        time_delta,
        count: u32::try_from(rows).unwrap_or(0),
        ..Default::default()
    }
}
