//! Where frames of HTTP/2 begin in the bytes of a direction, and which requests are open by them.

use std::collections::HashSet;

/// A frame's head (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
/// Of DATA and HEADERS: the last frame of its stream.
pub(crate) const END_STREAM: u8 = 1;

/// Cuts bytes into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The head of the current frame so far.
    head: [u8; HEAD_BYTES],
    len: usize,
    /// How much of its payload is left.
    left: usize,
}

/// What the head of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// Of its payload.
    pub(crate) bytes: usize,
}

/// The requests that are open: from the head that comes to the end that is sent, or a reset. Unlike what
/// services know, these are also those that nobody has worked on, and answers that the client does not take.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: HashSet<u32>,
    /// Clients number them upwards.
    last: u32,
    /// How many were reset since the server last took what had come: until then they are there.
    reset: usize,
}

// === impl Frames ===

impl Frames {
    /// The next head that these bytes complete, without what comes before it. None if there is no other.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let skipped = self.left.min(bytes.len());
        let taken = (HEAD_BYTES - self.len).min(bytes.len() - skipped);
        let (head, rest) = bytes[skipped..].split_at(taken);
        self.head[self.len..self.len + taken].copy_from_slice(head);
        self.left -= skipped;
        self.len += taken;
        *bytes = rest;
        if self.len < HEAD_BYTES {
            return None;
        }
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        (self.len, self.left) = (0, length);
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Some(Head { kind, flags, stream, bytes: length })
    }

    /// Whether the last frame is complete, and nothing of the next one is here.
    pub(crate) fn is_between(&self) -> bool {
        self.left == 0 && self.len == 0
    }

    /// With how many more bytes the current frame and the head of the next one are complete.
    pub(crate) fn missing(&self) -> usize {
        self.left + HEAD_BYTES - self.len
    }
}

// === impl Head ===

impl Head {
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

// === impl Streams ===

impl Streams {
    /// A frame of the client.
    pub(crate) fn came(&mut self, head: Head) {
        match head.kind {
            // Not trailers.
            HEADERS if head.stream > self.last => {
                self.last = head.stream;
                self.open.insert(head.stream);
            }
            RST_STREAM => self.reset += usize::from(self.open.remove(&head.stream)),
            _ => {}
        }
    }

    /// A frame of ours.
    pub(crate) fn went(&mut self, head: Head) {
        if head.kind == RST_STREAM || head.ends_stream() {
            self.open.remove(&head.stream);
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many there are, with those that the server has not seen.
    pub(crate) fn kept(&self) -> usize {
        self.open.len() + self.reset
    }

    /// The server takes what has come, because nothing more comes now.
    pub(crate) fn settle(&mut self) {
        self.reset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("short").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0x80, 0, 0, stream];
        [&head[..], &vec![7; payload]].concat()
    }

    #[test]
    fn frames_are_told_wherever_the_bytes_are_cut() {
        let all = [frame(4, 0, 0, 6), frame(DATA, 1, 3, 0), frame(HEADERS, 4, 5, 70_000)].concat();
        for size in (1..30).chain([all.len() - 1, all.len()]) {
            let (mut frames, mut heads) = (Frames::default(), Vec::new());
            for mut part in all.chunks(size) {
                while let Some(head) = frames.next(&mut part) {
                    heads.push((head.kind, head.flags, head.stream, head.bytes));
                }
            }
            assert_eq!(heads, [(4, 0, 0, 6), (DATA, 1, 3, 0), (HEADERS, 4, 5, 70_000)], "{size}");
            assert!(frames.is_between());
        }
        let mut frames = Frames::default();
        assert_eq!(frames.next(&mut &all[..5]), None);
        assert_eq!((frames.missing(), frames.is_between()), (4, false));
        assert!(frames.next(&mut &all[5..10]).is_some());
        assert_eq!((frames.missing(), frames.is_between()), (6 + 9, false));
    }

    #[test]
    fn a_request_is_open_until_its_end_is_sent_or_it_is_reset() {
        let head = |kind, flags, stream| Head { kind, flags, stream, bytes: 1 };
        let mut streams = Streams::default();
        for stream in [1, 3, 5, 7] {
            streams.came(head(HEADERS, END_STREAM, stream));
        }
        // Trailers, and the heads of answers.
        streams.came(head(HEADERS, END_STREAM, 3));
        streams.went(head(HEADERS, 0, 3));
        streams.went(head(4, 1, 0));
        streams.went(head(6, 1, 0));
        assert_eq!(streams.len(), 4);
        streams.went(head(DATA, END_STREAM, 1));
        streams.went(head(HEADERS, END_STREAM, 3));
        streams.went(head(RST_STREAM, 0, 3));
        assert_eq!(streams.len(), 2);
        streams.came(head(RST_STREAM, 0, 5));
        streams.came(head(RST_STREAM, 0, 5));
        assert_eq!((streams.len(), streams.kept()), (1, 2), "until the server has seen it");
        streams.settle();
        streams.went(head(RST_STREAM, 0, 7));
        assert_eq!((streams.len(), streams.kept()), (0, 0));
        // The trailers of one that was answered before they came.
        streams.came(head(HEADERS, END_STREAM, 1));
        assert_eq!(streams.len(), 0);
    }
}
