//! What could not be told, a file each, in a folder for each server and key: what is meant for one server or
//! namespace is not told to another.

use std::fs;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use siphasher::sip::SipHasher24;
use tally_runtime::{Clock as _, SystemClock, random};
use tokio::time::{Instant, timeout_at};

use super::Told;
use crate::client::ServerArgs;
use crate::client::patience::{ATTEMPT_MAX, Failed};
use crate::output::warn;

/// How many are kept that could not be told.
const KEPT_MAX: usize = 1_000;

/// What could not be told: its folder, or why there is none.
pub(super) struct Spool<M>(Result<PathBuf, &'static str>, PhantomData<M>);

// === impl Spool ===

impl<M: Told> Spool<M> {
    /// What is kept for this server, in this folder or the usual one.
    pub(super) fn of(given: Option<&Path>, server: &ServerArgs) -> Self {
        let folder = given.map(Path::to_owned).or_else(|| usual_folder(M::FOLDER));
        if server.check().is_err() {
            return Self(Err("nobody can say for which server and key it is"), PhantomData);
        }
        let key = server.key().ok().flatten().unwrap_or_default();
        let folder = folder.map(|folder| folder.join(name_of(&server.url(), &key)));
        Self(folder.ok_or("there is no HOME: name a folder by --spool"), PhantomData)
    }

    /// Keeps one. False if it cannot be kept.
    pub(super) fn keep(&self, message: &M) -> bool {
        let kept = self.try_keep(message);
        if let Err(error) = &kept {
            warn(format_args!("a {} cannot be kept: {error:#}", M::NAME));
        }
        kept.is_ok()
    }

    fn try_keep(&self, message: &M) -> anyhow::Result<()> {
        let folder = self.0.as_deref().map_err(|why| anyhow!(*why))?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if self.files().len() >= KEPT_MAX {
            anyhow::bail!("{} has {KEPT_MAX} {}s already", folder.display(), M::NAME);
        }
        let id = random::id(SystemClock.now());
        let path = folder.join(format!("{id}.{}", M::EXTENSION));
        let draft = folder.join(format!("{id}.draft"));
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&draft)?;
            file.write_all(&message.encode_to_vec())?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        let written = write();
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// The files, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let Some(entries) = self.0.as_deref().ok().and_then(|folder| fs::read_dir(folder).ok())
        else {
            return Vec::new();
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut files: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == M::EXTENSION)).collect();
        files.sort();
        files
    }

    /// Tells what was kept, as far as the server answers, and no longer than one attempt may take: a command
    /// waits. What another process tells at the same time counts once.
    pub(super) async fn tell_all(&self, server: &ServerArgs) {
        let until = Instant::now() + ATTEMPT_MAX;
        for path in self.files() {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // Another process has told it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    warn(format_args!("cannot read {}: {error}", path.display()));
                    continue;
                }
            };
            let Ok(message) = M::decode(&*bytes) else {
                warn(format_args!("{} is no {}: it is removed", path.display(), M::NAME));
                let _ = fs::remove_file(&path);
                continue;
            };
            match timeout_at(until, message.attempt(server)).await {
                Ok(Ok(_)) => {}
                Ok(Err(Failed::Wrong(error))) => {
                    warn(format_args!("an earlier {} is given up: {error:#}", M::NAME));
                }
                Ok(Err(Failed::Refused(_) | Failed::Away(_))) | Err(_) => return,
            }
            let _ = fs::remove_file(&path);
        }
    }
}

/// The folder of this name for what a program keeps from one run to the next; none without a home.
pub(crate) fn usual_folder(name: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = match variable("XDG_STATE_HOME") {
        Some(state) => Some(PathBuf::from(state)),
        None => variable("HOME").map(|home| PathBuf::from(home).join(".local/state")),
    };
    state.map(|state| state.join("tally").join(name))
}

/// What the folder of a server and a key is called. The key cannot be read from it.
fn name_of(server: &str, key: &str) -> String {
    format!("{:016x}", SipHasher24::new().hash(format!("{server}\n{key}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tally_proto::tally::debts::v1 as proto;

    use super::*;

    #[test]
    fn what_is_kept_is_told_in_its_order_and_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::<proto::PayRequest>(Ok(folder.path().join("one")), PhantomData);
        assert_eq!(spool.files(), Vec::<PathBuf>::new());
        for debt in ["a", "b"] {
            let payment = proto::PayRequest { debt: debt.to_owned(), ..Default::default() };
            assert!(spool.keep(&payment));
        }
        let read = |path: &PathBuf| {
            let bytes = fs::read(path).expect("a file");
            proto::PayRequest::decode(&*bytes).expect("a payment").debt
        };
        assert_eq!(spool.files().iter().map(read).collect::<Vec<_>>(), ["a", "b"]);
        let nowhere = Spool(Err("no folder"), PhantomData);
        assert!(!nowhere.keep(&proto::PayRequest::default()));
        let inside = |name: String| folder.path().join("one").join(name);
        fs::write(inside("0.draft".to_owned()), "half").expect("room");
        assert_eq!(spool.files().len(), 2, "what is not written to its end is no payment");
        for number in 2..KEPT_MAX {
            fs::write(inside(format!("{number}.pay")), "").expect("room");
        }
        assert!(!spool.keep(&proto::PayRequest::default()), "there are as many as may be");
        assert_eq!(spool.files().len(), KEPT_MAX);
    }

    #[test]
    fn what_is_kept_for_one_server_or_key_is_not_for_another() {
        let of = [("http://a", ""), ("http://b", ""), ("http://a", "k"), ("http://a", "l")];
        let names = of.map(|(server, key)| name_of(server, key));
        let mut unique = names.to_vec();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{names:?}");
    }
}
