//! A `POST` of requests under an idempotency key, and servers that are killed while they store it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tally_testkit::Stream;

use crate::support::{Home, LIMIT, Server, totals};

/// Sends a request under a key, on a connection of its own.
fn send(server: &Server) -> TcpStream {
    let address = server.url.trim_start_matches("http://");
    let body = r#"[{"method":"GET","path":"/a","requests":7}]"#;
    let request = format!(
        "POST /api/v1/requests HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\nidempotency-key: \"2c4f\"\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(LIMIT)).expect("a limit");
    connection.write_all(request.as_bytes()).expect("sent");
    connection
}

/// The server is killed before the COMMIT or right after it, so there is no answer. The caller sends the same
/// again, and again.
fn killed_at(home: &Home, point: &str, stored: i64) {
    let server = home.serve_until(point);
    let mut connection = send(&server);
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    server.kill();
    let mut answer = String::new();
    let _ = connection.read_to_string(&mut answer);
    assert_eq!(answer, "", "no answer before the commit");
    let server = home.serve(&[]);
    let before = server.live().get("GET /a").copied().unwrap_or(0);
    assert_eq!(before, stored);
    for _ in 0..2 {
        let mut answer = String::new();
        send(&server).read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("{\"entries\":1,\"requests\":7}\n"), "{answer}");
        assert_eq!(server.live(), totals([("GET /a", 7)]));
    }
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), totals([("GET /a", 7)]));
}

#[test]
fn killed_on_sqlite() {
    for (point, stored) in [("append.before_commit", 0), ("append.committed", 7)] {
        killed_at(&Home::sqlite(), point, stored);
    }
}

#[test]
fn killed_on_postgres() {
    for (point, stored) in [("append.before_commit", 0), ("append.committed", 7)] {
        killed_at(&Home::postgres("submit_crash"), point, stored);
    }
}

/// If keys are not stored with their rows, these tests notice.
#[test]
fn without_its_key_it_counts_again() {
    let home = Home::sqlite();
    let fault = "append.without_keys";
    let server = Server::start(home.serve_command(&[]).env("TALLY_FAULT", fault));
    for requests in [7, 14] {
        let mut answer = String::new();
        send(&server).read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(server.live(), totals([("GET /a", requests)]));
    }
}
