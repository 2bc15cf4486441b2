//! `cargo xtask <verb>`: Tally's development tasks.
//!
//! | file | what it owns |
//! |---|---|
//! | `cargo.rs` | running cargo as a person would, ended with us |
//! | `ci.rs` | `ci`: what is checked before a change goes in |
//! | `codegen.rs` | `codegen`: the Rust code that is generated from `proto/` |
//! | `install.rs` | Postgres from the packages of Debian and Ubuntu |
//! | `test.rs` | `test`: every test, against a Postgres that it brings up itself |
//! | `tidy/` | `tidy`: the rules of the house that a machine can check |
//! | `torture.rs` | `torture`: kills and cuts Tally while it counts, and checks every count |

mod cargo;
mod ci;
mod codegen;
mod install;
mod test;
mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tally's development tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs all tests against a private, temporary Postgres
    ///
    /// Uses the server of TEST_DATABASE_URL instead, when that is set.
    Test {
        /// Arguments for `cargo test`, after `--`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Checks the rules of the house that a machine can check
    Tidy,
    /// Generates the Rust code in crates/proto/src/gen from proto/
    Codegen {
        /// Change nothing; fail when a generated file is stale
        #[arg(long)]
        check: bool,
    },
    /// Kills, cuts and starves Tally while it counts, and checks that every count is right
    ///
    /// See docs/torture.md, and `cargo xtask torture -- --help`.
    Torture {
        /// Build with optimizations
        #[arg(long)]
        release: bool,
        /// Arguments for `tally-torture`, such as --seed N --minutes M --backend postgres
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs .ci/run: formatting, lints, tidy, generated code, documentation, all tests
    Ci,
}

fn main() -> ExitCode {
    let root = workspace_root();
    let done = match Arguments::parse().verb {
        Verb::Test { arguments } => test::run(&root, &arguments),
        Verb::Tidy => tidy::run(&root),
        Verb::Codegen { check } => codegen::run(&root, check).map(|()| ExitCode::SUCCESS),
        Verb::Torture { release, arguments } => torture::run(&root, release, &arguments),
        Verb::Ci => ci::run(&root),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The folder of the workspace's Cargo.toml.
fn workspace_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).expect("xtask is a folder of the workspace")
}
