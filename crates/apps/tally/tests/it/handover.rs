//! A restart refuses no connection: a new server takes the port over, or its parent holds it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_testkit::{Process, Spawn, Stream, eventually_blocking};
use tokio::task::JoinSet;

use crate::support::{Home, LIMIT, Server, assert_fails, request, totals};

/// How many clients count.
const CLIENTS: usize = 4;
/// How many requests each call has.
const REQUESTS: i64 = 3;
/// How many calls succeed before each restart, and after the last one.
const CALLS: usize = 50;
/// How often the server is replaced.
const RESTARTS: usize = 3;

/// What the clients know of each path: it is counted, or it may be.
type Known = BTreeMap<String, bool>;

/// Clients that make a new connection for each call.
struct Load {
    clients: JoinSet<Known>,
    counted: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_takes_over_on_sqlite() {
    is_taken_over(&Home::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_takes_over_on_postgres() {
    is_taken_over(&Home::postgres("handover")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_the_parent_holds_outlives_its_servers() {
    let home = Home::sqlite();
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let url = format!("http://{}", socket.local_addr().expect("bound"));
    // --listen says another address: the socket is what counts.
    let command = home.serve_command(&[]);
    let how = Spawn { socket: Some(socket), ..Spawn::default() };
    let start = || Server::await_start(Process::spawn_with(&command, &how), &command);
    let mut server = tokio::task::block_in_place(start);
    assert_eq!(server.url, url);
    let load = Load::start(&url);
    for signal in ["TERM", "KILL", "TERM"] {
        tokio::task::block_in_place(|| {
            load.await_calls();
            server.process.signal(signal);
            server.process.wait(LIMIT);
            server = start();
        });
    }
    load.finish(&server).await;
}

#[test]
fn a_server_with_another_database_keeps_its_port() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let other = format!("sqlite:{}", home.path("other.db").display());
    let output = home.run(&["serve", "--listen", address(&server), "--database-url", &other]);
    let words = [address(&server), "tally.db, not into sqlite:", "other.db", "--listen"];
    assert_fails(&output, 1, &words);
    assert!(!home.path("other.db").exists(), "no database is touched");
    let words = "another server asked for this port and was refused";
    let line = server.process.wait_for_line(Stream::Stderr, words, LIMIT);
    assert!(line.contains("tally.db") && line.contains("other.db"), "{line}");
    server.ok(&["add", "GET", "/a"]);
    server.stop();
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let home = Home::postgres("bad_successor");
    let server = home.serve(&[]);
    home.sql(
        "INSERT INTO tally_requests_migrations SELECT 999, name, applied_on, checksum \
              FROM tally_requests_migrations LIMIT 1",
    );
    let output = tally_testkit::run(&successor(&home, &server), b"", LIMIT);
    assert_fails(&output, 1, &["version 999"]);
    server.process.wait_for_line(Stream::Stderr, "a successor did not take over", LIMIT);
    server.ok(&["add", "GET", "/a"]);
    server.stop();
}

#[test]
fn a_descriptor_that_is_no_listening_socket() {
    let home = Home::sqlite();
    let mut command = home.serve_command(&[]);
    command.env("LISTEN_FDS", "2");
    let output = tally_testkit::run(&command, b"", LIMIT);
    assert_fails(&output, 1, &["LISTEN_FDS", "2 sockets", "one listening TCP socket"]);
    command.env("LISTEN_FDS", "1");
    let output = tally_testkit::run(&command, b"", LIMIT);
    assert_fails(&output, 1, &["LISTEN_FDS", "fd 3 is not", "one listening TCP socket"]);
    // It is for another process.
    command.env("LISTEN_PID", "1");
    Server::start(&command).stop();
}

async fn is_taken_over(home: &Home) {
    let mut server = tokio::task::block_in_place(|| home.serve(&[]));
    let load = Load::start(&server.url);
    for _ in 0..RESTARTS {
        tokio::task::block_in_place(|| {
            load.await_calls();
            let next = Server::start(&successor(home, &server));
            assert_eq!(next.url, server.url);
            let output = server.process.wait(LIMIT);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(output.stderr.contains("a new server takes the port over"), "{output:?}");
            assert!(output.stderr.contains("everything that was acknowledged"), "{output:?}");
            server = next;
        });
    }
    load.finish(&server).await;
}

/// `serve` at the address, and on the database, of a server that runs.
fn successor(home: &Home, server: &Server) -> Command {
    let url = home.database_url();
    home.command(&["serve", "--listen", address(server), "--database-url", &url])
}

fn address(server: &Server) -> &str {
    server.url.strip_prefix("http://").expect("it has no TLS")
}

// === impl Load ===

impl Load {
    fn start(url: &str) -> Load {
        let (counted, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (counted, done) = (Arc::clone(&counted), Arc::clone(&done));
            clients.spawn(count(url.to_owned(), number, counted, done));
        }
        Load { clients, counted, done }
    }

    #[track_caller]
    fn await_calls(&self) {
        let calls = self.counted.load(Ordering::SeqCst) + CALLS;
        let reached = eventually_blocking(LIMIT, || self.counted.load(Ordering::SeqCst) >= calls);
        assert_eq!(reached, Ok(()), "{calls} calls succeed");
    }

    /// Every client could connect each time, and what was acknowledged is counted.
    async fn finish(self, server: &Server) {
        tokio::task::block_in_place(|| self.await_calls());
        self.done.store(true, Ordering::SeqCst);
        let known: Known = self.clients.join_all().await.into_iter().flatten().collect();
        let live = tokio::task::block_in_place(|| server.live());
        for (path, is_counted) in &known {
            let total = live.get(path).copied().unwrap_or(0);
            let least = if *is_counted { REQUESTS } else { 0 };
            assert!((least..=REQUESTS).contains(&total), "{path}: {total}, {is_counted}");
        }
        assert!(live.keys().all(|path| known.contains_key(path)), "{live:?}");
        assert_ne!(live, totals([]));
    }
}

/// Counts to a new path with each call, until it is done. A connection is never refused; one
/// that its server left may fail.
async fn count(
    url: String,
    number: usize,
    counted: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
) -> Known {
    let mut known = Known::new();
    while !done.load(Ordering::SeqCst) {
        let mut client = CountServiceClient::connect(url.clone()).await.expect("it can connect");
        let path = format!("/{number}/{}", known.len());
        let requests: Vec<_> = (0..REQUESTS).map(|_| request(&path)).collect();
        let is_counted = client.add(tokio_stream::iter(requests)).await.is_ok();
        if is_counted {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        known.insert(format!("GET {path}"), is_counted);
    }
    known
}
