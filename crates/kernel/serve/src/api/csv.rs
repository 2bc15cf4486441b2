//! Comma-separated values (RFC 4180) that no spreadsheet takes for formulas, and programs read exactly.
//!
//! Names come from outside, and a spreadsheet runs a cell that begins with `=`, quoted or not. So a
//! text in which a cell could begin with such a character has `'` before it; a text that has a `'`
//! there gets another one, so that taking one away always gives the text back. A cell begins at the
//! text's start, and behind a tab, a semicolon or an end of line, which a spreadsheet of another
//! country takes for separators; quotes and spaces there are before its beginning.

use serde_json::Value;

/// What makes a formula of a cell, or marks it as a text already. The last four are the wide forms
/// that East Asian spreadsheets take for the others.
const MARKS: [char; 9] = ['=', '+', '-', '@', '\'', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
/// What cells may be separated by, besides a comma, which is quoted.
const SEPARATORS: [char; 4] = ['\t', ';', '\n', '\r'];

/// Appends a text as a cell.
pub fn text(line: &mut Vec<u8>, text: &str) {
    let is_plain =
        !text.starts_with(MARKS) && !text.contains(['"', ',', ' ', '\t', ';', '\n', '\r']);
    if is_plain {
        return line.extend_from_slice(text.as_bytes());
    }
    line.push(b'"');
    let (mut begins, mut utf8) = (true, [0; 4]);
    for character in text.chars() {
        match character {
            '"' => line.push(b'"'),
            _ if begins && MARKS.contains(&character) => line.push(b'\''),
            _ => {}
        }
        begins = still_begins(begins, character);
        line.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    line.push(b'"');
}

/// Whether a cell could begin behind this character.
fn still_begins(begins: bool, character: char) -> bool {
    SEPARATORS.contains(&character) || (begins && matches!(character, '"' | ' '))
}

/// A list as a table: of each item what is at these JSON pointers, under these names.
#[must_use]
pub fn table(columns: &[(String, String)], items: &[Value]) -> Vec<u8> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    let mut table = names.join(",").into_bytes();
    end(&mut table);
    for item in items {
        for (at, (_, pointer)) in columns.iter().enumerate() {
            if at > 0 {
                table.push(b',');
            }
            match item.pointer(pointer).unwrap_or(&Value::Null) {
                Value::Null => {}
                Value::String(cell) => text(&mut table, cell),
                other => text(&mut table, &other.to_string()),
            }
        }
        end(&mut table);
    }
    table
}

/// Ends a line.
pub fn end(line: &mut Vec<u8>) {
    line.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(of: &str) -> String {
        let mut line = Vec::new();
        text(&mut line, of);
        String::from_utf8(line).expect("UTF-8")
    }

    /// The text of a cell: what RFC 4180 says, and then without the marks.
    fn read(cell: &str) -> String {
        let inner = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
        let unquoted = inner.map_or_else(|| cell.to_owned(), |inner| inner.replace("\"\"", "\""));
        let mut begins = true;
        let mut text = String::new();
        for character in unquoted.chars() {
            if !(begins && character == '\'') {
                text.push(character);
            }
            begins = still_begins(begins, character);
        }
        text
    }

    #[test]
    fn cells_are_plain_quoted_or_marked() {
        for (text, expected) in [
            ("/a/b", "/a/b"),
            ("", ""),
            ("/a=b", "/a=b"),
            ("/a,b", "\"/a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1+1", "\"'=1+1\""),
            ("-1", "\"'-1\""),
            ("+1", "\"'+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("'a", "\"''a\""),
            ("/x;=cmd", "\"/x;'=cmd\""),
            ("/x\t=cmd", "\"/x\t'=cmd\""),
            ("/x\r\n=cmd", "\"/x\r\n'=cmd\""),
            (" =1", "\" '=1\""),
            (";\"=1;", "\";\"\"'=1;\""),
        ] {
            assert_eq!(cell(text), expected);
            assert_eq!(read(expected), text);
        }
    }

    #[test]
    fn cells_stand_under_their_columns() {
        let column = |name: &str, pointer: &str| (name.to_owned(), pointer.to_owned());
        let columns =
            [column("number", "/number"), column("slug", "/of/slug"), column("at", "/at")];
        let item = serde_json::json!({"number": 1, "of": {"slug": "a, b"}, "at": null});
        let told = |items: &[Value]| String::from_utf8(table(&columns, items)).expect("UTF-8");
        assert_eq!(told(&[item]), "number,slug,at\r\n1,\"a, b\",\r\n");
        assert_eq!(told(&[]), "number,slug,at\r\n");
    }

    /// However a spreadsheet separates cells, none begins with a formula; and every text comes back.
    #[test]
    fn no_text_begins_a_formula_and_each_comes_back() {
        let letters: Vec<char> = "a'\"=+-@,;\t\r\n \u{ff1d}".chars().collect();
        let mut texts = vec![String::new()];
        for length in 0..4 {
            for text in texts.clone().iter().filter(|text| text.chars().count() == length) {
                texts.extend(letters.iter().map(|letter| format!("{text}{letter}")));
            }
        }
        for text in &texts {
            let cell = cell(text);
            assert_eq!(&read(&cell), text);
            for part in cell.split(SEPARATORS) {
                let part = part.trim_start_matches(['"', ' ']);
                let is_formula = part.starts_with(MARKS) && !part.starts_with('\'');
                assert!(!is_formula, "{text:?} as {cell:?}");
            }
        }
        assert_eq!(texts.len(), 1 + 14 + 14 * 14 + 14 * 14 * 14 + 14 * 14 * 14 * 14);
    }
}
