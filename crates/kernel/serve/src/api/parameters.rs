//! Query parameters, of which all mistakes are told at once.

use std::fmt::Display;
use std::str::FromStr;

use tally_runtime::distance;

use super::problem::{Mistakes, Problem, quoted};

/// A query parameter: what it is read by and described by.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// As in the URL.
    pub name: &'static str,
    /// What it says, in Markdown.
    pub about: &'static str,
    /// What it may be.
    pub values: Values,
    /// Whether it may be given several times.
    pub is_repeated: bool,
}

/// What a parameter may be. An empty one is the same as none, because forms send those, except
/// [`Values::Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// A text.
    Text,
    /// A text; an empty one is a value.
    Name,
    /// `true` or `false`, and which one it is if it is not given.
    Flag(bool),
    /// A whole number within these bounds.
    Whole(u64, u64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Some of these, with commas between them.
    SomeOf(&'static [&'static str]),
}

/// The query of a request.
#[derive(Debug)]
pub struct Parameters {
    given: Vec<(&'static str, String)>,
    /// What is wrong with it, so far.
    pub mistakes: Mistakes,
}

// === impl Parameters ===

impl Parameters {
    /// Reads a query. What is unknown, repeated or badly encoded is a mistake.
    #[must_use]
    pub fn of(query: Option<&str>, known: &'static [Parameter]) -> Self {
        let (mut given, mut mistakes) = (Vec::new(), Mistakes::default());
        let mut seen = vec![false; known.len()];
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                mistakes.note(name, "is not percent-encoded UTF-8");
                continue;
            };
            let Some(at) = known.iter().position(|parameter| parameter.name == name) else {
                mistakes.note_with(|| (name.clone(), unknown(&name, known)));
                continue;
            };
            let parameter = &known[at];
            if value.is_empty() && parameter.values != Values::Name {
                continue;
            }
            if value.contains('\0') {
                mistakes.note(&name, "contains a NUL byte");
            } else if !parameter.is_repeated && seen[at] {
                mistakes.note(&name, "is given several times, and may be given once");
            } else {
                seen[at] = true;
                given.push((parameter.name, value));
            }
        }
        Self { given, mistakes }
    }

    /// The values of a parameter, in order.
    pub fn all(&self, parameter: &Parameter) -> impl Iterator<Item = &str> {
        let name = parameter.name;
        self.given.iter().filter(move |(of, _)| *of == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn one(&self, parameter: &Parameter) -> Option<&str> {
        self.all(parameter).next()
    }

    /// The value of a parameter as it is read, or a mistake.
    pub fn read<T, E: Display>(
        &mut self,
        parameter: &Parameter,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.read_all(parameter, read).pop()
    }

    /// The same for every value.
    pub fn read_all<T, E: Display>(
        &mut self,
        parameter: &Parameter,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let read: Vec<_> = self
            .all(parameter)
            .map(|value| {
                read(value).map_err(|error| match value.is_empty() {
                    true => error.to_string(),
                    false => format!("\u{201c}{}\u{201d}: {error}", quoted(value)),
                })
            })
            .collect();
        read.into_iter().filter_map(|one| self.mistakes.take(parameter.name, one)).collect()
    }

    /// A flag.
    pub fn flag(&mut self, parameter: &Parameter) -> bool {
        let Values::Flag(default) = parameter.values else { return false };
        let flag = |text: &str| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("write true or false"),
        };
        self.read(parameter, flag).unwrap_or(default)
    }

    /// A whole number within the parameter's bounds.
    pub fn whole<T: TryFrom<u64>>(&mut self, parameter: &Parameter) -> Option<T> {
        let Values::Whole(min, max) = parameter.values else { return None };
        self.read(parameter, |text| {
            let number = u64::from_str(text).ok().filter(|number| (min..=max).contains(number));
            number
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| format!("write a whole number from {min} to {max}"))
        })
    }

    /// One of the parameter's values.
    pub fn one_of(&mut self, parameter: &Parameter) -> Option<&'static str> {
        let Values::OneOf(values) = parameter.values else { return None };
        self.read(parameter, |text| among(values, text))
    }

    /// Some of the parameter's values, each once, in the order given. None if it is not given.
    pub fn some_of(&mut self, parameter: &Parameter) -> Option<Vec<&'static str>> {
        let Values::SomeOf(values) = parameter.values else { return None };
        let texts: Vec<_> = self.all(parameter).map(str::to_owned).collect();
        if texts.is_empty() {
            return None;
        }
        let mut some = Vec::new();
        for text in texts.iter().flat_map(|text| text.split(',')) {
            let one = among(values, text.trim());
            let one = one.map_err(|error| format!("\u{201c}{}\u{201d}: {error}", quoted(text)));
            if let Some(one) = self.mistakes.take(parameter.name, one)
                && !some.contains(&one)
            {
                some.push(one);
            }
        }
        Some(some)
    }

    /// Goes on if there is no mistake.
    ///
    /// # Errors
    /// 400 with all of them.
    pub fn check(self) -> Result<(), Problem> {
        self.mistakes.check()
    }
}

fn among(values: &'static [&'static str], text: &str) -> Result<&'static str, String> {
    let found = values.iter().find(|value| **value == text);
    found.copied().ok_or_else(|| format!("write one of {}", values.join(", ")))
}

fn unknown(name: &str, known: &'static [Parameter]) -> String {
    let near = known.iter().map(|parameter| (distance(name, parameter.name), parameter.name));
    let near = near.filter(|_| name.len() < 64).min();
    match near.filter(|(off, near)| *off <= near.len() / 3) {
        Some((_, near)) => format!("there is no such parameter; did you mean {near}?"),
        None if known.is_empty() => "there is no such parameter; there are none".to_owned(),
        None => {
            let names: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
            format!("there is no such parameter; there are {}", names.join(", "))
        }
    }
}

/// The names and values of a query, in order, without those that are badly encoded: for clients of other
/// products, which send what they like.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    })
}

/// As forms encode texts: `+` is a space, `%20` as well.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(hex(rest.next())? * 16 + hex(rest.next())?).ok()?,
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn parameter(name: &'static str, values: Values) -> Parameter {
        Parameter { name, about: "", values, is_repeated: false }
    }

    const PATH: Parameter = Parameter { is_repeated: true, ..parameter("path", Values::Name) };
    const LIVE: Parameter = parameter("live", Values::Flag(false));
    const NEW: Parameter = parameter("new", Values::Flag(true));
    const LIMIT: Parameter = parameter("limit", Values::Whole(1, 10));
    const BY: Parameter = parameter("by", Values::OneOf(&["day", "hour"]));
    const GROUP_BY: Parameter = Parameter {
        is_repeated: true,
        ..parameter("group_by", Values::SomeOf(&["path", "status"]))
    };
    const KNOWN: &[Parameter] = &[PATH, LIVE, NEW, LIMIT, BY, GROUP_BY];

    fn mistakes(parameters: Parameters) -> String {
        match parameters.check() {
            Ok(()) => String::new(),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn values_are_read() {
        let query =
            "path=/a%20b+c&path=&live=true&limit=10&by=hour&group_by=status,path&group_by=path&";
        let mut given = Parameters::of(Some(query), KNOWN);
        assert_eq!(given.all(&PATH).collect::<Vec<_>>(), ["/a b c", ""]);
        assert!(given.flag(&LIVE));
        assert_eq!(given.whole::<u32>(&LIMIT), Some(10));
        assert_eq!(given.one_of(&BY), Some("hour"));
        assert_eq!(given.some_of(&GROUP_BY), Some(vec!["status", "path"]));
        assert_eq!(mistakes(given), "");
        // As a form sends what nobody has filled in.
        let mut empty = Parameters::of(Some("live=&limit=&by=&group_by="), KNOWN);
        assert!(!empty.flag(&LIVE) && empty.flag(&NEW));
        assert!(!Parameters::of(Some("new=false"), KNOWN).flag(&NEW));
        assert_eq!((empty.whole::<u8>(&LIMIT), empty.one_of(&BY)), (None, None));
        assert_eq!(empty.some_of(&GROUP_BY), None);
        assert_eq!(mistakes(empty), "");
    }

    #[test]
    fn all_mistakes_are_noted() {
        let query = "pat=x&frobnicate=1&path=%zz&path=%ff&live=yes&limit=0&limit=5&by=week&\
                     group_by=path,,x&path=%00";
        let mut given = Parameters::of(Some(query), KNOWN);
        given.flag(&LIVE);
        given.whole::<u32>(&LIMIT);
        given.one_of(&BY);
        given.some_of(&GROUP_BY);
        let told = mistakes(given);
        for words in [
            "did you mean path?",
            "there are path, live, new, limit, by, group_by",
            "is not percent-encoded UTF-8",
            "write true or false",
            "limit\", detail: \"is given several times",
            "write a whole number from 1 to 10",
            "write one of day, hour",
            "write one of path, status",
            "contains a NUL byte",
        ] {
            assert!(told.contains(words), "{words:?} is not in {told}");
        }
        assert_eq!(told.matches("Mistake {").count(), 11, "{told}");
    }
}
