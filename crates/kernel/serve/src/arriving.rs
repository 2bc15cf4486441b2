//! What arrives on a connection, as far as its limits need to know: which HTTP it is, and its frames.

use std::time::Duration;

use tokio::time::Instant;

use crate::clients::FRAME_BYTES;

/// How a connection of HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame's head (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// Of SETTINGS and PING: it answers one of ours. Of DATA: it ends its stream.
const FLAG: u8 = 1;

/// How many frames may come that bring nothing, such as PINGs, and how many more each second.
const EMPTY_MAX: u32 = 10_000;
const EMPTY_PER_SECOND: u32 = 100;

/// How long the head of a request of HTTP/1.1 may be.
const HTTP1_HEAD_BYTES_MAX: usize = 16 << 10;

/// Follows what a client sends.
#[derive(Debug)]
pub(crate) struct Arriving {
    version: Version,
    /// Of HTTP/2, the head of the current frame so far.
    head: [u8; HEAD_BYTES],
    len: usize,
    /// How much of its payload is left.
    left: usize,
    /// How many more frames may bring nothing.
    spare: u32,
    refilled: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// So much of the preface has come.
    Unknown(usize),
    /// So many bytes have come of a head.
    Http1(usize),
    /// Whether the first frame is complete.
    Http2(bool),
}

/// What some bytes were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// What it takes until a service has read it.
    pub(crate) unread: usize,
    /// Whether it was more than a sign of life.
    pub(crate) is_more: bool,
    /// Whether too many frames have brought nothing.
    pub(crate) is_flood: bool,
}

// === impl Arriving ===

impl Arriving {
    pub(crate) fn new() -> Self {
        Self {
            version: Version::Unknown(0),
            head: [0; HEAD_BYTES],
            len: 0,
            left: 0,
            spare: EMPTY_MAX,
            refilled: None,
        }
    }

    /// Whether a connection of HTTP/2 has begun: its preface and its first frame are here.
    pub(crate) fn has_begun(&self) -> bool {
        self.version == Version::Http2(true)
    }

    /// Whether the head of a request of HTTP/1.1 is too long. A request is open once its head is complete.
    pub(crate) fn is_head_too_long(&mut self, has_request: bool) -> bool {
        let Version::Http1(bytes) = &mut self.version else { return false };
        if has_request {
            *bytes = 0;
        }
        *bytes > HTTP1_HEAD_BYTES_MAX
    }

    /// Takes note of what has come.
    pub(crate) fn note(&mut self, mut bytes: &[u8]) -> Arrived {
        let mut arrived = Arrived::default();
        if let Version::Unknown(known) = self.version {
            let rest = &PREFACE[known..];
            let len = rest.len().min(bytes.len());
            if rest[..len] != bytes[..len] {
                self.version = Version::Http1(known);
            } else if len < rest.len() {
                self.version = Version::Unknown(known + len);
                return arrived;
            } else {
                self.version = Version::Http2(false);
                bytes = &bytes[len..];
            }
        }
        if let Version::Http1(of_head) = &mut self.version {
            *of_head += bytes.len();
            arrived.is_more = !bytes.is_empty();
            return arrived;
        }
        let mut empty = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
            } else {
                let len = (HEAD_BYTES - self.len).min(bytes.len());
                self.head[self.len..self.len + len].copy_from_slice(&bytes[..len]);
                self.len += len;
                bytes = &bytes[len..];
                if self.len == HEAD_BYTES {
                    empty += self.begin_frame(&mut arrived);
                }
            }
            if self.left == 0 && self.len == 0 {
                self.version = Version::Http2(true);
            }
        }
        arrived.is_flood = empty > 0 && self.is_flood(empty);
        arrived
    }

    /// A frame's head is here. Returns how many frames bring nothing: this one, if it does.
    fn begin_frame(&mut self, arrived: &mut Arrived) -> u32 {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        (self.len, self.left) = (0, length);
        let is_flagged = flags & FLAG != 0;
        match kind {
            DATA if length > 0 => {
                arrived.unread += length + FRAME_BYTES;
                arrived.is_more = true;
            }
            DATA | SETTINGS | PING if is_flagged => {}
            HEADERS | WINDOW_UPDATE => arrived.is_more = true,
            // The h2 library counts resets and continuations.
            3 | 7 | 9 => {}
            _ => return 1,
        }
        0
    }

    fn is_flood(&mut self, empty: u32) -> bool {
        let now = Instant::now();
        let since = self.refilled.map_or(Duration::ZERO, |at| now - at);
        let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 || self.refilled.is_none() {
            let more = seconds.saturating_mul(EMPTY_PER_SECOND);
            self.spare = self.spare.saturating_add(more).min(EMPTY_MAX);
            self.refilled = Some(now);
        }
        let is_flood = empty > self.spare;
        self.spare = self.spare.saturating_sub(empty);
        is_flood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("short").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head[..], &vec![7; payload]].concat()
    }

    #[test]
    fn frames_are_told_wherever_the_bytes_are_cut() {
        let frames = [frame(SETTINGS, 0, 6), frame(DATA, 0, 100), frame(DATA, FLAG, 0)];
        let all = [PREFACE, &frames.concat()].concat();
        for size in 1..all.len() {
            let mut arriving = Arriving::new();
            let parts: Vec<_> = all.chunks(size).map(|part| arriving.note(part)).collect();
            assert_eq!(parts.iter().map(|one| one.unread).sum::<usize>(), 100 + FRAME_BYTES);
            assert!(arriving.has_begun() && parts.iter().any(|one| one.is_more));
        }
        let mut arriving = Arriving::new();
        arriving.note(PREFACE);
        arriving.note(&frames[0][..HEAD_BYTES + 5]);
        assert!(!arriving.has_begun(), "the first frame is not complete");
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_bring_nothing_are_rationed() {
        for empty in [frame(PING, 0, 8), frame(SETTINGS, 0, 0), frame(DATA, 0, 0), frame(2, 0, 5)] {
            let mut arriving = Arriving::new();
            arriving.note(PREFACE);
            let some = |count: u32| empty.repeat(count as usize);
            assert!(!arriving.note(&some(EMPTY_MAX)).is_flood);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!arriving.note(&some(EMPTY_PER_SECOND)).is_flood);
            assert!(arriving.note(&some(1)).is_flood);
            // What brings something may come at any rate, and so may answers to us.
            let other = [frame(PING, FLAG, 8), frame(WINDOW_UPDATE, 0, 4), frame(DATA, 0, 1)];
            assert!(!arriving.note(&other.concat().repeat(10_000)).is_flood);
        }
    }

    #[test]
    fn a_head_of_http_1_has_a_limit() {
        let mut arriving = Arriving::new();
        arriving.note(b"P");
        arriving.note(&[b'x'; HTTP1_HEAD_BYTES_MAX - 1]);
        assert!(!arriving.is_head_too_long(false), "at the limit");
        arriving.note(b"x");
        assert!(arriving.is_head_too_long(false));
        assert!(!arriving.is_head_too_long(true), "it is complete, and the rest is its body");
        assert!(!arriving.has_begun());
    }
}
