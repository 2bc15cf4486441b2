//! The clients that number their batches, and what is missing of them.

use tally_producers::{Producer, Setback, Shown};
use tally_runtime::Kind;

use super::Service;
use crate::corrections::check_reason;
use crate::error::{Ended, Error};
use crate::model::{Day, DayRange, Namespace};

// === impl Service ===

impl Service {
    /// What may be missing from these days, besides what clients have dropped.
    pub(crate) async fn setbacks(
        &self,
        namespace: Namespace,
        days: DayRange,
    ) -> Result<Vec<Setback>, Error> {
        let mut setbacks = {
            let _place = self.place().await?;
            let producers = self.house.producers.of(namespace);
            producers.setbacks().await.map_err(Error::store("list what is missing"))?
        };
        setbacks.retain(|one| {
            Day::of_micros(one.since_micros) <= days.last
                && days.first <= Day::of_micros(one.noticed_micros)
        });
        Ok(setbacks)
    }

    /// Clears the setbacks of one producer, or of all, and returns them.
    pub(crate) async fn clear_setbacks(
        &self,
        namespace: Namespace,
        short_id: &str,
    ) -> Result<Vec<Setback>, Error> {
        if short_id.is_empty() {
            let text = "short_id is empty: give the 8 hex digits of a producer, or all";
            return Err(Error::invalid(text));
        }
        let _place = self.place().await?;
        let producers = self.house.producers.of(namespace);
        producers.clear_setbacks(short_id).await.map_err(Error::store("clear setbacks"))
    }

    /// Strikes what clients have said to have dropped on these days, and returns how much. Whoever asks may go
    /// away: then it is done, and logged, all the same.
    pub(crate) async fn strike_drops(
        &self,
        namespace: Namespace,
        days: DayRange,
        reason: String,
        author: String,
    ) -> Result<i64, Error> {
        check_reason(&reason, &author)?;
        let place = self.place().await?;
        let producers = self.house.producers.of(namespace);
        let work = async move {
            let _place = place;
            let dropped = producers.strike_drops(days.first.0, days.last.0).await?;
            tracing::warn!(
                namespace = namespace.0,
                %days,
                dropped,
                reason,
                author,
                "drops were struck: they no longer make these days incomplete"
            );
            Ok::<_, tally_store::Error>(dropped)
        };
        let done = self.to_its_end("strike drops", work).await;
        done.ok_or(Ended::Panicked)?.map_err(Error::store("strike drops"))
    }

    /// Forgets a client that numbers its batches, and returns what it was.
    pub(crate) async fn forget_producer(
        &self,
        namespace: Namespace,
        id: &str,
    ) -> Result<Producer, Error> {
        let shown = Shown::parse(id)
            .ok_or_else(|| Error::invalid("id: not the 8 hex digits of a producer, nor a UUID"))?;
        let _place = self.place().await?;
        let found = self.house.producers.of(namespace).forget_shown(&shown).await;
        let mut found = found.map_err(Error::store("forget a producer"))?;
        let (kind, text) = match found.len() {
            1 => return Ok(found.remove(0)),
            0 => (Kind::NotFound, "id: no producer has it".to_owned()),
            several => (
                Kind::FailedPrecondition,
                format!(
                    "id: {several} producers are shown by it; give the whole id of one, a UUID"
                ),
            ),
        };
        Err(Error::Refused(kind, text.into()))
    }

    /// The clients that number their batches. With the namespace `default`, on request also the insert workers,
    /// which store for all.
    pub(crate) async fn producers(
        &self,
        namespace: Namespace,
        with_workers: bool,
    ) -> Result<Vec<Producer>, Error> {
        let _place = self.place().await?;
        let producers = self.house.producers.of(namespace);
        producers.list(with_workers).await.map_err(Error::store("list producers"))
    }
}
