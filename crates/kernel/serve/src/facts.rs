//! What a server knows of itself: for `GetStatus`, the pages and the metrics.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tally_runtime::text::{age, bytes, thousands};
use tally_runtime::{Chore, Clock, Kind, chain};
use tally_store::{Database, DatabaseUrl, Error};
use tokio::time::timeout;

use crate::domain::Draining;
use crate::{Domains, Tls};

/// How long a part of the server may take to say something of itself.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What a server is, besides its domains.
#[derive(Clone)]
pub struct Origin {
    /// The program's version.
    pub version: &'static str,
    /// When it started.
    pub started_at: Timestamp,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Its database.
    pub database: Database,
    /// Where that is.
    pub url: DatabaseUrl,
    /// Each set of migrations, and the newest one that was applied.
    pub schemas: Vec<(&'static str, i64)>,
    /// What its port speaks, if that is TLS.
    pub tls: Option<Arc<Tls>>,
}

/// What a server knows of itself at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The program's version.
    pub version: &'static str,
    /// The number of its process.
    pub process: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// That moment.
    pub now: Timestamp,
    /// Why it cannot work, if it cannot.
    pub trouble: Option<String>,
    /// Its database.
    pub database: DatabaseFacts,
    /// What else it knows of itself.
    pub facts: Vec<Fact>,
    /// Its domains, in their order.
    pub domains: Vec<DomainFacts>,
}

/// What a server knows of its database.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseFacts {
    /// As in `Postgres`.
    pub kind: &'static str,
    /// Its URL without a password.
    pub address: String,
    /// Each set of migrations, and the newest one that was applied.
    pub schemas: Vec<(&'static str, i64)>,
    /// How large it is, if that can be told.
    pub bytes: Option<u64>,
    /// How much room its disk has, if this machine can see it.
    pub free_bytes: Option<u64>,
}

/// What a domain knows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainFacts {
    /// What `--domains` calls it.
    pub name: &'static str,
    /// What it knows: first what is in memory, then what the database says.
    pub facts: Vec<Fact>,
    /// Why the database said nothing, if it did not.
    pub missing: Option<String>,
}

/// Something that a server or a domain knows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// In snake_case with its unit last, as in `queue_rows`.
    pub name: Cow<'static, str>,
    /// What it is; `None` if there is nothing yet.
    pub value: Option<Value>,
    /// The most that there may be.
    pub max: Option<u64>,
    /// What a person should know about it.
    pub note: Option<Cow<'static, str>>,
}

/// The value of a fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// How many.
    Count(u64),
    /// How many bytes.
    Bytes(u64),
    /// When.
    Time(Timestamp),
    /// What, in a word or two.
    Text(Cow<'static, str>),
}

// === impl Fact ===

impl Fact {
    /// How many of something there are. A negative number is none.
    pub fn count(name: &'static str, count: impl TryInto<u64>) -> Self {
        Self::of(name, Some(Value::Count(count.try_into().unwrap_or(0))))
    }

    /// How many bytes something takes. A negative number is none.
    pub fn bytes(name: &'static str, bytes: impl TryInto<u64>) -> Self {
        Self::of(name, Some(Value::Bytes(bytes.try_into().unwrap_or(0))))
    }

    /// When something happened last; `None` if never.
    pub fn time(name: &'static str, time: Option<Timestamp>) -> Self {
        Self::of(name, time.map(Value::Time))
    }

    /// What something is.
    pub fn text(name: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::of(name, Some(Value::Text(text.into())))
    }

    /// When a chore was done last, or found nothing to do. One that another server does says nothing.
    fn of_chore(chore: &Chore) -> Option<Self> {
        let overdue = || chore.overdue().map(|overdue| overdue.to_string());
        let name = format!("{}_checked_at", chore.name().replace('-', "_"));
        let fact = Self { name: name.into(), ..Self::time("", chore.done_at()) };
        (!chore.is_elsewhere()).then(|| fact.noted(chore.failed().or_else(overdue)))
    }

    /// A fact of which nothing is known, or whatever its value is.
    pub fn of(name: &'static str, value: Option<Value>) -> Self {
        Self { name: name.into(), value, max: None, note: None }
    }

    /// With the most that there may be.
    #[must_use]
    pub fn at_most(self, max: impl TryInto<u64>) -> Self {
        Self { max: max.try_into().ok(), ..self }
    }

    /// With what a person should know, if there is something.
    #[must_use]
    pub fn noted(self, note: Option<impl Into<Cow<'static, str>>>) -> Self {
        Self { note: note.map(Into::into), ..self }
    }
}

/// What people call a fact, such as `rolled up` for `rolled_up_at`: the value says that it is a time, or
/// which unit it has.
#[must_use]
pub fn label(name: &str) -> String {
    let name = name.strip_suffix("_at").or_else(|| name.strip_suffix("_bytes")).unwrap_or(name);
    name.replace('_', " ")
}

/// The value of the fact of this name, and the most that it may be, as people read them at this moment.
#[must_use]
pub fn in_words(name: &str, value: Option<&Value>, max: Option<u64>, now: Timestamp) -> String {
    let of: fn(u64) -> String = match value {
        Some(Value::Bytes(_)) => bytes,
        _ => |number| thousands(number),
    };
    let text = match value {
        None if name.ends_with("_at") => return "never".to_owned(),
        None => return "none".to_owned(),
        Some(Value::Count(number) | Value::Bytes(number)) => of(*number),
        Some(Value::Time(at)) => {
            let seconds = now.as_second() - at.as_second();
            match seconds {
                0.. => format!("{} ago, {at:.0}", age(seconds)),
                _ => format!("in {}, {at:.0}", age(-seconds)),
            }
        }
        Some(Value::Text(text)) => text.clone().into_owned(),
    };
    max.map_or_else(|| text.clone(), |max| format!("{text} of {}", of(max)))
}

// === impl Domains ===

impl Domains {
    /// What a server with these domains knows of itself now. A database that does not answer in time
    /// leaves gaps.
    pub async fn facts(&self, origin: &Origin) -> Facts {
        let Origin { database, url, schemas, tls, .. } = origin;
        let (trouble, size, domains) = tokio::join!(
            self.trouble(database),
            in_time("measure the database", database.size()),
            self.of_domains()
        );
        let size = size.unwrap_or_default();
        Facts {
            version: origin.version,
            process: std::process::id(),
            started_at: origin.started_at,
            now: origin.clock.now(),
            trouble,
            database: DatabaseFacts {
                kind: database.dialect().name(),
                address: url.to_string(),
                schemas: schemas.clone(),
                bytes: size.bytes,
                free_bytes: size.free_bytes,
            },
            facts: tls.as_ref().map(|tls| tls.facts()).unwrap_or_default(),
            domains,
        }
    }

    async fn trouble(&self, database: &Database) -> Option<String> {
        let asking = async {
            self.ready().await?;
            database.ping().await.map_err(|error| chain(&error))?;
            self.overdue().map_or(Ok(()), |(words, _)| Err(words))
        };
        let silence = || Err(format!("the database is silent for {} s", ANSWER_MAX.as_secs()));
        timeout(ANSWER_MAX, asking).await.unwrap_or_else(|_| silence()).err()
    }

    async fn of_domains(&self) -> Vec<DomainFacts> {
        let of = |one: &Draining| {
            let (name, running) = (one.name, Arc::clone(&one.running));
            let datagrams = one.received.iter().map(|one| one.taken.get()).sum::<u64>();
            let lost = one.received.iter().map(|one| one.lost()).sum::<u64>();
            let has_sockets = !one.received.is_empty();
            async move {
                let mut facts = running.facts();
                if has_sockets {
                    facts.push(Fact::count("datagrams", datagrams));
                    facts.push(Fact::count("lost_datagrams", lost));
                }
                facts.extend(running.chores().iter().filter_map(Fact::of_chore));
                let stored = in_time("ask for what is stored", running.stored_facts()).await;
                let missing = stored.as_ref().err().map(|error| chain(error));
                facts.extend(stored.unwrap_or_default());
                DomainFacts { name, facts, missing }
            }
        };
        join_all(self.0.iter().map(of)).await
    }
}

async fn in_time<T>(
    step: &'static str,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(ANSWER_MAX, asking).await.unwrap_or_else(|_| {
        let silence = format!("no answer within {} s", ANSWER_MAX.as_secs());
        Err(Error::permanent(step, Kind::Unavailable).because(silence))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_said_in_words() {
        let names = ["rolled_up_at", "queue_rows", "unfolded_bytes"];
        assert_eq!(names.map(label), ["rolled up", "queue rows", "unfolded"]);
        let now: Timestamp = "2030-06-15T12:05:00.5Z".parse().expect("a time");
        let at = Value::Time("2030-06-15T12:00:00Z".parse().expect("a time"));
        let soon = Value::Time("2030-06-15T12:08:00Z".parse().expect("a time"));
        for (name, value, max, words) in [
            ("rolled_up_at", Some(at), None, "5 min ago, 2030-06-15T12:00:00Z"),
            ("expires_at", Some(soon), None, "in 3 min, 2030-06-15T12:08:00Z"),
            ("rolled_up_at", None, None, "never"),
            ("state", None, None, "none"),
            ("state", Some(Value::Text("poor".into())), None, "poor"),
            ("queue_rows", Some(Value::Count(3)), Some(500_000), "3 of 500,000"),
            ("queue_bytes", Some(Value::Bytes(9)), Some(64 << 20), "9 B of 64.0 MiB"),
        ] {
            assert_eq!(in_words(name, value.as_ref(), max, now), words);
        }
    }
}
