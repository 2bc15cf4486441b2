//! Merges and forgets: what is asked for, what is found, and what a store writes of it.
//!
//! A series that is merged or forgotten *moves*: its name goes, and a move says which series its requests
//! count under from then on. Whatever still comes under its id is counted there, whichever server wrote
//! it. What is in days and months is brought there afterwards, in steps that no answer shows.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use tally_runtime::random;
use tokio::time::Instant;

use crate::model::{Series, SeriesId, SeriesRef};
use crate::renaming::{Circle, Columns, Renaming, Renamings};
use crate::selection::{NewNames, Selection};

/// How long a regex may take for all series.
const LOOKING_MAX: Duration = Duration::from_secs(10);
/// How many series are looked at until other tasks have their turn.
const LOOKED_AT_ONCE: usize = 64;
/// How many renamings a database may have, and how many of them may be by a regex: a server goes through
/// all of them for each series that it does not know. What is asked for beyond them is done for the series
/// that there are.
pub(crate) const RENAMINGS_MAX: usize = 1_000;
pub(crate) const REGEXES_MAX: usize = 16;

/// How many series one step moves in a month: some 10,000 rows.
pub(crate) const SETTLED_SERIES: usize = 300;

/// What happens to series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Forget,
    Merge,
}

/// A merge or a forget, as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) selection: Selection,
    pub(crate) into: NewNames,
    /// Who asks for it.
    pub(crate) author: String,
    /// Whether it may be about all series.
    pub(crate) is_everything: bool,
    pub(crate) is_dry_run: bool,
}

/// What a change has done, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The series that move, with how many requests they had when that was decided.
    pub(crate) series: Vec<(Series, i64)>,
    /// Whether series that come later follow it.
    pub(crate) is_kept: bool,
}

/// The last change that a database has: its number, and a random one that tells it apart from another
/// change of the same number, after the database went back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) seq: i64,
    pub(crate) stamp: i64,
}

/// What a server must know of the changes of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) version: Version,
    /// All of them.
    pub(crate) renamings: Renamings,
    /// The numbers of the changes that say so.
    pub(crate) seqs: Vec<i64>,
    /// Whether the moves are all of them, or those since an earlier version.
    pub(crate) are_all: bool,
    pub(crate) moves: Vec<(SeriesId, SeriesId)>,
    /// The names of the series that these have moved to.
    pub(crate) targets: Vec<(SeriesId, Series)>,
}

/// A line of `tally_request_changes`.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Tells it apart from all others.
    pub(crate) stamp: i64,
    pub(crate) kind: &'static str,
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

/// It took too long to look at all series.
#[derive(Debug, thiserror::Error)]
#[error("the regex takes longer than {} s for all series: write a simpler one", LOOKING_MAX.as_secs())]
pub(crate) struct TooSlow;

/// The names that a batch or a change brings were decided under other changes than the database has.
#[derive(Debug, thiserror::Error)]
#[error("series have been merged or forgotten meanwhile")]
pub(crate) struct Outdated;

/// A series that others would move to has moved itself.
#[derive(Debug, thiserror::Error)]
#[error("what the series would become was itself merged or forgotten: merge them into that")]
pub(crate) struct MovedAway;

// === impl ChangeKind ===

impl ChangeKind {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Forget => "forget",
            Self::Merge => "merge",
        }
    }
}

// === impl Changes ===

impl Changes {
    /// Adds a renaming, unless it is there. Returns whether it was new.
    pub(crate) fn add(&mut self, renaming: &Arc<Renaming>) -> bool {
        let is_new = !self.renamings.0.iter().any(|one| one.is(renaming));
        if is_new {
            self.renamings.0.push(Arc::clone(renaming));
        }
        is_new
    }

    /// The changes that name what a forget is about, and what stays of them.
    pub(crate) fn redacted(&self, forget: &Renaming) -> Vec<(i64, Columns)> {
        let without = |(seq, one): (&i64, &Arc<Renaming>)| {
            let key = (random::number(), random::number());
            one.without(forget, key).map(|one| (*seq, one.columns()))
        };
        self.seqs.iter().zip(&self.renamings.0).filter_map(without).collect()
    }
}

// === impl Outdated ===

impl From<Outdated> for tally_store::Error {
    fn from(outdated: Outdated) -> Self {
        let step = "check which series have moved";
        Self::permanent(step, tally_runtime::Kind::Unavailable).because(outdated)
    }
}

// === impl MovedAway ===

impl From<MovedAway> for tally_store::Error {
    fn from(moved: MovedAway) -> Self {
        Self::permanent("move series", tally_runtime::Kind::FailedPrecondition).because(moved)
    }
}

// === impl Draft ===

impl Draft {
    /// Whether it is a merge, which must not lead to what has moved itself. Anything else goes where that
    /// has gone.
    pub(crate) fn is_merge(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.kind == ChangeKind::Merge.text())
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

    /// What the moves lead to, each once.
    pub(crate) fn targets(moves: &[(SeriesId, Series)]) -> Vec<Arc<crate::model::Named>> {
        let targets: HashSet<&Series> = moves.iter().map(|(_, target)| target).collect();
        let named = |series: &Series| crate::model::Named::new(series.id(0), series.clone());
        let mut targets: Vec<_> =
            targets.into_iter().map(|series| Arc::new(named(series))).collect();
        targets.sort_unstable_by_key(|named| named.id);
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::PathIs;

    #[tokio::test]
    async fn a_regex_that_takes_too_long_is_given_up() {
        let known: Vec<_> = (0..100).map(|n| (n, Series::of_endpoint(3, "/"))).collect();
        for (path, is_slow) in
            [(PathIs::Matches("^/x".into()), true), (PathIs::BeginsWith("/x".into()), false)]
        {
            let selection = Selection { path: Some(path), ..Selection::default() };
            let asked = Renaming::of(&selection, NewNames::default()).expect("a renaming");
            let mut plan = Plan::new(Renamings::default(), Some(Arc::new(asked)));
            assert_eq!(plan.see_within(Duration::ZERO, &known).await.is_err(), is_slow);
        }
    }
}
