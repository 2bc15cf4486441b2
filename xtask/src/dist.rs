//! `cargo xtask dist`: everything that a release publishes for one target.
//!
//! | file | what it owns |
//! |---|---|
//! | `archive.rs` | tar, ar, zip and gzip, the same bytes each time |
//! | `build.rs` | the binary, and what a release promises of it |
//! | `contents.rs` | what a release holds beside the binary |
//! | `deb.rs` | the package for Debian and Ubuntu |
//! | `licences.rs` | the licences of what is compiled into the binary |
//! | `npm.rs` | the packages for npm |
//! | `tests.rs` | packages around a binary that is none, read by the programs that they are for |
//! | `wheel.rs` | the wheel for Python |

mod archive;
mod build;
mod contents;
mod deb;
mod licences;
mod npm;
#[cfg(test)]
mod tests;
mod wheel;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use sha2::{Digest as _, Sha256};

use archive::{Entry, gzip, tar};
use build::Build;

/// What the packages of Python and npm are called: there, `tally` is something else.
const PACKAGE: &str = "tally-server";
/// The packages in a line.
const SUMMARY: &str = "Exact counts of what services do: one binary with its own database";
/// Who answers for Debian's package if nobody is named: that address reaches nobody.
const MAINTAINER: &str = "The authors of Tally <tally@tally.invalid>";
/// The list of all files with their sums, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

/// Build everything that a release publishes: archive, deb, wheel, npm packages and SHA256SUMS
///
/// The binary is static on Linux. What is built is the same for the same commit, wherever it is built with the
/// same toolchain.
#[derive(Args)]
pub(crate) struct DistArgs {
    /// The target; by default this machine's, with musl on Linux
    #[arg(long)]
    target: Option<String>,
    /// Where the files go; by default `dist` in cargo's target folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Who answers for Debian's package
    #[arg(long, value_name = "NAME <ADDRESS>", default_value = MAINTAINER, value_parser = maintainer)]
    maintainer: String,
    /// Build everything a second time, elsewhere, and fail if a byte differs
    #[arg(long)]
    verify: bool,
}

/// What is released.
struct Release<'a> {
    version: &'a str,
    target: &'a str,
    maintainer: &'a str,
    /// The moment that all files bear, in seconds since 1970.
    time: u64,
}

pub(crate) fn run(root: &Path, arguments: &DistArgs) -> anyhow::Result<ExitCode> {
    let target = arguments.target.as_deref().unwrap_or_else(|| build::target_here());
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let release = Release {
        version: env!("CARGO_PKG_VERSION"),
        target,
        maintainer: &arguments.maintainer,
        time: time(root)?,
    };
    let build = Build { root, target, time: release.time };
    let files = files(root, &release, &build, &folder)?;
    if arguments.verify {
        let again = tempfile::tempdir_in(&folder).context("cannot make a temporary folder")?;
        same(&files, &self::files(root, &release, &build, again.path())?)?;
        println!("built twice: every byte is the same");
    }
    let out = arguments.out.clone().unwrap_or_else(|| folder.join("dist"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    for (name, bytes) in &files {
        let path = out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{:>10} bytes  {}", bytes.len(), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the binary, and all files around it.
fn files(
    root: &Path,
    release: &Release<'_>,
    build: &Build<'_>,
    folder: &Path,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let binary = build.compile(folder)?;
    let tree = contents::gather(root, &binary, build.read(&binary)?, release.target)?;
    packages(release, &tree)
}

/// All files of a release, from what it holds.
fn packages(release: &Release<'_>, tree: &[Entry]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let Release { version, target, time, .. } = *release;
    let name = format!("tally-{version}-{target}");
    let inside = |entry: &Entry| Entry { path: format!("{name}/{}", entry.path), ..entry.clone() };
    let archive = tar(&tree.iter().map(inside).collect::<Vec<_>>(), time)?;
    let mut files = vec![(format!("{name}.tar.gz"), gzip(&archive))];
    // Any other binary asks for the libraries of the machine that built it.
    if target.ends_with("-linux-musl") {
        let name = format!("tally_{version}_{}.deb", deb::architecture(target));
        files.push((name, deb::package(release, tree)?));
    }
    files.extend(wheel::package(release, tree));
    files.extend(npm::packages(release, tree)?);
    let mut sums = String::new();
    for (name, bytes) in &files {
        let _ = writeln!(sums, "{}  {name}", hex(&Sha256::digest(bytes)));
    }
    files.push((SUMS.to_owned(), sums.into_bytes()));
    Ok(files)
}

/// As a field of Debian's has it.
fn maintainer(text: &str) -> Result<String, String> {
    let address = text.split_once(" <").and_then(|(_, rest)| rest.strip_suffix('>'));
    let is_one = address
        .and_then(|address| address.split_once('@'))
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    let is_printable = !text.chars().any(char::is_control);
    if is_one && is_printable {
        Ok(text.to_owned())
    } else {
        Err("write it as `Ada Lovelace <ada@example.org>`".to_owned())
    }
}

/// When the commit was made, or what `SOURCE_DATE_EPOCH` says.
fn time(root: &Path) -> anyhow::Result<u64> {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return time.parse().with_context(|| format!("SOURCE_DATE_EPOCH={time} is no number"));
    }
    let mut git = Command::new("git");
    let output = git.args(["log", "-1", "--format=%ct"]).current_dir(root).output();
    let output = output.context("cannot run git")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().context("this is no git checkout: set SOURCE_DATE_EPOCH")
}

/// Fails with the names of the files that differ.
fn same(first: &[(String, Vec<u8>)], second: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    ensure!(first.len() == second.len(), "the second build has other files");
    let differing = first.iter().zip(second).filter(|(first, second)| first != second);
    let names: Vec<_> = differing.map(|((name, _), _)| name.as_str()).collect();
    if !names.is_empty() {
        bail!("built twice, these differ: {}", names.join(", "));
    }
    Ok(())
}

/// What a stranger reads on the page of a package.
fn start(install: &str, command: &str) -> String {
    format!(
        "# Tally\n\n{SUMMARY}.\n\n```sh\n{install}\n{command} serve\n{command} add GET /hello -n 3        \
         # in a second terminal\n{command} totals --live\n```\n\nThe server counts into the file `tally.db` of the \
         folder in which it is started, and shows it at <http://127.0.0.1:7777>. `{command} --help` lists the rest.\n"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
