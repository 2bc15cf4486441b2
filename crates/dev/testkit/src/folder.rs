//! Folders with a watchdog, and the sweep of clusters' folders with dead owners.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::port::random;
use crate::process::User;

/// The common prefix by which the sweep finds the folders.
const PREFIX: &str = "tally-pg-";

/// The file with the process id of initdb or postgres while it runs in the folder.
const SERVER_PID: &str = "server.pid";

/// The file that the owner locks as long as it lives.
const OWNER: &str = "owner";

/// The longest base folder. A Unix socket's path has at most 107 bytes on Linux and 103 on macOS;
/// the rest is for the folder's and the socket's names.
const BASE_BYTES_MAX: usize = 60;

/// Linux's file system in memory, which everybody may use.
const MEMORY: &str = "/dev/shm";

/// How much room it must have: in containers it often has 64 MB. All tests of the workspace need some
/// 100 MB of tables, and Postgres keeps up to 1 GB of its write-ahead log.
const MEMORY_BYTES_MIN: u64 = 2 << 30;

/// A younger folder may not be locked by its owner yet.
const SWEEP_AGE: Duration = Duration::from_secs(60);

/// Waits for the end of standard input, then removes the folder `$1` unless it read `keep`. If the
/// folder has a server, stops it first, and removes its shared memory if it was killed. Retries
/// because dying processes may still write files, and even create a folder without a server again.
const WATCHDOG: &str = "\
trap '' HUP INT TERM
folder=$1
read -r word
[ \"$word\" = keep ] && exit
[ -d \"$folder/data\" ] && has_server=1
lock=$folder/data/postmaster.pid
pid=$(cat \"$folder/server.pid\")
if [ -n \"$pid\" ]; then
  kill -s QUIT \"$pid\"
  tries=0
  while [ -e \"$lock\" ] && kill -s 0 \"$pid\" && [ $tries -lt 100 ]; do
    sleep 0.05; tries=$((tries + 1))
  done
  kill -s KILL -- \"-$pid\"
fi
if [ -e \"$lock\" ]; then
  ipcrm -m \"$(sed -n 7p \"$lock\" | tr -s ' ' | sed 's/^ //' | cut -d ' ' -f 2)\"
fi
tries=0
until rm -rf \"$folder\" || [ $tries -ge 100 ]; do sleep 0.05; tries=$((tries + 1)); done
[ -n \"$has_server\" ] && exit
sleep 0.2
rm -rf \"$folder\"";

/// A folder that is removed when this is dropped and when our process ends, even by SIGKILL.
pub struct Watched {
    path: PathBuf,
    watchdog: Child,
}

/// A cluster's private folder. Its server is stopped before it is removed.
pub(crate) struct Folder {
    watched: Watched,
    /// The user that runs the programs, because Postgres refuses root.
    user: Option<User>,
    _lock: File,
}

// === impl Watched ===

impl Watched {
    /// Creates a folder for temporary files whose name starts with `prefix`.
    pub fn create(prefix: &str) -> io::Result<Watched> {
        Watched::of(tempfile::TempDir::with_prefix(prefix)?.keep())
    }

    fn of(path: PathBuf) -> io::Result<Watched> {
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "tally-watchdog"])
            .arg(&path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Watched { path, watchdog })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the folder.
    pub fn keep(&self) {
        if let Some(mut pipe) = self.watchdog.stdin.as_ref() {
            // A dead watchdog removes nothing.
            let _ = pipe.write_all(b"keep\n");
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The watchdog cleans up in any case.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

// === impl Folder ===

impl Folder {
    /// Creates a folder with a watchdog, after sweeping folders with dead owners. It is in memory if
    /// that is asked for, possible, and `TMPDIR` does not say otherwise.
    pub(crate) fn create(in_memory: bool) -> io::Result<Folder> {
        let user = rustix::process::geteuid().is_root().then_some(User::NOBODY);
        let memory = Path::new(MEMORY);
        let in_memory =
            in_memory && std::env::var_os("TMPDIR").is_none() && has_room(memory, MEMORY_BYTES_MIN);
        let base = if in_memory { memory.to_owned() } else { base(user.is_some()) };
        sweep(&base);
        let path = base.join(format!("{PREFIX}{:010x}", random() & 0xff_ffff_ffff));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create(path.join(OWNER))?;
        lock.lock()?;
        if let Some(user) = user {
            chown(&path, Some(user.uid), Some(user.gid))?;
        }
        Ok(Folder { watched: Watched::of(path)?, user, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.watched.path
    }

    /// The folder of the database.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A command that runs the program here as the folder's user. It writes its process id for the
    /// watchdog first.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$1\" && shift && exec \"$@\"", "sh"]);
        command.arg(self.path().join(SERVER_PID)).arg(program);
        command.current_dir(self.path()).process_group(0).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Removes the process id of a reaped process, because the system may reuse it.
    pub(crate) fn forget_process(&self) {
        let _ = fs::remove_file(self.path().join(SERVER_PID));
    }

    /// Writes a file that only the folder's user can read.
    pub(crate) fn write_private(&self, path: &Path, content: &str) -> io::Result<()> {
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        match self.user {
            Some(user) => chown(path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        }
    }
}

/// The folder for temporary files, or /tmp if that one is too long for a socket's path or not
/// accessible to Postgres's user.
fn base(as_nobody: bool) -> PathBuf {
    let base = std::env::temp_dir();
    let open_to_all = |path: &Path| {
        path.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        })
    };
    let short = base.as_os_str().len() <= BASE_BYTES_MAX;
    if short && (!as_nobody || open_to_all(&base)) { base } else { PathBuf::from("/tmp") }
}

/// Whether this much can be written to a folder; not if there is no such folder.
fn has_room(folder: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|all| all.f_bavail * all.f_frsize >= bytes)
}

/// Removes folders whose owner and watchdog are both dead, as after a reset of the machine. Ignores
/// errors because a leftover only costs disk space.
fn sweep(base: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        let ours = metadata.uid() == own || (own == 0 && metadata.uid() == User::NOBODY.uid);
        let old =
            metadata.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > SWEEP_AGE));
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if named && ours && old && metadata.is_dir() && !has_owner(&entry.path()) {
            stop_leftover(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a living process holds the owner's lock.
fn has_owner(folder: &Path) -> bool {
    match File::open(folder.join(OWNER)) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Kills the server of an orphaned folder, if its process id was not reused.
fn stop_leftover(folder: &Path) {
    let pid = fs::read_to_string(folder.join(SERVER_PID)).ok();
    let Some(pid) = pid.and_then(|text| text.trim().parse::<i32>().ok()) else { return };
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
    let arguments = Command::new("ps")
        .args(["-o", "args=", "-p", &pid.as_raw_nonzero().to_string()])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    if arguments.contains(&*folder.to_string_lossy()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A folder of this age; the returned file is its owner's, unlocked.
    fn leftover(base: &Path, name: &str, age: Duration) -> File {
        let folder = base.join(name);
        fs::create_dir(&folder).unwrap();
        let owner = File::create(folder.join(OWNER)).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        if age > SWEEP_AGE {
            File::open(&folder).unwrap().set_modified(modified).unwrap();
        }
        owner
    }

    #[test]
    fn room_is_what_a_folder_has() {
        let folder = tempfile::tempdir().unwrap();
        assert!(has_room(folder.path(), 1));
        assert!(!has_room(folder.path(), u64::MAX));
        assert!(!has_room(&folder.path().join("none"), 0));
    }

    #[test]
    fn the_sweep_removes_only_old_folders_without_an_owner() {
        let base = tempfile::tempdir().unwrap();
        let owner = leftover(base.path(), "tally-pg-owned", SWEEP_AGE * 2);
        owner.lock().unwrap();
        drop(leftover(base.path(), "tally-pg-young", Duration::ZERO));
        drop(leftover(base.path(), "tally-pg-orphan", SWEEP_AGE * 2));
        drop(leftover(base.path(), "another", SWEEP_AGE * 2));

        sweep(base.path());

        let mut left: Vec<_> = fs::read_dir(base.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["another", "tally-pg-owned", "tally-pg-young"]);
    }
}
