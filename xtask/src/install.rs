//! Installing what tests need from Debian's and Ubuntu's packages, if run as root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use tally_testkit::{PROGRAMS, bin_dir, is_installed};

/// Read by the packages before they create and start their own server, which the tests do not need.
const NO_SERVER: &str = "/etc/postgresql-common/createcluster.d/tally-tests.conf";

/// Asked by packages before they start a server of theirs, as Prometheus' does.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// What it answers if they may not.
const FORBIDDEN: &str = "#!/bin/sh\nexit 101\n";

/// A file that is removed on drop, with its folder if that was created for it.
struct Temporary {
    file: PathBuf,
    created_folder: bool,
}

/// Installs Postgres if this is root on Debian or Ubuntu. Returns whether it did.
///
/// # Errors
/// The packages cannot be installed.
pub(crate) fn postgres() -> anyhow::Result<bool> {
    if !can_install() {
        return Ok(false);
    }
    println!("Postgres: not found; installing the package postgresql");
    install("postgresql-common")?;
    let no_server = Temporary::write(Path::new(NO_SERVER), "create_main_cluster = false\n")?;
    install("postgresql")?;
    drop(no_server);
    if bin_dir().is_none() {
        bail!("the package postgresql is installed, but has no initdb and postgres");
    }
    Ok(true)
}

/// Installs the other programs, if they are missing and this is root on Debian or Ubuntu. Without them,
/// tests say what to install.
///
/// # Errors
/// The packages cannot be installed.
pub(crate) fn programs() -> anyhow::Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).collect();
    if missing.is_empty() || !can_install() {
        return Ok(());
    }
    // Containers have such a file of their own.
    let policy = Path::new(POLICY);
    let no_servers = (!policy.exists()).then(|| Temporary::write(policy, FORBIDDEN)).transpose()?;
    if no_servers.is_some() {
        fs::set_permissions(policy, Permissions::from_mode(0o755)).context("cannot set a mode")?;
    }
    for (program, package) in missing {
        println!("{program}: not found; installing the package {package}");
        install(package)?;
    }
    Ok(())
}

fn can_install() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/etc/debian_version").exists()
}

fn install(package: &str) -> anyhow::Result<()> {
    // Leave installed packages unchanged.
    let install = ["install", "-y", "--no-install-recommends", "--no-upgrade", package];
    apt_get(&install).or_else(|_| {
        // A fresh container has no package lists.
        apt_get(&["update"])?;
        apt_get(&install)
    })
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .arg("-q")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        bail!(
            "apt-get {} failed:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}

// === impl Temporary ===

impl Temporary {
    fn write(file: &Path, content: &str) -> anyhow::Result<Temporary> {
        let folder = file.parent().expect("an absolute path of a file");
        let created_folder = !folder.exists();
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(file, content))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Temporary { file: file.to_path_buf(), created_folder })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        if self.created_folder {
            let _ = self.file.parent().map(fs::remove_dir);
        }
    }
}
