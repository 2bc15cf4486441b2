//! What the pages ask: contexts that were heard of last, their trends, and the durations of a name.

use jiff::SignedDuration;
use tally_runtime::Namespace;
use uuid::Uuid;

use super::Service;
use crate::error::Error;
use crate::model::{Context, Timeline};
use crate::store::Took;
use crate::store::look::{Lasted, Place};
use crate::typical::LAST_MAX;

/// A context, and its latest timelines.
pub(crate) struct Listed {
    pub(crate) context: Context,
    /// The newest one, if it is kept.
    pub(crate) newest: Option<Timeline>,
    /// The latest that are kept, the last first.
    pub(crate) latest: Vec<Timeline>,
}

/// How long a timeline took whose events have all ended.
pub(crate) fn ended_after(timeline: &Timeline) -> Option<SignedDuration> {
    let (first, last) = timeline.first.zip(timeline.last)?;
    (timeline.counts.open == 0).then(|| last.duration_since(first).max(SignedDuration::ZERO))
}

// === impl Listed ===

impl Listed {
    /// Where the list goes on after it.
    pub(crate) fn place(&self) -> Place {
        let heard = self.newest.as_ref().map_or(self.context.created, |newest| newest.heard);
        (heard, self.context.name.clone())
    }
}

// === impl Service ===

impl Service {
    /// Contexts whose names have this text, the one that was heard of last first, and whether there are more.
    pub(crate) async fn latest(
        &self,
        namespace: Namespace,
        search: &str,
        after: Option<Place>,
        limit: u32,
        trend: u32,
    ) -> Result<(Vec<Listed>, bool), Error> {
        let _place = self.place().await;
        let search = search.to_lowercase();
        let found = self.store.latest(namespace, &search, after, limit + 1).await;
        let mut found = found.map_err(Error::store("list contexts"))?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let ids = found.iter().map(|(context, _)| context.id).collect();
        let trends = self.store.trends(ids, trend).await;
        let trends = trends.map_err(Error::store("list timelines"))?;
        let listed = found.into_iter().map(|(context, newest)| {
            let is_its = |one: &&Timeline| one.context == context.id;
            let mut latest: Vec<_> = trends.iter().filter(is_its).cloned().collect();
            latest.sort_by_key(|one| std::cmp::Reverse(one.number));
            Listed { context, newest, latest }
        });
        Ok((listed.collect(), has_more))
    }

    /// How long the events of a name took in this many timelines before this number, the last first.
    pub(crate) async fn durations(
        &self,
        context: &Context,
        name: &str,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Lasted>, Error> {
        let _place = self.place().await;
        // Postgres takes no NUL, and no name has one.
        let name = &name.replace('\0', "\u{fffd}");
        let numbers = (before.saturating_sub(limit).max(1)..before).collect();
        let durations = self.store.durations(context.id, numbers, name).await;
        durations.map_err(Error::store("read durations"))
    }

    /// How long the events of every name took in the last finished timelines of a context before this number.
    pub(crate) async fn took(&self, context: Uuid, before: i64) -> Result<Vec<Took>, Error> {
        let _place = self.place().await;
        let took = self.store.typical(context, before, LAST_MAX).await;
        took.map_err(Error::store("read durations"))
    }
}
