//! An array of objects, one per line, which can be streamed and read by line tools.

use std::io::{self, Write};

use super::{OutputFormat, is_hidden};

/// Writes what stands around the objects of an array, or of lines.
pub(crate) struct Array {
    is_lines: bool,
    empty: bool,
}

// === impl Array ===

impl Array {
    /// For `Json` or `Jsonl`.
    pub(crate) fn of(format: OutputFormat) -> Self {
        Self { is_lines: format == OutputFormat::Jsonl, empty: true }
    }

    pub(crate) fn next(&mut self, out: &mut impl Write) -> io::Result<()> {
        let before = match (self.is_lines, std::mem::take(&mut self.empty)) {
            (true, true) => "",
            (true, false) => "\n",
            (false, true) => "[\n",
            (false, false) => ",\n",
        };
        out.write_all(before.as_bytes())
    }

    pub(crate) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(match (self.is_lines, self.empty) {
            (true, true) => b"",
            (true, false) => b"\n",
            (false, true) => b"[]\n",
            (false, false) => b"\n]\n",
        })
    }
}

/// Text as a JSON string, with its quotes. What would steer a terminal is escaped, and read as the same.
pub(crate) fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    if !json.contains(is_hidden) {
        return json;
    }
    // JSON has one escape for each of its UTF-16 units.
    let escaped = |character: char| match is_hidden(character) {
        true => {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            units.map(|unit| format!("\\u{unit:04x}")).collect()
        }
        false => character.to_string(),
    };
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_reads_as_the_same() {
        let json = quoted("\u{202e}\u{e0041}");
        assert_eq!(json, "\"\\u202e\\udb40\\udc41\"");
        assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), "\u{202e}\u{e0041}");
    }

    #[test]
    fn an_array_is_json_whatever_its_length() {
        for length in 0..3 {
            let (mut out, mut array) = (Vec::new(), Array::of(OutputFormat::Json));
            for _ in 0..length {
                array.next(&mut out).expect("written");
                out.extend_from_slice(quoted("a\"\n").as_bytes());
            }
            array.end(&mut out).expect("written");
            let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(value, serde_json::json!(vec!["a\"\n"; length]));
            let (mut out, mut lines) = (Vec::new(), Array::of(OutputFormat::Jsonl));
            for _ in 0..length {
                lines.next(&mut out).expect("written");
                out.extend_from_slice(b"{}");
            }
            lines.end(&mut out).expect("written");
            assert_eq!(String::from_utf8(out).expect("text"), "{}\n".repeat(length));
        }
    }
}
