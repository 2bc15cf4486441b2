//! What tells one file from another, without reading all of it.

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// How much of a file's beginning and of its end is looked at.
const PIECE_BYTES: u64 = 64 * 1024;

/// The key of the hash. Servers remember fingerprints, so it never changes.
const KEY: (u64, u64) = (0x7461_6c6c_792e_6669, 0x6c65_732e_3130_3031);

/// A hash over how a file is counted, its size, and the first and the last 64 KiB of it as it is
/// stored. Logs that differ elsewhere differ there too: their times do. `None` if it is no file
/// that can be read twice.
pub(crate) fn fingerprint(path: &Path, how: &str) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Ok(None);
    }
    let mut hasher = SipHasher24::new_with_keys(KEY.0, KEY.1);
    hasher.write(&(how.len() as u64).to_le_bytes());
    hasher.write(how.as_bytes());
    hasher.write(&data.len().to_le_bytes());
    let mut piece = Vec::new();
    file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
    hasher.write(&piece);
    piece.clear();
    file.seek(SeekFrom::Start(data.len().saturating_sub(PIECE_BYTES)))?;
    file.take(PIECE_BYTES).read_to_end(&mut piece)?;
    hasher.write(&piece);
    Ok(Some(hasher.finish128().as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    #[test]
    fn files_and_ways_to_count_them_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let of = |bytes: &[u8], how: &str| {
            fs::write(&path, bytes).expect("written");
            fingerprint(&path, how).expect("read").expect("a file")
        };
        let long = vec![b'x'; 200_000];
        let (mut first, mut last) = (long.clone(), long.clone());
        (first[0], last[199_999]) = (b'y', b'y');
        let files: [&[u8]; 6] = [b"", b"a", b"b", &long, &first, &last];
        let mut all: HashSet<_> = files.iter().map(|bytes| of(bytes, "")).collect();
        all.insert(of(b"a", "--where x=y"));
        all.insert(of(&long[1..], ""));
        assert_eq!(all.len(), 8);
        assert!(all.contains(&of(b"a", "")));
        assert_eq!(fingerprint(folder.path(), "").expect("opened"), None);
    }

    /// Fingerprints are in databases.
    #[test]
    fn a_fingerprint_never_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "a\n").expect("written");
        let print = fingerprint(&path, "").expect("read").expect("a file");
        let hex: String = print.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1cac77257a7bebb2bc2be18cd00824d9");
    }
}
