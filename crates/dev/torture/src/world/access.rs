//! Who may do what: keys, which `tally key` makes on the database itself, and the servers' certificate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tally_testkit::{Authority, Tls, run};

use crate::arguments::{NAMESPACES, everybody, namespace_of};
use crate::door::{self, key_file};

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// The names that the servers' certificates have.
const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];

/// The keys and the certificate of a run.
pub(crate) struct Access {
    tally: PathBuf,
    folder: PathBuf,
    authority: Authority,
    certificate: Mutex<Tls>,
    /// The keys of the harness itself, by namespace.
    admins: Vec<String>,
    /// How many keys were made for each client, or may have been, and what the one is called that it has.
    made: Mutex<BTreeMap<String, (u64, String)>>,
    /// Keys that no server may accept any more.
    revoked: Mutex<Vec<String>>,
}

/// A key in place of another one.
pub(crate) struct Replaced {
    name: String,
    key: String,
}

/// Removes what would change a command's settings.
pub(super) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_tally = ["LISTEN_ADDR", "DB_URL", "MIGRATION_DRIVER"].contains(&&*name);
        if of_tally || name.starts_with("TALLY_") || name.starts_with("PG") {
            command.env_remove(&*name);
        }
    }
}

// === impl Access ===

impl Access {
    /// Makes the keys of all, in a database that no server has yet.
    pub(super) fn new(tally: &Path, folder: &Path, url: &str) -> anyhow::Result<Self> {
        let authority = Authority::generate();
        let certificate = authority.sign(&HOSTS);
        door::write_authority(folder, &authority.ca_pem())?;
        door::write_certificate(folder, &certificate)?;
        let mut access = Self {
            tally: tally.to_owned(),
            folder: folder.to_owned(),
            authority,
            certificate: Mutex::new(certificate),
            admins: Vec::new(),
            made: Mutex::default(),
            revoked: Mutex::default(),
        };
        for namespace in NAMESPACES {
            access.admins.push(access.create(
                url,
                &format!("torture-{namespace}"),
                "admin",
                namespace,
            )?);
        }
        for (number, (kind, _)) in everybody().enumerate() {
            let client = kind.name(number);
            fs::write(folder.join(key_file(&client)), "")?;
            access.replace_key(url, &client)?;
        }
        Ok(access)
    }

    /// The harness's key for a namespace.
    pub(super) fn admin(&self, namespace: i64) -> String {
        self.admins[usize::try_from(namespace).expect("the number of a namespace")].clone()
    }

    /// The authority's certificate.
    pub(super) fn ca(&self) -> String {
        self.authority.ca_pem()
    }

    /// Gives a client another key, with which its next process starts. Returns the one that it had.
    pub(crate) fn replace_key(&self, url: &str, client: &str) -> anyhow::Result<Replaced> {
        let file = self.folder.join(key_file(client));
        let key = fs::read_to_string(&file)?;
        let new = self.next_key(url, client)?;
        fs::write(file, new.key)?;
        let mut made = lock(&self.made);
        let of = made.entry(client.to_owned()).or_default();
        Ok(Replaced { name: std::mem::replace(&mut of.1, new.name), key })
    }

    /// Revokes a key. It is refused from a few seconds later on.
    pub(crate) fn revoke(&self, url: &str, replaced: &Replaced) -> anyhow::Result<()> {
        self.run(url, &["revoke", &replaced.name])?;
        lock(&self.revoked).push(replaced.key.clone());
        Ok(())
    }

    /// All keys that are revoked.
    pub(crate) fn revoked(&self) -> Vec<String> {
        lock(&self.revoked).clone()
    }

    /// Gives the servers another certificate, which they notice by themselves.
    pub(crate) fn swap_certificate(&self) -> anyhow::Result<()> {
        let new = self.authority.sign(&HOSTS);
        door::write_certificate(&self.folder, &new)?;
        *lock(&self.certificate) = new;
        Ok(())
    }

    /// The certificate that servers should show, as they show it.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        lock(&self.certificate).der()
    }

    fn next_key(&self, url: &str, client: &str) -> anyhow::Result<Replaced> {
        let number = {
            let mut made = lock(&self.made);
            let of = made.entry(client.to_owned()).or_default();
            // Whether it will be made or not, the name is not used again.
            of.0 += 1;
            of.0
        };
        let name = format!("{client}.{number}");
        let namespace = usize::try_from(namespace_of(client))?;
        let key = self.create(url, &name, "ingest", NAMESPACES[namespace])?;
        Ok(Replaced { name, key })
    }

    fn create(
        &self,
        url: &str,
        name: &str,
        scope: &str,
        namespace: &str,
    ) -> anyhow::Result<String> {
        self.run(url, &["create", name, "--scope", scope, "--namespace", namespace])
    }

    /// Runs `tally key` and returns what it prints.
    fn run(&self, url: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.tally);
        without_settings(&mut command);
        command.current_dir(&self.folder).arg("key").args(arguments).args(["--database-url", url]);
        let output = run(&command, b"", COMMAND_LIMIT);
        anyhow::ensure!(output.status.success(), "tally key {arguments:?}: {}", output.stderr);
        Ok(output.stdout.trim().to_owned())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
