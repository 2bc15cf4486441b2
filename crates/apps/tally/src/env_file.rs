//! The file `.env` in the working directory.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use tally_runtime::file;

/// Adds the file to the environment, which wins, and returns the names that the file set.
pub(crate) fn read_env_file(path: &Path) -> anyhow::Result<BTreeSet<OsString>> {
    let names = || std::env::vars_os().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let text = match file::read_once(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => anyhow::bail!("read the file .env: {error}"),
    };
    if let Some(owner) = stranger(path) {
        anyhow::bail!(
            "the file .env in this folder belongs to user {owner}, who could change what tally does, and \
             where it sends its key: make it your own (chown), remove it, or run tally in another folder"
        );
    }
    let before = names();
    match dotenvy::from_read(&*text) {
        Ok(()) => Ok(&names() - &before),
        // The line is not shown: it may hold a password.
        Err(dotenvy::Error::LineParse(..)) => anyhow::bail!(
            "line {} of the file .env cannot be read: write NAME=value, with quotes around a \
             value with spaces or #",
            broken_line(&text)
        ),
        Err(error) => anyhow::bail!("read the file .env: {}", tally_runtime::chain(&error)),
    }
}

/// Whose a file is, unless it is of who runs this, also by `sudo`, or of the machine's administrator.
#[cfg(unix)]
fn stranger(path: &Path) -> Option<u32> {
    let owner = std::os::unix::fs::MetadataExt::uid(&path.metadata().ok()?);
    let of_sudo = || std::env::var("SUDO_UID").ok()?.parse().ok();
    let own = rustix::process::geteuid().as_raw();
    let is_known = owner == own || owner == 0 || own == 0 && of_sudo() == Some(owner);
    (!is_known).then_some(owner)
}

#[cfg(not(unix))]
fn stranger(_path: &Path) -> Option<u32> {
    None
}

/// The number of the first unreadable line.
fn broken_line(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text);
    let is_broken = |line: &str| dotenvy::from_read_iter(line.as_bytes()).any(|one| one.is_err());
    text.lines().position(is_broken).map_or(1, |at| at + 1)
}
