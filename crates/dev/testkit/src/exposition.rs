//! The answer to a scrape, read more strictly than Prometheus' text format 0.0.4 demands:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{BTreeMap, BTreeSet};

/// A metric with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it is, for people.
    pub help: String,
    /// At least one.
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The family's name; of a histogram, with a suffix.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Reads all families by name, or says what is wrong and in which line.
///
/// # Errors
/// Whatever breaks the format, a family that is there twice or without samples, a counter whose name does not
/// end in `_total` or a gauge whose name does, and buckets that are not cumulative.
pub fn families(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let lines = text.strip_suffix('\n').ok_or("the last line does not end")?;
    let (mut families, mut reading): (BTreeMap<String, Family>, Option<Family>) =
        Default::default();
    let mut end = |family: Option<Family>| -> Result<(), String> {
        let Some(family) = family else { return Ok(()) };
        family.check()?;
        match families.insert(family.name.clone(), family) {
            None => Ok(()),
            Some(twice) => Err(format!("{} is there twice", twice.name)),
        }
    };
    let mut lines = lines.split('\n');
    while let Some(line) = lines.next() {
        let wrong = |reason: &str| format!("{reason}: {line:?}");
        if let Some(help) = line.strip_prefix("# HELP ") {
            end(reading.take())?;
            let (name, help) = help.split_once(' ').ok_or_else(|| wrong("no help"))?;
            let kind = lines.next().and_then(|next| next.strip_prefix("# TYPE "));
            let kind = kind.and_then(|of| of.strip_prefix(name)?.strip_prefix(' '));
            let kind = kind.ok_or_else(|| wrong("no TYPE after it"))?;
            let (help, rest) = unescaped(help, false).ok_or_else(|| wrong("a wrong escape"))?;
            debug_assert!(rest.is_empty(), "a help text has no end but that of its line");
            let (name, kind) = (name.to_owned(), kind.to_owned());
            reading = Some(Family { name, kind, help, samples: Vec::new() });
        } else {
            let sample = Sample::read(line).ok_or_else(|| wrong("not a sample"))?;
            let family = reading.as_mut().ok_or_else(|| wrong("a sample without a family"))?;
            if !family.has(&sample.name) {
                return Err(wrong(&format!("not of {}", family.name)));
            }
            family.samples.push(sample);
        }
    }
    end(reading)?;
    Ok(families)
}

// === impl Family ===

impl Family {
    /// The value with exactly these labels.
    #[must_use]
    pub fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let labels: BTreeMap<String, String> = labels.iter().map(owned).collect();
        let mut found = self.samples.iter().filter(|one| one.labels == labels);
        found.next().map(|sample| sample.value)
    }

    /// All values together.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.samples.iter().map(|sample| sample.value).sum()
    }

    fn has(&self, sample: &str) -> bool {
        match (sample.strip_prefix(&*self.name), &*self.kind) {
            (Some("_bucket" | "_sum" | "_count"), "histogram") => true,
            (Some(""), kind) => kind != "histogram",
            _ => false,
        }
    }

    fn check(&self) -> Result<(), String> {
        let Self { name, kind, help, samples } = self;
        let wrong = |reason: &str| Err(format!("{name}: {reason}"));
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        match &**kind {
            "counter" if !name.ends_with("_total") => return wrong("a counter ends in _total"),
            "gauge" | "histogram" if suffixes.iter().any(|suffix| name.ends_with(suffix)) => {
                return wrong("its name is that of a counter or a part of a histogram");
            }
            "counter" | "gauge" | "histogram" => {}
            _ => return wrong("an unknown type"),
        }
        if !is_name(name, true) {
            return wrong("not a name");
        }
        if !help.ends_with('.') || help.trim() != help {
            return wrong("its help is no sentence");
        }
        if samples.is_empty() {
            return wrong("no samples");
        }
        let identity = |sample: &Sample| (sample.name.clone(), sample.labels.clone());
        if samples.iter().map(identity).collect::<BTreeSet<_>>().len() < samples.len() {
            return wrong("the same sample twice");
        }
        let is_count = |sample: &&Sample| sample.value >= 0.0 && sample.value.is_finite();
        if kind != "gauge" && !samples.iter().all(|sample| is_count(&sample)) {
            return wrong("it counts, and is negative or not a number");
        }
        if kind == "histogram" { self.check_histogram() } else { Ok(()) }
    }

    /// The buckets, the sum and the count of each set of labels.
    fn check_histogram(&self) -> Result<(), String> {
        let wrong = |reason: &str| Err(format!("{}: {reason}", self.name));
        let mut by_labels: BTreeMap<_, Vec<(&str, Option<f64>, f64)>> = BTreeMap::new();
        for Sample { name, labels, value } in &self.samples {
            let mut labels = labels.clone();
            let bound = labels.remove("le").and_then(|bound| number(&bound));
            let part = &name[self.name.len()..];
            if bound.is_some() != (part == "_bucket") {
                return wrong("a bucket has a bound, and nothing else has");
            }
            by_labels.entry(labels).or_default().push((part, bound, *value));
        }
        for parts in by_labels.values() {
            let [buckets @ .., sum, count] = &parts[..] else { return wrong("parts are missing") };
            if (sum.0, count.0) != ("_sum", "_count") || buckets.iter().any(|one| one.1.is_none()) {
                return wrong("not buckets, then sum, then count");
            }
            let is_ascending = buckets.is_sorted_by(|a, b| a.1 < b.1 && a.2 <= b.2);
            let last = buckets.last().map(|last| (last.1, last.2));
            if !is_ascending || last != Some((Some(f64::INFINITY), count.2)) {
                return wrong("buckets that are not cumulative up to +Inf");
            }
        }
        Ok(())
    }
}

// === impl Sample ===

impl Sample {
    fn read(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, text) = rest.split_once("=\"")?;
                let (text, after) = unescaped(text, true)?;
                let is_new = labels.insert(label.to_owned(), text).is_none();
                if !is_name(label, false) || !is_new {
                    return None;
                }
                match after.split_at_checked(1)? {
                    (",", more) => rest = more,
                    ("}", end) => break rest = end,
                    _ => return None,
                }
            }
        }
        let value = number(rest.strip_prefix(' ')?)?;
        is_name(name, true).then(|| Self { name: name.to_owned(), labels, value })
    }
}

/// The text, up to its quote if it has one, and what follows.
fn unescaped(text: &str, is_quoted: bool) -> Option<(String, &str)> {
    let (mut read, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next() {
            Some('"') if is_quoted => return Some((read, chars.as_str())),
            Some('\\') => read.push(match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if is_quoted => '"',
                _ => return None,
            }),
            Some('\r' | '\n') => return None,
            Some(c) => read.push(c),
            None if is_quoted => return None,
            None => return Some((read, "")),
        }
    }
}

fn is_name(name: &str, may_have_colons: bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || may_have_colons && c == ':';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// As Go reads it, without its rarer forms.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total One \\\\ and\\nmore.\n\
                        # TYPE a_total counter\n\
                        a_total{of=\"x \\\"y\\\" \\\\ \\n}\",is=\"\"} 3\n\
                        a_total 0\n\
                        # HELP b Two.\n\
                        # TYPE b histogram\n\
                        b_bucket{le=\"0.5\"} 1\n\
                        b_bucket{le=\"+Inf\"} 2\n\
                        b_sum 7.25\n\
                        b_count 2\n";

    #[test]
    fn families_are_read() {
        let families = families(GOOD).expect("it is right");
        assert_eq!(families.len(), 2);
        let a = &families["a_total"];
        assert_eq!((&*a.kind, &*a.help, a.samples.len()), ("counter", "One \\ and\nmore.", 2));
        assert_eq!(a.value(&[("of", "x \"y\" \\ \n}"), ("is", "")]), Some(3.0));
        assert_eq!((a.value(&[]), a.value(&[("of", "x")]), a.sum()), (Some(0.0), None, 3.0));
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (from, to, reason) in [
            ("b_count 2\n", "b_count 2", "does not end"),
            ("b_count 2\n", "b_count 3\n", "not cumulative"),
            ("b_bucket{le=\"+Inf\"} 2\n", "", "not cumulative"),
            ("b_sum 7.25\n", "", "not buckets"),
            ("le=\"0.5\"} 1", "le=\"0.5\"} 9", "not cumulative"),
            ("b_count 2\n", "b_count 2\nb 1\n", "not of b"),
            ("b_count 2\n", "b_count 2\n# HELP a_total Again.\n", "no TYPE"),
            ("# TYPE b histogram\n", "# TYPE b gauge\n", "not of b"),
            ("# HELP b Two.\n", "\n# HELP b Two.\n", "not a sample"),
            ("# HELP b Two.\n", "# HELP b two\n", "no sentence"),
            ("a_total counter", "a_total gauge", "that of a counter"),
            ("a_total 0\n", "a_total 0\na_total 0\n", "same sample twice"),
            ("a_total 0\n", "a_total -1\n", "negative"),
            ("a_total 0\n", "a_total  0\n", "not a sample"),
            ("a_total 0\n", "a_total{1=\"\"} 0\n", "not a sample"),
            ("a_total 0\n", "a_total{a=\"\\x\"} 0\n", "not a sample"),
            ("a_total 0\n", "a_total 0\r\n", "not a sample"),
        ] {
            assert!(GOOD.contains(from), "{from:?}");
            let wrong = families(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(wrong.contains(reason), "{to:?}: {wrong}");
        }
        let twice = families(&GOOD.repeat(2)).expect_err("twice");
        assert!(twice.contains("is there twice"), "{twice}");
    }
}
