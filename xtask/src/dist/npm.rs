//! Packages for npm, as `npm install` and `npx` take them: one for each platform, which carries its binary, and
//! one that depends on all of them and starts the one that npm chose. Nothing runs when they are installed.

use serde_json::{Map, Value, json};

use super::archive::{Entry, gzip, tar};
use super::contents::{BINARY, bytes, licences_in};
use super::{PACKAGE, Release, SUMMARY};

/// Each target, and what Node.js calls its system and its processor.
const PLATFORMS: [(&str, &str, &str); 4] = [
    ("x86_64-unknown-linux-musl", "linux", "x64"),
    ("aarch64-unknown-linux-musl", "linux", "arm64"),
    ("x86_64-apple-darwin", "darwin", "x64"),
    ("aarch64-apple-darwin", "darwin", "arm64"),
];

/// Starts the binary and passes on what a service manager or a terminal says to it.
const START: &str = r#"#!/usr/bin/env node
"use strict";
const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const platform = `PACKAGE-${process.platform}-${process.arch}`;
let binary;
try {
  binary = require.resolve(`${platform}/bin/tally`);
} catch {
  console.error(
    `error: ${platform} is not installed: either there is no tally for this platform, or npm left out ` +
      "optional dependencies: install with --include=optional",
  );
  process.exit(1);
}

const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"]) {
  // A terminal sends Ctrl-C to both, and a second one would end the server at once.
  process.on(signal, () => signal === "SIGINT" && process.stdin.isTTY || child.kill(signal));
}
child.on("error", (error) => {
  console.error(`error: cannot start ${binary}: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
"#;

/// The file names and bytes: of the platform, if it is one of those above, and of the one that starts it.
pub(super) fn packages(
    release: &Release<'_>,
    tree: &[Entry],
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let Some((_, system, processor)) = PLATFORMS.iter().find(|(of, ..)| *of == release.target)
    else {
        return Ok(Vec::new());
    };
    let licences = licences_in("package", tree);
    let read_me = super::start(&format!("npm install {PACKAGE}"), "npx tally");
    let read_me = Entry::new("package/README.md", read_me);
    let optional = PLATFORMS.map(|(_, system, processor)| {
        (format!("{PACKAGE}-{system}-{processor}"), json!(release.version))
    });
    let starter = json!({
        "bin": { "tally": "bin/tally.js" },
        "engines": { "node": ">=18" },
        "optionalDependencies": Map::from_iter(optional),
    });
    let carrier = json!({ "os": [system], "cpu": [processor], "preferUnplugged": true });
    let platform = format!("{PACKAGE}-{system}-{processor}");
    let binary = Entry::executable("package/bin/tally", bytes(tree, BINARY));
    let start = Entry::executable("package/bin/tally.js", START.replace("PACKAGE", PACKAGE));
    [(platform.as_str(), carrier, binary), (PACKAGE, starter, start)]
        .map(|(name, fields, file)| {
            let manifest = Entry::new("package/package.json", manifest(release, name, fields));
            let entries = [vec![manifest, read_me.clone(), file], licences.clone()].concat();
            let archive = gzip(&tar(&entries, release.time)?);
            Ok((format!("{name}-{}.tgz", release.version), archive))
        })
        .into_iter()
        .collect()
}

fn manifest(release: &Release<'_>, name: &str, fields: Value) -> String {
    let mut manifest = json!({
        "name": name,
        "version": release.version,
        "description": SUMMARY,
        "license": "Apache-2.0",
    });
    let (Value::Object(all), Value::Object(fields)) = (&mut manifest, fields) else {
        unreachable!("both are objects")
    };
    all.extend(fields);
    format!("{manifest:#}\n")
}
