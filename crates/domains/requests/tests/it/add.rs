//! `Add`: what is refused, what is counted, and what the client is told.

use std::time::Duration;

use bytes::BufMut as _;
use prost::Message as _;
use prost_types::Timestamp;
use tally_ingest::Limits;
use tally_proto::count::v1::{AddRequest, AddResponse};
use tally_requests::Settings;
use tally_requests::store::{self, Store};
use tally_serve::Running as _;
use tally_testkit::{Proxy, TestDatabase, eventually};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use crate::LIMIT;
use crate::backend::{NOW, TODAY, Total, ask, listed, open, query, sum, total};
use crate::recording;
use crate::server::{Counting, counted, get, request, settings};

/// A service on an empty SQLite file.
pub(crate) async fn on_sqlite(settings: Settings) -> (tempfile::TempDir, Counting) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let counting = Counting::start(&url, settings).await;
    (folder, counting)
}

/// Stops the service and reads live totals.
pub(crate) async fn stopped(folder: &tempfile::TempDir, counting: Counting) -> Vec<Total> {
    counting.stop().await;
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    // The service's last task releases the file's lock.
    let database = eventually("the file is free", LIMIT, async || {
        let url = url.parse().expect("a URL");
        tally_store::Database::open(&url, tally_store::postgres::Settings::default()).await
    })
    .await;
    live(&store::open(&database)).await
}

async fn live(store: &Store) -> Vec<Total> {
    let query = query(tally_requests::periods::Granularity::Day, true);
    listed(&ask(store, &query).await.expect("not too many"))
}

fn with_timestamp(seconds: i64, nanos: i32) -> AddRequest {
    AddRequest { request_timestamp: Some(Timestamp { seconds, nanos }), ..get("/", NOW) }
}

/// Sends messages as raw bytes.
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = AddResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for Raw {
    type Item = AddResponse;
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<AddResponse>, Status> {
        Ok(Some(AddResponse {}))
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

async fn add_raw(counting: &Counting, messages: Vec<Vec<u8>>) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(counting.channel().await);
    grpc.ready().await.expect("a connection");
    let path = "/count.v1.CountService/Add".parse().expect("a path");
    let requests = Request::new(tokio_stream::iter(messages));
    grpc.client_streaming(requests, path, Raw).await.map(|_| ())
}

/// Clients of `count.v1` do not read errors while they send, so a bad path must not end the stream.
#[tokio::test]
async fn a_path_that_cannot_be_stored_is_counted_as_other() {
    let (folder, counting) = on_sqlite(settings()).await;
    let bad = ["", &"x".repeat(2_049), &"\u{e9}".repeat(1_025), "/a\0b", "\0", "_other"];
    let mut stream = vec![get("/good", NOW)];
    stream.extend(bad.map(|path| get(path, NOW)));
    stream.extend([request(1, "", NOW), request(42, "", NOW), get("/good", NOW)]);
    counting.add(stream).await.unwrap();
    let expected = [
        total(TODAY, 3, "/good", 2),
        total(TODAY, 1, "_other", 1),
        total(TODAY, 3, "_other", bad.len() as i64),
        total(TODAY, 42, "_other", 1),
    ];
    assert_eq!(stopped(&folder, counting).await, expected);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_counted_as_other() {
    let (folder, counting) = on_sqlite(settings()).await;
    let good = get("/good", "2030-06-14T12:00:00Z").encode_to_vec();
    let mut not_utf_8 = good.clone();
    let at = not_utf_8.windows(5).position(|bytes| bytes == b"/good").expect("a path");
    not_utf_8[at + 1] = 0xff;
    let cut = good[..good.len() - 1].to_vec();
    let junk = vec![0xff; 20];
    let stream = vec![good.clone(), not_utf_8, cut, junk, Vec::new(), good];
    add_raw(&counting, stream).await.unwrap();
    let expected = [
        total("2030-06-14", 3, "/good", 2),
        total("2030-06-14", 3, "_other", 1),
        // At the time of arrival, and under the method if it was readable.
        total(TODAY, 3, "_other", 1),
        total(TODAY, 0, "_other", 2),
    ];
    assert_eq!(stopped(&folder, counting).await, expected);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_stream() {
    let (folder, counting) = on_sqlite(settings()).await;
    let large = get(&"x".repeat(64 << 10), NOW);
    let status = counting.add(vec![get("/a", NOW), large, get("/b", NOW)]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("request 2 of the stream cannot be read"), "{status}");
    assert_eq!(counted(&status), Some((1, 0)));
    assert_eq!(stopped(&folder, counting).await, [total(TODAY, 3, "/a", 1)]);
}

#[tokio::test]
async fn a_request_without_a_time_gets_its_time_of_arrival() {
    let (folder, counting) = on_sqlite(settings()).await;
    let request = AddRequest { request_timestamp: None, ..get("/", "2001-01-01T00:00:00Z") };
    counting.add(vec![request]).await.unwrap();
    assert_eq!(stopped(&folder, counting).await, [total(TODAY, 3, "/", 1)]);
}

/// Whatever is wrong with the fourth request's time, its neighbours are counted, and the final
/// message names the request and the mistake.
#[tokio::test]
async fn a_time_out_of_range_is_reported_after_the_rest_is_counted() {
    let now = jiff::civil::date(2030, 6, 15).at(12, 0, 0, 0);
    let now = now.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    let bad = [
        (with_timestamp(now, -1), "request_timestamp is not between"),
        (with_timestamp(now, 1_000_000_000), "request_timestamp is not between"),
        (with_timestamp(-62_135_596_801, 0), "request_timestamp is not between"),
        (with_timestamp(253_402_300_800, 0), "request_timestamp is not between"),
        (with_timestamp(i64::MIN, i32::MIN), "request_timestamp is not between"),
        (with_timestamp(i64::MAX, 0), "request_timestamp is not between"),
        (with_timestamp(now + 86_400, 1_000), "ahead of the server's clock, more than 24 h"),
        (with_timestamp(253_402_300_799, 0), "ahead of the server's clock, more than 24 h"),
    ];
    let (folder, counting) = on_sqlite(settings()).await;
    let count = bad.len() as i64;
    let good = || get("/good", NOW);
    for (request, message) in &bad {
        let stream = vec![good(), good(), good(), request.clone(), good()];
        let status = counting.add(stream).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{message}: {status}");
        let first = "request 4 of the stream is not counted: request_timestamp is";
        assert!(status.message().contains(first), "{status}");
        assert!(status.message().contains(message), "{message}: {}", status.message());
        assert_eq!(counted(&status), Some((5, 1)), "{message}");
    }
    // First, last, and only request.
    let [(early, _), .., (late, _)] = bad;
    let stream = vec![late.clone(), good(), early, good(), late.clone()];
    let status = counting.add(stream).await.unwrap_err();
    assert!(status.message().contains("request 1 of the stream"), "{status}");
    assert!(status.message().contains("nor are 2 other ones"), "{status}");
    assert_eq!(counted(&status), Some((5, 3)));
    let status = counting.add(vec![late]).await.unwrap_err();
    assert_eq!(counted(&status), Some((1, 1)));
    assert_eq!(stopped(&folder, counting).await, [total(TODAY, 3, "/good", 4 * count + 2)]);
}

/// A client resends from the reported position, even if requests before it were refused.
#[tokio::test]
async fn an_interrupted_stream_reports_its_position() {
    let (folder, counting) = on_sqlite(settings()).await;
    let ahead = || get("/ahead", "2031-01-01T00:00:00Z");
    let (sender, requests) = mpsc::channel(10);
    for request in [ahead(), get("/a", NOW), ahead(), ahead(), get("/a", NOW), ahead()] {
        sender.try_send(request).expect("room");
    }
    let mut client = counting.client().await;
    let tasks = tally_runtime::Tasks::new();
    let adding =
        tasks.spawn("a stream", async move { client.add(ReceiverStream::new(requests)).await });
    // Once this one is stored, the last one is read.
    sender.send(get("/a", NOW)).await.expect("the stream continues");
    eventually("all is stored", LIMIT, async || {
        let (there, _) = recording::totals(&counting).await;
        if there == 3 { Ok(()) } else { Err(there) }
    })
    .await;
    let totals = stopped(&folder, counting).await;
    let status = adding.await.unwrap().unwrap_err();
    drop(sender);
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(counted(&status), Some((7, 4)));
    assert_eq!(totals, [total(TODAY, 3, "/a", 3)]);
}

/// A server without room for more series learns the series of other servers.
#[tokio::test]
async fn a_full_server_learns_another_ones_series() {
    let Some(database) = TestDatabase::create_or_skip("two_servers") else { return };
    let few = Settings { series_max: 4, ..settings() };
    let full = Counting::start(&database.url(), few).await;
    let other = Counting::start(&database.url(), settings()).await;
    full.add(["/a", "/b", "/c"].map(|path| get(path, NOW)).to_vec()).await.unwrap();
    other.add(vec![get("/c", NOW)]).await.unwrap();
    full.service.learn().await;
    full.add(["/c", "/d"].map(|path| get(path, NOW)).to_vec()).await.unwrap();
    let expected = [("/a", 1), ("/b", 1), ("/c", 2), ("_other", 2)];
    assert_eq!(full.live().await, expected.map(|(path, count)| total(TODAY, 3, path, count)));
    full.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn requests_at_the_limits_are_counted() {
    let (folder, counting) = on_sqlite(settings()).await;
    let longest = "x".repeat(2_048);
    let stream = vec![
        get("/", "2030-06-16T12:00:00Z"),
        get("/", "0001-01-01T00:00:00Z"),
        AddRequest {
            request_timestamp: Some(Timestamp { seconds: -1, nanos: 999_999_999 }),
            ..get("/", NOW)
        },
        get(&longest, NOW),
        get("no slash, but a space?", NOW),
        get("\u{1}\u{7f}", NOW),
    ];
    counting.add(stream).await.unwrap();
    counting.add(Vec::new()).await.unwrap();
    let expected = [
        total("0001-01-01", 3, "/", 1),
        total("1969-12-31", 3, "/", 1),
        total(TODAY, 3, "\u{1}\u{7f}", 1),
        total(TODAY, 3, "no slash, but a space?", 1),
        total(TODAY, 3, &longest, 1),
        total("2030-06-16", 3, "/", 1),
    ];
    assert_eq!(stopped(&folder, counting).await, expected);
}

#[tokio::test]
async fn a_bad_time_late_in_a_long_stream_is_reported_by_position() {
    let (folder, counting) = on_sqlite(settings()).await;
    let mut stream: Vec<_> = (0..5_000).map(|n| get(&format!("/{}", n % 7), NOW)).collect();
    stream.insert(4_999, get("/", "2031-01-01T00:00:00Z"));
    let status = counting.add(stream).await.unwrap_err();
    assert!(status.message().contains("request 5000 of the stream"), "{}", status.message());
    assert_eq!(counted(&status), Some((5_001, 1)));
    // Other streams are not affected.
    counting.add(vec![get("/0", NOW)]).await.unwrap();
    assert_eq!(sum(&stopped(&folder, counting).await), 5_001);
}

#[tokio::test]
async fn methods_are_stored_as_they_are() {
    let (folder, counting) = on_sqlite(settings()).await;
    let methods = [i32::MIN, -1, 0, 1, 9, 10, 42, 100, i32::MAX];
    counting.add(methods.map(|method| request(method, "/", NOW)).to_vec()).await.unwrap();
    // By name: CONNECT, GRPC, METHOD_UNSPECIFIED, PATCH; then numbers without a name.
    let ordered = [1, 100, 0, 9, i32::MIN, -1, 10, 42, i32::MAX];
    let expected = ordered.map(|method| total(TODAY, method, "/", 1));
    assert_eq!(stopped(&folder, counting).await, expected);
}

#[tokio::test]
async fn beyond_the_limit_requests_are_counted_as_other() {
    let (folder, counting) = on_sqlite(Settings { series_max: 20, ..settings() }).await;
    // In one stream, then in several, with known and new series. None comes four times, as it must
    // once half of the room is taken.
    let mut sent = 0;
    for round in 0..3 {
        let stream: Vec<_> = (0..20).map(|n| get(&format!("/{}", n + 5 * round), NOW)).collect();
        sent += stream.len() as i64;
        counting.add(stream).await.unwrap();
    }
    counting.add(vec![request(6, "/new", NOW), request(42, "/new", NOW)]).await.unwrap();
    let totals = stopped(&folder, counting).await;
    assert_eq!(sum(&totals), sent + 2);
    let known: Vec<_> = totals.iter().filter(|one| one.2 != "_other").collect();
    assert_eq!(known.len(), 10);
    // `/0` to `/9`: five of them occur in two of the rounds.
    assert_eq!(known.iter().map(|one| one.3).sum::<i64>(), 15);
    let other: Vec<_> = totals.into_iter().filter(|one| one.2 == "_other").collect();
    assert_eq!(
        other,
        [
            total(TODAY, 3, "_other", sent - 15),
            total(TODAY, 6, "_other", 1),
            total(TODAY, 42, "_other", 1)
        ]
    );
}

/// h2 ends a connection with too many small unread frames. While the database is stalled and the
/// queue is full, the stream is not read for seconds, but it must survive.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stalled_database_ends_no_connection() {
    const STALL: Duration = Duration::from_secs(3);
    const PACE: Duration = Duration::from_millis(2);
    const BURST: i64 = 10;
    // Enough to try the limit.
    const SENT_MIN: i64 = 5_000;
    let Some(database) = TestDatabase::create_or_skip("h2_stall") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let queue = Limits { rows_max: 3_000, bytes_max: 1 << 20, wait_max: Duration::from_secs(60) };
    let counting = Counting::start(&url, Settings { queue, ..settings() }).await;
    let mut client = counting.client().await;
    client.add(tokio_stream::iter([get("/", NOW)])).await.unwrap();
    proxy.stall();
    let (sender, requests) = mpsc::channel(1 << 20);
    let tasks = tally_runtime::Tasks::new();
    let sending = tasks.spawn("client", async move {
        let (mut sent, mut pace) = (0, tokio::time::interval(PACE));
        let begun = tokio::time::Instant::now();
        while (begun.elapsed() < STALL || sent < SENT_MIN) && !sender.is_closed() {
            pace.tick().await;
            for _ in 0..BURST {
                // Closed if the stream was ended; its answer says why.
                sent += i64::from(sender.try_send(get("/", NOW)).is_ok());
            }
        }
        sent
    });
    // One message per frame: the encoder flushes whenever no message is waiting.
    let one_per_frame = ReceiverStream::new(requests).then(async |request| {
        tokio::task::yield_now().await;
        request
    });
    let mut second = client.clone();
    let first = tasks.spawn("first stream", async move { client.add(one_per_frame).await });
    let second = tasks.spawn("second stream", async move {
        second.add(tokio_stream::iter([get("/second", NOW)])).await
    });
    let sent: i64 = sending.await.unwrap();
    // There is no room for another chunk, which has 1,024 rows at most.
    let is_full = async || counting.service.queued_rows() > 3_000 - 1_024;
    eventually("the queue is full", LIMIT, is_full).await;
    assert!(!first.is_finished(), "the stream was answered while the database was stalled");
    proxy.resume();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    counting.stop().await;
    let totals = live(&store::open(&open(&database.url()).await)).await;
    assert_eq!(totals, [total(TODAY, 3, "/", sent + 1), total(TODAY, 3, "/second", 1)]);
}
