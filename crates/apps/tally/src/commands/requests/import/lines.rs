//! Cuts bytes into lines, without ever holding a line over the limit.

use std::io::{self, Read};

/// The longest line: servers accept targets and headers of some 64 KiB, and escape a byte as four.
pub(crate) const LINE_BYTES_MAX: usize = 256 * 1024;

/// How much is read at once: what it becomes fits into a processor's cache.
const READ_BYTES: usize = 256 * 1024;

const BUFFER_BYTES: usize = LINE_BYTES_MAX + READ_BYTES;

/// How much decides whether a file is text.
const PEEK_BYTES: usize = 8 * 1024;

/// How much of what was cut can be seen again.
pub(crate) const TAIL_BYTES: usize = 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Text(&'a [u8]),
    /// The last line, without a line end: it may still be being written.
    Torn(&'a [u8]),
    /// More than [`LINE_BYTES_MAX`] bytes. They are skipped.
    TooLong,
}

/// Cuts a reader into lines. Reading and cutting are separate steps, so that lines can be passed on
/// before the next read, which may take long.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the buffer begins in the text.
    base: u64,
    start: usize,
    end: usize,
    number: u64,
    /// Where the line that is too long begins in the text.
    skipped_from: Option<u64>,
    ended: bool,
    failure: Option<io::Error>,
}

// === impl Lines ===

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self::from(reader, 0, 0)
    }

    /// The reader is this far in its text, at the beginning of a line that has this many before it.
    pub(crate) fn from(reader: R, base: u64, number: u64) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_BYTES],
            base,
            start: 0,
            end: 0,
            number,
            skipped_from: None,
            ended: false,
            failure: None,
        }
    }

    /// How many lines have been cut, or come before those that are read.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where the next line begins in the text.
    pub(crate) fn offset(&self) -> u64 {
        self.skipped_from.unwrap_or(self.base + self.start as u64)
    }

    /// Up to [`TAIL_BYTES`] before the next line, as far as they are still there.
    pub(crate) fn tail(&self) -> &[u8] {
        let end = if self.skipped_from.is_some() { 0 } else { self.start };
        &self.buffer[end.saturating_sub(TAIL_BYTES)..end]
    }

    /// Reads the first line or [`PEEK_BYTES`] of it, before any line is cut. The next read returns
    /// an error of this one.
    pub(crate) fn peek(&mut self) -> &[u8] {
        while self.end < PEEK_BYTES && memchr::memchr(b'\n', &self.buffer[..self.end]).is_none() {
            match self.read() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        &self.buffer[..self.end.min(PEEK_BYTES)]
    }

    /// Reads more; false at the end, when [`Lines::cut`] gives what is left.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.base += self.start as u64;
            self.start = 0;
        }
        loop {
            let end = self.buffer.len().min(self.end + READ_BYTES);
            match self.reader.read(&mut self.buffer[self.end..end]) {
                Ok(0) => self.ended = true,
                Ok(bytes) => self.end += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(!self.ended);
        }
    }

    /// The next line of what has been read.
    pub(crate) fn cut(&mut self) -> Option<Line<'_>> {
        // NULs precede a writer that goes on at its old place in a truncated file.
        if self.skipped_from.is_none() && self.buffer[self.start..self.end].first() == Some(&0) {
            let rest = &self.buffer[self.start..self.end];
            self.start += rest.iter().position(|&byte| byte != 0).unwrap_or(rest.len());
        }
        let rest = &self.buffer[self.start..self.end];
        let (length, next) = match memchr::memchr(b'\n', rest) {
            Some(length) => (length, length + 1),
            None if self.ended && (self.skipped_from.is_some() || !rest.is_empty()) => {
                (rest.len(), rest.len())
            }
            None => {
                if rest.len() > LINE_BYTES_MAX {
                    self.skipped_from = Some(self.offset());
                    self.start = self.end;
                }
                return None;
            }
        };
        let from = self.start;
        self.start += next;
        self.number += 1;
        if self.skipped_from.take().is_some() || length > LINE_BYTES_MAX {
            return Some(Line::TooLong);
        }
        let line = &self.buffer[from..from + length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Joined files have one in the middle.
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        Some(if next > length { Line::Text(line) } else { Line::Torn(line) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn all(bytes: &[u8], step: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(Trickle(bytes, step));
        let mut found = Vec::new();
        loop {
            let more = lines.read().expect("reads");
            assert_eq!(lines.buffer.len(), BUFFER_BYTES);
            while let Some(line) = lines.cut() {
                found.push(match line {
                    Line::Text(text) | Line::Torn(text) => Some(text.to_vec()),
                    Line::TooLong => None,
                });
            }
            if !more {
                assert_eq!(lines.number(), found.len() as u64);
                return found;
            }
        }
    }

    #[test]
    fn line_ends_and_marks_are_taken_off() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let expected = vec![text("a"), text(""), text("b"), text("c")];
        assert_eq!(all("\u{feff}a\r\n\nb\n\u{feff}c".as_bytes(), 1), expected);
        assert_eq!(all(b"", 1), vec![]);
        assert_eq!(all(b"\n", 1), vec![text("")]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped() {
        let mut bytes = vec![b'x'; 10_000_000];
        bytes.extend_from_slice(b"\nnext\n");
        bytes.extend_from_slice(&vec![b'y'; LINE_BYTES_MAX]);
        bytes.push(b'\n');
        bytes.extend_from_slice(&vec![b'z'; LINE_BYTES_MAX + 1]);
        for step in [1_000, 70_000, 1_000_000] {
            let found = all(&bytes, step);
            let lengths: Vec<_> = found.iter().map(|line| line.as_ref().map(Vec::len)).collect();
            assert_eq!(lengths, [None, Some(4), Some(LINE_BYTES_MAX), None], "{step}");
        }
    }

    #[test]
    fn nuls_before_a_line_are_skipped() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let nuls = vec![0; 300_000];
        let bytes = [&nuls, &b"a\n"[..], &nuls, b"b\0c\n", &nuls].concat();
        for step in [1_000, 70_000, 1_000_000] {
            assert_eq!(all(&bytes, step), [text("a"), text("b\0c")], "{step}");
        }
    }

    #[test]
    fn a_last_line_without_an_end_is_torn() {
        for (bytes, torn) in
            [(&b"a\nb"[..], true), (b"a\nb\n", false), (b"a\n\0", false), (b"", false)]
        {
            let mut lines = Lines::new(bytes);
            while lines.read().expect("reads") {}
            let mut last_is_torn = false;
            while let Some(line) = lines.cut() {
                last_is_torn = matches!(line, Line::Torn(_));
            }
            assert_eq!(last_is_torn, torn, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn the_same_lines_whatever_the_reads(text in "[a\\r\\n]{0,60}", step in 1..9_usize) {
            let lines: Vec<_> = text.lines().map(|line| Some(line.as_bytes().to_vec())).collect();
            let found = all(text.as_bytes(), step);
            prop_assert_eq!(found.len(), lines.len());
            if !text.ends_with('\r') {
                prop_assert_eq!(found, lines);
            }
        }
    }
}
