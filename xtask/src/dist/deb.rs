//! A package for Debian and Ubuntu (`deb(5)`), which `dpkg --install` and `apt install ./FILE` take.

use std::fmt::Write as _;

use super::archive::{Entry, ar, gzip, tar, with_folders};
use super::contents::{COMPLETIONS, DOCUMENTS, MANUAL};
use super::{Release, hex};

/// Where Debian's zsh looks.
const ZSH: &str = "share/zsh/vendor-completions/_tally";

/// What the package manager shows.
const DESCRIPTION: &str = "\
exact counts of what services do
 HTTP and gRPC services stream their requests to Tally. It stores them in
 SQLite, Postgres or CockroachDB, and answers how often something was called,
 at any moment and in any time zone: by service, path, status and customer.
 What it has acknowledged is counted exactly once.
";

/// Run after the files are there. A server that runs is replaced: its socket stays open meanwhile.
const AFTER_INSTALL: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload
    if [ -n "$2" ]; then
        systemctl try-restart tally.service
    fi
fi
"#;

/// Run before the files go.
const BEFORE_REMOVAL: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tally.socket tally.service
fi
"#;

/// Run after the files are gone. Counts are never deleted by a package.
const AFTER_REMOVAL: &str = r#"#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload
fi
"#;

/// Debian has the text of this licence.
const COPYRIGHT: &str = "\
Copyright © 2026 the authors of Tally

Licensed under the Apache License, Version 2.0, whose text is in
/usr/share/common-licenses/Apache-2.0.

THIRD-PARTY.txt has the licences of what is compiled into the program.
";

/// Why Debian's own checks (lintian) find something here.
const OVERRIDES: &str = "\
# One binary for every version of Debian and Ubuntu.
tally: statically-linked-binary [usr/bin/tally]
# It may be loaded at any address, as a library may.
tally: shared-library-lacks-prerequisites [usr/bin/tally]
# SQLite is compiled with the options that Tally needs.
tally: embedded-library *
# Built without Debian's helpers, so its scripts call systemctl where systemd runs, and nowhere else.
tally: maintainer-script-calls-systemctl *
# It has CHANGELOG.md.gz.
tally: no-changelog *
";

/// The package.
pub(super) fn package(release: &Release<'_>, tree: &[Entry]) -> anyhow::Result<Vec<u8>> {
    let files = files(tree);
    let mut sums = String::new();
    for file in &files {
        let path = file.path.trim_start_matches("./");
        let _ = writeln!(sums, "{}  {path}", hex(&<md5::Md5 as md5::Digest>::digest(&file.bytes)));
    }
    let control = [
        Entry::new("./control", control(release, &files)),
        Entry::new("./md5sums", sums),
        Entry::executable("./postinst", AFTER_INSTALL),
        Entry::executable("./postrm", AFTER_REMOVAL),
        Entry::executable("./prerm", BEFORE_REMOVAL),
    ];
    let control = gzip(&tar(&control, release.time)?);
    // dpkg removes the folders that it knows.
    let data = gzip(&tar(&with_folders(&files), release.time)?);
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)];
    Ok(ar(&members, release.time))
}

/// The tree as Debian has it: below `/usr`, with packed manual pages, and the licence in Debian's words.
fn files(tree: &[Entry]) -> Vec<Entry> {
    let zsh = COMPLETIONS.iter().find(|(shell, _)| *shell == "zsh").expect("it is listed").1;
    let mut files = Vec::new();
    for entry in tree {
        let path = if entry.path == zsh { ZSH } else { &entry.path };
        let mut file = Entry { path: format!("./usr/{path}"), ..entry.clone() };
        let document = path.strip_prefix(DOCUMENTS);
        if path.starts_with(MANUAL) || document == Some("CHANGELOG.md") {
            file = Entry::new(format!("{}.gz", file.path), gzip(&file.bytes));
        } else if document == Some("LICENSE") {
            file = Entry::new(format!("./usr/{DOCUMENTS}copyright"), COPYRIGHT);
        }
        files.push(file);
    }
    files.push(Entry::new("./usr/share/lintian/overrides/tally", OVERRIDES));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Fields of `deb-control(5)`.
fn control(release: &Release<'_>, files: &[Entry]) -> String {
    let kilobytes: usize = files.iter().map(|file| file.bytes.len().div_ceil(1024)).sum();
    format!(
        "Package: tally\nVersion: {}\nArchitecture: {}\nMaintainer: {}\nInstalled-Size: {kilobytes}\n\
         Section: net\nPriority: optional\nDescription: {DESCRIPTION}",
        release.version,
        architecture(release.target),
        release.maintainer,
    )
}

/// Debian's word for a target's processor.
pub(super) fn architecture(target: &str) -> &'static str {
    if target.starts_with("aarch64-") { "arm64" } else { "amd64" }
}
