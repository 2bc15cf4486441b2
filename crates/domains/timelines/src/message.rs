//! What a sender says: a message, the limits of its texts, and what is wrong with it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tally_producers::KEY_BYTES_MAX;
use tally_runtime::{Namespace, hash};
use uuid::Uuid;

/// How long the name of a context may be, in bytes.
pub(crate) const CONTEXT_BYTES_MAX: usize = 200;
/// How long the name of an event may be, in bytes, and how many parts it may have.
pub(crate) const NAME_BYTES_MAX: usize = 500;
/// See [`NAME_BYTES_MAX`].
pub(crate) const LEVELS_MAX: usize = 32;
/// How long a host may be, in bytes.
pub(crate) const HOST_BYTES_MAX: usize = 255;
/// How long the label of a timeline and the span of an event may be, in bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 100;
/// How many attributes a message may have, and how long their names, their values, and all together may be,
/// in bytes.
pub(crate) const ATTRIBUTES_MAX: usize = 20;
/// See [`ATTRIBUTES_MAX`].
pub(crate) const ATTRIBUTE_NAME_BYTES_MAX: usize = 100;
/// See [`ATTRIBUTES_MAX`].
pub(crate) const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1_000;
/// See [`ATTRIBUTES_MAX`].
pub(crate) const ATTRIBUTES_BYTES_MAX: usize = 8_000;

/// What stands for the newest timeline of a context where one is asked for.
pub(crate) const NEWEST: &str = "newest";

/// Each field, and what is wrong with it.
pub(crate) type Wrong = Vec<(String, String)>;

/// What is said of an event besides its times.
pub(crate) type Attributes = BTreeMap<String, String>;

/// What a message says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The context has a new timeline.
    New,
    /// An event begins.
    Start,
    /// An event ends.
    End,
    /// Something happened at one moment.
    #[default]
    Point,
    /// An open event waits or works from now on.
    Phase,
}

/// How an event ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    /// Well.
    #[default]
    Ok,
    /// It could not be done.
    Failed,
    /// It was not to be done.
    Skipped,
}

/// What an open event does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// It waits for something else: a runner, a lock, a person.
    Waiting,
    /// It works, as it does from its start on unless it says otherwise.
    #[default]
    Working,
}

/// A message as a door has read it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) kind: Kind,
    pub(crate) context: String,
    /// The label of the timeline; empty: the newest one, or where the event began.
    pub(crate) timeline: String,
    pub(crate) name: String,
    pub(crate) host: String,
    /// What tells overlapping events of one name and host apart; empty: nothing does.
    pub(crate) span: String,
    /// The sender's time. None: the server's.
    pub(crate) time: Option<Timestamp>,
    pub(crate) status: Status,
    pub(crate) phase: Option<Phase>,
    pub(crate) attributes: Attributes,
}

/// A message on its way to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) namespace: Namespace,
    pub(crate) said: Written,
    /// The sender's time, or else that of reception.
    pub(crate) time: Timestamp,
    pub(crate) received: Timestamp,
    /// What tells that it comes again: a hash of the idempotency key, or of what it is about and the sender's
    /// time, or a number that was drawn when it came.
    pub(crate) once: Uuid,
    /// A hash of what is said under an idempotency key, and 0 without one.
    pub(crate) fingerprint: i64,
}

// === impl Written ===

impl Written {
    /// Everything that is wrong with it.
    pub(crate) fn wrong(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let mut note = |field: &str, why: String| wrong.push((field.to_owned(), why));
        let is_new = self.kind == Kind::New;
        if self.context.is_empty() {
            note("context", "it is empty: name the kind of process, such as deploy".to_owned());
        } else if matches!(&*self.context, "." | "..") {
            note("context", "it is a way in a folder: choose another name".to_owned());
        }
        if self.name.is_empty() != is_new {
            let why = if is_new { "a new timeline has none" } else { "it is empty" };
            note("name", why.to_owned());
        } else if !is_new && self.name.split('.').any(str::is_empty) {
            note("name", "a part is empty: write it as in db.migrate".to_owned());
        }
        let levels = self.name.split('.').count();
        if levels > LEVELS_MAX {
            note("name", format!("it has {levels} parts, and may have {LEVELS_MAX}"));
        }
        if self.timeline == NEWEST {
            note("timeline", "this word stands for the newest one: leave it out".to_owned());
        }
        for (field, text, max) in [
            ("context", &self.context, CONTEXT_BYTES_MAX),
            ("timeline", &self.timeline, LABEL_BYTES_MAX),
            ("name", &self.name, NAME_BYTES_MAX),
            ("host", &self.host, HOST_BYTES_MAX),
            ("span", &self.span, LABEL_BYTES_MAX),
        ] {
            if text.len() > max {
                note(field, format!("it has {} bytes, and may have {max}", text.len()));
            }
            if text.chars().any(char::is_control) {
                note(field, "it has a control character".to_owned());
            }
        }
        if self.kind == Kind::Phase && self.phase.is_none() {
            note("phase", "it is missing: waiting or working".to_owned());
        }
        if self.phase.is_some() && !matches!(self.kind, Kind::Phase | Kind::Start) {
            note("phase", "only a start and a phase have one".to_owned());
        }
        if self.status != Status::Ok && !matches!(self.kind, Kind::End | Kind::Point) {
            note("status", "only an end and a point have one".to_owned());
        }
        if !self.attributes.is_empty() && matches!(self.kind, Kind::New | Kind::Phase) {
            note("attributes", "a new timeline and a phase have none".to_owned());
        }
        if self.time.is_some_and(|time| nanos(time).is_none()) {
            note("time", "it is not between the years 1678 and 2261".to_owned());
        }
        self.wrong_attributes(&mut note);
        wrong
    }

    fn wrong_attributes(&self, note: &mut impl FnMut(&str, String)) {
        if self.attributes.len() > ATTRIBUTES_MAX {
            let why = format!("there are {}, and may be {ATTRIBUTES_MAX}", self.attributes.len());
            note("attributes", why);
        }
        let mut bytes = 0;
        for (name, value) in &self.attributes {
            bytes += name.len() + value.len();
            let is_long = name.len() > ATTRIBUTE_NAME_BYTES_MAX
                || value.len() > ATTRIBUTE_VALUE_BYTES_MAX
                || name.is_empty();
            if is_long {
                let why = format!(
                    "{:?}: a name has 1 to {ATTRIBUTE_NAME_BYTES_MAX} bytes, and a value at most \
                     {ATTRIBUTE_VALUE_BYTES_MAX}",
                    tally_runtime::text::beginning(name)
                );
                return note("attributes", why);
            }
            if name.contains('\0') || value.contains('\0') {
                return note("attributes", "one has a NUL, which no database takes".to_owned());
            }
        }
        if bytes > ATTRIBUTES_BYTES_MAX {
            let why = format!("they have {bytes} bytes, and may have {ATTRIBUTES_BYTES_MAX}");
            note("attributes", why);
        }
    }

    /// The message, as it goes to the database. `drawn` is a number that nobody else has.
    pub(crate) fn message(
        self,
        namespace: Namespace,
        idempotency_key: Option<&str>,
        received: Timestamp,
        drawn: Uuid,
    ) -> Message {
        let kind = [self.kind as u8];
        let time = self.time.and_then(nanos).map(i64::to_le_bytes);
        let time = time.as_ref().map(|bytes| &bytes[..]);
        let about: [&[u8]; 6] = [
            &kind,
            self.context.as_bytes(),
            self.timeline.as_bytes(),
            self.name.as_bytes(),
            self.host.as_bytes(),
            self.span.as_bytes(),
        ];
        let (once, fingerprint) = match (idempotency_key, time) {
            (Some(key), _) => {
                let rest = format!("{:?} {:?} {:?}", self.status, self.phase, self.attributes);
                let all = [&about[..], &[time.unwrap_or_default(), rest.as_bytes()]].concat();
                (hash::of(&[b"key", key.as_bytes()]), hash::short(&all))
            }
            (None, Some(time)) => (hash::of(&[&about[..], &[time]].concat()), 0),
            (None, None) => (drawn, 0),
        };
        let time = self.time.unwrap_or(received);
        Message { namespace, said: self, time, received, once, fingerprint }
    }
}

/// What is wrong with an idempotency key that is a field of a message.
pub(crate) fn wrong_key(key: &str) -> Option<String> {
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && is_visible;
    (!is_key).then(|| format!("it has 1 to {KEY_BYTES_MAX} visible characters of ASCII"))
}

/// Times as the database has those of senders: nanoseconds since 1970-01-01 UTC.
pub(crate) fn nanos(time: Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond()).ok()
}

/// The reverse.
pub(crate) fn of_nanos(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanos.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str) -> Written {
        let (context, name) = ("web".to_owned(), name.to_owned());
        Written { kind: Kind::Start, context, name, ..Written::default() }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = Written {
            context: String::new(),
            name: ["a"; 1_000].join("."),
            host: "a\nb".to_owned(),
            time: Some(Timestamp::MAX),
            ..start("")
        };
        let fields: Vec<_> = wrong.wrong().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["context", "name", "name", "host", "time"]);
        for name in ["", ".", "a..b", ".a", "a.", &"x".repeat(10_000), &["a"; 33].join(".")] {
            assert_eq!(start(name).wrong().len(), 1, "{name:?}");
        }
        for name in ["a", "db.migrate", "größe: 3 % #1; x,y", &["a"; 32].join(".")] {
            assert_eq!(start(name).wrong(), [], "{name:?}");
        }
        let many = (0..21).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(Written { attributes: many, ..start("a") }.wrong().len(), 1);
    }

    /// A datagram that is received twice says the same context, name, host, type and time, to the nanosecond.
    #[test]
    fn what_comes_again_is_known_by_what_it_says() {
        let at = |text: &str| Some(text.parse().expect("a time"));
        let message = |said: Written, key, drawn| {
            said.message(Namespace::DEFAULT, key, Timestamp::UNIX_EPOCH, Uuid::from_u128(drawn))
        };
        let one = Written { time: at("2030-01-01T00:00:00.000000001Z"), ..start("a") };
        let once = |said: Written| message(said, None, 1).once;
        assert_eq!(once(one.clone()), message(one.clone(), None, 2).once);
        let later = at("2030-01-01T00:00:00.000000002Z");
        for other in [
            Written { time: later, ..one.clone() },
            Written { kind: Kind::End, ..one.clone() },
            Written { host: "b".to_owned(), ..one.clone() },
            start("a"),
        ] {
            assert_ne!(once(one.clone()), once(other));
        }
        assert_ne!(message(start("a"), None, 1).once, message(start("a"), None, 2).once);
        let (keyed, other) = (message(start("a"), Some("k"), 1), message(start("b"), Some("k"), 2));
        assert_eq!(keyed.once, other.once);
        assert_ne!(keyed.fingerprint, other.fingerprint);
    }
}
