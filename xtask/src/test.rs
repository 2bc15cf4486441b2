//! `cargo xtask test`: all tests, on a private Postgres, and those of the pages in Chromium.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Context, bail};
use tally_testkit::{Cluster, INSTALL_HINT, Options, bin_dir};

use crate::{cargo, install};

/// How many tests of a crate run at once. By default as many as there are cores.
const THREADS: &str = "RUST_TEST_THREADS";

/// At least this many tests run at once, because most of them wait most of their time: for the database,
/// for another process, for the next attempt.
const THREADS_MIN: usize = 4;

/// Runs `cargo test --workspace` with these arguments, and returns its exit code.
///
/// The tests of all crates share one server, which is removed when this ends, however it ends.
pub(crate) fn run(root: &Path, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let mut command = cargo::command(root);
    command.arg("test");
    // `cargo xtask test -- -p tally-store` tests that crate alone.
    let names_packages = |argument: &String| argument.starts_with("-p") || argument == "--package";
    if !arguments.iter().any(names_packages) {
        command.arg("--workspace");
    }
    command.args(arguments);
    if env::var_os(THREADS).is_none() {
        let cores = available_parallelism().map_or(1, usize::from);
        command.env(THREADS, cores.max(THREADS_MIN).to_string());
    }

    build_examples(root, arguments)?;
    install::programs()?;
    if env::var_os("TEST_DATABASE_URL").is_some_and(|url| !url.is_empty()) {
        println!("Postgres: the server of TEST_DATABASE_URL");
        return Ok(cargo::run(&command));
    }
    if bin_dir().is_none() {
        if let Some(folder) = env::var_os("PG_BIN").filter(|folder| !folder.is_empty()) {
            bail!("PG_BIN={} has no initdb and postgres", folder.display());
        }
        if !install::postgres()? {
            bail!("{INSTALL_HINT}");
        }
    }
    let options = Options { in_memory: true, ..Options::default() };
    let cluster = Cluster::start(options).context("cannot start a private Postgres")?;
    println!(
        "Postgres: a private server on port {}, by {}",
        cluster.port(),
        cluster.bin_dir().display()
    );
    command.env("TEST_DATABASE_URL", cluster.url("postgres"));
    command.env("PG_BIN", cluster.bin_dir());
    Ok(cargo::run(&command))
}

/// Builds the client's examples, which the tests of `tally` run. `cargo test` builds them itself
/// unless the arguments choose packages or targets.
fn build_examples(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let chooses = ["tally", "-ptally", "--package=tally", "--test", "--tests"];
    if !arguments.iter().any(|argument| chooses.contains(&argument.as_str())) {
        return Ok(());
    }
    let mut command = cargo::command(root);
    command.args(["build", "--quiet", "--package", "tally-client", "--examples"]);
    command.args(arguments.iter().filter(|argument| *argument == "--release"));
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the examples of tally-client cannot be built");
    }
    Ok(())
}
