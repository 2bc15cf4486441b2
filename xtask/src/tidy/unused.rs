//! Dependencies that a crate names and does not use.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;

use super::{File, Violation};

/// The crates that each Rust file may name, by its path.
type Named<'a> = HashMap<&'a str, Vec<String>>;

/// What this crate uses stands in generated code.
const GENERATED: &str = "crates/proto/Cargo.toml";

/// Checks one package, whose manifest lies at this path.
pub(super) fn check(manifest: &str, package: &Value, files: &[File]) -> Vec<Violation> {
    if manifest == GENERATED {
        return Vec::new();
    }
    let folder = manifest.trim_end_matches("Cargo.toml");
    let sources = files.iter().filter(|file| file.has_extension("rs"));
    let own: Vec<&File> = sources.filter(|file| file.path.starts_with(folder)).collect();
    let named: Named<'_> = own.iter().map(|file| (file.path.as_str(), named(file))).collect();
    let mut violations = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let name = dependency["name"].as_str().unwrap_or_default();
        let ident = dependency["rename"].as_str().unwrap_or(name).replace('-', "_");
        let kind = dependency["kind"].as_str();
        let is_read = |path: &str| match kind {
            Some("build") => path == "build.rs",
            Some("dev") => true,
            _ => path.starts_with("src/"),
        };
        let uses = |file: &&File| {
            is_read(&file.path[folder.len()..]) && named[&*file.path].contains(&ident)
        };
        // A crate's tests may enable its own features, and a feature of its own those of another.
        let is_for_a_feature = package["name"] == name || enables(package, name);
        if !is_for_a_feature && !own.iter().any(uses) {
            let what = kind.map_or_else(String::new, |kind| format!("{kind}-"));
            violations.push(Violation {
                path: manifest.to_owned(),
                line: 1,
                rule: "unused",
                advice: format!("nothing uses the {what}dependency {name}: remove it"),
            });
        }
    }
    violations
}

/// Whether a feature of the package enables one of this dependency.
fn enables(package: &Value, dependency: &str) -> bool {
    let features = package["features"].as_object().into_iter().flat_map(|all| all.values());
    let mut enabled = features.flat_map(|list| list.as_array().into_iter().flatten());
    enabled.any(|one| {
        let of = one.as_str().and_then(|one| one.split_once('/'));
        of.is_some_and(|(of, _)| of.trim_end_matches('?') == dependency)
    })
}

/// Every name that a path begins with, in code, macros and the examples of comments.
fn named(file: &File) -> Vec<String> {
    let mut names = Vec::new();
    collect(file.text.parse().unwrap_or_default(), &mut names);
    names.sort();
    names.dedup();
    names
}

fn collect(tokens: TokenStream, names: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_path_mark = |at: usize| {
        let is_colon =
            |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
        tokens.get(at..at + 2).is_some_and(|two| two.iter().all(is_colon))
    };
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Ident(ident) => {
                let is_within = at >= 2 && is_path_mark(at - 2);
                let is_imported =
                    at >= 1 && matches!(&tokens[at - 1], TokenTree::Ident(word) if word == "use");
                if !is_within && (is_path_mark(at + 1) || is_imported) {
                    names.push(ident.to_string());
                }
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let paths = text.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
                names.extend(paths.filter_map(|path| Some(path.split_once("::")?.0.to_owned())));
            }
            TokenTree::Punct(_) => {}
        }
    }
}
