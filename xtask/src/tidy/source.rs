//! Rust files: opening line, table of files, orphans, clock, SQL in strings, attributes.

use std::ops::RangeInclusive;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::Visit;

use super::{File, Violation};

/// The files that may read the clock. The client has its own because users link it without the kernel.
const CLOCK_FILES: [&str; 2] = ["crates/kernel/runtime/src/clock.rs", "crates/client/src/clock.rs"];

/// Types whose `now` reads the clock.
const CLOCKS: [&str; 3] = ["SystemTime", "Timestamp", "Zoned"];

/// The first words of SQL statements.
const SQL: [&str; 14] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "COPY", "LOCK",
    "TRUNCATE", "BEGIN", "COMMIT", "SET",
];

/// The same, of SQLite only.
const SQLITE: [&str; 1] = ["PRAGMA"];

/// Checks the attributes, and notes which lines are compiled for tests only.
struct Attributes<'a> {
    file: &'a File,
    violations: &'a mut Vec<Violation>,
    test_lines: Vec<RangeInclusive<usize>>,
}

/// Checks every token, even in macros, which have no syntax tree.
struct Tokens<'a> {
    file: &'a File,
    violations: &'a mut Vec<Violation>,
    test_lines: Vec<RangeInclusive<usize>>,
}

/// Checks one Rust file.
pub(super) fn check(root: &Path, file: &File, syntax: &syn::File, violations: &mut Vec<Violation>) {
    if !file.text.starts_with("//! ") {
        violations.push(file.at(
            1,
            "opening",
            "start with a `//!` line that says what the file is for",
        ));
    }
    if file.path.ends_with("/lib.rs") {
        table(root, file, syntax, violations);
    }
    let mut attributes = Attributes { file, violations, test_lines: Vec::new() };
    attributes.visit_file(syntax);
    let test_lines = attributes.test_lines;
    if !file.is_development() && !CLOCK_FILES.contains(&file.path.as_str()) {
        let tokens = file.text.parse::<TokenStream>().unwrap_or_default();
        Tokens { file, violations, test_lines }.walk(tokens);
    }
}

/// Checks that the table of a lib.rs names every module's file, and only existing files.
fn table(root: &Path, file: &File, syntax: &syn::File, violations: &mut Vec<Violation>) {
    let rows: Vec<(usize, &str)> = file
        .text
        .lines()
        .enumerate()
        .filter_map(|(at, line)| Some((at + 1, line.strip_prefix("//! |")?)))
        .collect();
    if !rows.iter().any(|(_, row)| row.trim_start().starts_with("file |")) {
        let advice = "add a table `//! | file | what it owns |` that names its files";
        violations.push(file.at(1, "table", advice));
        return;
    }
    let folder = file.path.trim_end_matches("lib.rs");
    let mut named = Vec::new();
    for (line, row) in rows {
        let cell = row.split('|').next().unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2) {
            named.push(name.trim_end_matches('/'));
            let is_path = name.ends_with('/') || name.contains('.');
            if is_path && !name.contains(['*', '{']) && !root.join(folder).join(name).exists() {
                violations.push(file.at(line, "table", format!("{folder}{name} does not exist")));
            }
        }
    }
    for item in &syntax.items {
        let syn::Item::Mod(module) = item else { continue };
        let name = module.ident.to_string();
        let in_file = module.content.is_none() && !is_test_only(&module.attrs);
        if in_file && !named.iter().any(|row| *row == name || *row == format!("{name}.rs")) {
            let line = module.ident.span().start().line;
            let advice = format!("the table does not say what {name}.rs owns");
            violations.push(file.at(line, "table", advice));
        }
    }
}

/// Files in a crate's `src` or integration tests that no `mod` brings in: nobody compiles them.
pub(super) fn orphans(files: &[File]) -> Vec<Violation> {
    let is_orphan = |file: &&File| {
        let Some((folder, name)) = file.path.rsplit_once('/') else { return false };
        let Some(stem) = name.strip_suffix(".rs") else { return false };
        let is_root = matches!(stem, "lib" | "main") || folder.ends_with("/bin");
        if is_root || !(folder.contains("/src") || folder.contains("/tests/it")) {
            return false;
        }
        let declaration = format!("mod {stem};");
        let declares = |parent: &File| {
            let text = &parent.text;
            let is_above =
                ["lib.rs", "main.rs"].iter().any(|root| parent.path == format!("{folder}/{root}"));
            let is_beside = parent.path == format!("{folder}.rs");
            let by_path =
                parent.path.starts_with(folder) && text.contains(&format!("path = \"{name}\""));
            (is_above || is_beside) && text.contains(&declaration) || by_path
        };
        !files.iter().any(declares)
    };
    let advice = "no `mod` brings it in, so nothing compiles it: declare or remove it";
    files.iter().filter(is_orphan).map(|file| file.at(1, "orphan", advice)).collect()
}

// === impl Attributes ===

impl Attributes<'_> {
    fn broken(&mut self, line: usize, rule: &'static str, advice: &str) {
        self.violations.push(self.file.at(line, rule, advice));
    }
}

impl<'ast> Visit<'ast> for Attributes<'_> {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let line = attribute.span().start().line;
        let path = attribute.path();
        if path.is_ident("ignore") {
            self.broken(line, "ignore", "an ignored test proves nothing: fix or remove it");
        }
        let syn::Meta::List(list) = &attribute.meta else {
            if is_ignored_example(attribute) {
                self.broken(line, "ignore", "examples must compile: use `no_run`, or fix it");
            }
            return;
        };
        let text = list.tokens.to_string();
        let excepts = path.is_ident("allow") || path.is_ident("expect");
        if excepts && text.contains("disallowed_methods") && !text.contains("reason") {
            let advice = "give a reason: #[expect(clippy::disallowed_methods, reason = \"…\")]";
            self.broken(line, "reason", advice);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test_only(&item.attrs) {
            self.test_lines.push(lines(item.span()));
        }
        syn::visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_test_only(&item.attrs) {
            self.test_lines.push(lines(item.span()));
        }
        syn::visit::visit_item_fn(self, item);
    }
}

/// `#[test]`, `#[tokio::test]` or `#[cfg(test)]`.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        meta => meta.path().segments.last().is_some_and(|last| last.ident == "test"),
    })
}

/// Whether a doc line opens an example that is not compiled.
fn is_ignored_example(attribute: &syn::Attribute) -> bool {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return false };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else {
        return false;
    };
    let text = text.value();
    let opening = text.trim_start().strip_prefix("```").unwrap_or_default();
    pair.path.is_ident("doc") && opening.split(',').any(|word| word.trim() == "ignore")
}

fn lines(span: proc_macro2::Span) -> RangeInclusive<usize> {
    span.start().line..=span.end().line
}

// === impl Tokens ===

impl Tokens<'_> {
    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) if is_doc(group) => {}
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    if CLOCKS.contains(&name.as_str()) && is_now(&tokens[at + 1..]) {
                        let advice = "take the time from tally_runtime::Clock";
                        self.broken(token, "clock", advice);
                    }
                }
                TokenTree::Literal(literal) => {
                    if is_sql(&literal.to_string()) {
                        self.broken(token, "sql", "move the statement into a .sql file");
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }

    fn broken(&mut self, token: &TokenTree, rule: &'static str, advice: &str) {
        let line = token.span().start().line;
        if !self.test_lines.iter().any(|lines| lines.contains(&line)) {
            self.violations.push(self.file.at(line, rule, advice));
        }
    }
}

/// Whether these are the brackets of a doc comment.
fn is_doc(group: &proc_macro2::Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket
        && matches!(first, Some(TokenTree::Ident(ident)) if ident == "doc")
}

/// Whether the tokens continue with `::now`.
fn is_now(rest: &[TokenTree]) -> bool {
    let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
    match rest {
        [first, second, TokenTree::Ident(name), ..] => {
            colon(first) && colon(second) && name == "now"
        }
        _ => false,
    }
}

/// Whether a literal is a string that starts with an SQL statement.
fn is_sql(literal: &str) -> bool {
    let Some((prefix, text)) = literal.split_once('"') else { return false };
    if !prefix.chars().all(|c| "bcr#".contains(c)) {
        return false;
    }
    let text = text.trim_end_matches('#').trim_end_matches('"');
    let mut text = text.trim_start();
    // An escaped line end.
    while let Some(rest) = text.strip_prefix("\\n").or_else(|| text.strip_prefix('\\')) {
        text = rest.trim_start();
    }
    let word = text.split(|c: char| !c.is_ascii_uppercase()).next().unwrap_or_default();
    let after = &text[word.len()..];
    let alone = ["BEGIN", "COMMIT"].contains(&word) && (after.is_empty() || after.starts_with(';'));
    let begins = SQL.contains(&word) || SQLITE.contains(&word);
    begins && (alone || after.starts_with([' ', '\n']) || after.starts_with("\\n"))
}
