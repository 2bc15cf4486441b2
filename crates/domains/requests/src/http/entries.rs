//! Entries from JSON, a list or lines of it, and everything that is wrong with them.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use tally_serve::api::{Mistakes, Problem};

use crate::submission::{ENTRIES_MAX, Entry, InvalidEntry};

/// The fields of an entry.
const FIELDS: [&str; 7] = ["method", "path", "time", "service", "status", "customer", "requests"];

/// How the entries of a body are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// By a list.
    List,
    /// Each has a line.
    Lines,
}

/// Reads the entries of a body.
pub(super) struct Reading<'a, 'c> {
    form: Form,
    check: &'c dyn Fn(&Entry<'a>) -> Vec<InvalidEntry>,
    entries: Vec<Entry<'a>>,
    /// Which entry or line comes now, from 1.
    position: usize,
    /// How many entries there were.
    count: usize,
    mistakes: Mistakes,
    /// How many of these are of entries.
    noted: usize,
}

/// The list of a body.
struct List<'r, 'a, 'c>(&'r mut Reading<'a, 'c>);

/// An entry of it, or of a line.
struct Next<'r, 'a, 'c>(&'r mut Reading<'a, 'c>);

/// What a field has, of whatever type.
#[derive(Debug, PartialEq)]
enum Given<'a> {
    Text(Cow<'a, str>),
    Whole(u64),
    /// As if the field were not there.
    Null,
    /// What it is.
    Other(&'static str),
}

struct AnyValue;

// === impl Reading ===

impl<'a, 'c> Reading<'a, 'c> {
    /// With these mistakes beside those of the body. `check` says what else is wrong with an entry.
    pub(super) fn new(
        form: Form,
        mistakes: Mistakes,
        check: &'c dyn Fn(&Entry<'a>) -> Vec<InvalidEntry>,
    ) -> Self {
        Self { form, check, entries: Vec::new(), position: 0, count: 0, mistakes, noted: 0 }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// With all mistakes.
    pub(super) fn read(&mut self, body: &'a [u8]) -> Result<Vec<Entry<'a>>, Problem> {
        match self.form {
            Form::List => self.list(body),
            Form::Lines => self.lines(body),
        }
        let (count, mut mistakes) = (self.count, std::mem::take(&mut self.mistakes));
        if count > ENTRIES_MAX {
            let text = format!("it has more than {ENTRIES_MAX} entries, which are the most");
            mistakes.note("body", text);
        } else if count == 0 && mistakes.is_empty() {
            mistakes.note("body", "it has no entry");
        }
        mistakes.check()?;
        Ok(std::mem::take(&mut self.entries))
    }

    /// How many entries it had.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn list(&mut self, body: &'a [u8]) {
        let no_list = match body.trim_ascii_start().first() {
            None => Some("it is empty: send a list of entries"),
            Some(b'{') => {
                Some("it is no list: put the entry into [ ], or send application/x-ndjson")
            }
            Some(_) => None,
        };
        if let Some(text) = no_list {
            return self.mistakes.note("body", text);
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = (&mut json).deserialize_any(List(self)).and_then(|()| json.end());
        if let Err(error) = read
            && self.count <= ENTRIES_MAX
        {
            self.mistakes.note("body", error.to_string());
        }
    }

    fn lines(&mut self, body: &'a [u8]) {
        for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            self.position += 1;
            if line.is_empty() {
                continue;
            }
            if self.count > ENTRIES_MAX {
                break;
            }
            let mut json = serde_json::Deserializer::from_slice(line);
            let read = Next(self).deserialize(&mut json).and_then(|()| json.end());
            if let Err(error) = read {
                self.note(None, || {
                    // The line that it names is that of a text of one line.
                    let (text, column) = (error.to_string(), error.column());
                    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
                    format!("{text} at column {column}")
                });
            }
        }
    }

    fn take(&mut self, fields: [Option<Given<'a>>; FIELDS.len()]) {
        let [method, path, time, service, status, customer, requests] = fields;
        let entry = Entry {
            method: self.named("method", method),
            path: self.named("path", path),
            micros: self.time(time),
            service: self.text("service", service).unwrap_or_default(),
            status: self.whole("status", status).unwrap_or(0),
            customer: self.text("customer", customer).unwrap_or_default(),
            requests: self.whole("requests", requests).unwrap_or(1),
        };
        for invalid in (self.check)(&entry) {
            self.note(Some(invalid.field()), || invalid.to_string());
        }
        if self.noted == 0 && self.entries.len() < ENTRIES_MAX {
            self.entries.push(entry);
        }
    }

    /// A text that every entry has.
    fn named(&mut self, field: &str, given: Option<Given<'a>>) -> Cow<'a, str> {
        if matches!(given, None | Some(Given::Null)) {
            self.note(Some(field), || "it is missing".to_owned());
        }
        self.text(field, given).unwrap_or_default()
    }

    fn text(&mut self, field: &str, given: Option<Given<'a>>) -> Option<Cow<'a, str>> {
        match given? {
            Given::Text(text) => return Some(text),
            Given::Null => {}
            given => {
                let what = given.what();
                self.note(Some(field), || format!("it is {what}, and must be a text"));
            }
        }
        None
    }

    fn whole(&mut self, field: &str, given: Option<Given<'a>>) -> Option<u64> {
        match given? {
            Given::Whole(number) => return Some(number),
            Given::Null => {}
            given => {
                let what = given.what();
                self.note(Some(field), || format!("it is {what}, and must be a whole number"));
            }
        }
        None
    }

    /// In microseconds since 1970-01-01 UTC, cut off towards the past.
    fn time(&mut self, given: Option<Given<'a>>) -> Option<i64> {
        let text = self.text("time", given)?;
        match text.parse::<Timestamp>() {
            Ok(time) => i64::try_from(time.as_nanosecond().div_euclid(1_000)).ok(),
            Err(error) => {
                let form = "it must be like 2030-06-15T12:00:00.5Z, with an offset";
                self.note(Some("time"), || format!("{form}: {error}"));
                None
            }
        }
    }

    /// The text is not made of a mistake that is only counted.
    fn note(&mut self, field: Option<&str>, text: impl FnOnce() -> String) {
        self.noted += 1;
        let of = match self.form {
            Form::List => "entry",
            Form::Lines => "line",
        };
        let position = self.position;
        self.mistakes.note_with(|| {
            let field = field.map(|field| format!(": {field}")).unwrap_or_default();
            (format!("{of} {position}{field}"), text())
        });
    }
}

// === impl List ===

impl<'de> Visitor<'de> for List<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Next(&mut *self.0))?.is_some() {
            if self.0.count > ENTRIES_MAX {
                return Err(A::Error::custom("too many entries"));
            }
        }
        Ok(())
    }
}

// === impl Next ===

impl<'de> DeserializeSeed<'de> for Next<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.0.count += 1;
        if self.0.form == Form::List {
            self.0.position = self.0.count;
        }
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Next<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut fields = [const { None }; FIELDS.len()];
        while let Some((key, given)) = map.next_entry::<Given<'de>, Given<'de>>()? {
            let Given::Text(key) = key else { continue };
            match FIELDS.iter().position(|field| *field == key) {
                Some(at) if fields[at].is_none() => fields[at] = Some(given),
                Some(_) => self.0.note(Some(&key), || "it is given twice".to_owned()),
                None => self.0.note(Some(&key), || {
                    format!("it is unknown; the fields are {}", FIELDS.join(", "))
                }),
            }
        }
        self.0.take(fields);
        Ok(())
    }
}

// === impl Given ===

impl Given<'_> {
    fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a number",
            Self::Null => "null",
            Self::Other(what) => what,
        }
    }
}

impl<'de> Deserialize<'de> for Given<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyValue)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(text.into()))
    }

    /// One with escapes.
    fn visit_str<E>(self, text: &str) -> Result<Given<'de>, E> {
        Ok(Given::Text(text.to_owned().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Given<'de>, E> {
        Ok(Given::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Given<'de>, E> {
        Ok(Given::Other("a negative number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Given<'de>, E> {
        Ok(Given::Other("a fraction, or too large a number"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Given<'de>, E> {
        Ok(Given::Other("true or false"))
    }

    fn visit_unit<E>(self) -> Result<Given<'de>, E> {
        Ok(Given::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Given::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given::Other("an object"))
    }
}

#[cfg(test)]
mod tests;
