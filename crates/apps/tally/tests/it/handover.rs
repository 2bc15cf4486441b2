//! A restart refuses no connection: a new server takes over the port, or its parent holds it.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use tally_testkit::{Process, Spawn, Stream};

use crate::load::Load;
use crate::support::{Home, LIMIT, Server, assert_fails};

/// How often the server is replaced.
const RESTARTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_takes_over_on_sqlite() {
    is_taken_over(&Home::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_takes_over_on_postgres() {
    is_taken_over(&Home::postgres("handover")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_held_by_the_parent_outlives_its_servers() {
    let home = Home::sqlite();
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let url = format!("http://{}", socket.local_addr().expect("bound"));
    // --listen has another address: the socket takes precedence.
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
    let words = [address(&server), "tally.db, not in sqlite:", "other.db", "--listen"];
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
        "INSERT INTO tally_migrations_requests SELECT 999, name, applied_on, checksum \
              FROM tally_migrations_requests LIMIT 1",
    );
    let output = tally_testkit::run(&successor(&home, &server), b"", LIMIT);
    assert_fails(&output, 1, &["version 999"]);
    server.process.wait_for_line(Stream::Stderr, "a successor did not take over", LIMIT);
    server.ok(&["add", "GET", "/a"]);
    server.stop();
}

#[test]
fn a_descriptor_that_is_not_a_listening_socket() {
    let home = Home::sqlite();
    let mut command = home.serve_command(&[]);
    command.env("LISTEN_FDS", "2");
    let output = tally_testkit::run(&command, b"", LIMIT);
    assert_fails(&output, 1, &["LISTEN_FDS", "2 sockets", "one listening TCP socket"]);
    command.env("LISTEN_FDS", "1");
    let output = tally_testkit::run(&command, b"", LIMIT);
    assert_fails(&output, 1, &["LISTEN_FDS", "fd 3 is not", "one listening TCP socket"]);
    // It is meant for another process.
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
            assert!(output.stderr.contains("a new server is taking over the port"), "{output:?}");
            assert!(output.stderr.contains("everything that was acknowledged"), "{output:?}");
            server = next;
        });
    }
    load.finish(&server).await;
}

/// `serve` with the address and database of a running server.
fn successor(home: &Home, server: &Server) -> Command {
    let url = home.database_url();
    home.command(&["serve", "--listen", address(server), "--database-url", &url])
}

fn address(server: &Server) -> &str {
    server.url.strip_prefix("http://").expect("it has no TLS")
}
