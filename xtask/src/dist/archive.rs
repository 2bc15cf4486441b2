//! Archives: tar, ar, zip and gzip, whose bytes depend on their contents and one moment only.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::Context as _;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

/// A file in a package, or a folder.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// From the package's root, such as `bin/tally`; that of a folder ends with `/`.
    pub(super) path: String,
    pub(super) is_executable: bool,
    pub(super) bytes: Vec<u8>,
}

/// The size of a block of tar.
const BLOCK: usize = 512;
/// Zip begins in 1980, and its times have no zone: every file has its first moment.
const ZIP_TIME: u16 = 0;
const ZIP_DATE: u16 = (1 << 5) | 1;
/// Made on Unix, by version 2.0, which is the first with folders and Deflate.
const ZIP_MADE_BY: u16 = (3 << 8) | 20;
const ZIP_NEEDS: u16 = 20;
const DEFLATE: u16 = 8;

// === impl Entry ===

impl Entry {
    pub(super) fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), is_executable: false, bytes: bytes.into() }
    }

    pub(super) fn executable(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { is_executable: true, ..Self::new(path, bytes) }
    }

    fn mode(&self) -> u32 {
        if self.is_executable { 0o755 } else { 0o644 }
    }
}

/// Each file after its folders, which come once.
pub(super) fn with_folders(files: &[Entry]) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut folders = BTreeSet::new();
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            let folder = &file.path[..=end];
            if folder != "./" && folders.insert(folder) {
                all.push(Entry::executable(folder, []));
            }
        }
        all.push(file.clone());
    }
    all
}

/// The entries, all of root and from this moment, in seconds since 1970. Unpacking makes folders that are missing,
/// and gives one that is there already its owner and mode only if it is an entry.
pub(super) fn tar(entries: &[Entry], time: u64) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for entry in entries {
        let kind = if entry.path.ends_with('/') { b'5' } else { b'0' };
        all.extend(tar_header(&entry.path, entry.mode(), entry.bytes.len(), kind, time)?);
        all.extend_from_slice(&entry.bytes);
        all.resize(all.len().next_multiple_of(BLOCK), 0);
    }
    all.resize(all.len() + 2 * BLOCK, 0);
    Ok(all)
}

/// The header of POSIX's ustar.
fn tar_header(
    path: &str,
    mode: u32,
    size: usize,
    kind: u8,
    time: u64,
) -> anyhow::Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    let (folder, name) = halves(path).with_context(|| format!("{path} is too long for tar"))?;
    put(0, name.as_bytes());
    put(345, folder.as_bytes());
    put(100, format!("{mode:07o}\0{:07o}\0{:07o}\0{size:011o}\0{time:011o}\0", 0, 0).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000root");
    put(297, b"root");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// A path as the two fields that it may take: 155 bytes, a `/` that is in neither, and 100 bytes.
fn halves(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    let fits =
        |(folder, name): &(&str, &str)| folder.len() <= 155 && (1..=100).contains(&name.len());
    path.match_indices('/').map(|(at, _)| (&path[..at], &path[at + 1..])).find(fits)
}

/// Debian's packages are such archives.
pub(super) fn ar(members: &[(&str, &[u8])], time: u64) -> Vec<u8> {
    let mut all = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let size = bytes.len();
        let header = format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644");
        all.extend_from_slice(header.as_bytes());
        all.extend_from_slice(bytes);
        if size % 2 == 1 {
            all.push(b'\n');
        }
    }
    all
}

/// Without a name and a time.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes everything")
}

/// A zip, of which Python's wheels are.
pub(super) fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut all, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut crc = Crc::new();
        crc.update(&entry.bytes);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        let written = encoder.write_all(&entry.bytes).and_then(|()| encoder.finish());
        let packed = written.expect("memory takes everything");
        let (at, name) = (length(&all), entry.path.as_bytes());
        // What the file's own header and its line in the directory have in common.
        let mut common = Vec::new();
        for half in [ZIP_NEEDS, 0, DEFLATE, ZIP_TIME, ZIP_DATE] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc.sum(), length(&packed), length(&entry.bytes)] {
            common.extend(word.to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).expect("a short name").to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        all.extend(b"PK\x03\x04");
        all.extend(&common);
        all.extend(name);
        all.extend(packed);
        directory.extend(b"PK\x01\x02");
        directory.extend(ZIP_MADE_BY.to_le_bytes());
        directory.extend(common);
        // No comment, on the first disk, not text.
        directory.extend([0; 6]);
        directory.extend(((0o100_000 | entry.mode()) << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(name);
    }
    let (begin, bytes) = (length(&all), length(&directory));
    let many = u16::try_from(entries.len()).expect("few files").to_le_bytes();
    all.extend(directory);
    all.extend(b"PK\x05\x06\0\0\0\0");
    all.extend(many);
    all.extend(many);
    all.extend(bytes.to_le_bytes());
    all.extend(begin.to_le_bytes());
    all.extend([0; 2]);
    all
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("less than 4 GiB")
}
