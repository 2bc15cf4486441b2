//! A file that can be read more than once, and from any place of its decompressed text.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::feed::Ending;
use super::identity::Identity;
use super::input::{Input, OpenInput, Source, Unreadable};
use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::position::{Position, Tail};

pub(crate) struct Text {
    input: Input,
    /// Open until all is read, because another file may have its name by then.
    file: Arc<File>,
    bytes: Arc<AtomicU64>,
    is_compressed: bool,
}

/// A place in a file, whatever is read elsewhere in it.
struct Place {
    file: Arc<File>,
    offset: u64,
}

/// Why a text is not the one that a position is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Differs {
    /// It ends before the position.
    Shorter,
    /// It has other bytes there.
    Rewritten,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shorter => "it is shorter now, as if it was truncated",
            Self::Rewritten => "it has other lines now",
        })
    }
}

// === impl Text ===

impl Text {
    /// Opens a file; `None` if it can be read only once, such as a pipe. Adds the bytes read, as stored,
    /// to `bytes`.
    pub(crate) fn open(input: &Input, bytes: Arc<AtomicU64>) -> Result<Option<Self>, Unreadable> {
        let failed = |source| Unreadable::Open { input: input.clone(), source };
        let Some(file) = input.file()? else { return Ok(None) };
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        let (input, file) = (input.clone(), Arc::new(file));
        let mut text = Self { input, file, bytes, is_compressed: false };
        text.is_compressed = text.start(Arc::default())?.is_compressed;
        Ok(Some(text))
    }

    /// What a last line without an end is.
    pub(crate) fn ending(&self) -> Ending {
        if self.is_compressed { Ending::Complete } else { Ending::Later }
    }

    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        Ok(Identity::read(&mut self.start(Arc::default())?.reader, self.is_compressed)?)
    }

    /// Whether its last line has no end, and may still be being written.
    pub(crate) fn is_torn(&self) -> bool {
        let mut last = [b'\n'];
        let bytes = self.file.metadata().map_or(0, |data| data.len());
        let is_read = bytes > 0 && self.file.read_exact_at(&mut last, bytes - 1).is_ok();
        is_read && !self.is_compressed && last != [b'\n']
    }

    /// All of its lines.
    pub(crate) fn lines(&self) -> Result<OpenInput, Unreadable> {
        Ok(Lines::new(self.start(Arc::clone(&self.bytes))?.reader))
    }

    /// The lines from a position on, if this is the text that it is about.
    pub(crate) fn lines_from(
        &self,
        position: &Position,
    ) -> anyhow::Result<Result<OpenInput, Differs>> {
        let Position { offset, lines, tail, .. } = *position;
        let Some(mut reader) = self.from(tail.end - tail.bytes, &self.bytes)? else {
            return Ok(Err(Differs::Shorter));
        };
        let mut seen = Vec::new();
        reader.by_ref().take(tail.bytes).read_to_end(&mut seen)?;
        if (seen.len() as u64) < tail.bytes {
            return Ok(Err(Differs::Shorter));
        }
        if tail.bytes > 0 && Tail::of(&seen, tail.end) != tail {
            return Ok(Err(Differs::Rewritten));
        }
        Ok(match skip(&mut reader, offset - tail.end)? {
            true => Ok(Lines::from(reader, offset, lines)),
            false => Err(Differs::Shorter),
        })
    }

    /// The line that begins here.
    pub(crate) fn line_at(&self, offset: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(reader) = self.from(offset, &Arc::default())? else { return Ok(None) };
        let mut lines = Lines::new(reader.take(LINE_BYTES_MAX as u64));
        while lines.read()? {}
        Ok(match lines.cut() {
            Some(Line::Text(line) | Line::Torn(line)) => Some(line.to_vec()),
            _ => None,
        })
    }

    /// Reads from this place on; `None` if the text ends before it.
    fn from(
        &self,
        offset: u64,
        bytes: &Arc<AtomicU64>,
    ) -> anyhow::Result<Option<Box<dyn Read + Send>>> {
        if self.is_compressed {
            let mut reader = self.start(Arc::clone(bytes))?.reader;
            return Ok(skip(&mut reader, offset)?.then_some(reader));
        }
        if self.file.metadata()?.len() < offset {
            return Ok(None);
        }
        bytes.fetch_add(offset, Ordering::Relaxed);
        let place = Place { file: Arc::clone(&self.file), offset };
        Ok(Some(Source::middle(place, Arc::clone(bytes))))
    }

    fn start(&self, bytes: Arc<AtomicU64>) -> Result<Source, Unreadable> {
        self.input.source(Place { file: Arc::clone(&self.file), offset: 0 }, bytes)
    }
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(buffer, self.offset)?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

/// Reads over some bytes; false if there are fewer.
fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<bool> {
    Ok(io::copy(&mut reader.take(bytes), &mut io::sink())? == bytes)
}
