//! What people who run the domain should know of it: for `GetStatus`, the pages and the metrics. Series and
//! producers are those of the namespace `default`, whose keys alone may ask; what is queued or not folded is of
//! all namespaces.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use tally_producers::Summary;
use tally_serve::Fact;

use super::Service;
use crate::error::Error;
use crate::model::{Day, Namespace};
use crate::schedule::Schedule;
use crate::store::{Advance, Unfolded};

/// What may be wrong with no days behind: which days the rows have is not known before they are folded.
const UNFOLDED: &str = "of folded days: the next fold adds those of new rows";

/// What to do about days that nobody rolls up.
const UNSCHEDULED: &str =
    "this server has no schedule: set --requests-roll-up-at, or run `tally roll-up` daily";

// === impl Service ===

impl Service {
    /// What is known without asking anyone.
    pub(super) fn facts_in_memory(&self) -> Vec<Fact> {
        let queue = &self.streams.queue;
        let (series, series_max) = self.house.series.filled(Namespace::DEFAULT);
        let refused = "the room for series is short: new ones may be counted as _other";
        let refused = self.house.series.has_refused(Namespace::DEFAULT).then_some(refused);
        let is_keeping = self.is_keeping.load(Ordering::Relaxed);
        let keeper = if is_keeping { "this server" } else { "another server" };
        vec![
            Fact::count("queue_rows", queue.rows() as u64).at_most(queue.limits.rows_max),
            Fact::bytes("queue_bytes", queue.bytes() as u64).at_most(queue.limits.bytes_max),
            Fact::count("series", series).at_most(series_max).noted(refused),
            Fact::text("duties_of", keeper),
            Fact::text("roll_up_schedule", self.roll_up_schedule()),
        ]
    }

    fn roll_up_schedule(&self) -> Cow<'static, str> {
        match self.keeper.roll_up_at() {
            Schedule::NEVER => "none".into(),
            daily => format!("daily at {daily} UTC").into(),
        }
    }

    /// The last day that is rolled up.
    pub(crate) async fn rolled_up_through(&self) -> Result<Option<Day>, Error> {
        let _place = self.place().await?;
        let through = self.house.store.rolled_up_through().await;
        through.map_err(Error::store("ask how far days are rolled up"))
    }

    /// What the database knows.
    pub(super) async fn facts_in_store(&self) -> Result<Vec<Fact>, tally_store::Error> {
        let yesterday = Day::of(self.intake.clock.now()).plus(-1);
        let _place = self.queries.take([1]).await;
        let advance = self.house.store.advance(yesterday).await?;
        let Summary { clients, last_seen, dropped, setbacks } =
            self.house.producers.summary().await?;
        let Advance { rolled_up_at, rolled_up_through, days_open, unfolded, .. } = advance;
        let is_left = days_open > 0 && self.keeper.roll_up_at() == Schedule::NEVER;
        let is_folded = matches!(unfolded, Some(Unfolded::Rows(..=0) | Unfolded::Bytes(..=0)));
        let note = match () {
            () if is_left => Some(UNSCHEDULED),
            () if days_open <= 0 && !is_folded => Some(UNFOLDED),
            () => None,
        };
        let through = rolled_up_through.map(|day| day.to_string().into());
        let mut facts = vec![
            Fact::time("rolled_up_at", rolled_up_at),
            Fact::of("rolled_up_through", through.map(tally_serve::facts::Value::Text)),
            Fact::count("days_behind", days_open).noted(note),
        ];
        facts.extend(unfolded.map(|unfolded| match unfolded {
            Unfolded::Rows(rows) => Fact::count("unfolded_rows", rows),
            Unfolded::Bytes(bytes) => Fact::bytes("unfolded_bytes", bytes),
        }));
        let producers_max = self.house.producers.terms().producers_max;
        let missing = "the database lost acknowledged batches: see `tally producers`";
        let missing = (setbacks > 0).then_some(missing);
        facts.extend([
            Fact::count("producers", clients).at_most(producers_max),
            Fact::time("producer_seen_at", last_seen),
            Fact::count("dropped", dropped),
            Fact::count("producers_with_setbacks", setbacks).noted(missing),
        ]);
        Ok(facts)
    }
}
