//! Opens what is to be imported, and says why one cannot be read.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use super::lines::Lines;
use crate::output::visible;

const COMPRESSED_BUFFER_BYTES: usize = 128 * 1024;

const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

/// Where a tar archive has `ustar` (POSIX).
const TAR_MAGIC_AT: usize = 257;

/// What is refused: its first bytes, its name, and the tool that reads it.
const REFUSED: &[(&[u8], &str, &str)] = &[
    (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
    (b"\xfd7zXZ\0", "xz", "xzcat"),
    (b"BZh", "bzip2", "bzcat"),
    (b"PK\x03\x04", "zip", "unzip -p"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

/// Why an input cannot be read. Nothing of it was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{input}: cannot open it")]
    Open { input: Input, source: io::Error },
    #[error("{input} is a directory; name the files in it")]
    Directory { input: Input },
    #[error(
        "{input} is compressed with {name}, which is not supported: `{tool} … | tally import -`"
    )]
    Compressed { input: Input, name: &'static str, tool: &'static str },
    #[error("{input} is UTF-16 text; convert it first: `iconv -f UTF-16 -t UTF-8`")]
    Utf16 { input: Input },
    #[error("{input} is a tar archive: `tar -xOf … | tally import -`, with z for tar.gz")]
    Tar { input: Input },
}

pub(crate) type OpenInput = Lines<Box<dyn Read + Send>>;

/// The text of an input.
pub(crate) struct Source {
    pub(crate) reader: Box<dyn Read + Send>,
    pub(crate) is_compressed: bool,
}

/// Decompresses one member after another, and skips zeros between them, which tapes and copies leave.
struct Gzip<R> {
    /// None at the end.
    member: Option<GzDecoder<R>>,
}

struct Counting<R> {
    reader: R,
    bytes: Arc<AtomicU64>,
}

// === impl Input ===

impl Input {
    /// Opens the input, decompresses gzip, and checks the first bytes. Adds the bytes read, as
    /// stored, to `bytes`.
    pub(crate) fn open(&self, bytes: Arc<AtomicU64>) -> Result<OpenInput, Unreadable> {
        let source = match self.file()? {
            None => self.source(io::stdin(), bytes)?,
            Some(file) => self.source(file, bytes)?,
        };
        let mut lines = Lines::new(source.reader);
        let first = lines.peek();
        if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
            return Err(Unreadable::Utf16 { input: self.clone() });
        }
        if first.get(TAR_MAGIC_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
            return Err(Unreadable::Tar { input: self.clone() });
        }
        Ok(lines)
    }

    /// The file itself; `None` is stdin.
    pub(crate) fn file(&self) -> Result<Option<File>, Unreadable> {
        let Self::File(path) = self else { return Ok(None) };
        let failed = |source| Unreadable::Open { input: self.clone(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(Unreadable::Directory { input: self.clone() });
        }
        Ok(Some(file))
    }

    /// Decompresses what a reader of this input gives.
    pub(crate) fn source(
        &self,
        reader: impl Read + Send + 'static,
        bytes: Arc<AtomicU64>,
    ) -> Result<Source, Unreadable> {
        let mut counted = Counting { reader, bytes };
        let magic = self.head(&mut counted)?;
        for &(prefix, name, tool) in REFUSED {
            if magic.starts_with(prefix) {
                return Err(Unreadable::Compressed { input: self.clone(), name, tool });
            }
        }
        let is_compressed = magic.starts_with(GZIP_MAGIC);
        let whole: Chain<_, _> = Cursor::new(magic).chain(counted);
        let reader: Box<dyn Read + Send> = if is_compressed {
            let buffered = BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, whole);
            Box::new(Gzip::new(buffered))
        } else {
            Box::new(whole)
        };
        Ok(Source { reader, is_compressed })
    }

    /// Checks that it can be read, except for a pipe, which can be read only once.
    pub(crate) fn check(&self) -> Result<(), Unreadable> {
        let Self::File(path) = self else { return Ok(()) };
        let data = fs::metadata(path)
            .map_err(|source| Unreadable::Open { input: self.clone(), source })?;
        if data.is_file() {
            self.open(Arc::default())?;
        } else if data.is_dir() {
            return Err(Unreadable::Directory { input: self.clone() });
        }
        Ok(())
    }

    /// Its stored size, if known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => {
                fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|data| data.len())
            }
        }
    }

    /// The first bytes, enough to recognize a compressed file.
    fn head(&self, reader: &mut impl Read) -> Result<Vec<u8>, Unreadable> {
        let mut head = Vec::with_capacity(6);
        // Stops at the first other byte, because the next one may take long to come.
        while head.len() < 6 && is_beginning_of_magic(&head) {
            let mut byte = [0];
            match reader.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => head.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Unreadable::Open { input: self.clone(), source }),
            }
        }
        Ok(head)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => f.write_str(&visible(&path.to_string_lossy())),
        }
    }
}

fn is_beginning_of_magic(head: &[u8]) -> bool {
    GZIP_MAGIC.starts_with(head) || REFUSED.iter().any(|(magic, ..)| magic.starts_with(head))
}

// === impl Gzip ===

impl<R: BufRead> Gzip<R> {
    fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let bytes = member.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            let goes_on = skip_zeros(member.get_mut())?;
            let member = self.member.take().filter(|_| goes_on);
            self.member = member.map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}

// === impl Source ===

impl Source {
    /// Reads from the middle of a plain file.
    pub(crate) fn middle(
        reader: impl Read + Send + 'static,
        bytes: Arc<AtomicU64>,
    ) -> Box<dyn Read + Send> {
        Box::new(Counting { reader, bytes })
    }
}

// === impl Counting ===

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(buffer)?;
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Whether something other than zeros follows.
fn skip_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_other = zeros < bytes.len();
        reader.consume(zeros);
        if is_other {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::commands::requests::import::lines::Line;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, Input) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        (folder, Input::File(path))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("compressed");
        encoder.finish().expect("compressed")
    }

    fn lines(input: &Input) -> io::Result<Vec<Vec<u8>>> {
        let mut open = input.open(Arc::default()).expect("opens");
        let mut found = Vec::new();
        loop {
            let more = open.read()?;
            while let Some(line) = open.cut() {
                match line {
                    Line::Text(text) | Line::Torn(text) => found.push(text.to_vec()),
                    Line::TooLong => panic!("too long"),
                }
            }
            if !more {
                return Ok(found);
            }
        }
    }

    #[test]
    fn plain_and_compressed_files_read_the_same() {
        let expected = [b"one".to_vec(), b"two".to_vec()];
        let (_folder, plain) = file("a", b"one\ntwo\n");
        assert_eq!(lines(&plain).expect("reads"), expected);
        let members = [gzip(b"one\n"), gzip(b"two\n")].concat();
        let (_folder, compressed) = file("a", &members);
        compressed.check().expect("readable");
        assert_eq!(lines(&compressed).expect("reads"), expected);
        let (_folder, short) = file("a", b"B");
        assert_eq!(lines(&short).expect("reads"), [b"B".to_vec()]);
        let (_folder, empty) = file("a", b"");
        assert!(lines(&empty).expect("reads").is_empty());
    }

    #[test]
    fn zeros_behind_a_compressed_file_are_skipped() {
        let zeros = vec![0; 300_000];
        let bytes = [gzip(b"one\n"), zeros.clone(), gzip(b"two\n"), zeros].concat();
        let (_folder, padded) = file("a.gz", &bytes);
        assert_eq!(lines(&padded).expect("reads"), [b"one".to_vec(), b"two".to_vec()]);
        let (_folder, junk) = file("a.gz", &[gzip(b"one\n"), b"junk".to_vec()].concat());
        assert!(lines(&junk).is_err());
    }

    #[test]
    fn a_truncated_file_fails_only_when_it_is_read() {
        let whole = gzip("line\n".repeat(1_000).as_bytes());
        let (_folder, torn) = file("a.gz", &whole[..whole.len() - 10]);
        torn.check().expect("readable so far");
        assert!(lines(&torn).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, words) in [
            (&b"\x28\xb5\x2f\xfd...."[..], "compressed with zstd"),
            (b"\xfd7zXZ\0\0\0", "compressed with xz"),
            (b"BZh91AY", "compressed with bzip2"),
            (b"PK\x03\x04....", "compressed with zip"),
            (b"\xff\xfea\0b\0", "UTF-16"),
            (&tar, "tar archive"),
            (&gzip(&tar), "tar archive"),
        ] {
            let (_folder, input) = file("some.log", bytes);
            let message = input.check().expect_err("refused").to_string();
            assert!(message.contains(words) && message.contains("some.log"), "{message}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let message = Input::File(folder.path().to_owned()).check().expect_err("refused");
        assert!(message.to_string().contains("is a directory"), "{message}");
        let missing = Input::File(folder.path().join("none")).check().expect_err("refused");
        assert!(tally_runtime::chain(&missing).contains("No such file"), "{missing}");
    }
}
