//! Clients that are slow, silent or flood: each ends with a status or a closed connection, and others notice
//! nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Blocking;
use std::sync::Arc;
use std::time::Duration;

use tally_runtime::{Drain, Tasks};
use tally_serve::pages::Pages;
use tally_serve::{Doors, Listener, Started};
use tally_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::admission::ask;
use crate::support::{Gate, Idle, LIMIT, Running};
use crate::wire::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, Wire, frame, headers, stream,
};

const PRIORITY: u8 = 2;
const CONTINUATION: u8 = 9;
/// A frame that no standard has.
const UNKNOWN: u8 = 0x77;

/// More frames than any flood needs.
const FRAMES: usize = 2_000_000;

/// How a connection of HTTP/2 begins.
fn begun() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Sends something and waits for the end. Returns after how many seconds it came, and what was answered.
async fn end(server: &Running, bytes: &[u8]) -> (u64, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    let (began, mut answer) = (Instant::now(), Vec::new());
    // A reset is an end as well.
    let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("an end");
    (began.elapsed().as_secs(), answer)
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_some_seconds_for_its_first_head() {
    let server = Running::start(&Gate::new(true)).await;
    let begun = begun();
    let cases: [(&str, &[u8]); 5] = [
        ("silent", b""),
        ("half a preface", &PREFACE[..9]),
        ("a preface", PREFACE),
        ("half a frame", &begun[..begun.len() - 1]),
        ("half a head", b"GET / HTTP/1.1\r\nhost: local"),
    ];
    for (name, bytes) in cases {
        assert_eq!(end(&server, bytes).await.0, 10, "{name}");
    }
    let mut slow = TcpStream::connect(server.address).await.expect("it listens");
    let began = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nhost: localhost".iter().cycle().take(60) {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!((10..=12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_has_a_size() {
    let server = Running::start(&Gate::new(true)).await;
    let long = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'x'; 40 << 10]].concat();
    assert_eq!(end(&server, &long).await.0, 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanished_is_noticed() {
    let server = Running::start(&Gate::new(true)).await;
    assert_eq!(end(&server, &begun()).await.0, 50, "it answers no PING");
    let idle = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (seconds, answer) = end(&server, idle).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 ") && seconds <= 30, "{seconds}");
    let half = b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx";
    let (seconds, answer) = end(&server, half).await;
    assert!(answer.starts_with(b"HTTP/1.1 404 ") && seconds <= 30, "{seconds}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_begun_must_come() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let call = frame(HEADERS, END_HEADERS, 1, &headers());
    let half = frame(DATA, 0, 1, &[0, 0, 0, 0, 9, 7]);
    let mut client = TcpStream::connect(server.address).await.expect("it listens");
    client.write_all(&[begun(), call, half].concat()).await.expect("it reads");
    let (began, mut answer) = (Instant::now(), Vec::new());
    let is_end = |kind: &[u8]| kind[0] == HEADERS && kind[1] & END_STREAM != 0;
    while !answer.windows(2).any(is_end) {
        let read = client.read_buf(&mut answer).await.expect("the answer");
        assert!(read > 0, "an answer before the end");
    }
    assert_eq!((began.elapsed().as_secs(), gate.bytes()), (30, 6));
    server.stop().await;
}

/// One thread, so that requests are worked on in the order in which they are read.
#[tokio::test(start_paused = true)]
async fn requests_that_nobody_has_worked_on_are_few() {
    const CONNECTIONS: usize = 30;
    const REQUESTS: usize = 1_000;
    let gate = Gate::without_reading();
    let server = Running::start(&gate).await;
    // Written at once: the server has not run until the honest client waits.
    let mut flood: Vec<_> = (0..CONNECTIONS).map(|_| Wire::connect(server.address)).collect();
    for wire in &mut flood {
        (0..REQUESTS).for_each(|n| wire.call(stream(n)));
        wire.flush();
    }
    let mut honest = TcpStream::connect(server.address).await.expect("it listens");
    honest.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
    assert!(honest.read_buf(&mut Vec::new()).await.expect("an answer") > 0);
    let before = gate.calls();
    assert!(before < CONNECTIONS * REQUESTS / 3, "{before} were worked on before");
    let all = async || gate.calls() == CONNECTIONS * REQUESTS;
    eventually("all others are answered later", LIMIT, all).await;
    drop((honest, flood));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_left() {
    const BYTES: usize = 16 << 20;
    let large = axum::body::Bytes::from(vec![b'x'; BYTES]);
    let page = axum::routing::get(move || std::future::ready(large.clone()));
    let doors = Doors::new().pages(Pages::new().page("/large", page));
    let started = Started { name: "idle", running: Arc::new(Idle), doors, tasks: Tasks::new() };
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let server = Running::with(vec![started], Drain::new(), listener).await;
    let read_after = async |seconds| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
        let mut stream = socket.connect(server.address).await.expect("it listens");
        let ask = b"GET /large HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(ask).await.expect("it reads");
        sleep(Duration::from_secs(seconds)).await;
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer).await;
        answer.len()
    };
    assert!(read_after(55).await > BYTES, "it may wait for a while");
    assert!(read_after(65).await < BYTES, "but not for ever");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room_for_others() {
    let gate = Gate::new(true);
    let server = Running::with_connections(&gate, 8).await;
    let silent: Vec<_> = (0..40).map(|_| Blocking::connect(server.address)).collect();
    for _ in 0..3 {
        let alive = ask(server.address, "GET /livez", &["host: localhost"]);
        assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
    }
    let mut wire = Wire::connect(server.address);
    wire.call(stream(0));
    wire.end(stream(0));
    tokio::task::block_in_place(|| wire.read_until(|wire| wire.ended.contains(&stream(0))));
    assert_eq!((gate.calls(), &wire.goaway), (1, &None));
    drop((silent, wire));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_anyone_that_nobody_takes_are_few() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    // GET, http, then the path and the authority, which are not added to the table (RFC 7541).
    let alive = [&[0x82, 0x86, 0x04, 6][..], b"/livez", &[0x01, 9], b"localhost"].concat();
    let ask = |count: usize| {
        let mut wire = Wire::connect(server.address);
        // No window for any answer.
        wire.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        (0..count).for_each(|n| wire.frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &alive));
        tokio::task::block_in_place(|| wire.read_until(|wire| wire.heads >= count));
        assert_eq!((wire.heads, &wire.goaway), (count, &None));
        wire
    };
    let many = ask(1_024);
    assert_eq!(many.ended.len(), 0);
    let few = ask(10);
    assert_eq!(few.ended.len(), 8, "without a text, so they are over");
    let mut caller = Wire::connect(server.address);
    for stream in (0..10).map(stream) {
        caller.call(stream);
        caller.end(stream);
    }
    tokio::task::block_in_place(|| caller.read_until(|wire| wire.ended.len() == 10));
    assert_eq!((gate.calls(), caller.goaway.clone()), (10, None));
    drop((many, few, caller));
    server.stop().await;
}

/// The library keeps places for as many requests as a connection once had.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_once_had_many_requests_make_room() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let alive = [&[0x82, 0x86, 0x04, 6][..], b"/livez", &[0x01, 9], b"localhost"].concat();
    tokio::task::block_in_place(|| {
        let once = |_| {
            let mut wire = Wire::connect(server.address);
            // No window for any answer, so all are there at the same time.
            wire.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            let streams = || (0..1_000).map(stream);
            streams().for_each(|n| wire.frame(HEADERS, END_HEADERS | END_STREAM, n, &alive));
            wire.read_until(|wire| wire.heads == 1_000);
            streams().for_each(|n| wire.reset(n));
            wire.settle();
            assert_eq!(wire.goaway, None);
            wire
        };
        let mut few: Vec<_> = (0..20).map(once).collect();
        few[0].settle();
        assert_eq!(few[0].goaway, None, "there is room");
        let mut many: Vec<_> = (0..5).map(once).collect();
        few[0].read_until(|_| false);
        many[4].settle();
        assert_eq!(many[4].goaway, None);
        drop((few, many));
    });
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_are_worked_on_before_all_are_read() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    tokio::task::block_in_place(|| {
        let once = |_| {
            let mut wire = Wire::connect(server.address);
            for stream in (0..1_000).map(stream) {
                wire.call(stream);
                wire.end(stream);
            }
            wire.read_until(|wire| wire.ended.len() == 1_000);
            wire
        };
        // If each had once had all of them, the first connections would have made room.
        let mut wires: Vec<_> = (0..40).map(once).collect();
        wires.iter_mut().for_each(Wire::settle);
        assert!(wires.iter().all(|wire| wire.goaway.is_none()), "{:?}", wires[0].goaway);
        drop(wires);
    });
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_end_and_others_notice_nothing() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let address = server.address;
    let cases: [(&str, Vec<u8>); 7] = [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])),
        ("unknown", frame(UNKNOWN, 0, 0, &[7; 8])),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("empty CONTINUATION", frame(CONTINUATION, 0, 3, &[])),
        ("CONTINUATION", frame(CONTINUATION, 0, 3, &[0; 1 << 14])),
    ];
    for (name, flood) in cases {
        let ends = std::thread::spawn(move || {
            let mut stream = Blocking::connect(address).expect("it listens");
            stream.set_write_timeout(Some(LIMIT)).expect("a limit");
            stream.set_read_timeout(Some(LIMIT)).expect("a limit");
            let call = frame(HEADERS, END_HEADERS, 1, &headers());
            let begins = match name {
                "CONTINUATION" | "empty CONTINUATION" => frame(HEADERS, 0, 3, &[0x83]),
                _ => Vec::new(),
            };
            stream.write_all(&[begun(), call, begins].concat()).expect("it reads");
            let some = flood.repeat(100);
            let is_cut = (0..FRAMES / 100).any(|_| stream.write_all(&some).is_err());
            // One that says so before it closes takes what comes for a while.
            is_cut || stream.read_to_end(&mut Vec::new()).is_ok()
        });
        let mut honest = Wire::connect(address);
        tokio::task::block_in_place(|| honest.settle());
        assert_eq!(honest.goaway, None, "{name}");
        let is_over = async || ends.is_finished();
        eventually("the flood ends", LIMIT, is_over).await;
        assert!(ends.join().expect("no panic"), "{name}: the connection is closed");
    }
    server.stop().await;
}
