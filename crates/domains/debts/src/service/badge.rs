//! Badges: who has the link of one sees how a debt, or the worst debt of a tag, stands, and nothing else.
//!
//! A link has an HMAC-SHA256 over what it shows, by a secret that its namespace has from its first debt on. So nobody
//! makes a link to something else of it, and a wrong one asks the database for nothing. A right one of a tag, which
//! all debts of its tag are read for, asks it once in [`KEPT`], however popular the page is that has it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use tally_runtime::Namespace;
use tally_serve::pages::Link;
use uuid::Uuid;

use super::{Service, random_id};
use crate::error::Error;
use crate::model::{Named, Which};
use crate::state::Standing;

/// Where badges are.
pub(crate) const BADGE_PATH: &str = "/badges/debts.svg";

/// How old what is known without asking the database may be.
const KEPT: SignedDuration = SignedDuration::from_secs(10);

/// What a badge shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Badge {
    /// The debt of this number.
    Debt(i64),
    /// The worst of all debts that have this tag.
    Tag(String),
}

/// What is known without asking the database.
#[derive(Debug, Default)]
pub(super) struct KnownBadges {
    /// By the numbers of namespaces, and since when.
    secrets: Mutex<HashMap<i64, (Timestamp, Uuid)>>,
    /// By the number of the namespace and the tag.
    tags: Mutex<HashMap<(i64, String), Asked>>,
}

/// When the database was asked for a tag, and where the worst debt stood.
type Asked = (Timestamp, Option<Standing>);

// === impl Service ===

impl Service {
    /// The link to a badge, from the root of this server, for those who may look at what it shows; none before there
    /// is a debt.
    pub(crate) async fn badge_link(
        &self,
        namespace: Namespace,
        badge: &Badge,
    ) -> Result<Option<String>, Error> {
        let secret = self.badge_secret(namespace).await?;
        Ok(secret.map(|secret| badge.link(namespace, secret)))
    }

    /// What a badge shows, for whoever knows its secret: a name, and how that stands.
    pub(crate) async fn badge(
        &self,
        namespace: Namespace,
        badge: Badge,
        secret: &str,
    ) -> Result<(String, Standing), Error> {
        let unknown = || Error::Unknown("this badge".to_owned());
        let of_namespace = self.badge_secret(namespace).await?.ok_or_else(unknown)?;
        if !badge.is_opened_by(of_namespace, secret) {
            return Err(unknown());
        }
        match badge {
            Badge::Debt(number) => {
                let debt = self.find(&Named { namespace, which: Which::Number(number) }).await?;
                let title = debt.definition.title().to_owned();
                Ok((title, debt.state.standing(self.now())))
            }
            Badge::Tag(tag) => {
                let worst = self.worst_of_tag(namespace, &tag).await?;
                Ok((tag, worst.ok_or_else(unknown)?))
            }
        }
    }

    /// Where the worst debt of a tag stands, or stood a moment ago.
    async fn worst_of_tag(
        &self,
        namespace: Namespace,
        tag: &str,
    ) -> Result<Option<Standing>, Error> {
        if let Some(worst) = self.badges.of_tag(namespace, tag, self.now()) {
            return Ok(worst);
        }
        let _place = self.place().await;
        // Somebody else may have asked in the meantime.
        let now = self.now();
        if let Some(worst) = self.badges.of_tag(namespace, tag, now) {
            return Ok(worst);
        }
        let worst = self.store.worst_of_tag(namespace, tag, now).await;
        let worst = worst.map_err(Error::store("look at the debts of a tag"))?;
        self.badges.keep_tag(namespace, tag, now, worst);
        Ok(worst)
    }

    async fn badge_secret(&self, namespace: Namespace) -> Result<Option<Uuid>, Error> {
        let (known, now) = (|| lock(&self.badges.secrets), self.now());
        let secret = known().get(&namespace.0).copied();
        if let Some((_, secret)) = secret.filter(|(asked, _)| is_fresh(*asked, now)) {
            return Ok(Some(secret));
        }
        let _place = self.place().await;
        let secret = self.store.badge_secret(namespace).await;
        let secret = secret.map_err(Error::store("read the secret of badges"))?;
        if let Some(secret) = secret {
            known().insert(namespace.0, (now, secret));
        }
        Ok(secret)
    }

    /// Makes all links of a namespace void. Other servers take them for [`KEPT`].
    pub(crate) async fn renew_badges(&self, namespace: Namespace) -> Result<(), Error> {
        let renewed = self.store.renew_badges(namespace, random_id()).await;
        renewed.map_err(Error::store("renew badges"))?;
        lock(&self.badges.secrets).remove(&namespace.0);
        Ok(())
    }
}

// === impl KnownBadges ===

impl KnownBadges {
    fn of_tag(&self, namespace: Namespace, tag: &str, now: Timestamp) -> Option<Option<Standing>> {
        let tags = lock(&self.tags);
        let (asked, worst) = tags.get(&(namespace.0, tag.to_owned()))?;
        is_fresh(*asked, now).then_some(*worst)
    }

    fn keep_tag(&self, namespace: Namespace, tag: &str, now: Timestamp, worst: Option<Standing>) {
        let mut tags = lock(&self.tags);
        tags.retain(|_, (asked, _)| is_fresh(*asked, now));
        tags.insert((namespace.0, tag.to_owned()), (now, worst));
    }
}

/// Also if the clock went back.
fn is_fresh(asked: Timestamp, now: Timestamp) -> bool {
    asked.duration_until(now).abs() < KEPT
}

/// A poisoned lock is fine: no operation leaves it half done.
fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Badge ===

impl Badge {
    fn said(&self) -> String {
        match self {
            Self::Debt(number) => format!("debt {number}"),
            Self::Tag(tag) => format!("tag {tag}"),
        }
    }

    fn link(&self, namespace: Namespace, secret: Uuid) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut digits = String::new();
        for byte in hmac::sign(&key, self.said().as_bytes()).as_ref() {
            let _ = write!(digits, "{byte:02x}");
        }
        let link = match self {
            Self::Debt(number) => Link::to(BADGE_PATH).with("debt", &number.to_string()),
            Self::Tag(tag) => Link::to(BADGE_PATH).with("tag", tag),
        };
        let other = Some(namespace.0.to_string()).filter(|_| namespace != Namespace::DEFAULT);
        link.with_some("namespace", other).with("secret", &digits).into_text()
    }

    fn is_opened_by(&self, secret: Uuid, digits: &str) -> bool {
        let digits = digits.as_bytes();
        let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        digits.len() == 64
            && bytes.is_some_and(|bytes| hmac::verify(&key, self.said().as_bytes(), &bytes).is_ok())
    }
}
