//! Programs that must be installed, and what they print.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tally_testkit::{Output, bin_dir, run};

/// How long a program may take that has nothing to do.
const LIMIT: Duration = Duration::from_secs(60);

/// Finds a program: beside Postgres's server, or as a shell does.
///
/// # Errors
/// It is not installed.
pub(crate) fn find(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = bin_dir().into_iter().chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join(name));
    let found = programs.find(|program| program.is_file());
    found.ok_or_else(|| {
        anyhow::anyhow!("{name} is missing: install {package} (Debian), or choose rows with --only")
    })
}

/// Runs a program that is soon done, and returns what it prints.
pub(crate) fn said(command: &Command) -> anyhow::Result<String> {
    Ok(checked(run(command, b"", LIMIT))?.stdout)
}

/// Fails if the program has failed.
pub(crate) fn checked(output: Output) -> anyhow::Result<Output> {
    let Output { status, stdout, stderr } = &output;
    anyhow::ensure!(status.success(), "{status}: {}{}", stdout.trim_end(), stderr.trim_end());
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert!(find("sh", "dash").unwrap().is_absolute());
        let error = find("no-such-program", "its-package").unwrap_err().to_string();
        assert!(error.contains("no-such-program") && error.contains("its-package"), "{error}");
    }

    #[test]
    fn a_failed_program_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo this is why >&2; exit 3"]);
        assert!(said(&command).unwrap_err().to_string().contains("this is why"));
    }
}
