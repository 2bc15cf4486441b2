//! The binary of a release: static where that is possible, and the same bytes wherever it is built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::cargo;

/// Above this size, something is in the binary that should not be.
const BYTES_MAX: usize = 20_000_000;

/// One build of a target.
pub(super) struct Build<'a> {
    pub(super) root: &'a Path,
    pub(super) target: &'a str,
    /// The moment that all of it bears, in seconds since 1970.
    pub(super) time: u64,
}

// === impl Build ===

impl Build<'_> {
    /// Compiles `tally` into this folder, and returns its path.
    pub(super) fn compile(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        self.check_target()?;
        let mut build = cargo::command(self.root);
        build.args([
            "build",
            "--profile",
            "published",
            "--locked",
            "--package",
            "tally",
            "--target",
            self.target,
        ]);
        build.env("CARGO_TARGET_DIR", folder).env("SOURCE_DATE_EPOCH", self.time.to_string());
        // Where it was built must not be seen in it: neither by panics of Rust nor by asserts of C.
        let home = std::env::home_dir().context("this user has no home folder")?;
        let cargo_home = std::env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
        let places = [(self.root, "/tally"), (&cargo_home, "/cargo"), (folder, "/target")];
        let flags = |flag: &str| places.map(|(from, to)| format!("{flag}={}={to}", from.display()));
        let mut rust_flags = flags("--remap-path-prefix").to_vec();
        // For a package with a level of its own, as `tally` has, cargo forgets that of the profile.
        rust_flags.push("-Cstrip=symbols".to_owned());
        if self.target.contains("-linux-") {
            // A megabyte of addresses to adjust at the start, packed into some kilobytes.
            rust_flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned());
        }
        build.env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\u{1f}"));
        build.env("CFLAGS", flags("-ffile-prefix-map").join(" "));
        let status = build.status().context("cannot run cargo")?;
        ensure!(status.success(), "tally cannot be built for {}", self.target);
        Ok(folder.join(self.target).join("published/tally"))
    }

    /// Reads a binary that was built, and checks what a release promises of it.
    pub(super) fn read(&self, binary: &Path) -> anyhow::Result<Vec<u8>> {
        let bytes =
            std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
        let size = bytes.len();
        ensure!(size <= BYTES_MAX, "the binary has {size} bytes; at most {BYTES_MAX} are allowed");
        if self.target.ends_with("-musl") {
            ensure!(!needs_loader(&bytes), "the binary for {} is not static", self.target);
        }
        Ok(bytes)
    }

    /// Says what is missing, before cargo says it in its own way for each crate.
    fn check_target(&self) -> anyhow::Result<()> {
        let target = self.target;
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut rustc = cargo::in_workspace(rustc, self.root);
        let output = rustc.args(["--print", "target-libdir", "--target", target]).output();
        let output = output.context("cannot run rustc")?;
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if !output.status.success() || !folder.is_dir() {
            bail!(
                "Rust's library for {target} is not installed: run `rustup target add {target}`, or \
                 pass --target with one of `rustup target list --installed`"
            );
        }
        let compiles_musl = || Command::new("musl-gcc").arg("--version").output().is_ok();
        if target.ends_with("-musl") && std::env::var_os("CC").is_none() && !compiles_musl() {
            bail!(
                "musl-gcc, which compiles SQLite for {target}, is not installed: apt-get install \
                 musl-tools"
            );
        }
        Ok(())
    }
}

/// The target for this machine whose binaries run everywhere.
pub(super) fn target_here() -> &'static str {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "aarch64-apple-darwin",
        ("macos", _) => "x86_64-apple-darwin",
        (_, "aarch64") => "aarch64-unknown-linux-musl",
        _ => "x86_64-unknown-linux-musl",
    }
}

/// Whether a 64-bit ELF file asks for a dynamic loader, with a segment of the kind `PT_INTERP`.
fn needs_loader(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| -> usize {
        let field = elf.get(at..at + bytes).unwrap_or_default().iter().rev();
        field.fold(0, |sum, &byte| sum << 8 | usize::from(byte))
    };
    const PT_INTERP: usize = 3;
    let (table, size, many) = (number(32, 8), number(54, 2), number(56, 2));
    (0..many).any(|segment| number(table + segment * size, 4) == PT_INTERP)
}

#[cfg(test)]
mod tests {
    use super::needs_loader;

    /// An ELF file with these kinds of segments.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = u8::try_from(kinds.len()).expect("few");
        for kind in kinds {
            elf.extend(kind.to_le_bytes());
            elf.extend([0; 52]);
        }
        elf
    }

    #[test]
    fn a_static_binary_is_known_by_its_segments() {
        assert!(needs_loader(&elf(&[6, 3, 1])));
        assert!(!needs_loader(&elf(&[6, 1, 2])));
        assert!(!needs_loader(b"no ELF"));
    }
}
