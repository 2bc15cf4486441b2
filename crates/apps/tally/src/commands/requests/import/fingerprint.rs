//! Identifies a file without reading all of it.

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

const PIECE_BYTES: u64 = 64 * 1024;

/// The key of the hash. Servers remember fingerprints, so it never changes.
const KEY: (u64, u64) = (0x7461_6c6c_792e_6669, 0x6c65_732e_3130_3031);

/// A hash over a file's size and its first and last 64 KiB as stored: logs that differ elsewhere
/// have other times there too. `None` unless it can be read twice. Rewinds the file.
pub(crate) fn fingerprint(mut file: &File) -> io::Result<Option<Vec<u8>>> {
    let data = file.metadata()?;
    if !data.is_file() {
        return Ok(None);
    }
    let mut hasher = hasher();
    hasher.write(&data.len().to_le_bytes());
    let mut piece = Vec::new();
    file.rewind()?;
    file.take(PIECE_BYTES).read_to_end(&mut piece)?;
    hasher.write(&piece);
    piece.clear();
    file.seek(SeekFrom::Start(data.len().saturating_sub(PIECE_BYTES)))?;
    file.take(PIECE_BYTES).read_to_end(&mut piece)?;
    hasher.write(&piece);
    file.rewind()?;
    Ok(Some(hasher.finish128().as_bytes().to_vec()))
}

pub(crate) fn of_text(text: &str) -> Vec<u8> {
    let mut hasher = hasher();
    hasher.write(text.as_bytes());
    hasher.finish128().as_bytes().to_vec()
}

fn hasher() -> SipHasher24 {
    SipHasher24::new_with_keys(KEY.0, KEY.1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    #[test]
    fn files_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            let mut file = File::open(&path).expect("opened");
            let print = fingerprint(&file).expect("read").expect("a file");
            assert_eq!(file.stream_position().expect("known"), 0);
            print
        };
        let long = vec![b'x'; 200_000];
        let (mut first, mut last) = (long.clone(), long.clone());
        (first[0], last[199_999]) = (b'y', b'y');
        let files: [&[u8]; 6] = [b"", b"a", b"b", &long, &first, &last];
        let mut all: HashSet<_> = files.iter().map(|bytes| of(bytes)).collect();
        all.insert(of(&long[1..]));
        assert_eq!(all.len(), 7);
        assert!(all.contains(&of(b"a")));
        let folder = File::open(folder.path()).expect("opened");
        assert_eq!(fingerprint(&folder).expect("looked at"), None);
    }

    /// Fingerprints are in databases.
    #[test]
    fn a_fingerprint_never_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "a\n").expect("written");
        let file = File::open(&path).expect("opened");
        let print = fingerprint(&file).expect("read").expect("a file");
        let hex = |print: &[u8]| print.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&print), "d4183cec18b12f1720788b7dcbcc1cb5");
        assert_eq!(hex(&of_text("--tz UTC\0")), "1e69b26dad7df65ac5da979b8d293031");
    }
}
