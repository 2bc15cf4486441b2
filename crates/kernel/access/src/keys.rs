//! The keys as a server knows them, so that a check asks nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use tally_runtime::{Clock, Drain, Namespace, chain, file};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::attempts::Attempts;
use crate::key::{Key, Session};
use crate::known::Known;
use crate::pass::{Entry, Pass};
use crate::{Refusal, Secret, Store};

/// How often a server reads the keys: this is how long one that was revoked is still accepted.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How long the keys that a server knows are accepted while the database does not answer.
pub const STALE_MAX: Duration = Duration::from_secs(10 * 60);
/// How often unknown keys make a server read the keys, and how long this may take.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How often it is noted when keys were used.
const NOTE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a browser stays logged in.
pub const SESSION_DAYS: i64 = 30;

/// The keys as a server knows them. Clones are the same.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    store: Store,
    file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    known: ArcSwap<Known>,
    reading: Mutex<Reading>,
    attempts: Attempts,
}

/// What the last readings were.
struct Reading {
    begun: Instant,
    of_database: Vec<Key>,
    of_file: Vec<Key>,
    namespaces: BTreeMap<String, Namespace>,
    /// Whether the last reading failed, and what was wrong with the file: each is logged once.
    is_failing: bool,
    wrong: Option<String>,
}

// === impl Keys ===

impl Keys {
    /// Reads the keys.
    ///
    /// # Errors
    /// When the database fails, or the file is wrong.
    pub async fn open(
        store: Store,
        file: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let now = Instant::now();
        let reading = Reading {
            begun: now,
            of_database: Vec::new(),
            of_file: Vec::new(),
            namespaces: BTreeMap::from([("default".to_owned(), Namespace::DEFAULT)]),
            is_failing: false,
            wrong: None,
        };
        let inner = Inner {
            store,
            file,
            clock,
            known: ArcSwap::from_pointee(Known::nothing(now)),
            reading: Mutex::new(reading),
            attempts: Attempts::default(),
        };
        let keys = Self(Arc::new(inner));
        let mut reading = keys.0.reading.lock().await;
        keys.read_file(&mut reading).await?;
        keys.read_database(&mut reading).await?;
        drop(reading);
        Ok(keys)
    }

    /// Whether somebody has a key that is accepted.
    #[must_use]
    pub fn are_any(&self) -> bool {
        let now = self.0.clock.now();
        self.0.known.load().entries.values().any(|entry| entry.key.is_valid(now))
    }

    /// Reads the keys again and again, until the drain begins.
    pub async fn run(self, drain: Drain) {
        let mut noted = Instant::now();
        loop {
            tokio::select! {
                () = drain.begun() => break,
                () = sleep(REFRESH_INTERVAL) => {}
            }
            self.refresh().await;
            if noted.elapsed() >= NOTE_INTERVAL {
                self.note_uses().await;
                noted = Instant::now();
            }
        }
        self.note_uses().await;
    }

    /// Reads the keys: from now on, what was revoked before is refused, and streams with it end.
    pub async fn refresh(&self) {
        let mut reading = self.0.reading.lock().await;
        // The task that calls this goes on, and what is known goes on being used.
        let _ = self.read(&mut reading).await;
    }

    /// Whom a key belongs to.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn check(&self, presented: &str, from: Option<IpAddr>) -> Result<Pass, Refusal> {
        let checked = self.check_secret(presented, from).await;
        self.noting(checked, from)
    }

    /// Whom a browser belongs to, by the secret in its cookie.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn check_session(&self, secret: &str, from: Option<IpAddr>) -> Result<Pass, Refusal> {
        let checked = async {
            let secret = Secret::read(secret).filter(|secret| secret.scope().is_none());
            let secret = secret.ok_or(Refusal::Session)?.digest();
            let now = self.0.clock.now();
            let find = |known: &Known| known.sessions.get(&secret).cloned();
            let session = self.look(find, from, Refusal::Session).await?;
            if session.expires <= now {
                return Err(Refusal::Session);
            }
            let entry = self.0.known.load().entries.get(&session.key).cloned();
            self.judge(entry.ok_or(Refusal::Session)?)
        };
        self.noting(checked.await, from)
    }

    /// Whom a client certificate belongs to that was verified and has these names. The first one decides
    /// that is the name of a key, even if that key is not accepted any more.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn check_names(&self, names: &[String]) -> Result<Pass, Refusal> {
        let find = |known: &Known| names.iter().find_map(|name| known.names.get(name)).cloned();
        // Nobody can guess the names of a certificate, so nobody is slowed.
        let named = self.look(find, None, Refusal::UnknownNames).await?;
        self.judge(Entry::of_name(&named, self.0.clock.now())?)
    }

    /// Logs a browser in. The secret goes into its cookie.
    ///
    /// # Errors
    /// Why the key is refused.
    pub async fn log_in(
        &self,
        presented: &str,
        from: Option<IpAddr>,
    ) -> Result<(Secret, Pass), Refusal> {
        let pass = self.check(presented, from).await?;
        let secret = Secret::of_session();
        let expires = self.0.clock.now() + SignedDuration::from_hours(24 * SESSION_DAYS);
        let session = Session { digest: secret.digest(), key: pass.0.key.digest, expires };
        if let Err(error) = self.0.store.add_session(&session).await {
            tracing::warn!(error = chain(&error), "could not log a browser in");
            return Err(Refusal::Unchecked);
        }
        self.refresh().await;
        Ok((secret, pass))
    }

    /// Logs a browser out.
    ///
    /// # Errors
    /// When the database fails: it may still be logged in.
    pub async fn log_out(&self, secret: &str) -> Result<(), tally_store::Error> {
        let Some(secret) = Secret::read(secret) else { return Ok(()) };
        self.0.store.end_session(secret.digest(), self.0.clock.now()).await?;
        self.refresh().await;
        Ok(())
    }

    async fn check_secret(&self, presented: &str, from: Option<IpAddr>) -> Result<Pass, Refusal> {
        let key = Secret::read(presented).filter(|key| key.scope().is_some());
        let Some(key) = key else {
            let many = from.is_some_and(|from| self.0.attempts.are_too_many(from));
            return Err(if many { Refusal::TooMany } else { Refusal::Malformed });
        };
        let digest = key.digest();
        let find = |known: &Known| known.entries.get(&digest).cloned();
        let entry = self.look(find, from, Refusal::Unknown).await?;
        self.judge(entry)
    }

    /// What is known, or becomes known when the keys are read again: somebody may have added it just
    /// now. Those who look at the same time share a reading.
    async fn look<T>(
        &self,
        find: impl Fn(&Known) -> Option<T>,
        from: Option<IpAddr>,
        unknown: Refusal,
    ) -> Result<T, Refusal> {
        if let Some(found) = find(&self.0.known.load()) {
            return Ok(found);
        }
        if from.is_some_and(|from| self.0.attempts.are_too_many(from)) {
            return Err(Refusal::TooMany);
        }
        let came = Instant::now();
        let again = async {
            let mut reading = self.0.reading.lock().await;
            if reading.begun >= came {
                return !reading.is_failing;
            }
            sleep_until(reading.begun + LOOK_PAUSE).await;
            self.read(&mut reading).await.is_ok()
        };
        if !timeout(LOOK_MAX, again).await.unwrap_or(false) {
            return Err(Refusal::Unchecked);
        }
        find(&self.0.known.load()).ok_or(unknown)
    }

    fn judge(&self, entry: Arc<Entry>) -> Result<Pass, Refusal> {
        let now = self.0.clock.now();
        let name = || entry.key.name.clone();
        if entry.key.revoked.is_some() {
            return Err(Refusal::Revoked(name()));
        }
        if entry.key.is_expired(now) {
            return Err(Refusal::Expired(name()));
        }
        if !entry.is_of_file && self.0.known.load().asked.elapsed() > STALE_MAX {
            return Err(Refusal::Unchecked);
        }
        entry.used.fetch_max(now.as_microsecond(), Ordering::Relaxed);
        Ok(Pass(entry))
    }

    fn noting<T>(&self, checked: Result<T, Refusal>, from: Option<IpAddr>) -> Result<T, Refusal> {
        if let (Err(refusal), Some(from)) = (&checked, from)
            && refusal.is_guess()
        {
            self.0.attempts.note(from);
        }
        checked
    }

    /// Reads the database and the file. What cannot be read stays as it was.
    async fn read(&self, reading: &mut Reading) -> Result<(), String> {
        reading.begun = Instant::now();
        match self.read_file(reading).await {
            Ok(()) => reading.wrong = None,
            Err(wrong) if reading.wrong.as_ref() != Some(&wrong) => {
                tracing::error!("{wrong}; the keys that were read from it before stay");
                reading.wrong = Some(wrong);
            }
            Err(_) => {}
        }
        let before = self.0.known.load_full();
        let done = self.read_database(reading).await;
        before.tell_changes(&self.0.known.load());
        done
    }

    /// Reads the database. From now on, its keys and those that were read from the file are known.
    async fn read_database(&self, reading: &mut Reading) -> Result<(), String> {
        let begun = reading.begun;
        let now = self.0.clock.now();
        let answer = async {
            let keys = self.0.store.keys().await?;
            Ok::<_, tally_store::Error>((keys, self.0.store.sessions(now).await?))
        };
        let answer = answer.await.map_err(|error| chain(&error));
        let before = self.0.known.load_full();
        let (sessions, asked, failed) = match answer {
            Ok((keys, sessions)) => {
                reading.of_database = keys;
                let sessions = sessions.into_iter().map(|one| (one.digest, one)).collect();
                (sessions, begun, None)
            }
            Err(error) => (before.sessions.clone(), before.asked, Some(error)),
        };
        match &failed {
            Some(error) if !reading.is_failing => {
                tracing::warn!(
                    error,
                    "could not read the keys: those that are known go on being accepted for a while"
                );
            }
            None if reading.is_failing => tracing::info!("the keys can be read again"),
            _ => {}
        }
        reading.is_failing = failed.is_some();
        let known = before.after(&reading.of_database, &reading.of_file, now);
        self.0.known.store(Arc::new(Known { sessions, asked, ..known }));
        failed.map_or(Ok(()), Err)
    }

    /// Reads the file, if there is one. If it is wrong, what was read before stays.
    async fn read_file(&self, reading: &mut Reading) -> Result<(), String> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let read = async {
            let text = file::read(path).await.map_err(|error| chain(&error))?;
            let text = String::from_utf8(text).map_err(|_| "it is not text in UTF-8")?;
            let mut keys = crate::file::read(&text)?;
            for key in &mut keys {
                let name = &key.namespace_name;
                key.namespace = match reading.namespaces.get(name) {
                    Some(known) => *known,
                    None => {
                        let found = self.0.store.some_namespace(name).await;
                        let found = found.map_err(|error| chain(&error))?;
                        reading.namespaces.insert(name.clone(), found);
                        found
                    }
                };
            }
            Ok(keys)
        };
        let read: Result<_, String> = read.await;
        reading.of_file =
            read.map_err(|wrong| format!("the file of keys {}: {wrong}", path.display()))?;
        Ok(())
    }

    /// Tells the database when keys were used. [`Self::run`] does it now and then.
    pub async fn note_uses(&self) {
        let known = self.0.known.load_full();
        for entry in known.entries.values().filter(|entry| !entry.is_of_file) {
            let used = entry.used.load(Ordering::Relaxed);
            if used <= entry.noted.load(Ordering::Relaxed) {
                continue;
            }
            let at = Timestamp::from_microsecond(used).unwrap_or_default();
            match self.0.store.used(entry.key.digest, at).await {
                Ok(()) => entry.noted.store(used, Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(error = chain(&error), "could not note when a key was used");
                    return;
                }
            }
        }
    }
}
