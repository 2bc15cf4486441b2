//! The requests of an `Add` stream: gRPC's messages in the frames of a body, parsed in place.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message as _;
use prost_types::Timestamp;
use tally_proto::count::v1::AddRequest;

use crate::error::{Ended, Error};
use crate::protobuf::{low_half, take_field, take_varint};

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

/// An [`AddRequest`]. A message as clients write it is not copied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) method: i32,
    pub(crate) path: Cow<'a, str>,
    pub(crate) time: Option<Timestamp>,
}

/// The same as clients write it; its path may not be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    pub(crate) method: i32,
    pub(crate) path: &'a [u8],
    pub(crate) time: Option<Timestamp>,
}

// === impl Message ===

impl<'a> Message<'a> {
    /// Any bytes are a request; see [`AddRequest`]. `plain` is what they are if nothing is unusual.
    pub(crate) fn read(bytes: &'a [u8], plain: Option<Plain<'a>>) -> Self {
        plain.and_then(Self::of).unwrap_or_else(|| {
            let AddRequest { method, path, request_timestamp } =
                AddRequest::decode(bytes).unwrap_or_default();
            Self { method, path: Cow::Owned(path), time: request_timestamp }
        })
    }

    /// `None` if the path is not UTF-8.
    fn of(plain: Plain<'a>) -> Option<Self> {
        let Plain { method, path, time } = plain;
        Some(Self { method, path: Cow::Borrowed(str::from_utf8(path).ok()?), time })
    }
}

// === impl Plain ===

impl<'a> Plain<'a> {
    /// `None` if anything is unusual, valid or not.
    #[inline]
    pub(crate) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut message = Self { method: 0, path: b"", time: None };
        while let Some((key, rest)) = bytes.split_first() {
            bytes = rest;
            // A field's number and wire type: a varint (0), or bytes after their length (2).
            match key {
                0o10 => message.method = low_half(take_varint(&mut bytes)?).cast_signed(),
                0o22 => message.path = take_field(&mut bytes)?,
                // A second timestamp merges with the first.
                0o32 if message.time.is_none() => {
                    message.time = Some(timestamp(take_field(&mut bytes)?)?);
                }
                _ => return None,
            }
        }
        Some(message)
    }
}

fn timestamp(mut bytes: &[u8]) -> Option<Timestamp> {
    let mut time = Timestamp::default();
    while let Some((key, rest)) = bytes.split_first() {
        bytes = rest;
        match key {
            0o10 => time.seconds = take_varint(&mut bytes)?.cast_signed(),
            0o20 => time.nanos = low_half(take_varint(&mut bytes)?).cast_signed(),
            _ => return None,
        }
    }
    Some(time)
}

#[cfg(test)]
mod tests;
