//! What a release holds, as one tree with the folders of `/usr/local`: from it, each package takes its part.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::archive::Entry;
use super::licences;

/// The tree's folders.
pub(super) const BINARY: &str = "bin/tally";
pub(super) const MANUAL: &str = "share/man/man1/";
pub(super) const DOCUMENTS: &str = "share/doc/tally/";
pub(super) const UNITS: &str = "lib/systemd/system/";

/// The licences of what is compiled into the binary go wherever it goes.
pub(super) const LICENCES: [&str; 2] = ["LICENSE", "THIRD-PARTY.txt"];

/// Where each shell looks for what completes its commands.
pub(super) const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/tally"),
    ("zsh", "share/zsh/site-functions/_tally"),
    ("fish", "share/fish/vendor_completions.d/tally.fish"),
];

/// The documents of the repository's root, and their names in a package.
const OF_ROOT: [(&str, &str); 5] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("SECURITY.md", "SECURITY.md"),
    ("LICENSE", "LICENSE"),
    (".env.example", "tally.env.example"),
];

/// Folders of the repository of which a package has every file.
const FOLDERS: [&str; 2] = ["docs", "deploy"];

/// The tree around a binary, whose completions and manual it writes itself.
pub(super) fn gather(
    root: &Path,
    binary: &Path,
    bytes: Vec<u8>,
    target: &str,
) -> anyhow::Result<Vec<Entry>> {
    let mut tree = vec![Entry::executable(BINARY, bytes)];
    for (shell, path) in COMPLETIONS {
        tree.push(Entry::new(path, run(binary, &["completions", shell])?));
    }
    let manual = tempfile::tempdir().context("cannot make a temporary folder")?;
    run(binary, &["man", &manual.path().display().to_string()])?;
    add_folder(&mut tree, manual.path(), MANUAL)?;
    for (file, name) in OF_ROOT {
        tree.push(Entry::new(format!("{DOCUMENTS}{name}"), read(&root.join(file))?));
    }
    for folder in FOLDERS {
        add_folder(&mut tree, &root.join(folder), &format!("{DOCUMENTS}{folder}/"))?;
    }
    if target.contains("-linux-") {
        add_folder(&mut tree, &root.join("deploy/systemd"), UNITS)?;
    }
    let licences = licences::gather(root, target)?;
    tree.push(Entry::new(format!("{DOCUMENTS}{}", LICENCES[1]), licences));
    tree.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

/// The licences, in this folder of a package.
pub(super) fn licences_in(folder: &str, tree: &[Entry]) -> Vec<Entry> {
    let in_folder =
        |name| Entry::new(format!("{folder}/{name}"), bytes(tree, &format!("{DOCUMENTS}{name}")));
    LICENCES.map(in_folder).into()
}

/// A file of the tree.
pub(super) fn bytes(tree: &[Entry], path: &str) -> Vec<u8> {
    let found = tree.iter().find(|entry| entry.path == path);
    found.unwrap_or_else(|| panic!("{path} is in the tree")).bytes.clone()
}

/// What the binary prints. It must run here: a release is built on the system that it is for.
fn run(binary: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    // Not ours: manual pages and completions would show our settings.
    let output = Command::new(binary).args(arguments).env_clear().output();
    let output = output.with_context(|| {
        format!("{} does not run here: build on the system that it is for", binary.display())
    })?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tally {} failed:\n{stderr}", arguments.join(" "));
    Ok(output.stdout)
}

/// Adds all files below a folder.
fn add_folder(tree: &mut Vec<Entry>, folder: &Path, path: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot read {}", folder.display());
    for file in fs::read_dir(folder).with_context(failed)? {
        let file = file.with_context(failed)?;
        let path = format!("{path}{}", file.file_name().to_string_lossy());
        if file.file_type().with_context(failed)?.is_dir() {
            add_folder(tree, &file.path(), &format!("{path}/"))?;
        } else {
            tree.push(Entry::new(path, read(&file.path())?));
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
