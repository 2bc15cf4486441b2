//! Which series a change moves where, and what a store writes of it.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use tally_runtime::Kind;
use tokio::time::Instant;

use super::{ChangeKind, Version};
use crate::error::Error;
use crate::model::{Named, Namespace, Series, SeriesId, SeriesRef};
use crate::renaming::{Circle, Columns, Renaming, Renamings};

/// How long a regex may take for all series.
const LOOKING_MAX: Duration = Duration::from_secs(10);
/// How many series are looked at until other tasks have their turn.
const LOOKED_AT_ONCE: usize = 64;

/// A line of `tally_request_changes`.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Whose series it is about.
    pub(crate) namespace: Namespace,
    /// Tells it apart from all others.
    pub(crate) token: i64,
    pub(crate) kind: ChangeKind,
    pub(crate) selected: String,
    pub(crate) author: String,
    pub(crate) requests: i64,
    /// What is stored for series that come later.
    pub(crate) columns: Columns,
}

/// What moves, and what is noted of it.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// What it was decided under.
    pub(crate) version: Version,
    pub(crate) plan: Plan,
    /// None if only what earlier changes say is done.
    pub(crate) line: Option<Line>,
    /// Earlier changes that name what is forgotten, and what stays of them.
    pub(crate) redacted: Vec<(i64, Columns)>,
}

/// Which series move where.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    renamings: Renamings,
    /// The change that is asked for: others are left alone. None: all that earlier ones are about.
    asked: Option<Arc<Renaming>>,
    seen: HashSet<SeriesId>,
    /// How many series it selects, whether they move or not.
    pub(crate) selected: usize,
    /// Whether one of them is in a circle.
    pub(crate) has_circle: bool,
    /// What moves: its id, and what it becomes.
    pub(crate) moves: Vec<(SeriesId, Series)>,
}

/// What moves lead to.
pub(crate) struct Targets<'a> {
    moves: &'a [(SeriesId, Series)],
    /// Each of them once, with its id.
    ids: HashMap<&'a Series, SeriesId>,
}

/// It took too long to look at all series.
#[derive(Debug, thiserror::Error)]
#[error("the regex takes longer than {} s for all series: write a simpler one", LOOKING_MAX.as_secs())]
pub(crate) struct TooSlow;

/// The names that a batch or a change brings were decided under other changes than the database has.
#[derive(Debug, thiserror::Error)]
#[error("series have been merged or forgotten meanwhile")]
pub(crate) struct Outdated;

// === impl Outdated ===

impl From<Outdated> for tally_store::Error {
    fn from(outdated: Outdated) -> Self {
        let step = "check which series have moved";
        Self::permanent(step, Kind::Unavailable).because(outdated)
    }
}

// === impl Draft ===

impl Draft {
    /// Whether it is a merge, which must not lead to what has moved itself. Anything else goes where that
    /// has gone.
    pub(crate) fn is_merge(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.kind == ChangeKind::Merge)
    }
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(renamings: Renamings, asked: Option<Arc<Renaming>>) -> Self {
        let (seen, moves) = (HashSet::new(), Vec::new());
        Self { renamings, asked, seen, selected: 0, has_circle: false, moves }
    }

    /// Looks at a series, once.
    pub(crate) fn see(&mut self, id: SeriesId, series: SeriesRef<'_>) {
        if !self.seen.insert(id) || self.asked.as_ref().is_some_and(|one| !one.selects(series)) {
            return;
        }
        self.selected += 1;
        self.has_circle |= self.asked.is_some() && self.renamings.end_of(series) == Err(Circle);
        if let Some(renamed) = self.renamings.apply(series) {
            self.moves.push((id, renamed));
        }
    }

    /// Looks at all of these, and lets other tasks go on meanwhile. Fails if a regex that is asked for takes
    /// too long.
    pub(crate) async fn see_all(&mut self, known: &[(SeriesId, Series)]) -> Result<(), TooSlow> {
        self.see_within(LOOKING_MAX, known).await
    }

    async fn see_within(
        &mut self,
        limit: Duration,
        known: &[(SeriesId, Series)],
    ) -> Result<(), TooSlow> {
        let begin = Instant::now();
        let is_bounded = self.asked.as_ref().is_some_and(|asked| asked.has_regex());
        for some in known.chunks(LOOKED_AT_ONCE) {
            some.iter().for_each(|(id, series)| self.see(*id, series.into()));
            if is_bounded && begin.elapsed() > limit {
                return Err(TooSlow);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

// === impl Targets ===

impl<'a> Targets<'a> {
    pub(crate) fn of(moves: &'a [(SeriesId, Series)]) -> Self {
        let ids = moves.iter().map(|(_, target)| (target, target.id(0))).collect();
        Self { moves, ids }
    }

    /// Each of them once, in the order of ids.
    pub(crate) fn named(&self) -> Vec<Arc<Named>> {
        let named = |(series, id): (&&Series, &SeriesId)| Named::new(*id, (*series).clone());
        let mut all: Vec<_> = self.ids.iter().map(|one| Arc::new(named(one))).collect();
        all.sort_unstable_by_key(|named| named.id);
        all
    }

    /// Takes over the ids that the database has.
    pub(crate) fn renumber(&mut self, renumbered: &HashMap<SeriesId, SeriesId>) {
        for id in self.ids.values_mut() {
            *id = renumbered.get(id).copied().unwrap_or(*id);
        }
    }

    pub(crate) fn ids(&self) -> Vec<SeriesId> {
        self.ids.values().copied().collect()
    }

    /// The moves from id to id, if some targets have moved further. No merge may lead to one of these.
    pub(crate) fn moves(
        &self,
        further: &HashMap<SeriesId, SeriesId>,
        is_merge: bool,
    ) -> Result<Vec<(SeriesId, SeriesId)>, Error> {
        if is_merge && !further.is_empty() {
            let text = "what the series would become was itself merged or forgotten: merge them into \
                        that";
            return Err(Error::Refused(Kind::FailedPrecondition, text.into()));
        }
        let end = |target| {
            let id = self.ids[target];
            further.get(&id).copied().unwrap_or(id)
        };
        let moves = self.moves.iter().map(|(from, target)| (*from, end(target)));
        Ok(moves.filter(|(from, to)| from != to).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{NewNames, PathIs, Selection};

    #[tokio::test]
    async fn a_regex_that_takes_too_long_is_given_up() {
        let known: Vec<_> = (0..100).map(|n| (n, Series::of_endpoint(3, "/"))).collect();
        for (path, is_slow) in
            [(PathIs::Matches("^/x".into()), true), (PathIs::BeginsWith("/x".into()), false)]
        {
            let selection = Selection { path: Some(path), ..Selection::default() };
            let asked = Renaming::of(Namespace::DEFAULT, &selection, NewNames::default())
                .expect("a renaming");
            let mut plan = Plan::new(Renamings::default(), Some(Arc::new(asked)));
            assert_eq!(plan.see_within(Duration::ZERO, &known).await.is_err(), is_slow);
        }
    }
}
