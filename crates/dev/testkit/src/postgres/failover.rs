//! A standby server, and settings changed at run time.

use std::fs::File;
use std::io::Write as _;
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use super::{Cluster, Error, USER};
use crate::folder::Folder;

// === impl Cluster ===

impl Cluster {
    /// Starts a second server with the same settings, which follows this one until its
    /// `primary_conninfo` is [changed](Cluster::change) to an empty string. It answers queries, and
    /// `pg_promote()` makes it a primary. TLS is not supported: it has no file for
    /// [`Cluster::ca_path`].
    pub fn standby(&self) -> Result<Cluster, Error> {
        let folder = Folder::create(false).map_err(Error::Folder)?;
        let (bin, options) = (self.bin.clone(), self.options.clone());
        let mut standby = Cluster { bin, port: 0, options, server: Mutex::new(None), folder };
        let data = standby.folder.data();
        standby.run("pg_basebackup", |copy| {
            copy.arg("-h").arg(self.socket_dir()).args(["-p", &self.port.to_string(), "-U", USER]);
            copy.arg("-D").arg(data).args(["-c", "fast", "--no-sync"]);
        })?;
        let from = format!("host={} port={} user={USER}", self.socket_dir().display(), self.port);
        standby.change("primary_conninfo", &from)?;
        let signal = standby.folder.data().join("standby.signal");
        standby.folder.write_private(&signal, "").map_err(Error::Folder)?;
        standby.launch_on_a_port()?;
        Ok(standby)
    }

    /// Changes a setting that needs no restart, and keeps it across restarts. A running server
    /// applies it immediately, each session before its next command.
    pub fn change(&self, name: &str, value: &str) -> Result<(), Error> {
        let path = self.folder.data().join("postgresql.conf");
        let written = File::options()
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(format!("{name} = '{value}'\n").as_bytes()));
        written.map_err(Error::Folder)?;
        if let Some(child) = self.lock().as_ref() {
            kill_process(Pid::from_child(child), Signal::HUP)
                .map_err(|error| self.failed(format!("cannot reload its settings: {error}")))?;
        }
        Ok(())
    }
}
