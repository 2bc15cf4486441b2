//! `cargo xtask <verb>`: Tally's development tasks.
//!
//! | file | what it owns |
//! |---|---|
//! | `bench.rs` | `bench`: Tally against the database's limit and what people do now, and how long all takes |
//! | `cargo.rs` | running a program as from a shell, ended with us |
//! | `ci.rs` | `ci`: the checks before a merge |
//! | `codegen.rs`, `codegen/` | `codegen`: the Rust code generated from `proto/`, and the reference in `docs/` |
//! | `dist.rs`, `dist/` | `dist`: everything that a release publishes |
//! | `install.rs` | what tests need of Debian's and Ubuntu's packages |
//! | `programs.rs` | developers' programs that run `tally` |
//! | `test.rs` | `test`: all tests, on a private Postgres |
//! | `tidy/` | `tidy`: house rules checked by machine |
//! | `torture.rs` | `torture`: kills and cuts Tally while it counts, and checks every count |

mod bench;
mod cargo;
mod ci;
mod codegen;
mod dist;
mod install;
mod programs;
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
    /// Run all tests against a private, temporary Postgres
    ///
    /// If TEST_DATABASE_URL is set, uses that server instead.
    Test {
        /// Arguments for `cargo test`, after `--`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check the house rules
    Tidy,
    /// Generate the Rust code in crates/proto/src/gen, and the pages in docs/reference
    Codegen {
        /// Change nothing; fail if a generated file is stale
        #[arg(long)]
        check: bool,
    },
    /// Kill, cut and starve Tally while it counts, and check every count
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
    /// Measure Tally against the database's own limit and against what people do now
    ///
    /// With a verb, such as day, it fills Tally with requests and books, and prints how long that takes.
    /// See `cargo xtask bench --help`.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for `tally-bench`, such as --only Record, or day --backend sqlite
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    Dist(dist::DistArgs),
    /// Run .ci/run: formatting, lints, tidy, generated code, documentation, all tests
    Ci,
}

fn main() -> ExitCode {
    let root = workspace_root();
    let done = match Arguments::parse().verb {
        Verb::Test { arguments } => test::run(&root, &arguments),
        Verb::Tidy => tidy::run(&root),
        Verb::Codegen { check } => codegen::run(&root, check),
        Verb::Torture { release, arguments } => torture::run(&root, release, &arguments),
        Verb::Bench { arguments } => bench::run(&root, &arguments),
        Verb::Dist(arguments) => dist::run(&root, &arguments),
        Verb::Ci => ci::run(&root),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The workspace's root.
fn workspace_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_path_buf).expect("xtask is a folder of the workspace")
}
