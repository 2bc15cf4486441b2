//! An HTTP/2 client that sends arbitrary frames and enforces no rules (RFC 9113).

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::support::{LIMIT, METHOD};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

/// How a connection begins.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The size of a write.
const WRITE_BYTES: usize = 64 * 1024;

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// The first request adds the headers to the server's table; later ones refer to it.
    has_sent_headers: bool,
    /// From the server's settings.
    pub(crate) window: usize,
    pub(crate) streams_max: usize,
    /// Streams ended by the server.
    pub(crate) ended: BTreeSet<u32>,
    /// How many heads and trailers have come.
    pub(crate) heads: usize,
    pings: usize,
    /// The server's GOAWAY or error.
    pub(crate) goaway: Option<String>,
}

// === impl Wire ===

impl Wire {
    /// Connects and sends the connection preface.
    pub(crate) fn connect(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        let mut wire = Wire {
            stream,
            outgoing: PREFACE.to_vec(),
            incoming: Vec::new(),
            has_sent_headers: false,
            window: 0,
            streams_max: 0,
            ended: BTreeSet::new(),
            heads: 0,
            pings: 0,
            goaway: None,
        };
        wire.frame(SETTINGS, 0, 0, &[]);
        wire
    }

    /// Starts a call.
    pub(crate) fn call(&mut self, stream: u32) {
        let block =
            if self.has_sent_headers { vec![0x83, 0x86, 0xc0, 0xbf, 0xbe] } else { headers() };
        self.has_sent_headers = true;
        self.frame(HEADERS, END_HEADERS, stream, &block);
    }

    pub(crate) fn data(&mut self, stream: u32, payload: &[u8]) {
        self.frame(DATA, 0, stream, payload);
    }

    pub(crate) fn end(&mut self, stream: u32) {
        self.frame(DATA, END_STREAM, stream, &[]);
    }

    pub(crate) fn reset(&mut self, stream: u32) {
        self.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
    }

    /// Flushes, and reads until the server has answered a PING or ended the connection. By then it
    /// has read everything.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        let answers = self.pings + 1;
        self.ping();
        self.read_until(|wire| wire.pings >= answers);
    }

    /// Reads until the condition holds or the server has ended the connection.
    #[track_caller]
    pub(crate) fn read_until(&mut self, is_so: impl Fn(&Wire) -> bool) {
        self.flush();
        while self.goaway.is_none() && !is_so(self) {
            if !self.read() {
                break;
            }
            // The answer to a PING.
            self.flush();
        }
    }

    /// Sends a PING without waiting for the answer.
    pub(crate) fn ping(&mut self) {
        self.frame(PING, 0, 0, b"settled?");
        self.flush();
    }

    /// Reads available frames; returns how many PINGs the server has answered.
    pub(crate) fn pings(&mut self) -> usize {
        self.glance();
        self.pings
    }

    /// Flushes and reads available frames; returns whether the server has ended the stream.
    pub(crate) fn has_ended(&mut self, stream: u32) -> bool {
        self.flush();
        self.glance();
        self.ended.contains(&stream)
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.outgoing.extend(frame(kind, flags, stream, payload));
        if self.outgoing.len() >= WRITE_BYTES {
            self.flush();
            self.glance();
        }
    }

    /// Ignores write errors after the server has ended the connection; its GOAWAY says why.
    pub(crate) fn flush(&mut self) {
        let _ = self.stream.write_all(&self.outgoing);
        self.outgoing.clear();
    }

    /// Reads available frames without waiting.
    fn glance(&mut self) {
        self.stream.set_nonblocking(true).expect("a socket");
        while self.read() {}
        self.stream.set_nonblocking(false).expect("a socket");
    }

    /// Returns whether it read anything.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = match self.stream.read(&mut buffer) {
            Ok(0) => return self.is_over("the end"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => return self.is_over(&error.to_string()),
        };
        self.incoming.extend(&buffer[..read]);
        let mut rest = std::mem::take(&mut self.incoming);
        while let Some(head) = rest.first_chunk::<9>() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8;
            let length = 9 + (length | usize::from(head[2]));
            if rest.len() < length {
                break;
            }
            let frame: Vec<u8> = rest.drain(..length).collect();
            self.take(&frame);
        }
        self.incoming = rest;
        true
    }

    fn is_over(&mut self, why: &str) -> bool {
        self.goaway.get_or_insert_with(|| why.to_owned());
        false
    }

    fn take(&mut self, frame: &[u8]) {
        let (kind, flags, payload) = (frame[3], frame[4], &frame[9..]);
        let stream = number(&frame[5..9]);
        self.heads += usize::from(kind == HEADERS);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    let value = usize::try_from(number(&setting[2..])).expect("32 bits");
                    match setting[1] {
                        3 => self.streams_max = value,
                        4 => self.window = value,
                        _ => {}
                    }
                }
                self.outgoing.extend([0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);
            }
            PING if flags & ACK != 0 => self.pings += 1,
            PING => {
                self.outgoing.extend([0, 0, 8, PING, ACK, 0, 0, 0, 0]);
                self.outgoing.extend(payload);
            }
            GOAWAY => {
                let (code, words) = (number(&payload[4..8]), &payload[8..]);
                self.goaway = Some(format!("GOAWAY {code} {}", String::from_utf8_lossy(words)));
            }
            // A stream may be refused while others are still closing.
            RST_STREAM => {
                self.ended.insert(stream);
            }
            HEADERS | DATA if flags & END_STREAM != 0 => {
                self.ended.insert(stream);
            }
            _ => {}
        }
    }
}

/// A frame by its bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call: POST, http; then path, authority and content type. In RFC 7541, 0x44, 0x41 and 0x5f
/// are literals added to the table, with names from its static part.
pub(crate) fn headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(0x44, METHOD), (0x41, "localhost"), (0x5f, "application/grpc")] {
        block.extend([name, u8::try_from(value.len()).expect("short")]);
        block.extend(value.bytes());
    }
    block
}

/// The number of stream `index`: clients use odd numbers.
pub(crate) fn stream(index: usize) -> u32 {
    u32::try_from(2 * index + 1).expect("few streams")
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
