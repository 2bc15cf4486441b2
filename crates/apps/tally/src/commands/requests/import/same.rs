//! Finds the same file twice in one command, under any name or compression: while logrotate works,
//! a glob such as `access.log.1*` matches a file and its compressed copy.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use super::input::Input;

/// Files that begin with the same bytes are compared.
const HEAD_BYTES: usize = 256;

/// Files that differ only after this many bytes are parts of the same log.
const COMMON_BYTES: u64 = 64 * 1024;

const BLOCK_BYTES: usize = 64 * 1024;

/// Two inputs that have lines in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Double {
    pub(crate) input: Input,
    pub(crate) of: Input,
    /// All of it is the same, not only its beginning.
    pub(crate) is_whole: bool,
}

/// Finds files with the lines of an earlier one, except unreadable ones.
pub(crate) fn doubles(inputs: &[Input]) -> Vec<Double> {
    let mut heads: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let mut paths: HashMap<PathBuf, usize> = HashMap::new();
    let mut doubles = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        let Input::File(path) = input else { continue };
        // A pipe can be read only once.
        if input.bytes().is_none() {
            continue;
        }
        let mut double = |of: usize, is_whole| {
            doubles.push(Double { input: input.clone(), of: inputs[of].clone(), is_whole });
        };
        if let Ok(path) = path.canonicalize()
            && let Some(&of) = paths.get(&path)
        {
            double(of, true);
            continue;
        } else if let Ok(path) = path.canonicalize() {
            paths.insert(path, at);
        }
        let Ok(head) = head(input) else { continue };
        if head.is_empty() {
            continue;
        }
        let alike = heads.entry(head).or_default();
        let likeness = |of: usize| Some((of, likeness(&inputs[of], input).ok().flatten()?));
        let found: Vec<_> = alike.iter().filter_map(|&of| likeness(of)).collect();
        match found.iter().find(|(_, is_whole)| *is_whole).or(found.first()) {
            Some(&(of, true)) => double(of, true),
            Some(&(of, false)) => {
                double(of, false);
                alike.push(at);
            }
            None => alike.push(at),
        }
    }
    doubles
}

fn head(input: &Input) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    input.content()?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether two files are the same (true), or begin as one log (false); `None`: neither.
fn likeness(one: &Input, two: &Input) -> io::Result<Option<bool>> {
    let (mut one, mut two) = (one.content()?, two.content()?);
    let mut common = 0_u64;
    loop {
        let (first, second) = (block(&mut one)?, block(&mut two)?);
        let same = first.iter().zip(&second).take_while(|(one, two)| one == two).count();
        common += same as u64;
        if same < first.len() || same < second.len() {
            // One is the beginning of the other, or both begin alike for long.
            let begins = same == first.len() || same == second.len();
            return Ok((begins || common >= COMMON_BYTES).then_some(false));
        }
        if first.len() < BLOCK_BYTES {
            return Ok(Some(true));
        }
    }
}

fn block(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    reader.take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
    Ok(block)
}

impl fmt::Display for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, of, is_whole } = self;
        if *is_whole {
            write!(f, "{input} is the same as {of}, and is counted once; --again counts it twice")
        } else {
            write!(f, "warning: {input} begins like {of}; lines in both are counted twice")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn the_same_file_under_any_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            Input::File(path)
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let long = "a line of a log\n".repeat(10_000);
        encoder.write_all(long.as_bytes()).expect("compressed");
        let log = file("log", long.as_bytes());
        let gzip = file("log.gz", &encoder.finish().expect("compressed"));
        let grown = file("grown", format!("{long}and more").as_bytes());
        let other = file("other", &long.as_bytes()[..2_000]);
        let differs = file("differs", format!("{}x", &long[..3_000]).as_bytes());
        let short = file("short", b"x\n");
        let empty = [file("empty", b""), file("empty too", b"")];
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(folder.path().join("short"), &linked).expect("a link");
        let linked = Input::File(linked);
        let double = |input: &Input, of: &Input, is_whole| Double {
            input: input.clone(),
            of: of.clone(),
            is_whole,
        };
        let inputs = [log.clone(), short.clone(), gzip.clone(), linked.clone(), short.clone()];
        let expected = [
            double(&gzip, &log, true),
            double(&linked, &short, true),
            double(&short, &short, true),
        ];
        assert_eq!(doubles(&inputs), expected);
        let inputs = [
            log.clone(),
            differs,
            grown.clone(),
            other.clone(),
            empty[0].clone(),
            empty[1].clone(),
        ];
        assert_eq!(doubles(&inputs), [double(&grown, &log, false), double(&other, &log, false)]);
        let missing = Input::File(folder.path().join("none"));
        assert!(doubles(&[missing.clone(), missing, Input::Stdin]).is_empty());
    }
}
