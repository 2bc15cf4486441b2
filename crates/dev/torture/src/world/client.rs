//! A client process and its way to the servers.

use std::path::PathBuf;
use std::process::Command;

use tally_testkit::Proxy;

use super::child::Child;
use crate::client::{Arguments, READY};

/// A client across all its processes.
pub(crate) struct Client {
    pub(crate) arguments: Arguments,
    pub(crate) proxy: Proxy,
    pub(super) program: PathBuf,
    pub(crate) process: Child,
}

// === impl Client ===

impl Client {
    /// Starts a process in place of the previous one.
    pub(crate) fn start(&self, stubborn: bool) -> anyhow::Result<()> {
        let Arguments { kind, name, server, folder, seed, rate, .. } = &self.arguments;
        let mut command = Command::new(&self.program);
        command.arg("client").args(["--kind", &kind.word(), "--name", name, "--server", server]);
        command.args(["--seed", &seed.to_string(), "--rate", &rate.to_string()]);
        command.arg("--folder").arg(folder);
        if stubborn {
            command.arg("--stubborn");
        }
        if self.arguments.counted_twice {
            command.arg("--counted-twice");
        }
        self.process.start(&mut command, READY)
    }
}
