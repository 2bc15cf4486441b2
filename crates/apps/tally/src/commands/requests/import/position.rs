//! How far a text is counted: the checkpoint that the server stores with each batch.

use std::fmt;
use std::hash::Hasher as _;

use jiff::Timestamp;
use siphasher::sip::SipHasher24;
use tally_proto::wire::CHECKPOINT_BYTES_MAX;

use crate::output::{plural, visible};

/// The key of the hash of a tail. Servers keep checkpoints, so it never changes.
const KEY: (u64, u64) = (0x7461_6c6c_792e_7461, 0x696c_732e_3130_3031);

/// The first word of a checkpoint: what follows is as described here.
const FORM: &str = "import1";

/// Where to go on with a text. Bytes are those of the decompressed text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where the first line begins of which not everything is counted.
    pub(crate) offset: u64,
    /// How many lines come before it.
    pub(crate) lines: u64,
    /// How many requests of that line are counted: it may stand for several.
    pub(crate) within: u32,
    /// Where the last line begins that names columns.
    pub(crate) fields_at: Option<u64>,
    /// Shows later that this is the same text.
    pub(crate) tail: Tail,
}

/// Some bytes of a text, at most [`TAIL_BYTES`](super::lines::TAIL_BYTES), at or before a position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

/// What is stored of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) position: Position,
    /// When the import began that stored this, in seconds since 1970.
    pub(crate) at: i64,
    pub(crate) state: State,
    /// What the file was called then.
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Once,
    /// An import with `--again` is under way.
    Again,
    /// The text is long by now, and its position is kept where long texts have theirs.
    Moved,
}

// === impl Tail ===

impl Tail {
    /// The bytes before this place.
    pub(crate) fn of(bytes: &[u8], end: u64) -> Self {
        let mut hasher = SipHasher24::new_with_keys(KEY.0, KEY.1);
        hasher.write(bytes);
        Self { end, bytes: bytes.len() as u64, hash: hasher.finish() }
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// As stored: words, and last the beginning of the name.
    pub(crate) fn write(&self) -> String {
        let Position { offset, lines, within, fields_at, tail } = self.position;
        let Tail { end, bytes, hash } = tail;
        let fields_at = fields_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let state = match self.state {
            State::Once => "once",
            State::Again => "again",
            State::Moved => "moved",
        };
        let mut text = format!(
            "{FORM} {offset} {lines} {within} {fields_at} {end} {bytes} {hash:016x} {at} {state} {name}",
            at = self.at,
            name = self.name,
        );
        text.truncate(text.floor_char_boundary(CHECKPOINT_BYTES_MAX));
        text
    }

    /// `None` if another version of this program, or another program, has stored it.
    pub(crate) fn read(stored: &[u8]) -> Option<Self> {
        let text = str::from_utf8(stored).ok()?.strip_prefix(FORM)?.strip_prefix(' ')?;
        let words: Vec<&str> = text.splitn(10, ' ').collect();
        let [offset, lines, within, fields_at, end, bytes, hash, at, state, name] = words[..]
        else {
            return None;
        };
        let hash = u64::from_str_radix(hash, 16).ok()?;
        let tail = Tail { end: end.parse().ok()?, bytes: bytes.parse().ok()?, hash };
        let position = Position {
            offset: offset.parse().ok()?,
            lines: lines.parse().ok()?,
            within: within.parse().ok()?,
            fields_at: if fields_at == "-" { None } else { Some(fields_at.parse().ok()?) },
            tail,
        };
        let state = match state {
            "once" => State::Once,
            "again" => State::Again,
            "moved" => State::Moved,
            _ => return None,
        };
        let is_sound = tail.bytes <= tail.end && tail.end <= position.offset;
        let at = at.parse().ok()?;
        is_sound.then(|| Self { position, at, state, name: name.to_owned() })
    }
}

impl fmt::Display for Checkpoint {
    /// How far it was read, when, and under which name. Not all that was read was counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.position.lines;
        match (self.state, lines) {
            (State::Moved, _) => f.write_str("more was read before")?,
            (_, 1) => f.write_str("1 line was read before")?,
            _ => write!(f, "{} were read before", plural(lines, "line"))?,
        }
        if let Ok(at) = Timestamp::from_second(self.at) {
            write!(f, ", at {}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        write!(f, " as {}", visible(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(name: &str) -> Checkpoint {
        let tail = Tail::of(b"a line\n", 70);
        let (fields_at, at) = (Some(7), 1_431_857_103);
        let position = Position { offset: 77, lines: 3, within: 2, fields_at, tail };
        Checkpoint { position, at, state: State::Again, name: name.to_owned() }
    }

    /// Checkpoints are in databases.
    #[test]
    fn a_checkpoint_never_changes() {
        let text = checkpoint("an access.log").write();
        let expected = "import1 77 3 2 7 70 7 HASH 1431857103 again an access.log";
        let hash = format!("{:016x}", Tail::of(b"a line\n", 70).hash);
        assert_eq!(text, expected.replace("HASH", &hash));
        assert_eq!(hash, "0f0f700d0b342eac");
    }

    #[test]
    fn what_is_written_is_read() {
        let no_fields = Position { fields_at: None, ..checkpoint("").position };
        let moved = Checkpoint { position: no_fields, state: State::Moved, ..checkpoint("x y") };
        for one in [checkpoint("an access.log"), checkpoint(""), moved, Checkpoint::default()] {
            assert_eq!(Checkpoint::read(one.write().as_bytes()), Some(one));
        }
        let long = checkpoint(&"\u{e4}".repeat(200));
        let read = Checkpoint::read(long.write().as_bytes()).expect("readable");
        assert!(long.name.starts_with(&read.name) && long.write().len() <= CHECKPOINT_BYTES_MAX);
        assert_eq!(read.position, long.position);
    }

    #[test]
    fn other_checkpoints_are_not_misread() {
        let good = checkpoint("n").write();
        for bad in [
            "",
            "12345",
            &good.replace("import1", "import2"),
            &good.replace(" again ", " never "),
            &good.replace(" 77 ", " -1 "),
            // The tail ends behind the position.
            &good.replace(" 77 ", " 69 "),
        ] {
            assert_eq!(Checkpoint::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
