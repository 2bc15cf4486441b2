//! What arrives on a connection, as far as its limits need to know: which HTTP it is, and its frames.

use std::time::Duration;

use tokio::time::Instant;

use crate::clients::Data;
use crate::frames::{DATA, Frames, HEADERS, Head, Streams};

/// How a connection of HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

/// How many frames for services a connection may bring at once: the next ones wait until the services have had their
/// turn. And how far apart they are taken to be at first.
pub(crate) const FRAMES_AT_ONCE: usize = 64;
const MEAN_BYTES: usize = 32;

/// Follows what a client sends.
#[derive(Debug)]
pub(crate) struct Arriving {
    version: Version,
    /// Of HTTP/2.
    frames: Frames,
    /// How far apart those for services were, of the last ones.
    mean: usize,
    /// How many heads of frames have come, up to 2.
    heads: u8,
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
    Http2,
}

/// What some bytes were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// What is for services.
    pub(crate) data: Data,
    /// How many frames that is, with the heads of requests that are open.
    pub(crate) frames: usize,
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
            frames: Frames::default(),
            mean: MEAN_BYTES,
            heads: 0,
            spare: EMPTY_MAX,
            refilled: None,
        }
    }

    /// Whether a connection of HTTP/2 has begun: its preface and its first frame are here.
    pub(crate) fn has_begun(&self) -> bool {
        self.heads > 1 || self.heads == 1 && self.frames.is_between()
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.version == Version::Http2
    }

    /// How much to read for a frame at most, and never the whole of two. Of HTTP/1.1 there is no limit: its
    /// requests come one after the other.
    pub(crate) fn one_frame(&self) -> usize {
        match self.version {
            Version::Unknown(known) => PREFACE.len() - known,
            Version::Http1(_) => usize::MAX,
            Version::Http2 => self.frames.missing(),
        }
    }

    /// How much to read for as many frames as may come at once, if they are like the last ones.
    pub(crate) fn some_frames(&self) -> usize {
        match self.version {
            Version::Unknown(_) | Version::Http2 => {
                self.frames.missing().max(self.mean * FRAMES_AT_ONCE)
            }
            Version::Http1(_) => usize::MAX,
        }
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
    pub(crate) fn note(&mut self, mut bytes: &[u8], streams: &mut Streams) -> Arrived {
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
                self.version = Version::Http2;
                bytes = &bytes[len..];
            }
        }
        if let Version::Http1(of_head) = &mut self.version {
            *of_head += bytes.len();
            arrived.is_more = !bytes.is_empty();
            return arrived;
        }
        let (mut empty, len, open) = (0, bytes.len(), streams.len());
        while let Some(head) = self.frames.next(&mut bytes) {
            self.heads = 2.min(self.heads + 1);
            streams.came(head);
            empty += u32::from(arrived.brings_nothing(head));
        }
        arrived.frames = arrived.data.frames + streams.len().saturating_sub(open);
        self.mean = len.checked_div(arrived.frames).unwrap_or(self.mean);
        arrived.is_flood = empty > 0 && self.is_flood(empty);
        arrived
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

// === impl Arrived ===

impl Arrived {
    /// Takes note of a frame. Returns whether it brings nothing.
    fn brings_nothing(&mut self, head: Head) -> bool {
        let is_flagged = head.flags & FLAG != 0;
        match head.kind {
            DATA => {
                self.data += Data::frame(head.bytes);
                self.is_more |= head.bytes > 0;
                return head.bytes == 0 && !is_flagged;
            }
            SETTINGS | PING if is_flagged => {}
            HEADERS | WINDOW_UPDATE => self.is_more = true,
            // The h2 library counts resets and continuations.
            3 | 7 | 9 => {}
            _ => return true,
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(arriving: &mut Arriving, bytes: &[u8]) -> Arrived {
        arriving.note(bytes, &mut Streams::default())
    }

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
            let parts: Vec<_> = all.chunks(size).map(|part| note(&mut arriving, part)).collect();
            let mut data = Data::default();
            parts.iter().for_each(|one| data += one.data);
            assert_eq!(data, Data { frames: 2, bytes: 100 });
            assert!(arriving.has_begun() && parts.iter().any(|one| one.is_more));
        }
        let mut arriving = Arriving::new();
        note(&mut arriving, PREFACE);
        note(&mut arriving, &frames[0][..14]);
        assert!(!arriving.has_begun(), "the first frame is not complete");
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_bring_nothing_are_rationed() {
        for empty in [frame(PING, 0, 8), frame(SETTINGS, 0, 0), frame(DATA, 0, 0), frame(2, 0, 5)] {
            let mut arriving = Arriving::new();
            note(&mut arriving, PREFACE);
            let some = |count: u32| empty.repeat(count as usize);
            assert!(!note(&mut arriving, &some(EMPTY_MAX)).is_flood);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!note(&mut arriving, &some(EMPTY_PER_SECOND)).is_flood);
            assert!(note(&mut arriving, &some(1)).is_flood);
            // What brings something may come at any rate, and so may answers to us.
            let other = [frame(PING, FLAG, 8), frame(WINDOW_UPDATE, 0, 4), frame(DATA, 0, 1)];
            assert!(!note(&mut arriving, &other.concat().repeat(10_000)).is_flood);
        }
    }

    #[test]
    fn only_what_brings_something_is_more_than_a_sign_of_life() {
        for (kind, flags, payload, is_more) in [
            (HEADERS, 0, 5, true),
            (WINDOW_UPDATE, 0, 4, true),
            (DATA, 0, 1, true),
            (DATA, FLAG, 0, false),
            (PING, 0, 8, false),
            (PING, FLAG, 8, false),
            (SETTINGS, FLAG, 0, false),
        ] {
            let mut arriving = Arriving::new();
            note(&mut arriving, PREFACE);
            let arrived = note(&mut arriving, &frame(kind, flags, payload));
            assert_eq!(arrived.is_more, is_more, "{kind} {flags} {payload}");
        }
    }

    #[test]
    fn as_much_is_read_as_some_frames_have() {
        let mut arriving = Arriving::new();
        note(&mut arriving, &[PREFACE, &frame(DATA, 0, 1).repeat(1_000)].concat());
        assert_eq!(arriving.some_frames(), 10 * FRAMES_AT_ONCE);
        let large = frame(DATA, 0, 16 << 10);
        note(&mut arriving, &large[..1_000]);
        assert_eq!(arriving.some_frames(), 1_000 * FRAMES_AT_ONCE);
        note(&mut arriving, &frame(DATA, 0, 1));
        assert_eq!(arriving.some_frames(), 1_000 * FRAMES_AT_ONCE, "no frame has begun");
        note(&mut arriving, &large[1_010..]);
        note(&mut arriving, &[frame(DATA, 0, 1).repeat(1_000), large].concat()[..10_009]);
        assert_eq!(arriving.some_frames(), (16 << 10) + 9, "the whole of the last one");
    }

    #[test]
    fn a_head_of_http_1_has_a_limit() {
        let mut arriving = Arriving::new();
        note(&mut arriving, b"P");
        note(&mut arriving, &[b'x'; HTTP1_HEAD_BYTES_MAX - 1]);
        assert!(!arriving.is_head_too_long(false), "at the limit");
        note(&mut arriving, b"x");
        assert!(arriving.is_head_too_long(false));
        assert!(!arriving.is_head_too_long(true), "it is complete, and the rest is its body");
        assert!(!arriving.has_begun());
    }
}
