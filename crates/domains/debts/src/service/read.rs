//! What is read of debts, by two calls at once.

use jiff::Timestamp;
use tally_outbox::Delivery;
use tally_runtime::Namespace;

use super::{Badge, Service};
use crate::definition::Definition;
use crate::domain::NAME;
use crate::error::Error;
use crate::model::{Debt, KeptFlip, KeptRun, Named, ShownPayment};
use crate::state::State;
use crate::store::{Counts, Listing, Numbered, Place, subject};

/// How many next times a debt shows.
const TIMES_SHOWN: usize = 5;
/// How many open runs it shows.
const RUNS_SHOWN: u32 = 100;

/// A debt, its open runs, and its next times.
pub(crate) struct Shown {
    pub(crate) debt: Debt,
    pub(crate) runs: Vec<KeptRun>,
    pub(crate) next: Vec<Timestamp>,
    /// Where its badge is on this server.
    pub(crate) badge: String,
}

/// An alarm or a recovery, and what became of telling it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToldFlip {
    pub(crate) flip: KeptFlip,
    pub(crate) deliveries: Vec<Delivery>,
}

// === impl Service ===

impl Service {
    /// A debt by what it is asked for by.
    pub(crate) async fn find(&self, named: &Named) -> Result<Debt, Error> {
        let _place = self.place().await;
        let found = self.store.find(named).await.map_err(Error::store("find a debt"))?;
        found.ok_or_else(|| Error::Unknown(named.which.to_string()))
    }

    /// A debt, its open runs, and its next times.
    pub(crate) async fn show(&self, named: &Named) -> Result<Shown, Error> {
        let debt = self.find(named).await?;
        let runs = self.runs(&debt, i64::MAX, true, RUNS_SHOWN).await?;
        let next = next_times(&debt.definition, &debt.state);
        let badge = self.badge_link(debt.namespace, &Badge::Debt(debt.number)).await?;
        Ok(Shown { debt, runs, next, badge: badge.unwrap_or_default() })
    }

    /// Debts, and the place of the last one if there are more.
    pub(crate) async fn list(
        &self,
        listing: &Listing,
    ) -> Result<(Vec<Debt>, Option<Place>), Error> {
        let _place = self.place().await;
        let texts = listing.tags.iter().chain([&listing.search]);
        if texts.chain(listing.after.iter().map(|(_, slug)| slug)).any(|text| text.contains('\0')) {
            return Err(Error::wrong("search", "a NUL is in no text that a debt has"));
        }
        let (now, limit) = (self.now(), listing.limit + 1);
        let one_more = Listing { limit, ..listing.clone() };
        let debts = self.store.list(&one_more, now).await;
        let mut debts = debts.map_err(Error::store("list debts"))?;
        let has_more = debts.len() > listing.limit;
        debts.truncate(listing.limit);
        let last = debts.last().filter(|_| has_more).map(|last| listing.place(last, now));
        Ok((debts, last))
    }

    /// Debts after a number, in the order in which they were made.
    pub(crate) async fn numbered(
        &self,
        namespace: Namespace,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Numbered>, Error> {
        let _place = self.place().await;
        let debts = self.store.numbered(namespace, after, limit).await;
        debts.map_err(Error::store("list debts"))
    }

    /// How many debts stand how.
    pub(crate) async fn counts(&self, namespace: Namespace) -> Result<Counts, Error> {
        let _place = self.place().await;
        let counts = self.store.counts(Some(namespace), self.now()).await;
        counts.map_err(Error::store("count debts"))
    }

    /// The latest payments of a debt before this number.
    pub(crate) async fn payments(
        &self,
        debt: &Debt,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ShownPayment>, Error> {
        let _place = self.place().await;
        let payments = self.store.payments(debt.id, before, limit).await;
        payments.map_err(Error::store("list payments"))
    }

    /// The latest runs of a debt before this number; with `open`, the open ones.
    pub(crate) async fn runs(
        &self,
        debt: &Debt,
        before: i64,
        open: bool,
        limit: u32,
    ) -> Result<Vec<KeptRun>, Error> {
        let _place = self.place().await;
        let runs = self.store.runs(debt.id, before, open, limit).await;
        runs.map_err(Error::store("list runs"))
    }

    /// The latest alarms and recoveries of a debt before this number.
    pub(crate) async fn flips(
        &self,
        debt: &Debt,
        before: i64,
        limit: u32,
    ) -> Result<Vec<KeptFlip>, Error> {
        let _place = self.place().await;
        let flips = self.store.flips(debt.id, before, limit).await;
        flips.map_err(Error::store("list flips"))
    }

    /// The same, with what became of telling those that are to be notified, as far as that is still allowed.
    pub(crate) async fn told_flips(
        &self,
        debt: &Debt,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ToldFlip>, Error> {
        let flips = self.flips(debt, before, limit).await?;
        let with = |flip| ToldFlip { flip, deliveries: Vec::new() };
        let mut told: Vec<_> = flips.into_iter().map(with).collect();
        for receiver in self.receivers(debt) {
            let subject = subject(debt.id, &receiver);
            let events = self.outbox.deliveries(NAME, subject, before, limit).await;
            for event in events.map_err(Error::store("list events"))? {
                // The last ones come first.
                let at = told.binary_search_by(|one| event.number.cmp(&one.flip.number));
                if let Ok(at) = at {
                    let event = Delivery { receiver: receiver.shown(), ..event };
                    told[at].deliveries.push(event);
                }
            }
        }
        Ok(told)
    }
}

/// The next times at which something is due, the one that is due now first.
fn next_times(definition: &Definition, state: &State) -> Vec<Timestamp> {
    let Some(due) = state.due else { return Vec::new() };
    let then = definition.terms.schedule.times_after(due);
    std::iter::once(due).chain(then).take(TIMES_SHOWN).collect()
}

/// Before which number the rest of a list begins, if there may be one: the first number is 1.
pub(crate) fn next_before<T>(items: &[T], limit: u32, number: impl Fn(&T) -> i64) -> Option<i64> {
    let last = items.last().filter(|_| items.len() == limit as usize);
    last.map(number).filter(|number| *number > 1)
}
