//! The client crate's examples, each as its own process that counts at a server.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use tally_testkit::{Output, Process, Spawn, Stream, eventually_blocking, run_with};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Home, LIMIT, Server, totals, wait_for};

/// Clients of the load test, and the requests of each. A tenth of these hang up early.
const CLIENTS: usize = 8;
const REQUESTS: usize = 400;

/// A running example that serves requests.
struct Example {
    process: Process,
    address: String,
}

// === impl Example ===

impl Example {
    /// Starts an example that serves requests and counts at this server.
    #[track_caller]
    fn start(server: &Server, name: &str) -> Example {
        let mut command = command(server, name);
        let process = Process::spawn(command.arg("127.0.0.1:0"));
        let line = process.wait_for_line(Stream::Stdout, "listens on http://", LIMIT);
        let address = line.rsplit('/').next().expect("an address").to_owned();
        Example { process, address }
    }

    /// Sends the head of a request on a new connection.
    fn send(&self, head: &str) -> std::io::Result<TcpStream> {
        let mut connection = TcpStream::connect(&self.address)?;
        connection.set_read_timeout(Some(LIMIT))?;
        let head = format!("{head} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes())?;
        Ok(connection)
    }

    /// Sends a request and returns the whole answer.
    fn ask(&self, head: &str) -> std::io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        self.send(head)?.read_to_end(&mut answer)?;
        Ok(answer)
    }

    async fn health(&self) -> HealthClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address));
        HealthClient::new(endpoint.expect("a URL").connect().await.expect("it listens"))
    }

    /// Stops it with SIGTERM, asserts that it exits with 0, and returns its output.
    #[track_caller]
    fn stop(&self) -> Output {
        self.process.signal("TERM");
        let output = self.process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output
    }
}

/// An example that counts at this server.
#[track_caller]
pub(crate) fn command(server: &Server, name: &str) -> Command {
    let program = program(name);
    let is_there = program.is_file();
    assert!(is_there, "no {}: `cargo build -p tally-client --examples`", program.display());
    let mut command = Command::new(program);
    command.env("TALLY_SERVER", &server.url);
    command
}

/// The path of an example. Cargo builds examples with all tests of the workspace, beside the folder
/// of the test programs.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let built = test.parent().and_then(Path::parent).expect("<target>/<profile>/deps/<test>");
    built.join("examples").join(name)
}

/// The number in an output line `<before> <number> <after>`.
#[track_caller]
fn number(output: &Output, before: &str, after: &str) -> i64 {
    let line = output.stdout.lines().find_map(|line| {
        let rest = line.strip_prefix(before)?.trim_start();
        rest.split(after).next()?.trim_end().parse().ok()
    });
    line.unwrap_or_else(|| panic!("no line {before:?} number {after:?}: {output:?}"))
}

#[test]
fn axum_counts_by_route() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let example = Example::start(&server, "axum");
    for name in ["a", "b", "c"] {
        let answer = example.ask(&format!("GET /hello/{name}?x=y")).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    let whole = example.ask("GET /download").expect("an answer");
    assert!(whole.len() > 13_000_000);
    for uri in ["/healthz", "/healthz", "/nothing", "/hello/a/b"] {
        example.ask(&format!("GET {uri}")).expect("an answer");
    }
    assert_eq!(number(&example.stop(), "saw", "visits"), 4);
    let expected = [("GET /hello/{name}", 3), ("GET /download", 1), ("GET _unmatched", 2)];
    assert_eq!(server.live(), totals(expected));
}

#[test]
fn tonic_counts_by_method_with_the_layer_and_with_the_interceptor() {
    for name in ["tonic_layer", "tonic_interceptor"] {
        let home = Home::sqlite();
        let server = home.serve(&[]);
        let example = Example::start(&server, name);
        wait_for(async {
            let mut health = example.health().await;
            for _ in 0..3 {
                health.check(HealthCheckRequest::default()).await.expect("it is healthy");
            }
            let watched = health.watch(HealthCheckRequest::default()).await;
            watched.expect("it is healthy").into_inner().message().await.expect("a status");
        });
        example.stop();
        let (check, watch) =
            ("GRPC /grpc.health.v1.Health/Check", "GRPC /grpc.health.v1.Health/Watch");
        assert_eq!(server.live(), totals([(check, 3), (watch, 1)]), "{name}");
    }
}

#[test]
fn a_batch_job_counts_what_it_reads() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let output = run_with(&command(&server, "batch_job"), b"1\n2\n3\nnone\n", LIMIT, None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected =
        [("POST /numbers/even", 1), ("POST /numbers/odd", 2), ("POST /numbers/other", 1)];
    assert_eq!(server.live(), totals(expected));
}

#[test]
fn a_terminated_batch_job_has_counted_everything_it_read() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let pipe = home.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    // Open for reading and writing, so that neither side blocks or sees an end.
    let mut input = OpenOptions::new().read(true).write(true).open(&pipe).expect("the pipe");
    let how = Spawn { stdin: Some(pipe), ..Spawn::default() };
    let job = Process::spawn_with(&command(&server, "batch_job"), &how);
    input.write_all(b"2\n4\n6\n").expect("there is room");
    let counted = totals([("POST /numbers/even", 3)]);
    assert_eq!(eventually_blocking(LIMIT, || server.live() == counted), Ok(()));
    job.signal("TERM");
    let output = job.wait(LIMIT);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.live(), counted);
}

/// Sends a client's requests, of which every tenth hangs up before the answer or during its body.
/// Returns how many were answered in full.
fn load(example: &Example, half: &Barrier) -> i64 {
    let mut answered = 0;
    for at in 0..REQUESTS {
        if at == REQUESTS / 2 {
            half.wait();
        }
        // A stopping service accepts no more connections.
        let done = match at % 20 {
            9 => example.send("GET /hello/nobody").map(|_| false),
            19 => example.send("GET /download").and_then(|mut connection| {
                connection.read_exact(&mut [0; 100_000])?;
                connection.shutdown(Shutdown::Both).map(|()| false)
            }),
            _ => example.ask("GET /hello/you").map(|answer| answer.ends_with(b".\n")),
        };
        answered += i64::from(done.unwrap_or(false));
    }
    answered
}

/// Loads the example with many clients at once, and stops it after the last of them, or when each
/// has sent half of its requests. The totals must match what the service has seen.
#[track_caller]
fn assert_exact_under_load(ends_halfway: bool) {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let example = Example::start(&server, "axum");
    let half = Barrier::new(CLIENTS + 1);
    let answered: i64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load(&example, &half))).collect();
        half.wait();
        if ends_halfway {
            example.process.signal("TERM");
        }
        clients.into_iter().map(|client| client.join().expect("no panic")).sum()
    });
    let output = example.stop();
    let seen = number(&output, "saw", "visits");
    let counted: i64 = server.live().values().sum();
    assert_eq!(counted, seen, "{output:?}");
    assert_eq!(number(&output, "", "counted, 0 lost"), seen, "{output:?}");

    let all = i64::try_from(CLIENTS * REQUESTS).expect("a few thousand");
    let polite = all / 10 * 9;
    assert!(answered <= counted && counted <= all, "{answered} answered, {counted} of {all}");
    assert!(answered >= if ends_halfway { polite / 2 } else { polite }, "{answered} answered");
}

#[test]
fn totals_match_what_the_service_saw_under_load() {
    assert_exact_under_load(false);
}

#[test]
fn totals_match_what_the_service_saw_when_stopped_under_load() {
    assert_exact_under_load(true);
}
