//! The licences of what is compiled into the binary: most ask that their text goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cargo;

/// What a licence's file is called.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

const HEAD: &str = "\
Tally contains the crates below, under their licences. It also contains Rust's standard library (MIT or
Apache-2.0, the Rust Project Developers), and on Linux the C library musl (MIT, Rich Felker and others).
";

/// All of them in one text, each text of a licence once, below the crates that it came with.
pub(super) fn gather(root: &Path, target: &str) -> anyhow::Result<String> {
    let mut command = cargo::command(root);
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]);
    let output = command.output().context("cannot run cargo metadata")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed:\n{stderr}");
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let mut by_text: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in compiled(&metadata) {
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        let name = format!("{} {} ({})", text("name"), text("version"), text("license"));
        let folder = Path::new(text("manifest_path")).parent().expect("a manifest is in a folder");
        let mut texts = texts(folder)?;
        if texts.is_empty() {
            texts.push("It comes without a text of its licence.".to_owned());
        }
        for text in texts {
            by_text.entry(text).or_default().insert(name.clone());
        }
    }
    let mut by_names: Vec<_> = by_text.into_iter().map(|(text, names)| (names, text)).collect();
    by_names.sort();
    let mut all = HEAD.to_owned();
    for (names, text) in by_names {
        let names: Vec<_> = names.into_iter().collect();
        let _ = write!(all, "\n{}\n{}\n\n{}\n", "=".repeat(80), names.join("\n"), text.trim_end());
    }
    Ok(all)
}

/// The packages of others that `tally` is linked with, and not those that only build or test it.
fn compiled(metadata: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |name: &str| packages.iter().find(|package| package["name"] == name);
    let nodes = list(&metadata["resolve"]["nodes"]);
    let nodes: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let root = named("tally").and_then(|package| package["id"].as_str()).unwrap_or_default();
    let (mut left, mut seen) = (vec![root], BTreeSet::new());
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).and_then(|node| node["deps"].as_array());
        for dependency in dependencies.into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
            if kinds.into_iter().any(|kind| kind["kind"].is_null()) {
                left.extend(dependency["pkg"].as_str());
            }
        }
    }
    let is_there = |package: &&Value| {
        let id = package["id"].as_str().unwrap_or_default();
        seen.contains(id) && !package["source"].is_null()
    };
    packages.iter().filter(is_there).collect()
}

/// The licences in a crate's folder.
fn texts(folder: &Path) -> anyhow::Result<Vec<String>> {
    let failed = || format!("cannot read {}", folder.display());
    let mut texts = Vec::new();
    for file in fs::read_dir(folder).with_context(failed)? {
        let file = file.with_context(failed)?;
        let name = file.file_name().to_string_lossy().to_uppercase();
        let is_licence = NAMES.iter().any(|start| name.starts_with(start));
        if is_licence && file.file_type().with_context(failed)?.is_file() {
            let bytes = fs::read(file.path()).with_context(failed)?;
            texts.push(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}
