//! Clients that read large answers slowly, or not at all.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tally_testkit::http;
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{Channel, Endpoint};

use crate::support::{Home, LIMIT, Server};

/// A year of this many series by day is one answer.
const SERIES: u32 = 1_000;
const YEAR: &str = "/api/v1/requests/totals?from=2015&to=2015&by=day";
/// Three days of it have 270 kB: more than a stream takes before its client reads.
const DAYS: &str = "/api/v1/requests/totals?from=2015-01-01&to=2015-01-03";
/// How much memory slow readers of it may take.
const SLOW_KIB: u64 = 32 << 10;
const SLOW: usize = 20;

/// Streams of one connection, and connections: a thousand readers.
const STREAMS: usize = 100;
const CONNECTIONS: usize = 10;

/// A server with a year of rolled-up days.
fn year(home: &Home) -> Server {
    home.serve(&[]).stop();
    home.sql(&format!(
        "INSERT INTO tally_request_series
             SELECT id, 0, '', 'GET', '/path/' || id, 200, '' FROM generate_series(1, {SERIES}) AS id;
         INSERT INTO tally_request_calendar (day, rolled_up_at)
             SELECT day::DATE, now()
             FROM generate_series('2015-01-01'::TIMESTAMP, '2015-12-31', '1 day') AS day;
         INSERT INTO tally_request_months
             SELECT month::DATE, id, 1000 * length,
                    '[0,' || array_to_string(array_fill(1000, ARRAY[length]), ',') || ']'
             FROM generate_series(1, {SERIES}) AS id,
                  generate_series('2015-01-01'::TIMESTAMP, '2015-12-01', '1 month') AS month,
                  extract(DAY FROM month + INTERVAL '1 month - 1 day') AS of_last,
                  CAST(of_last AS INT) AS length"
    ));
    home.serve(&[])
}

#[test]
fn a_year_of_a_thousand_series_is_one_answer_and_slow_readers_cost_little() {
    let home = Home::postgres("slow_year");
    let server = year(&home);
    let whole = http(&server.url, &format!("GET {YEAR}"), &[], "");
    assert!(whole.status == 200 && whole.is_whole, "{} {}", whole.status, whole.is_whole);
    let answer: Value = serde_json::from_str(&whole.body).expect("JSON");
    assert_eq!(answer["requests"], i64::from(SERIES) * 365 * 1_000);
    assert_eq!(answer["totals"].as_array().map(Vec::len), Some(SERIES as usize * 365));
    let before = server.memory("VmRSS:");
    let address = server.url.strip_prefix("http://").expect("a URL");
    let mut readers: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(LIMIT)).expect("a limit");
            let request =
                format!("GET {YEAR} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("it reads");
            stream.read_exact(&mut [0; 16 << 10]).expect("the beginning");
            stream
        })
        .collect();
    let grown = server.memory("VmRSS:").saturating_sub(before);
    assert!(grown <= SLOW_KIB, "{SLOW} slow readers take {grown} KiB");
    server.ok(&["add", "GET", "/now"]);
    for stream in &mut readers {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the rest");
        assert!(rest.ends_with(b"\n]}\n\r\n0\r\n\r\n"), "the whole answer");
    }
}

#[test]
fn a_thousand_readers_that_stand_still_disturb_nobody() {
    let home = Home::postgres("slow_thousand");
    let server = year(&home);
    // Its connections stay while this thread asks the server for other things.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let answers = runtime.block_on(async {
        let mut answers = Vec::new();
        for connection in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(server.url.clone()).expect("a URL");
            let endpoint = endpoint.initial_stream_window_size(Some(65_535));
            let mut channel = endpoint.connect().await.expect("it listens");
            for stream in 0..STREAMS {
                // Each has another answer.
                let limit = 2_500 + connection * STREAMS + stream;
                let path = format!("{DAYS}&limit={limit}");
                answers.push(head(&mut channel, &path).await);
            }
        }
        answers
    });
    server.ok(&["add", "GET", "/now", "-n", "3"]);
    let today = server.totals(&["today", "--live", "--by", "whole"]);
    assert_eq!(today.into_values().collect::<Vec<_>>(), [3]);
    let whole = http(&server.url, &format!("GET {YEAR}"), &[], "");
    assert!(whole.status == 200 && whole.is_whole, "{:?}", whole.status);
    assert!(server.is_serving());
    assert_eq!(answers.len(), STREAMS * CONNECTIONS);
}

/// Waits for the head of an answer, and reads no more.
async fn head(channel: &mut Channel, path: &str) -> Response<Body> {
    poll_fn(|cx| channel.poll_ready(cx)).await.expect("a connection");
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = channel.call(request).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer
}
