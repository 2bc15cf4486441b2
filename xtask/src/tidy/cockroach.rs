//! SQL for CockroachDB: what it does not accept, or accepts with another meaning.

use super::sql::quoted;
use super::{File, Violation};

/// Words that it does not know, or does not mean as Postgres does, and what to do.
const REFUSED: [(&str, &str); 14] = [
    ("LOCK TABLE", "it locks no tables: use FOR UPDATE, or a row of a lease"),
    ("LISTEN", "it has no LISTEN"),
    ("NOTIFY", "it has no NOTIFY"),
    ("INHERITS", "it has no inheritance"),
    ("PARTITION OF", "it has no such partitions"),
    ("ATTACH PARTITION", "it has no such partitions"),
    ("COPY", "the driver's COPY does not work with it"),
    ("PG_ADVISORY_LOCK", "its advisory locks do nothing"),
    ("PG_ADVISORY_XACT_LOCK", "its advisory locks do nothing"),
    ("OVERRIDING SYSTEM VALUE", "it does not know this"),
    ("CREATE DOMAIN", "it has no domains"),
    ("SERIAL", "ids come from a hash or are random, so that they do not lead to one range"),
    ("INTEGER", "64 bits there: write INT8 or INT4"),
    ("INT", "64 bits there: write INT8 or INT4"),
];

/// Where the kernel has SQL that it shares with Postgres.
const SHARED: [&str; 3] =
    ["crates/kernel/access/src/", "crates/kernel/outbox/src/", "crates/kernel/producers/src/"];

/// Checks a file that CockroachDB runs: its own, and those that it shares with Postgres.
pub(super) fn check(file: &File, violations: &mut Vec<Violation>) {
    let has = |folder| file.path.split('/').any(|part| part == folder);
    let is_shared = SHARED.iter().any(|folder| file.path.starts_with(folder)) && !has("sqlite");
    if !has("cockroach") && !is_shared {
        return;
    }
    let words = words(&file.text);
    let mut refuse = |line, advice: &str| violations.push(file.at(line, "cockroach", advice));
    for (refused, advice) in REFUSED {
        let refused: Vec<&str> = refused.split(' ').collect();
        for found in words.windows(refused.len()) {
            if found.iter().zip(&refused).all(|(word, refused)| word.text == *refused) {
                refuse(found[0].line, advice);
            }
        }
    }
    let (mut changed, mut parts, mut returning) = (Vec::new(), 0, 0);
    for at in 0..words.len() {
        let before = at.checked_sub(1).map_or("", |before| &words[before].text);
        let word = |after: usize| words.get(at + after).map_or("", |word| &word.text);
        let table = match (word(0), word(1)) {
            ("INSERT", "INTO") | ("DELETE", "FROM") => word(2),
            ("UPDATE", table) if before != "DO" && before != "FOR" => table,
            ("RETURNING", _) if words[at].depth > 0 => {
                returning += 1;
                continue;
            }
            _ => continue,
        };
        if changed.contains(&table) {
            refuse(words[at].line, "one statement changes a table once");
        }
        changed.push(table);
        parts += usize::from(words[at].depth > 0);
        if returning + 1 < parts {
            refuse(words[at].line, "each part of WITH that changes something has RETURNING");
        }
    }
    if returning < parts {
        refuse(1, "each part of WITH that changes something has RETURNING");
    }
    if has("migrations") {
        migration(&words, &mut refuse);
    }
}

/// A migration is repeated after a failure, and its keys spread over the ranges.
fn migration(words: &[Word], refuse: &mut impl FnMut(usize, &str)) {
    let text = |at: usize| words.get(at).map_or("", |word| &*word.text);
    let starts = (0..words.len()).filter(|at| {
        words[*at].depth == 0 && matches!(text(*at), "CREATE" | "ALTER" | "DROP" | "INSERT")
    });
    if starts.count() != 1 {
        refuse(1, "one statement in each file: it commits each change of a table by itself");
    }
    let repeats = [("IF", "NOT"), ("IF", "EXISTS"), ("OR", "REPLACE"), ("ON", "CONFLICT")];
    let is_one = |two: &[Word]| repeats.contains(&(&*two[0].text, &*two[1].text));
    if !words.windows(2).any(is_one) {
        refuse(1, "IF NOT EXISTS, OR REPLACE or ON CONFLICT: a migration may run twice");
    }
    let Some(key) = (0..words.len()).find(|at| text(*at) == "PRIMARY") else {
        if words.windows(2).any(|two| two[0].text == "CREATE" && two[1].text == "TABLE") {
            refuse(1, "a table has a primary key");
        }
        return;
    };
    // Behind a column, it is of that one alone.
    let is_behind = words.get(key + 2).is_none_or(|word| word.depth <= words[key].depth);
    let first = if is_behind { "" } else { text(key + 2) };
    let is_hashed = words.iter().any(|word| word.text == "HASH");
    let is_time = words.windows(2).any(|two| two[0].text == first && two[1].text == "TIMESTAMPTZ");
    if is_time && !is_hashed {
        refuse(words[key].line, "a key that is led by a time fills one range: USING HASH");
    }
}

/// A word outside of comments and quotes.
struct Word {
    text: String,
    line: usize,
    /// How many parentheses are open.
    depth: usize,
}

fn words(text: &str) -> Vec<Word> {
    let (mut words, mut line, mut depth, mut rest) = (Vec::new(), 1, 0_usize, text);
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if let Some(length) = quoted(rest) {
            length
        } else if is_word(c) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            words.push(Word { text: rest[..length].to_uppercase(), line, depth });
            length
        } else {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    words
}
