//! Attacks by calls that are right, but too many, too large or too odd.

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::CountDailyTotalsRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::google::r#type::Date;
use tally_proto::tally::producers::v1::{Drops as Dropped, Open};
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{Batch, QueryTotalsRequest, RecordRequest};
use tally_runtime::{Clock as _, SystemClock};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::{Attack, FROM, Target};

pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "row queue", begin: |on| each(on, 4, 64, add_known) },
    Attack { name: "new paths", begin: |on| each(on, 4, 16, add_unknown) },
    Attack { name: "scattered days", begin: |on| each(on, 2, 8, add_scattered) },
    Attack { name: "drops of many days", begin: |on| each(on, 2, 16, drop_many) },
    Attack { name: "new producers", begin: |on| each(on, 2, 16, open) },
    Attack { name: "live totals", begin: |on| each(on, 2, 50, query) },
    Attack { name: "roll-ups of a year", begin: |on| each(on, 2, 60, |c, _| roll_up(c, 1999)) },
    Attack {
        name: "roll-ups of all years",
        begin: |on| each(on, 2, 30, |c, n| roll_up(c, 1 + n as i32)),
    },
];

/// How many requests one stream brings.
const REQUESTS: usize = 20_000;
/// How many days a batch of drops has.
const DAYS: i64 = 500;

/// A year of many totals, so that answers are large.
pub(super) async fn fill(url: &str) -> anyhow::Result<()> {
    let channel = Endpoint::new(url.to_owned())?.connect().await?;
    let first = 1_420_070_400;
    let requests = (0..1_000 * 365).map(move |number: i64| {
        let (path, day) = (number % 1_000, number / 1_000);
        let at = prost_types_timestamp(first + day * 86_400);
        AddRequest { method: 1, path: format!("/{path}"), request_timestamp: Some(at) }
    });
    let mut client = CountServiceClient::new(channel.clone());
    client.add(tokio_stream::iter(requests)).await?;
    roll_up(channel, 2015).await;
    Ok(())
}

fn prost_types_timestamp(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

/// So many callers on each of so many connections, who call for ever.
fn each<F>(on: &Target, connections: usize, callers: usize, call: fn(Channel, u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for connection in 0..connections {
        let endpoint = Endpoint::new(on.url.clone()).expect("it is a URL");
        let channel = endpoint.local_address(Some(FROM.into())).connect_lazy();
        for caller in 0..callers {
            let channel = channel.clone();
            on.start(async move {
                let mut number = ((connection * callers + caller) as u64) << 32;
                loop {
                    call(channel.clone(), number).await;
                    number += 1;
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}

/// Whatever becomes of them.
async fn add(channel: Channel, request: impl Fn(usize) -> AddRequest + Send + 'static) {
    let requests = (0..REQUESTS).map(request);
    let _ = CountServiceClient::new(channel).add(tokio_stream::iter(requests)).await;
}

async fn add_known(channel: Channel, _: u64) {
    let request = |number| AddRequest {
        method: 1,
        path: format!("/{}", number % 100),
        request_timestamp: None,
    };
    add(channel, request).await;
}

async fn add_unknown(channel: Channel, round: u64) {
    let request = move |number| AddRequest {
        method: 1,
        path: format!("/unknown/{round}/{number}"),
        request_timestamp: None,
    };
    add(channel, request).await;
}

async fn add_scattered(channel: Channel, round: u64) {
    let request = move |number: usize| {
        let seconds = (number as u64 * 7_919 + round * 104_729) % 60_000 * 86_400;
        let at = prost_types_timestamp(i64::try_from(seconds).expect("small") - 62_000_000_000);
        AddRequest { method: 1, path: "/1".into(), request_timestamp: Some(at) }
    };
    add(channel, request).await;
}

fn opening() -> RecordRequest {
    let open = Open {
        producer_id: Uuid::new_v4().as_bytes().to_vec(),
        epoch: 0,
        claims: vec![1],
        name: "attack".into(),
        acknowledged_sequence: Some(0),
        acknowledged_at: None,
        take_over: false,
    };
    RecordRequest { kind: Some(Kind::Open(open)) }
}

async fn record(channel: Channel, messages: Vec<RecordRequest>) {
    let Ok(answers) = RequestServiceClient::new(channel).record(tokio_stream::iter(messages)).await
    else {
        return;
    };
    let mut answers = answers.into_inner();
    while let Ok(Some(_)) = answers.message().await {}
}

async fn open(channel: Channel, _: u64) {
    record(channel, vec![opening()]).await;
}

async fn drop_many(channel: Channel, _: u64) {
    let day = SystemClock.now().as_second() / 86_400;
    let batch = |sequence: u64| {
        let from = day - DAYS * i64::try_from(sequence).expect("few");
        let drops = (from..from + DAYS)
            .map(|day| Dropped { day: i32::try_from(day).expect("a day"), count: 1 });
        Batch { sequence, drops: drops.collect(), ..Batch::default() }
    };
    let batches = (1..20).map(|number| RecordRequest { kind: Some(Kind::Batch(batch(number))) });
    record(channel, std::iter::once(opening()).chain(batches).collect()).await;
}

async fn query(channel: Channel, _: u64) {
    let query = QueryTotalsRequest { live: true, ..QueryTotalsRequest::default() };
    let Ok(answer) = RequestServiceClient::new(channel).query_totals(query).await else { return };
    let mut answer = answer.into_inner();
    while let Ok(Some(_)) = answer.message().await {}
}

async fn roll_up(channel: Channel, year: i32) {
    let date = Date { year: (year - 1).rem_euclid(2_000) + 1, month: 0, day: 0 };
    let request = CountDailyTotalsRequest { date: Some(date) };
    let _ = CountServiceClient::new(channel).count_daily_totals(request).await;
}
