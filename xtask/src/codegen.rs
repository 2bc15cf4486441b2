//! `cargo xtask codegen`: generates crates/proto/src/gen from proto/, without protoc.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where the generated files are, from the root of the workspace.
const GENERATED: &str = "crates/proto/src/gen";

/// The file descriptors that gRPC reflection serves.
const DESCRIPTORS: &str = "descriptors.bin";

/// Generates the code, or with `check` compares it with what is committed.
pub(crate) fn run(root: &Path, check: bool) -> anyhow::Result<()> {
    let fresh = generate(root)?;
    let committed = read_all(&root.join(GENERATED))?;
    let stale = differences(&fresh, &committed);
    if check {
        if stale.is_empty() {
            return Ok(());
        }
        for line in &stale {
            eprintln!("{line}");
        }
        bail!("the generated code does not match proto/; run `cargo xtask codegen` and commit it");
    }
    let folder = root.join(GENERATED);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name)).with_context(|| format!("cannot remove {name}"))?;
    }
    for (name, bytes) in fresh.iter().filter(|(name, bytes)| committed.get(*name) != Some(bytes)) {
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name}"))?;
    }
    for line in &stale {
        println!("{line}: mended");
    }
    Ok(())
}

/// File name → content, of everything that proto/ generates.
fn generate(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let include = root.join("proto");
    let mut sources = Vec::new();
    proto_files(&include, &mut sources)?;
    sources.sort();

    let mut compiler = protox::Compiler::new([&include])?;
    compiler.include_imports(true).include_source_info(true);
    // The names as they are imported, so that no path of this machine is in the descriptors.
    let names = sources.iter().map(|path| path.strip_prefix(&include).expect("below proto/"));
    compiler.open_files(names)?;

    let output = tempfile::tempdir().context("cannot create a temporary folder")?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        // Written by hand: their paths may be any bytes.
        .extern_path(".count.v1.AddRequest", "crate::lenient::AddRequest")
        .extern_path(".tally.requests.v1.Endpoint", "crate::lenient::Endpoint")
        .emit_rerun_if_changed(false)
        .out_dir(output.path())
        .compile_fds(compiler.file_descriptor_set())
        .context("cannot generate code from proto/")?;
    let mut files: BTreeMap<_, _> = read_all(output.path())?
        .into_iter()
        // A package named by a keyword (`google.type`) keeps its own name as a file.
        .map(|(name, bytes)| (name.replace("r#", ""), bytes))
        .collect();
    files.insert(DESCRIPTORS.to_owned(), compiler.encode_file_descriptor_set());
    Ok(files)
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

/// The files of a folder by name; none when there is no such folder.
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
            None => lines.push(format!("{GENERATED}/{name}: missing")),
            Some(old) if old != bytes => lines.push(format!("{GENERATED}/{name}: stale")),
            Some(_) => {}
        }
    }
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        lines.push(format!("{GENERATED}/{name}: no .proto file generates it any more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Path, run};

    #[test]
    fn the_committed_code_is_what_the_protos_generate() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        run(root, true).unwrap();
    }
}
