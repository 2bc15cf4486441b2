//! clippy.toml, and notes for later.

use std::path::Path;

use super::{File, Violation};

/// What clippy.toml must ban. Removing a ban means changing this list, too.
const BANNED: [&str; 10] = [
    "tokio::spawn",
    "tokio::task::spawn",
    "tokio::task::spawn_blocking",
    "std::time::SystemTime::now",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "tokio_postgres::Client::transaction",
    "tokio_postgres::Client::build_transaction",
    "deadpool_postgres::ClientWrapper::transaction",
    "deadpool_postgres::ClientWrapper::build_transaction",
];

/// Split, or this file would be a violation itself.
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Files that are neither prose nor code.
const UNCHECKED: [&str; 3] = ["LICENSE", "Cargo.lock", ".db"];

/// Checks that clippy.toml has all bans, each with a reason.
pub(super) fn clippy(files: &[File]) -> Vec<Violation> {
    let Some(file) = files.iter().find(|file| file.path == "clippy.toml") else {
        let (path, advice) = ("clippy.toml".to_owned(), "the file is missing".to_owned());
        return vec![Violation { path, line: 1, rule: "clippy", advice }];
    };
    let mut violations = Vec::new();
    for banned in BANNED {
        let quoted = format!("\"{banned}\"");
        let entry = file.text.lines().enumerate().find(|(_, line)| line.contains(&quoted));
        match entry {
            None => {
                let advice = format!("ban {banned} in disallowed-methods, with a reason");
                violations.push(file.at(1, "clippy", advice));
            }
            Some((at, line)) if line.trim_start().starts_with('#') => {
                violations.push(file.at(at + 1, "clippy", format!("{banned} is not banned")));
            }
            Some((at, line)) if !line.contains("reason = \"") => {
                violations.push(file.at(
                    at + 1,
                    "clippy",
                    format!("give a reason for banning {banned}"),
                ));
            }
            Some(_) => {}
        }
    }
    violations
}

/// The map's tables of files name only files that exist.
pub(super) fn map(root: &Path, file: &File, violations: &mut Vec<Violation>) {
    if file.path != "ARCHITECTURE.md" {
        return;
    }
    for (at, line) in file.text.lines().enumerate() {
        let Some((name, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`')) else {
            continue;
        };
        let is_there = |folder: &str| root.join(folder).join(name).exists();
        if name.contains('/') && !is_there("") && !is_there("crates") {
            violations.push(file.at(at + 1, "table", format!("{name} does not exist")));
        }
    }
}

/// Finds notes for later in every text file.
pub(super) fn notes(file: &File, violations: &mut Vec<Violation>) {
    if UNCHECKED.iter().any(|name| file.path.ends_with(name)) {
        return;
    }
    for (at, line) in file.text.lines().enumerate() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        if let Some(note) = words.into_iter().find(|word| NOTES.contains(word)) {
            let advice = format!("a {note} rots: do it now, or open an issue");
            violations.push(file.at(at + 1, "notes", advice));
        }
    }
}
