//! `cargo xtask codegen`: what is generated from proto/, without protoc, and the reference in docs/.
//!
//! | file | what it owns |
//! |---|---|
//! | `grpc.rs` | docs/reference/grpc.md, from proto/ |
//! | `http.rs` | docs/reference/http.md, from docs/openapi.json |

mod grpc;
mod http;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use prost_types::FileDescriptorSet;

use crate::cargo;

/// The generated code, relative to the workspace's root.
const GENERATED: &str = "crates/proto/src/gen/";

/// The file descriptors that gRPC reflection serves.
const DESCRIPTORS: &str = "descriptors.bin";

/// The generated pages beside those of the command line, which is known to the crate `tally` only.
const GRPC: &str = "docs/reference/grpc.md";
const HTTP: &str = "docs/reference/http.md";

/// What the page of HTTP is made from. A test holds it against what a server answers.
const OPENAPI: &str = "docs/openapi.json";

/// The test of the crate `tally` that holds docs/reference/cli.md, and writes it when this is set.
const COMMAND_LINE: [&str; 5] = ["test", "--package", "tally", "--lib", "reference::"];
const WRITE: &str = "WRITE_REFERENCE";

/// Generates everything, or with `check` compares it with what is committed; the command line's page is
/// then left to its own test.
pub(crate) fn run(root: &Path, check: bool) -> anyhow::Result<ExitCode> {
    let fresh = generate(root)?;
    let committed = read_committed(root)?;
    let stale = differences(&fresh, &committed);
    if check {
        if stale.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        for line in &stale {
            eprintln!("{line}");
        }
        bail!(
            "generated files do not match their sources; run `cargo xtask codegen` and commit them"
        );
    }
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(root.join(name)).with_context(|| format!("cannot remove {name}"))?;
    }
    for (name, bytes) in fresh.iter().filter(|(name, bytes)| committed.get(*name) != Some(bytes)) {
        let path = root.join(name);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        fs::write(path, bytes).with_context(|| format!("cannot write {name}"))?;
    }
    for line in &stale {
        println!("{line}: updated");
    }
    Ok(cargo::run(cargo::command(root).args(COMMAND_LINE).env(WRITE, "1")))
}

/// Path → content, of everything generated.
fn generate(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let include = root.join("proto");
    let mut sources = Vec::new();
    proto_files(&include, &mut sources)?;
    sources.sort();

    let mut compiler = protox::Compiler::new([&include])?;
    compiler.include_imports(true).include_source_info(true);
    // Names as in imports, so that the descriptors contain no paths of this machine.
    let names = sources.iter().map(|path| path.strip_prefix(&include).expect("below proto/"));
    compiler.open_files(names)?;

    let descriptors = compiler.file_descriptor_set();
    let openapi =
        fs::read_to_string(root.join(OPENAPI)).with_context(|| format!("cannot read {OPENAPI}"))?;
    let pages = [(GRPC, grpc::page(&descriptors)), (HTTP, http::page(&openapi)?)];
    let mut files = code(descriptors)?;
    files.insert(format!("{GENERATED}{DESCRIPTORS}"), compiler.encode_file_descriptor_set());
    files.extend(pages.map(|(name, page)| (name.to_owned(), page.into_bytes())));
    Ok(files)
}

/// The Rust code.
fn code(descriptors: FileDescriptorSet) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let output = tempfile::tempdir().context("cannot create a temporary folder")?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        // Handwritten because their texts may be any bytes.
        .extern_path(".count.v1.AddRequest", "crate::lenient::AddRequest")
        .extern_path(".tally.requests.v1.Series", "crate::lenient::Series")
        // Less memory for each call than tonic's own.
        .codec_path("crate::codec::Codec")
        .emit_rerun_if_changed(false)
        .out_dir(output.path())
        .compile_fds(descriptors)
        .context("cannot generate code from proto/")?;
    // Undo the escape of packages named like a keyword (`google.type`).
    let path = |name: String| format!("{GENERATED}{}", name.replace("r#", ""));
    let files = read_all(output.path())?.into_iter();
    Ok(files.map(|(name, bytes)| (path(name), bytes)).collect())
}

/// Adds every `.proto` file below `folder`.
fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// Everything generated that is there.
fn read_committed(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let code = read_all(&root.join(GENERATED))?.into_iter();
    let mut files: BTreeMap<_, _> =
        code.map(|(name, bytes)| (format!("{GENERATED}{name}"), bytes)).collect();
    for page in [GRPC, HTTP] {
        if let Ok(bytes) = fs::read(root.join(page)) {
            files.insert(page.to_owned(), bytes);
        }
    }
    Ok(files)
}

/// The files of a folder by name; empty if the folder does not exist.
fn read_all(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
        files.insert(name, bytes);
    }
    Ok(files)
}

/// One line for each file that is missing, stale or left over.
fn differences(
    fresh: &BTreeMap<String, Vec<u8>>,
    committed: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, bytes) in fresh {
        match committed.get(name) {
            None => lines.push(format!("{name}: missing")),
            Some(old) if old != bytes => lines.push(format!("{name}: stale")),
            Some(_) => {}
        }
    }
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        lines.push(format!("{name}: no longer generated"));
    }
    lines
}

/// A text as one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::{Path, run};

    #[test]
    fn generated_files_match_their_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        run(root, true).unwrap();
    }
}
