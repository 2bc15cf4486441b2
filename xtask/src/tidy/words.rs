//! Retired words: each has another word in the table of ARCHITECTURE.md, and comes back nowhere.

use super::{File, Violation};

/// Where the table is.
const DOCUMENT: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Words";

/// Files that nobody writes by hand.
const UNCHECKED: [&str; 3] = ["LICENSE", "Cargo.lock", ".db"];

/// A retired word, in lower case, and the one to use.
struct Retired {
    word: String,
    instead: String,
}

/// Checks every text file but the table itself.
pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let Some((document, table)) = files
        .iter()
        .find(|file| file.path == DOCUMENT)
        .and_then(|file| Some((file, table(&file.text)?)))
    else {
        let advice = format!("add the section `{HEADING}` with a table: word, meaning, not");
        return vec![Violation { path: DOCUMENT.to_owned(), line: 1, rule: "words", advice }];
    };
    let lines = document.text.lines().enumerate().filter(|(at, _)| table.contains(at));
    // What is commented out is still to come.
    let rows = lines.take_while(|(_, line)| !line.starts_with("<!--"));
    let retired: Vec<Retired> = rows.flat_map(|(_, line)| row(line)).collect();
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| !UNCHECKED.iter().any(|end| file.path.ends_with(end))) {
        let lines = file.text.lines().enumerate();
        for (at, line) in lines.filter(|(at, _)| file.path != DOCUMENT || !table.contains(at)) {
            let found = retired.iter().filter(|retired| has(line, &retired.word));
            violations.extend(found.map(|Retired { word, instead }| {
                file.at(at + 1, "words", format!("{word} is retired: say {instead}"))
            }));
        }
    }
    violations
}

/// The lines of the section, counted from 0.
fn table(text: &str) -> Option<std::ops::Range<usize>> {
    let first = text.lines().position(|line| line == HEADING)? + 1;
    let length = text.lines().skip(first).take_while(|line| !line.starts_with("## ")).count();
    Some(first..first + length)
}

/// The retired words of a row: those in backticks in its last cell.
fn row(line: &str) -> Vec<Retired> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let ["", word, _, not, ""] = cells[..] else { return Vec::new() };
    let instead = word.replace('`', "");
    let retired = not.split('`').skip(1).step_by(2);
    retired.map(|word| Retired { word: word.to_lowercase(), instead: instead.clone() }).collect()
}

/// Whether a line has the word, in whatever case and as a part of any name: `gold piece` is in
/// `GoldPieces` and `gold_piece` too. `word` is in lower case.
fn has(line: &str, word: &str) -> bool {
    let joints = [" ", "_", "-", ""];
    let written = joints.iter().map(|joint| word.replace(' ', joint));
    let small = line.to_ascii_lowercase();
    written.into_iter().any(|word| {
        small.match_indices(&word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let is_capital = line[at..].starts_with(|c: char| c.is_ascii_uppercase());
            let begins = is_capital || !before.ends_with(|c: char| c.is_ascii_alphanumeric());
            let after = after.strip_prefix('s').unwrap_or(after);
            begins && !after.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
    })
}
