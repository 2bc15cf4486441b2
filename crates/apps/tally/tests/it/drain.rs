//! How a server stops: SIGTERM stores everything accepted, a second one does not wait.

use std::path::Path;

use tally_testkit::{Stream, eventually, eventually_blocking};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::support::{Home, LIMIT, Server, command, request, totals};

/// The trailer with the number of stored requests of a failed stream.
const COUNTED: &str = "tally-counted";
/// How many requests the long stream sends before the signal.
const SENT: i64 = 20_000;
/// Open streams on an idle server: almost as many as a connection may have.
const IDLE: i64 = 1_000;

#[test]
fn an_idle_server_stops_cleanly_on_sigterm_and_on_ctrl_c() {
    for (home, signal) in [(Home::sqlite(), "TERM"), (Home::postgres("idle"), "INT")] {
        let server = home.serve(&[]);
        server.process.signal(signal);
        let output = server.process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.contains("everything that was acknowledged is stored"), "{output:?}");
        // Afterwards a SQLite database is one file.
        assert!(!home.path("tally.db-wal").exists() && !home.path("tally.db-shm").exists());
    }
}

/// With many open streams, whose requests are all stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_stops_quickly() {
    let home = Home::sqlite();
    let server = home.serve(&["--drain-timeout-ms", "0"]);
    let (mut open, mut calls) = (Vec::new(), JoinSet::new());
    let client = server.client().await;
    for _ in 0..IDLE {
        let (sender, receiver) = mpsc::channel(1);
        let mut client = client.clone();
        calls.spawn(async move { client.add(ReceiverStream::new(receiver)).await });
        sender.send(request("/a")).await.expect("the client accepts it");
        open.push(sender);
    }
    let all = totals([("GET /a", IDLE)]);
    let are_stored = eventually_blocking(LIMIT, || server.live() == all);
    assert_eq!(are_stored, Ok(()), "{}", server.log());
    server.stop();
    assert!(server.log().contains("everything that was acknowledged is stored"));
}

#[test]
fn sighup_stops_a_server_cleanly_unless_nohup_ignores_it() {
    for (how, stops) in [("--default-signal=HUP", true), ("--ignore-signal=HUP", false)] {
        let home = Home::sqlite();
        let serve = home.serve_command(&[]);
        let mut command = command(Path::new("env"), &home.path(""), &[how]);
        command.arg(serve.get_program()).args(serve.get_args());
        let server = Server::start(&command);
        server.process.signal("HUP");
        if stops {
            server.process.wait_for_line(Stream::Stderr, "SIGHUP", LIMIT);
            let output = server.process.wait(LIMIT);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        } else {
            server.ok(&["add", "GET", "/a"]);
            server.stop();
            assert!(!server.log().contains("SIGHUP"), "{}", server.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_watcher_does_not_delay_the_drain() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let channel = tonic::transport::Endpoint::new(server.url.clone()).unwrap().connect().await;
    let mut health =
        tonic_health::pb::health_client::HealthClient::new(channel.expect("it listens"));
    let request = tonic_health::pb::HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("it can be watched").into_inner();
    watch.message().await.expect("the first state");
    server.process.signal("TERM");
    let output = tokio::task::block_in_place(|| server.process.wait(LIMIT));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_long_stream_on_sqlite_and_reports_what_is_stored() {
    drains_a_stream(&Home::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_long_stream_on_postgres_and_reports_what_is_stored() {
    drains_a_stream(&Home::postgres("drain")).await;
}

async fn drains_a_stream(home: &Home) {
    let server = home.serve(&[]);
    let mut client = server.client().await;
    let (messages, stream) = mpsc::channel(1_000);
    let (answer, _messages) = tokio::join!(client.add(ReceiverStream::new(stream)), async {
        // More than a chunk and less than a batch; the stream stays open.
        for _ in 0..SENT {
            messages.send(request("/a")).await.expect("the server reads");
        }
        tokio::task::block_in_place(|| {
            let some = eventually_blocking(LIMIT, || !server.live().is_empty());
            assert_eq!(some, Ok(()), "{}", server.log());
            server.process.signal("TERM");
        });
        messages
    });
    let status = answer.expect_err("the server stops in the middle of the stream");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("shutting down"), "{status:?}");
    let counted = status.metadata().get(COUNTED).expect("it says how many are counted");
    let counted: i64 = counted.to_str().expect("ASCII").parse().expect("a number");
    assert!((1..=SENT).contains(&counted), "{counted}");
    tokio::task::block_in_place(|| {
        let output = server.process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let server = home.serve(&[]);
        assert_eq!(server.live().get("GET /a"), Some(&counted));
        server.ok(&["roll-up", "yesterday..today"]);
        assert_eq!(server.rolled_up().get("GET /a"), Some(&counted));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait_for_the_database() {
    let home = Home::postgres("second_signal");
    let server = tokio::task::block_in_place(|| home.serve(&[]));
    let mut client = server.client().await;
    client.add(tokio_stream::iter([request("/a")])).await.expect("counted");
    let locking = home.database().connect().await;
    let lock = "BEGIN; LOCK TABLE tally_requests IN ACCESS EXCLUSIVE MODE";
    locking.batch_execute(lock).await.expect("locked");
    let (answer, ()) = tokio::join!(client.add(tokio_stream::iter([request("/a")])), async {
        let waiting = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d \
                       ON d.oid = l.database WHERE d.datname = current_database() AND NOT granted";
        let waits =
            async || locking.query_one(waiting, &[]).await.expect("the locks").get::<_, i64>(0) > 0;
        eventually("the request waits for the database", LIMIT, waits).await;
        tokio::task::block_in_place(|| {
            // The first signal waits for the request above, which cannot be stored.
            server.process.signal("TERM");
            server.process.wait_for_line(Stream::Stderr, "storing what was accepted", LIMIT);
            assert!(server.process.is_running());
            server.process.signal("TERM");
            let output = server.process.wait(LIMIT);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(output.stderr.contains("stopped at once by a second SIGTERM"), "{output:?}");
        });
    });
    assert!(answer.is_err(), "an unstored request is not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_stops_sending_learns_what_is_stored() {
    for home in [Home::sqlite(), Home::postgres("flood")] {
        // A short queue: the stream is endless, and all that waits is stored before the end.
        let server =
            tokio::task::block_in_place(|| home.serve(&["--requests-queue-rows-max", "5000"]));
        let mut client = server.client().await;
        let one = request("/a");
        let endless = tokio_stream::iter(std::iter::repeat(one));
        let (answer, ()) = tokio::join!(client.add(endless), async {
            tokio::task::block_in_place(|| {
                let some = eventually_blocking(LIMIT, || !server.live().is_empty());
                assert_eq!(some, Ok(()), "{}", server.log());
                server.stop();
            });
        });
        let status = answer.expect_err("the server stops in the middle of the stream");
        assert!(status.message().contains("the server is shutting down"), "{status:?}");
        let counted = status.metadata().get(COUNTED).expect("it says how many are counted");
        let counted = counted.to_str().expect("ASCII").parse().expect("a number");
        tokio::task::block_in_place(|| {
            let server = home.serve(&[]);
            assert_eq!(server.live(), totals([("GET /a", counted)]));
        });
    }
}
