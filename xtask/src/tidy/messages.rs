//! docs/troubleshoot.md: has every reason, every warning of a server and every refusal to start, and nothing
//! that no program says any more.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{File, Violation};

/// The page. The first cell of a row has one message or several, as code; `…` stands for what differs.
const PAGE: &str = "docs/troubleshoot.md";

/// Where the reasons are.
const REASONS: &str = "crates/proto/src/wire.rs";

/// The crates that a server is made of: everything that they warn of is on the page.
const SERVER: [&str; 3] = ["crates/kernel/", "crates/domains/", "crates/apps/"];

/// The files that say why a server does not start.
pub(super) const REFUSING: [&str; 9] = [
    "crates/apps/tally/src/access.rs",
    "crates/apps/tally/src/app.rs",
    "crates/kernel/serve/src/error.rs",
    "crates/kernel/serve/src/tls/args.rs",
    "crates/kernel/serve/src/tls/pair.rs",
    "crates/kernel/store/src/migrate.rs",
    "crates/kernel/store/src/postgres/examine.rs",
    "crates/kernel/store/src/postgres/migrate.rs",
    "crates/kernel/store/src/sqlite/files.rs",
];

/// What they call for a refusal.
const REFUSALS: [&str; 10] = [
    "add", "anyhow", "bail", "because", "ensure", "error", "failed", "format", "locked", "refused",
];

/// A shorter text is a step or a name, and no message.
const WORDS_MIN: usize = 5;

/// A string of the program, with `{}` for what differs.
struct Literal {
    line: usize,
    text: String,
}

/// Checks the page against the code, both ways.
pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        let (path, advice) = (PAGE.to_owned(), "the file is missing".to_owned());
        return vec![Violation { path, line: 1, rule: "messages", advice }];
    };
    let shown = shown(&page.text);
    let is_shown = |literal: &Literal| shown.iter().any(|(_, one)| says(&literal.text, one));
    let mut violations = Vec::new();
    let (mut reasons, mut said) = (BTreeSet::new(), Vec::new());
    for file in files.iter().filter(|file| file.has_extension("rs") && !file.is_development()) {
        let tokens = code(&file.text).parse::<TokenStream>().unwrap_or_default();
        if file.path == REASONS {
            reasons = constants(&file.text);
        }
        let mut missing = |found: Vec<Literal>, what: &str| {
            for literal in found.iter().filter(|literal| !is_shown(literal)) {
                let advice = format!("{PAGE} lacks the {what} \u{201c}{}\u{201d}", literal.text);
                violations.push(file.at(literal.line, "messages", advice));
            }
        };
        if SERVER.iter().any(|folder| file.path.starts_with(folder)) {
            missing(warnings(tokens.clone()), "warning");
        }
        if REFUSING.contains(&file.path.as_str()) {
            missing(refusals(tokens.clone()), "refusal");
        }
        literals(tokens, &mut said);
    }
    for reason in &reasons {
        if !shown.iter().any(|(_, one)| one == reason) {
            let advice = format!("{PAGE} lacks the reason {reason}");
            violations.push(page.at(1, "messages", advice));
        }
    }
    for (line, one) in &shown {
        let is_reason = one.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let is_there =
            if is_reason { reasons.contains(one) } else { said.iter().any(|l| says(&l.text, one)) };
        if !is_there {
            let advice = format!("no program says \u{201c}{one}\u{201d} any more");
            violations.push(page.at(*line, "messages", advice));
        }
    }
    violations
}

/// The messages of the page, with their lines.
fn shown(page: &str) -> Vec<(usize, String)> {
    let rows = (1..).zip(page.lines()).filter_map(|(line, row)| {
        let cell = row.strip_prefix("| `")?.split(" | ").next()?;
        Some((line, format!("`{cell}")))
    });
    let messages = |(line, cell): (usize, String)| {
        let all = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        all.into_iter().map(move |message| (line, message))
    };
    rows.flat_map(messages).collect()
}

/// Whether a string of the program can be this message: its pieces come in their order.
fn says(literal: &str, message: &str) -> bool {
    let mut rest = literal;
    message.split('…').map(str::trim).filter(|piece| !piece.is_empty()).all(|piece| {
        let found = rest.split_once(piece);
        rest = found.map_or("", |(_, rest)| rest);
        found.is_some()
    })
}

/// The program without its tests, which are at the end.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// The values of the reasons.
fn constants(text: &str) -> BTreeSet<String> {
    let body = code(text).split("pub mod reason {").nth(1).unwrap_or_default();
    let values = body.lines().filter_map(|line| line.split_once(": &str = \"")?.1.split_once('"'));
    values.map(|(value, _)| value.to_owned()).collect()
}

/// What is logged at warn and error.
fn warnings(tokens: TokenStream) -> Vec<Literal> {
    let mut found = Vec::new();
    calls(tokens, &mut |name, is_macro, arguments| {
        if is_macro && ["warn", "error"].contains(&name) {
            let mut all = Vec::new();
            top_literals(arguments, &mut all);
            // The message is the last one; what is before it are fields.
            found.extend(all.pop().filter(|literal| words(&literal.text) > 1));
        }
    });
    found
}

/// Why a server does not start.
fn refusals(tokens: TokenStream) -> Vec<Literal> {
    let mut found = Vec::new();
    calls(tokens, &mut |name, _, arguments| {
        if REFUSALS.contains(&name) {
            top_literals(arguments, &mut found);
        }
    });
    found.retain(|literal| words(&literal.text) >= WORDS_MIN);
    found
}

/// How many words there are besides what differs.
fn words(text: &str) -> usize {
    let fixed = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let word = |word: &&str| word.chars().any(char::is_alphabetic);
    fixed.map(|part| part.split_whitespace().filter(word).count()).sum()
}

/// Each call of a function, a method or a macro, with its name and what is in its brackets.
fn calls(tokens: TokenStream, take: &mut impl FnMut(&str, bool, TokenStream)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before = |back: usize| at.checked_sub(back).map(|at| &tokens[at]);
        let is_bang = matches!(before(1), Some(TokenTree::Punct(p)) if p.as_char() == '!');
        let name = before(if is_bang { 2 } else { 1 });
        if let (Some(TokenTree::Ident(name)), Delimiter::Parenthesis) = (name, group.delimiter()) {
            take(&name.to_string(), is_bang, group.stream());
        }
        calls(group.stream(), take);
    }
}

/// The strings that are not within further brackets.
fn top_literals(tokens: TokenStream, found: &mut Vec<Literal>) {
    found.extend(tokens.into_iter().filter_map(|token| literal(&token)));
}

/// All strings.
fn literals(tokens: TokenStream, found: &mut Vec<Literal>) {
    for token in tokens {
        match &token {
            TokenTree::Group(group) => literals(group.stream(), found),
            token => found.extend(literal(token)),
        }
    }
}

fn literal(token: &TokenTree) -> Option<Literal> {
    let TokenTree::Literal(one) = token else { return None };
    let text = match syn::Lit::new(one.clone()) {
        syn::Lit::Str(text) => text.value(),
        _ => return None,
    };
    Some(Literal { line: one.span().start().line, text })
}
