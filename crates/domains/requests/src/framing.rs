//! gRPC's messages in the frames of a body, read in place.

use bytes::Bytes;

use crate::error::{Ended, Error};

/// The prefix of a message: whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;

/// Splits frames into messages, which may span frames.
#[derive(Debug)]
pub(crate) struct Framing {
    message_bytes_max: usize,
    /// The current frame, read up to here.
    frame: Bytes,
    read: usize,
    /// A message that began in an earlier frame, prefix included.
    split: Vec<u8>,
    /// Whether `split` was returned.
    is_done: bool,
    /// How many messages were returned.
    position: u64,
}

// === impl Framing ===

impl Framing {
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        let (frame, split) = (Bytes::new(), Vec::new());
        Self { message_bytes_max, frame, read: 0, split, is_done: false, position: 0 }
    }

    /// The next message, or `None` if it needs another frame.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.is_done {
            self.split.clear();
            self.is_done = false;
        }
        if !self.split.is_empty() {
            return self.next_split();
        }
        let rest = &self.frame[self.read..];
        match self.len(rest)? {
            Some(len) if len <= rest.len() => {
                self.read += len;
                self.position += 1;
                Ok(Some(&rest[PREFIX_BYTES..len]))
            }
            _ => {
                self.split.extend_from_slice(rest);
                self.read = self.frame.len();
                Ok(None)
            }
        }
    }

    /// The next frame, once the current one is read.
    pub(crate) fn put(&mut self, frame: Bytes) {
        debug_assert_eq!(self.read, self.frame.len(), "a frame is read before the next one");
        (self.frame, self.read) = (frame, 0);
    }

    /// The position of the last message, from 1.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The body has ended: an error if within a message.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.is_done || self.split.is_empty() {
            return Ok(());
        }
        Err(Ended::Broken(format!("it ended within message {}", self.position + 1)).into())
    }

    fn next_split(&mut self) -> Result<Option<&[u8]>, Error> {
        loop {
            let len = self.len(&self.split)?;
            let missing = len.unwrap_or(PREFIX_BYTES) - self.split.len();
            if missing == 0 {
                self.is_done = true;
                self.position += 1;
                return Ok(Some(&self.split[PREFIX_BYTES..]));
            }
            let rest = &self.frame[self.read..];
            let taken = missing.min(rest.len());
            if taken == 0 {
                return Ok(None);
            }
            self.split.extend_from_slice(&rest[..taken]);
            self.read += taken;
        }
    }

    /// The length of the message that begins here, prefix included, once that is complete.
    fn len(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let Some((&[flag, length @ ..], _)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        if flag != 0 {
            let position = self.position + 1;
            return Err(Ended::Broken(format!(
                "message {position} is marked as compressed ({flag}), and no encoding was agreed on"
            ))
            .into());
        }
        let bytes = u32::from_be_bytes(length) as usize;
        if bytes > self.message_bytes_max {
            return Err(Error::invalid(format!(
                "request {} of the stream cannot be read: its message has {bytes} bytes, and may \
                 have at most {}",
                self.position + 1,
                self.message_bytes_max
            )));
        }
        Ok(Some(PREFIX_BYTES + bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 300;

    fn prefixed(message: &[u8]) -> Vec<u8> {
        let len = u32::try_from(message.len()).unwrap();
        [&[0], &len.to_be_bytes()[..], message].concat()
    }

    /// All messages, and how it ended.
    fn read(frames: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), Error>) {
        let mut framing = Framing::new(MAX);
        let mut messages = Vec::new();
        for frame in frames {
            framing.put(Bytes::copy_from_slice(frame));
            loop {
                match framing.next() {
                    Ok(Some(message)) => messages.push(message.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (messages, Err(error)),
                }
            }
        }
        assert_eq!(framing.position(), messages.len() as u64);
        (messages, framing.end())
    }

    #[test]
    fn messages_come_whole_wherever_frames_end() {
        let sent = [&b"first"[..], b"", &[7; MAX], b"last"].map(<[u8]>::to_vec);
        let bytes = sent.each_ref().map(|message| prefixed(message)).concat();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let frames = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let (messages, end) = read(&frames);
                assert_eq!(messages, sent, "{first} {second}");
                end.expect("it ends between two messages");
            }
        }
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&bytewise).0, sent);
    }

    #[test]
    fn what_ends_within_a_message_is_broken() {
        let bytes = [prefixed(b"one"), prefixed(b"two")].concat();
        for end in 0..bytes.len() {
            let (messages, ended) = read(&[&bytes[..end]]);
            assert_eq!(messages.len(), end / 8, "{end}");
            assert_eq!(ended.is_err(), ![0, 8].contains(&end), "{end}");
        }
    }

    #[test]
    fn a_prefix_that_no_message_can_have_ends_it() {
        let good = prefixed(b"good");
        let large = u32::try_from(MAX + 1).unwrap().to_be_bytes();
        for (prefix, is_too_large) in
            [([&[0], &large[..]].concat(), true), (vec![1, 0, 0, 0, 0], false), (vec![9; 5], false)]
        {
            let bytes = [&good, &*prefix, &good].concat();
            for cut in 0..bytes.len() {
                let (messages, end) = read(&[&bytes[..cut], &bytes[cut..]]);
                assert_eq!(messages, [b"good"]);
                let error = end.expect_err("no message");
                let is_it = error.to_string().contains("has 301 bytes, and may have at most 300");
                assert_eq!(is_it, is_too_large, "{error}");
                assert!(error.to_string().contains(" 2 "), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_messages_in_any_frames(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX), 0..20),
            mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let bytes = sent.iter().flat_map(|message| prefixed(message)).collect::<Vec<_>>();
            let mut ends: Vec<_> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let mut start = 0;
            let frames: Vec<_> =
                ends.iter().map(|end| &bytes[std::mem::replace(&mut start, *end)..*end]).collect();
            let (messages, end) = read(&frames);
            prop_assert_eq!(messages, sent);
            prop_assert!(end.is_ok());
        }
    }
}
