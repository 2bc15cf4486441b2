//! SQL files: a comment that gives the reasons, and one statement.

use super::{File, Violation};

/// Checks one SQL file. Migrations are exempt.
pub(super) fn check(file: &File, violations: &mut Vec<Violation>) {
    if file.path.split('/').any(|part| part == "migrations") {
        return;
    }
    if !file.text.starts_with("--") {
        let advice = "start with a `--` comment: why this form, and what its plan must show";
        violations.push(file.at(1, "sql", advice));
    }
    let statements = statements(&file.text);
    if statements.len() != 1 {
        let line = statements.get(1).copied().unwrap_or(1);
        let advice = format!("{} statements: a file must have exactly one", statements.len());
        violations.push(file.at(line, "sql", advice));
    }
}

/// The first line of each statement. Understands comments, quotes and dollar quotes.
fn statements(text: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut inside = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = quoted(rest).unwrap_or(c.len_utf8());
        let comment = rest.starts_with("--") || rest.starts_with("/*");
        if c == ';' {
            inside = false;
        } else if !comment && !c.is_whitespace() && !inside {
            inside = true;
            let before = &text[..text.len() - rest.len()];
            lines.push(before.matches('\n').count() + 1);
        }
        rest = &rest[length..];
    }
    lines
}

/// The length of the comment or quoted text at the start of `rest`.
pub(super) fn quoted(rest: &str) -> Option<usize> {
    let until = |from: usize, end: &str| {
        rest[from..].find(end).map_or(rest.len(), |found| from + found + end.len())
    };
    if rest.starts_with("--") {
        Some(until(2, "\n"))
    } else if rest.starts_with("/*") {
        Some(until(2, "*/"))
    } else if rest.starts_with('\'') {
        Some(until(1, "'"))
    } else if rest.starts_with('"') {
        Some(until(1, "\""))
    } else if let Some(after) = rest.strip_prefix('$') {
        // `$$ … $$` or `$name$ … $name$`; `$1` is a parameter.
        let tag = &after[..after.find('$')?];
        let name = tag.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !tag.starts_with(|c: char| c.is_ascii_digit());
        name.then(|| until(tag.len() + 2, &format!("${tag}$")))
    } else {
        None
    }
}
