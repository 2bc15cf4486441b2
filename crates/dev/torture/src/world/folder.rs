//! The folder of a run, which is removed however the run ends.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Waits for the end of standard input, then removes the folder `$1` unless it read `keep`. It
/// retries because dying processes may still write files.
const WATCHDOG: &str = "\
trap '' HUP INT TERM
read -r word
[ \"$word\" = keep ] && exit
tries=0
until rm -rf \"$1\" || [ $tries -ge 100 ]; do sleep 0.05; tries=$((tries + 1)); done
sleep 0.2
rm -rf \"$1\"";

/// A folder with a watchdog.
pub(crate) struct Folder {
    path: PathBuf,
    watchdog: Child,
}

// === impl Folder ===

impl Folder {
    pub(crate) fn create() -> anyhow::Result<Folder> {
        let path = TempDir::with_prefix("tally-torture-")?.keep();
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "tally-torture-watchdog"])
            .arg(&path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Folder { path, watchdog })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps the folder.
    pub(crate) fn keep(&mut self) {
        if let Some(pipe) = &mut self.watchdog.stdin {
            // A dead watchdog removes nothing.
            let _ = pipe.write_all(b"keep\n");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}
