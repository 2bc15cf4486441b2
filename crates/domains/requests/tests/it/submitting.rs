//! `POST /api/v1/requests`: all of a body is counted or nothing, and under an idempotency key once.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tally_requests::Settings;
use tally_testkit::{Proxy, TestDatabase, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::LIMIT;
use crate::add::on_sqlite;
use crate::backend::{Backend, NOW, TODAY, now, sum, total};
use crate::conformance::on_every_backend;
use crate::keys::holds;
use crate::server::{Counting, get, impatient, settings};

on_every_backend!(crate::submitting:
    what_is_submitted_is_counted,
    under_a_key_it_is_counted_once,
    two_servers_are_asked_at_once,
    a_body_with_a_mistake_counts_nothing,
    old_keys_are_forgotten,
);

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A request for `/`, counted now.
const ONE: &str = r#"[{"method":"GET","path":"/"}]"#;

/// Sends a body, with these lines in the head, and reads the answer.
pub(crate) async fn submit(to: SocketAddr, head: &str, body: &str) -> Answer {
    let mut stream = sent(to, head, body).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.trim_end().to_owned() }
}

async fn sent(to: SocketAddr, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let kind =
        if head.contains("content-type") { "" } else { "content-type: application/json\r\n" };
    let request = format!(
        "POST /api/v1/requests HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n{kind}{head}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

fn key(key: &str) -> String {
    format!("idempotency-key: {key}\r\n")
}

/// The answer for so many entries and requests.
fn counted(entries: u64, requests: u64) -> (u16, String) {
    (200, format!(r#"{{"entries":{entries},"requests":{requests}}}"#))
}

/// So many seconds from when the tests take place.
fn later(seconds: u64) -> Timestamp {
    now() + Duration::from_secs(seconds)
}

// === impl Answer ===

impl Answer {
    fn of(self) -> (u16, String) {
        (self.status, self.body)
    }
}

async fn two(backend: &Backend) -> [Counting; 2] {
    [
        Counting::on(backend.database.clone(), settings()).await,
        Counting::on(backend.second_database.clone(), settings()).await,
    ]
}

async fn what_is_submitted_is_counted(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let to = counting.address();
    let list = r#"[
        {"method": "GET", "path": "/"},
        {"method": "GET", "path": "/old", "time": "2015-05-17T12:00:00+02:00", "requests": 1000000},
        {"method": "POST", "path": "/", "service": "shop", "status": 201, "customer": "acme"}
    ]"#;
    assert_eq!(submit(to, "", list).await.of(), counted(3, 1_000_002));
    let lines =
        "{\"method\":\"GET\",\"path\":\"/\",\"requests\":2}\n\n{\"method\":\"GET\",\"path\":\"\"}";
    let head = "content-type: application/x-ndjson\r\n";
    assert_eq!(submit(to, head, lines).await.of(), counted(2, 3));
    // Without a key, what comes again is more.
    for _ in 0..2 {
        assert_eq!(submit(to, "", ONE).await.of(), counted(1, 1));
    }
    let expected = [
        total("2015-05-17", 3, "/old", 1_000_000),
        total(TODAY, 3, "/", 5),
        total(TODAY, 6, "/", 1),
        total(TODAY, 3, "_other", 1),
    ];
    assert_eq!(backend.live().await, expected);
    assert_eq!(backend.count("tally_idempotency_keys").await, 0);
    counting.stop().await;
    backend.audit().await;
}

async fn under_a_key_it_is_counted_once(backend: Backend) {
    let [one, other] = two(&backend).await;
    // Enough for a COPY, and a few.
    for entries in [2_500, 3] {
        let name = format!("\"k {entries}\"");
        let entry = r#"{"method":"GET","path":"/"}"#;
        let list = format!("[{}]", vec![entry; entries].join(","));
        let lines = vec![entry; entries].join("\n");
        let before = sum(&backend.live().await);
        let expected = counted(entries as u64, entries as u64);
        assert_eq!(submit(one.address(), &key(&name), &list).await.of(), expected);
        // A day later, through another server, in another form.
        other.clock.set(later(86_400));
        let head = key(&name) + "content-type: application/x-ndjson\r\n";
        for counting in [&one, &other] {
            assert_eq!(submit(counting.address(), &key(&name), &list).await.of(), expected);
            assert_eq!(submit(counting.address(), &head, &lines).await.of(), expected);
        }
        assert_eq!(sum(&backend.live().await) - before, entries as i64);
        // One entry less, and the same with a time.
        for list in [ONE, &list.replacen('}', &format!(",\"time\":\"{NOW}\"}}"), 1)] {
            let answer = submit(other.address(), &key(&name), list).await;
            assert_eq!(answer.status, 422, "{answer:?}");
            assert!(answer.body.contains("Idempotency-Key: something else"), "{answer:?}");
        }
        assert_eq!(sum(&backend.live().await) - before, entries as i64);
    }
    one.stop().await;
    other.stop().await;
    backend.audit().await;
}

async fn two_servers_are_asked_at_once(backend: Backend) {
    let [one, other] = two(&backend).await;
    for round in 0..10 {
        let head = key(&format!("key-{round}"));
        let ask = async |counting: &Counting| {
            for _ in 0..100 {
                let answer = submit(counting.address(), &head, ONE).await;
                // The other one is slow.
                if answer.status != 409 {
                    return answer;
                }
            }
            panic!("the key is locked again and again");
        };
        let (a, b, c) = (ask(&one), ask(&other), ask(&one));
        let (a, b, c) = tokio::join!(a, b, c);
        assert_eq!([a.of(), b.of(), c.of()], [counted(1, 1), counted(1, 1), counted(1, 1)]);
        assert_eq!(sum(&backend.live().await), round + 1);
    }
    one.stop().await;
    other.stop().await;
    backend.audit().await;
}

async fn a_body_with_a_mistake_counts_nothing(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let to = counting.address();
    let ahead = r#"[{"method":"GET","path":"/"},{"method":"GET","path":"/","time":"2030-06-17T00:00:00Z"}]"#;
    let answer = submit(to, &key("a"), ahead).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("\"entry 2: time\""), "{answer:?}");
    // The header is wrong too, and all is told at once.
    let answer = submit(to, "idempotency-key: \"\r\n", "[{}]").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    for field in ["Idempotency-Key", "entry 1: method", "entry 1: path"] {
        assert!(answer.body.contains(&format!("\"{field}\"")), "{answer:?}");
    }
    let text = submit(to, "content-type: text/plain\r\n", ONE).await;
    assert_eq!(text.status, 415, "{text:?}");
    let long = submit(to, "", &format!("[{}]", " ".repeat(1 << 20))).await;
    assert_eq!(long.status, 413, "{long:?}");
    assert_eq!(sum(&backend.live().await), 0);
    // The key is free, and the time will come.
    counting.clock.set(later(86_400));
    assert_eq!(submit(to, &key("a"), ahead).await.of(), counted(2, 2));
    assert_eq!(sum(&backend.live().await), 2);
    counting.stop().await;
}

async fn old_keys_are_forgotten(backend: Backend) {
    let settings = Settings { idempotency: Duration::from_secs(7_200), ..settings() };
    let counting = Counting::on(backend.database.clone(), settings).await;
    let to = counting.address();
    for name in ["a", "b"] {
        assert_eq!(submit(to, &key(name), ONE).await.of(), counted(1, 1));
    }
    let (two_hours, one_hour) = match backend.is_sqlite() {
        true => ("7201000000", "3600000000"),
        false => ("INTERVAL '7201 seconds'", "INTERVAL '3600 seconds'"),
    };
    for (name, age) in [("a", two_hours), ("b", one_hour)] {
        let sql = "UPDATE tally_idempotency_keys SET stored_at = stored_at";
        backend.execute(&format!("{sql} - {age} WHERE key = '{name}'")).await;
    }
    // The first round of the duties may be over: the next one is due in an hour.
    counting.clock.set(later(3_601));
    eventually("the old key is gone", LIMIT, async || {
        counting.service.keeper().tick().await.map_err(|error| error.to_string())?;
        let left = backend.count("tally_idempotency_keys").await;
        if left == 1 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    for (name, expected) in [("b", 2), ("a", 3), ("a", 3)] {
        assert_eq!(submit(to, &key(name), ONE).await.of(), counted(1, 1));
        assert_eq!(sum(&backend.live().await), expected, "{name}");
    }
    counting.stop().await;
}

/// The answer to the COMMIT is lost, and the worker finds out.
#[tokio::test]
async fn a_lost_answer_of_the_database_counts_once() {
    let Some(database) = TestDatabase::create_or_skip("submit_lost") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let counting = Counting::start(&url, settings()).await;
    for round in 1..=3 {
        proxy.swallow_after(&[b"COMMIT"]);
        let answer = submit(counting.address(), &key(&round.to_string()), ONE).await;
        assert_eq!((answer.of(), proxy.swallowed()), (counted(1, 1), round));
        assert_eq!(sum(&counting.live().await), round as i64);
    }
    counting.stop().await;
}

/// The server gives up and does not know, and the caller goes on with another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_found_out_by_the_key() {
    let Some(database) = TestDatabase::create_or_skip("submit_unknown") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let first = Counting::start(&url, impatient()).await;
    let second = Counting::start(&database.url(), settings()).await;
    proxy.stall();
    let answer = submit(first.address(), &key("a"), ONE).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let words =
        "it is not known whether it is counted: send it again, with the same Idempotency-Key";
    assert!(answer.body.contains(words), "{answer:?}");
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    let answer = submit(first.address(), "", ONE).await;
    assert!(answer.body.contains("may count it twice"), "{answer:?}");
    proxy.cut().await;
    for _ in 0..2 {
        assert_eq!(submit(second.address(), &key("a"), ONE).await.of(), counted(1, 1));
        assert_eq!(sum(&second.live().await), 1);
    }
    proxy.resume();
    proxy.restore().await;
    // It is committed, and perhaps the first server finds out before the network is gone.
    proxy.swallow_after(&[b"COMMIT"]);
    let head = key("b");
    let cut = eventually("a COMMIT is lost", LIMIT, async || proxy.swallowed() == 1);
    let (_, ()) = tokio::join!(submit(first.address(), &head, ONE), async {
        cut.await;
        proxy.cut().await;
    });
    for _ in 0..2 {
        assert_eq!(submit(second.address(), &head, ONE).await.of(), counted(1, 1));
        assert_eq!(sum(&second.live().await), 2);
    }
    second.stop().await;
    drop(first);
}

/// Another server, or one that hangs, stores something under the key: it fails this submission alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_being_stored_is_told() {
    let Some(database) = TestDatabase::create_or_skip("submit_locked") else { return };
    let settings = Settings { workers: 1, ..settings() };
    let counting = Counting::start(&database.url(), settings).await;
    let holder = database.connect().await;
    holder.batch_execute(&format!("BEGIN; {}", holds("a"))).await.unwrap();
    let to = counting.address();
    let (locked, free) = (key("a"), key("b"));
    let (answer, other, added) = tokio::join!(
        submit(to, &locked, ONE),
        submit(to, &free, ONE),
        counting.add(vec![get("/", NOW)]),
    );
    added.unwrap();
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body.contains("is still being stored"), "{answer:?}");
    assert_eq!(other.of(), counted(1, 1));
    assert_eq!(sum(&counting.live().await), 2);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(submit(to, &locked, ONE).await.of(), counted(1, 1));
    assert_eq!(sum(&counting.live().await), 3);
    counting.stop().await;
}

/// Waits until the first batch of a worker waits for another transaction.
async fn waits(client: &Client) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
               AND datname = current_database() AND query LIKE '%INSERT INTO tally_producers %'";
    let waits = async || client.query_one(sql, &[]).await.expect("activity").get::<_, i64>(0) > 0;
    eventually("a batch waits", LIMIT, waits).await;
}

/// What was sent as a whole is counted even if nobody waits for the answer; a part of it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away() {
    let Some(database) = TestDatabase::create_or_skip("submit_away") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE tally_producers").await.unwrap();
    let whole = sent(counting.address(), &key("a"), ONE).await;
    waits(&database.connect().await).await;
    drop(whole);
    let mut part = TcpStream::connect(counting.address()).await.unwrap();
    let head = "POST /api/v1/requests HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 99\r\n\r\n";
    part.write_all(format!("{head}{ONE}").as_bytes()).await.unwrap();
    drop(part);
    holder.batch_execute("ROLLBACK").await.unwrap();
    eventually("it is counted", LIMIT, async || sum(&counting.live().await) == 1).await;
    assert_eq!(submit(counting.address(), &key("a"), ONE).await.of(), counted(1, 1));
    assert_eq!(sum(&counting.live().await), 1);
    counting.stop().await;
}

/// While the server stops, what is sent is counted or refused, and the caller knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answers() {
    let (folder, counting) = on_sqlite(settings()).await;
    let to = counting.address();
    assert_eq!(submit(to, &key("a"), ONE).await.of(), counted(1, 1));
    // A connection that is open before the drain.
    let mut late = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "POST /api/v1/requests HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\
                        content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        ONE.len()
    );
    late.write_all(head.as_bytes()).await.unwrap();
    counting.begin_to_stop();
    late.write_all(ONE.as_bytes()).await.unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();
    let is_counted = answer.starts_with("HTTP/1.1 200 ");
    assert!(is_counted || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let totals = crate::add::stopped(&folder, counting).await;
    assert_eq!(sum(&totals), if is_counted { 2 } else { 1 });
}
