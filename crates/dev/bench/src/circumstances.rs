//! What the figures depend on besides the code.

use std::fmt;
use std::process::Command;

use tally_runtime::{Clock as _, SystemClock};

/// Version of the build that is printed with the figures.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, the machine, and what was asked for.
pub(crate) struct Circumstances {
    /// The command, as a developer writes it.
    pub(crate) command: String,
    pub(crate) commit: String,
    pub(crate) at: String,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory: String,
    pub(crate) kernel: String,
}

// === impl Circumstances ===

impl Circumstances {
    pub(crate) fn find() -> Self {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.lines().next().unwrap_or_default().replace("MemTotal:", "");
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = processor.unwrap_or_default().trim_start_matches(['\t', ' ', ':']);
        Self {
            command: command(std::env::args().skip(1)),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            at: format!("{:.0}", SystemClock.now()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor.to_owned(),
            memory: memory.trim().to_owned(),
            kernel: said("uname", &["-sr"]),
        }
    }
}

impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, commit, at, cores, processor, memory, kernel } = self;
        writeln!(f, "{command}")?;
        writeln!(f, "version {VERSION}, commit {commit}, at {at}")?;
        write!(f, "{cores} cores ({processor}), {memory} memory, {kernel}")?;
        if cfg!(debug_assertions) {
            write!(f, "\nbuilt WITHOUT optimizations: these times mean nothing")?;
        }
        Ok(())
    }
}

/// The arguments without the program that xtask has added.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["cargo xtask bench".to_owned()];
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--tally" {
            arguments.next();
        } else {
            words.push(argument);
        }
    }
    words.join(" ")
}

/// What a program prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let output = output.filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_no_path_of_the_machine() {
        let arguments = ["--tally", "/some/where/tally", "--rounds", "5"].map(String::from);
        assert_eq!(command(arguments.into_iter()), "cargo xtask bench --rounds 5");
    }
}
