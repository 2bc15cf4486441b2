//! Whether the server asks for keys: one explicit setting, which is never inferred from another.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tally_access::{Keys, Store};
use tally_runtime::Clock;
use tally_runtime::config::{Given, Problems, name};
use tally_serve::Access;
use tally_store::Database;

/// Who may use the server.
#[derive(Debug, clap::Args)]
pub(crate) struct AccessArgs {
    /// Whether to ask for keys: keys, or none, which is for addresses of this machine only
    #[arg(long, env = "TALLY_AUTH", value_name = "HOW", default_value = "none")]
    auth: Given<Auth>,

    /// Let anyone who reaches the address do everything: true or false. With --auth none, for addresses that
    /// other machines reach, and behind a proxy
    #[arg(
        long,
        env = "TALLY_INSECURE_ALLOW_ANYONE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false"
    )]
    insecure_allow_anyone: Given<bool>,

    /// A file with more keys, one on each line: NAME SCOPE KEY, or NAME SCOPE sha256:DIGITS. It is read again
    /// when it changes
    #[arg(long, env = "TALLY_KEYS_FILE", value_name = "FILE")]
    keys_file: Option<PathBuf>,
}

/// Whether keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    None,
    Keys,
}

/// Who may use the server, checked.
#[derive(Debug, Clone)]
pub(crate) struct AccessSettings {
    auth: Auth,
    allows_anyone: bool,
    keys_file: Option<PathBuf>,
}

// === impl Auth ===

impl FromStr for Auth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "none" => Ok(Self::None),
            "keys" => Ok(Self::Keys),
            _ => Err("write keys or none"),
        }
    }
}

// === impl AccessArgs ===

impl AccessArgs {
    pub(crate) fn check(&self, problems: &mut Problems) -> Option<AccessSettings> {
        let auth = problems.take(&name("auth"), &self.auth);
        let (insecure, file) = (name("insecure-allow-anyone"), name("keys-file"));
        let allows_anyone = problems.take(&insecure, &self.insecure_allow_anyone);
        let keys_file = self.keys_file.clone().filter(|path| !path.as_os_str().is_empty());
        match auth {
            Some(Auth::Keys) if allows_anyone == Some(true) => {
                problems.add(format!("{insecure}: it contradicts --auth keys: leave one out"));
            }
            Some(Auth::None) if keys_file.is_some() => {
                problems.add(format!("{file}: it is of no use without --auth keys (TALLY_AUTH)"));
            }
            _ => {}
        }
        Some(AccessSettings { auth: auth?, allows_anyone: allows_anyone?, keys_file })
    }
}

// === impl AccessSettings ===

impl AccessSettings {
    /// Refuses to be open on an address that other machines reach, unless that is wanted.
    pub(crate) fn permit(&self, address: SocketAddr) -> anyhow::Result<()> {
        if self.auth == Auth::Keys || self.allows_anyone || is_of_this_machine(address) {
            return Ok(());
        }
        anyhow::bail!(
            "other machines reach {address}, and with --auth none (TALLY_AUTH) each of them could \
             read and change everything. Do one of these:\n\
             \x20 ask for keys:             --auth keys; tally key create NAME --scope admin makes one\n\
             \x20 serve this machine only:  --listen 127.0.0.1:7777 (LISTEN_ADDR)\n\
             \x20 let anyone in:            --insecure-allow-anyone, if something else keeps others away"
        );
    }

    /// What the server asks for. Keys are read now.
    pub(crate) async fn open(
        &self,
        database: &Database,
        address: SocketAddr,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Access> {
        if self.auth == Auth::Keys {
            let store = Store::new(database.clone());
            let opened = Keys::open(store, self.keys_file.clone(), Arc::clone(clock)).await;
            return opened.map(Access::Keys).map_err(anyhow::Error::msg);
        }
        let is_closed = is_of_this_machine(address) && !self.allows_anyone;
        Ok(if is_closed { Access::ThisMachine } else { Access::Anyone })
    }

    /// What is said of it at the start.
    pub(crate) fn greeting(&self, address: SocketAddr, keys: Option<Keys>) -> Vec<String> {
        match self.auth {
            Auth::Keys if keys.is_some_and(|keys| keys.are_any()) => vec!["access: by keys (--auth keys)".to_owned()],
            Auth::Keys => vec![
                "access: by keys (--auth keys), and there is none yet: nobody can do anything".to_owned(),
                "make one, with the same --database-url (DB_URL):  tally key create NAME --scope admin"
                    .to_owned(),
            ],
            Auth::None if is_of_this_machine(address) && !self.allows_anyone => {
                vec!["access: anyone on this machine (--auth none)".to_owned()]
            }
            Auth::None => {
                vec![format!("access: ANYONE who reaches {address} (--insecure-allow-anyone)")]
            }
        }
    }
}

fn is_of_this_machine(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(auth: Auth, allows_anyone: bool) -> AccessSettings {
        AccessSettings { auth, allows_anyone, keys_file: None }
    }

    #[test]
    fn an_open_server_is_refused_where_others_reach_it() {
        let address = |text: &str| text.parse().expect("an address");
        for own in ["127.0.0.1:7777", "127.9.9.9:1", "[::1]:7777", "[::ffff:127.0.0.1]:7777"] {
            settings(Auth::None, false).permit(address(own)).expect(own);
        }
        for others in ["0.0.0.0:7777", "[::]:7777", "192.0.2.7:7777"] {
            let refused = settings(Auth::None, false).permit(address(others)).expect_err(others);
            let words = refused.to_string();
            for way in [others, "--auth keys", "--listen 127.0.0.1", "--insecure-allow-anyone"] {
                assert!(words.contains(way), "{words}");
            }
            settings(Auth::Keys, false).permit(address(others)).expect(others);
            settings(Auth::None, true).permit(address(others)).expect(others);
            let greeting = settings(Auth::None, true).greeting(address(others), None).concat();
            assert!(greeting.contains("ANYONE"), "{greeting}");
        }
    }
}
