//! `Record` as its proto specifies it: what is refused with which words, and what is acknowledged.

use tally_proto::tally::producers::v1 as producers;

use tally_producers::Terms;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_requests::{RecordLimits, Settings};
use tonic::Code;
use uuid::Uuid;

use crate::add::{Raw, on_sqlite, stopped};
use crate::backend::{NOW, TERMS, TODAY, day, total};
use crate::recording::{Recording, batch, many, open, series, totals, trailer};
use crate::server::settings;

fn limits() -> RecordLimits {
    RecordLimits {
        batch_rows_max: 10,
        batch_bytes_max: 100_000,
        series_max: 5,
        ..Default::default()
    }
}

pub(crate) fn drops(sequence: u64, drops: &[(i32, u64)]) -> proto::Batch {
    let drops = drops.iter().map(|(day, count)| producers::Drops { day: *day, count: *count });
    proto::Batch { sequence, drops: drops.collect(), ..Default::default() }
}

/// A batch 2 with these lists, after a batch 1 that named one series.
fn lists(number: &[u32], time_delta: &[i64], count: u32) -> proto::Batch {
    let (number, time_delta) = (number.to_vec(), time_delta.to_vec());
    proto::Batch { sequence: 2, number, time_delta, count, ..Default::default() }
}

fn paths(paths: &[&str]) -> proto::Batch {
    proto::Batch { series: paths.iter().map(|path| series(path)).collect(), ..lists(&[0], &[0], 1) }
}

#[tokio::test]
async fn mistakes_in_a_batch_are_named() {
    let today = day(TODAY).0;
    let bad = [
        (batch(0, 1, &[("/", NOW)]), "batch 0: sequence is 0"),
        (batch(u64::MAX, 1, &[("/", NOW)]), "sequence is beyond 2^63-1"),
        (lists(&[], &[], 0), "batch 2: count is 0, and there are no drops"),
        (lists(&[0], &[0, 0], 2), "batch 2: number has 1 entries, and count is 2"),
        (lists(&[0, 0], &[0], 2), "batch 2: time_delta has 1 entries, and count is 2"),
        (lists(&[0, 0], &[0, 0], 1), "batch 2: number has 2 entries, and count is 1"),
        (lists(&[0, 1], &[0, 0], 2), "number, position 2: number 1, and the stream has named 1"),
        (lists(&[u32::MAX], &[0], 1), "number, position 1: number 4294967295"),
        (
            proto::Batch {
                series: vec![series("/a"), proto::Series { status: 1_000, ..series("/a") }],
                ..lists(&[0], &[0], 1)
            },
            "batch 2: series, position 2: status is 1000, and may be at most 999",
        ),
        (lists(&[0], &[i64::MIN], 1), "time_delta, position 1: the time is not between"),
        (lists(&[0, 0], &[-1, i64::MIN], 2), "time_delta, position 2: the time is not between"),
        (lists(&[0], &[-62_135_596_800_000_001], 1), "position 1: the time is not between"),
        (drops(2, &[(today, 0)]), "drops, position 1: count is 0"),
        (drops(2, &[(today, 1), (today, u64::MAX)]), "drops, position 2: count is 184467440"),
        (drops(2, &[(i32::MAX, 1)]), "drops, position 1: day 2147483647 is not between"),
        (drops(2, &[(i32::MIN, 1)]), "drops, position 1: day -2147483648 is not between"),
        (drops(2, &vec![(today, 1); 1_001]), "drops has 1001 entries, and at most 1000"),
        (
            proto::Batch { checkpoint: vec![1; 257], ..lists(&[0], &[0], 1) },
            "batch 2: checkpoint has 257 bytes, and at most 256 are allowed",
        ),
    ];
    let (_folder, counting) = on_sqlite(Settings { record: limits(), ..settings() }).await;
    let mut healthy = Recording::start(&counting).await;
    for (stored, (batch_2, words)) in (1_u64..).zip(&bad) {
        let mut stream = Recording::start(&counting).await;
        stream.send(batch(1, 0, &[("/", NOW)]));
        stream.send(batch_2.clone());
        stream.send(batch(3, 1, &[("/", NOW)]));
        let status = stream.ended().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
        assert!(status.message().contains(words), "{words}: {}", status.message());
        assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("INVALID_BATCH"));
        assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("1"), "{words}");
        assert_eq!(stream.committed, 1, "earlier batches are acknowledged first");
        // It only ends its own stream.
        healthy.send(many(stored, stored == 1, 1));
        healthy.acknowledged(stored).await.expect("another stream");
    }
    assert_eq!(totals(&counting).await, (2 * bad.len() as i64, 0));
}

#[tokio::test]
async fn batches_at_the_limits_are_stored() {
    let (_folder, counting) = on_sqlite(Settings { record: limits(), ..settings() }).await;
    let mut stream = Recording::start(&counting).await;
    let (tomorrow, first) = ("2030-06-16T12:00:00Z", "0001-01-01T00:00:00Z");
    stream.send(batch(1, 0, &[("/", tomorrow), ("/", first), (&"x".repeat(2_048), NOW)]));
    stream.send(many(2, false, 10));
    stream.send(drops(3, &[(day(TODAY).0 + 1, 1), (-719_162, u64::MAX >> 1)]));
    stream.acknowledged(3).await.expect("stored");
    // The sum of drops stays within 64 bits, whatever clients report.
    stream.send(drops(4, &[(-719_162, u64::MAX >> 1), (-719_162, 7)]));
    assert_eq!(stream.finish().await.expect("a good end"), 4);
    assert_eq!(totals(&counting).await, (13, i64::MAX));
}

/// One of the clocks is wrong: the client keeps its batches and retries.
#[tokio::test]
async fn a_time_ahead_is_refused_for_now() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let now = crate::backend::at(NOW);
    for deltas in [[now, 86_400_000_001], [now, crate::backend::at("9000-01-01T00:00:00Z") - now]] {
        let mut stream = Recording::start(&counting).await;
        stream.send(batch(1, 0, &[("/", NOW)]));
        stream.send(lists(&[0, 0], &deltas, 2));
        stream.send(batch(3, 1, &[("/", NOW)]));
        let status = stream.ended().await;
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        let ahead = deltas[1] / 1_000_000;
        let words = format!("position 2: the time is {ahead} s ahead of the server's clock");
        assert!(status.message().contains(&words), "{status}");
        assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("TIME_AHEAD"));
        assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("1"));
    }
    assert_eq!(totals(&counting).await, (2, 0));
}

#[tokio::test]
async fn a_path_that_cannot_be_stored_is_other() {
    let (folder, counting) = on_sqlite(settings()).await;
    let mut stream = Recording::start(&counting).await;
    let long = "x".repeat(2_049);
    stream.send(batch(1, 0, &[("/a", NOW), ("", NOW), (&long, NOW), ("/\0", NOW), ("/b", NOW)]));
    stream.acknowledged(1).await.expect("it is stored");
    let expected =
        [total(TODAY, 3, "/a", 1), total(TODAY, 3, "/b", 1), total(TODAY, 3, "_other", 3)];
    drop(stream);
    assert_eq!(stopped(&folder, counting).await, expected);
}

#[tokio::test]
async fn limits_of_opened_are_enforced() {
    let (_folder, counting) = on_sqlite(Settings { record: limits(), ..settings() }).await;
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("/{n}")).collect();
        paths(&names.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let large = proto::Batch { number: vec![u32::MAX; 50_000], ..many(2, false, 0) };
    for (batch_2, words) in [
        (many(2, false, 11), "batch 2: count is 11, and a batch may have at most 10 entries"),
        (proto::Batch { count: 0, ..many(2, false, 11) }, "count is 11, and a batch may have"),
        (names(5), "batch 2: series: the stream names 6, and may name at most 5"),
        (large, "message 3 of the stream cannot be read"),
    ] {
        let mut stream = Recording::start(&counting).await;
        assert_eq!((stream.opened.batch_rows_max, stream.opened.series_max), (10, 5));
        assert_eq!(stream.opened.batch_bytes_max, 100_000);
        stream.send(many(1, true, 10));
        stream.send(batch_2);
        let status = stream.ended().await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{words}: {status}");
        assert!(status.message().contains(words), "{words}: {}", status.message());
        assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("LIMIT"));
        assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("1"));
    }
    assert_eq!(totals(&counting).await.0, 40);
}

#[tokio::test]
async fn unexpected_messages_end_the_stream() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let again = Some(Kind::Open(open(Uuid::now_v7(), 0, &[1])));
    for (kind, words) in
        [(again, "message 3 of the stream: only the first message opens"), (None, "it is empty")]
    {
        let mut stream = Recording::start(&counting).await;
        stream.send(many(1, true, 3));
        stream.send_kind(kind);
        let status = stream.ended().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(words), "{status}");
        assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("INVALID_MESSAGE"));
        assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("1"));
    }
    let mut client = counting.request_client().await;
    let first = proto::RecordRequest { kind: Some(Kind::Batch(many(1, true, 3))) };
    let mut answers = client.record(tokio_stream::iter([first])).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert!(status.message().contains("the first message must be open"), "{status}");
    // A stream without messages is empty.
    let mut answers = client.record(tokio_stream::iter([])).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_none());
    assert_eq!(totals(&counting).await, (6, 0));
}

#[tokio::test]
async fn mistakes_in_an_open_are_named() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let good = || open(Uuid::now_v7(), 0, &[1]);
    for (open, words) in [
        (producers::Open { producer_id: vec![1; 15], ..good() }, "producer_id has 15 bytes"),
        (producers::Open { producer_id: vec![], ..good() }, "producer_id has 0 bytes"),
        (producers::Open { producer_id: vec![0; 16], ..good() }, "producer_id is the nil UUID"),
        (producers::Open { epoch: 1 << 63, ..good() }, "epoch is beyond"),
        (producers::Open { claims: vec![], ..good() }, "claims has 0 entries"),
        (producers::Open { claims: vec![1; 65], ..good() }, "claims has 65 entries"),
        (producers::Open { claims: vec![1, 0], ..good() }, "claims, position 2: 0 is not a claim"),
        (producers::Open { name: "é".repeat(101), ..good() }, "name has 202 bytes"),
        (producers::Open { name: "a\0".into(), ..good() }, "name contains a NUL byte"),
    ] {
        let status = Recording::open(&counting, open).await.err().expect(words);
        assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
        assert!(status.message().contains(words), "{words}: {}", status.message());
        assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("INVALID_OPEN"));
    }
    // The same for one that is none.
    let mut grpc = tonic::client::Grpc::new(counting.channel().await);
    grpc.ready().await.expect("a connection");
    // A field of five bytes, and then there is none.
    let first = tonic::Request::new(tokio_stream::iter([vec![0x0a, 5]]));
    let path = "/tally.requests.v1.RequestService/Record".parse().expect("a path");
    let answer = grpc.streaming(first, path, Raw).await;
    let mut answers = answer.expect("a head").into_inner();
    let status = answers.message().await.expect_err("it cannot be read");
    assert!(status.message().contains("message 1 of the stream cannot be read"), "{status}");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("INVALID_OPEN"));
    let widest = producers::Open { claims: vec![u64::MAX; 64], name: "é".repeat(100), ..good() };
    Recording::open(&counting, widest).await.expect("just allowed");
}

#[tokio::test]
async fn a_duplicate_is_acknowledged_and_a_gap_is_refused() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let id = Uuid::now_v7();
    let mut stream = Recording::open(&counting, open(id, 0, &[7])).await.unwrap();
    let epoch = stream.opened.epoch;
    assert_eq!(stream.committed, 0);
    stream.send(many(1, true, 3));
    stream.send(many(2, false, 3));
    stream.acknowledged(2).await.unwrap();
    // Even a series that only a duplicate names gets a number.
    stream.send(batch(1, 1, &[("/new", NOW)]));
    let again = stream.answers.message().await.unwrap().expect("an answer to a duplicate");
    assert_eq!(again.committed_sequence, 2);
    stream.send(proto::Batch { number: vec![1], ..many(3, false, 1) });
    stream.acknowledged(3).await.unwrap();
    stream.send(many(5, false, 1));
    let status = stream.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("batch 5 is out of sequence: the next one is 4"), "{status}");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("OUT_OF_SEQUENCE"));
    assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("3"));
    // The same process continues after the committed batches; resent ones are not stored.
    let stream = Recording::open(&counting, open(id, epoch, &[7])).await.unwrap();
    assert_eq!((stream.opened.epoch, stream.committed), (epoch, 3));
    stream.send(many(3, true, 1));
    stream.send(many(4, false, 1));
    assert_eq!(stream.finish().await.unwrap(), 4);
    assert_eq!(totals(&counting).await, (8, 0));
}

#[tokio::test]
async fn only_one_client_has_a_producer() {
    let (_folder, counting) =
        on_sqlite(Settings { terms: Terms { producers_max: 2, ..TERMS }, ..settings() }).await;
    let id = Uuid::now_v7();
    let mut first = Recording::open(&counting, open(id, 0, &[7])).await.unwrap();
    first.send(many(1, true, 1));
    first.acknowledged(1).await.unwrap();
    // Knowing the id alone is not enough.
    for guess in 0..10 {
        let thief = open(id, guess, &[8]);
        let refused = Recording::open(&counting, thief).await.err().expect("a second one");
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert_eq!(trailer(&refused, "tally-reason").as_deref(), Some("PRODUCER_IN_USE"));
    }
    // The client's next process knows the epoch, so the previous one can store nothing more.
    let epoch = first.opened.epoch;
    let mut second = Recording::open(&counting, open(id, epoch, &[9])).await.unwrap();
    assert_ne!(second.opened.epoch, epoch);
    assert_eq!(second.committed, 1);
    first.send(many(2, false, 1));
    let status = first.ended().await;
    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("1"));
    second.send(many(2, true, 5));
    second.acknowledged(2).await.unwrap();
    let unknown = open(Uuid::now_v7(), 3, &[7]);
    let forgotten = Recording::open(&counting, unknown).await.err().expect("forgotten");
    assert_eq!(forgotten.code(), Code::FailedPrecondition);
    assert_eq!(trailer(&forgotten, "tally-reason").as_deref(), Some("PRODUCER_FORGOTTEN"));
    // A second producer is accepted, a third is not; existing ones may reopen.
    let _second = Recording::start(&counting).await;
    let third =
        Recording::open(&counting, open(Uuid::now_v7(), 0, &[1])).await.err().expect("full");
    assert_eq!(third.code(), Code::ResourceExhausted);
    assert_eq!(trailer(&third, "tally-reason").as_deref(), Some("TOO_MANY_PRODUCERS"));
    Recording::open(&counting, open(id, second.opened.epoch, &[9])).await.unwrap();
    assert_eq!(totals(&counting).await, (6, 0));
}

#[tokio::test]
async fn producers_are_listed_with_their_accounts() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let mut stream = Recording::start(&counting).await;
    stream.send(many(1, true, 3));
    stream.send(drops(2, &[(day(TODAY).0, 5), (0, 2)]));
    stream.acknowledged(2).await.unwrap();
    counting.add(vec![crate::server::get("/", NOW); 4]).await.unwrap();
    let mut client = counting.request_client().await;
    for (with_workers, workers) in [(false, 0), (true, 1)] {
        let request = proto::ListProducersRequest { with_workers };
        let mut answers = client.list_producers(request).await.unwrap().into_inner();
        let mut listed = answers.message().await.unwrap().expect("producers").producers;
        assert!(answers.message().await.unwrap().is_none());
        assert!(listed.is_sorted_by_key(|one| {
            let seen = one.last_seen.expect("a time");
            std::cmp::Reverse((seen.seconds, seen.nanos))
        }));
        listed.retain(|one| !one.is_worker || one.accepted > 0);
        assert_eq!(listed.iter().filter(|one| one.is_worker).count(), workers);
        assert!(listed.iter().filter(|one| one.is_worker).all(|one| one.accepted == 4));
        let client: Vec<_> = listed.iter().filter(|one| !one.is_worker).collect();
        assert_eq!(client.len(), 1);
        assert_eq!((client[0].accepted, client[0].dropped, client[0].sequence), (3, 7, 2));
        assert_eq!((client[0].name.as_str(), client[0].short_id.len()), ("a test", 8));
    }
    assert_eq!(totals(&counting).await, (7, 7));
}

#[tokio::test]
async fn drops_of_a_range_are_reported_even_without_totals() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let mut stream = Recording::start(&counting).await;
    stream.send(drops(1, &[(0, 5), (10, 2)]));
    stream.acknowledged(1).await.unwrap();
    let mut client = counting.request_client().await;
    let date = |day| Some(tally_proto::google::r#type::Date { year: 1970, month: 1, day });
    for (from, to, dropped) in [(1, 1, 5), (1, 11, 7), (2, 10, 0), (12, 0, 0)] {
        let to = if to == 0 { None } else { date(to) };
        let request = proto::QueryTotalsRequest { from: date(from), to, ..Default::default() };
        let mut answers = client.query_totals(request).await.unwrap().into_inner();
        let first = answers.message().await.unwrap();
        assert_eq!(first.map(|answer| answer.dropped), Some(dropped), "{from} to {to:?}");
    }
}
