//! A wheel for Python that carries the binary, as `pip install`, `pipx run` and `uvx` take it. It has no
//! code in Python: what is in `scripts` lands in the environment's `bin`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::archive::{Entry, zip};
use super::contents::{BINARY, bytes, licences_in};
use super::{PACKAGE, Release, SUMMARY};

/// The wheel's file name and bytes. None for a target that no tag of a wheel stands for.
pub(super) fn package(release: &Release<'_>, tree: &[Entry]) -> Option<(String, Vec<u8>)> {
    let platform = platform(release.target)?;
    let (name, version) = (PACKAGE.replace('-', "_"), release.version);
    let info = format!("{name}-{version}.dist-info");
    // pip takes one platform a line.
    let tags: String =
        platform.split('.').map(|platform| format!("Tag: py3-none-{platform}\n")).collect();
    let wheel =
        format!("Wheel-Version: 1.0\nGenerator: tally {version}\nRoot-Is-Purelib: false\n{tags}");
    let metadata = format!(
        "Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\nSummary: {SUMMARY}\n\
         License: Apache-2.0\nRequires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n\
         {}",
        super::start(&format!("pip install {PACKAGE}"), "tally")
    );
    let mut entries = vec![
        Entry::executable(format!("{name}-{version}.data/scripts/tally"), bytes(tree, BINARY)),
        Entry::new(format!("{info}/METADATA"), metadata),
        Entry::new(format!("{info}/WHEEL"), wheel),
    ];
    entries.extend(licences_in(&format!("{info}/licenses"), tree));
    let record = record(&entries, &format!("{info}/RECORD"));
    entries.push(Entry::new(format!("{info}/RECORD"), record));
    Some((format!("{name}-{version}-py3-none-{platform}.whl"), zip(&entries)))
}

/// Each file with its hash and size; the last line is for the list itself.
fn record(entries: &[Entry], own: &str) -> String {
    let mut record = String::new();
    for entry in entries {
        let sum = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&entry.bytes));
        let _ = writeln!(record, "{},sha256={sum},{}", entry.path, entry.bytes.len());
    }
    record + own + ",,\n"
}

/// A static binary runs with every libc, so its wheel is for those with glibc and those with musl.
fn platform(target: &str) -> Option<String> {
    let processor = target.split('-').next().unwrap_or_default();
    match target.split_once('-').map_or("", |(_, system)| system) {
        "unknown-linux-musl" => {
            Some(format!("manylinux2014_{processor}.musllinux_1_1_{processor}"))
        }
        "apple-darwin" if processor == "aarch64" => Some("macosx_11_0_arm64".to_owned()),
        "apple-darwin" => Some("macosx_10_12_x86_64".to_owned()),
        _ => None,
    }
}
