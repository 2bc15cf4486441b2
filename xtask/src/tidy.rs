//! `cargo xtask tidy`: house rules checked by machine.
//!
//! | file | rules |
//! |---|---|
//! | `arrows.rs` | which crates may depend on which, and which are published |
//! | `cockroach.rs` | SQL that CockroachDB runs: what it does not accept |
//! | `links.rs` | Markdown: links lead somewhere |
//! | `messages.rs` | docs/troubleshoot.md has what a server says, and nothing else |
//! | `sizes.rs` | the length of files and functions, and `tidy-exceptions.txt` |
//! | `source.rs` | Rust files: opening line, table of files, clock, SQL, attributes |
//! | `sql.rs` | SQL files: a comment first, one statement |
//! | `text.rs` | clippy.toml, notes for later, the map of files |
//! | `unused.rs` | dependencies that a crate does not use |
//! | `words.rs` | words that are retired |
//! | `tests.rs` | a small bad tree in which each rule must find its violation |

mod arrows;
mod cockroach;
mod links;
mod messages;
mod sizes;
mod source;
mod sql;
#[cfg(test)]
mod tests;
mod text;
mod unused;
mod words;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde_json::Value;

/// Folders without handwritten files.
const SKIPPED: [&str; 4] = ["target", "gen", "node_modules", "corpus"];

/// A broken rule and its place.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    /// What to do.
    advice: String,
}

/// A file with its path from the root, separated by `/`.
struct File {
    path: String,
    text: String,
}

/// Prints every violation, and fails if there are any.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let violations = check(root)?;
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} violations", violations.len());
    Ok(ExitCode::FAILURE)
}

/// Every violation in the tree, by path and line.
fn check(root: &Path) -> anyhow::Result<Vec<Violation>> {
    let mut paths = Vec::new();
    let mut violations = Vec::new();
    walk(root, root, &mut paths, &mut violations)?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        files.push(File { path: relative(root, &path), text });
    }

    packages(root, &files, &mut violations)?;
    violations.extend(text::clippy(&files));
    violations.extend(words::check(&files));
    violations.extend(source::orphans(&files));
    violations.extend(links::check(root, &files));
    violations.extend(messages::check(&files));
    let mut sizes = sizes::Sizes::default();
    for file in &files {
        text::notes(file, &mut violations);
        text::map(root, file, &mut violations);
        if file.has_extension("rs") {
            match syn::parse_file(&file.text) {
                Ok(syntax) => {
                    source::check(root, file, &syntax, &mut violations);
                    sizes.measure(file, &syntax);
                }
                Err(error) => violations.push(file.at(
                    error.span().start().line,
                    "syntax",
                    format!("does not parse: {error}"),
                )),
            }
        }
        if file.has_extension("sql") {
            sql::check(file, &mut violations);
            cockroach::check(file, &mut violations);
        }
    }
    violations.extend(sizes.check(&files));
    violations.sort();
    violations.dedup();
    Ok(violations)
}

/// Checks every package of the workspace by what `cargo metadata` says of it.
fn packages(root: &Path, files: &[File], violations: &mut Vec<Violation>) -> anyhow::Result<()> {
    let metadata = metadata(root)?;
    // Cargo returns real paths, but the root may contain a symbolic link.
    let root = root.canonicalize().context("cannot find the root of the workspace")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let relative = |path: &str| relative(&root, Path::new(path));
    for package in packages {
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        let manifest = relative(manifest);
        violations.extend(arrows::check(&manifest, package, relative));
        violations.extend(unused::check(&manifest, package, files));
    }
    Ok(())
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")
}

/// Finds the handwritten files, and empty folders.
fn walk(
    root: &Path,
    folder: &Path,
    paths: &mut Vec<PathBuf>,
    violations: &mut Vec<Violation>,
) -> anyhow::Result<()> {
    let before = paths.len();
    let mut skipped = false;
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() && SKIPPED.contains(&name.as_str()) || name == ".git" {
            skipped = true;
        } else if kind.is_dir() {
            walk(root, &entry.path(), paths, violations)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    let path = relative(root, folder);
    let ours = ["crates", "migrations", "proto", "xtask"];
    if paths.len() == before && !skipped && path.split('/').any(|part| ours.contains(&part)) {
        let advice = "an empty folder: remove it".to_owned();
        violations.push(Violation { path, line: 1, rule: "empty", advice });
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

// === impl File ===

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Whether it lies in a folder `tests` or `benches`, or is a module `tests.rs`.
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| ["tests", "benches", "tests.rs"].contains(&part))
    }

    /// Whether only developers run it: tests and development tools.
    fn is_development(&self) -> bool {
        self.is_test() || self.path.starts_with("xtask/") || self.path.starts_with("crates/dev/")
    }

    fn at(&self, line: usize, rule: &'static str, advice: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}
