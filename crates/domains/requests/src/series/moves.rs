//! Series that were merged or forgotten: what this server knows of them, and what they have become.
//!
//! Names that are gone from the database are gone from here within a second or two. What stays are ids,
//! for rows that are on their way, and what the database itself has for series that come later.

use std::sync::Arc;

use hashbrown::HashMap;
use tally_proto::wire::FORGOTTEN;

use super::{KnownSeries, Shards};
use crate::changes::{Changes, Version};
use crate::model::{Named, Series, SeriesId, SeriesRef};
use crate::renaming::Renamings;

/// How many moves can follow each other, while a server learns of them.
const CHAIN_MAX: usize = 16;

/// What this server knows of merges and forgets.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) version: Version,
    pub(super) renamings: Renamings,
    /// From ids to those of what the series have become.
    moves: HashMap<SeriesId, SeriesId>,
}

// === impl Moved ===

impl Moved {
    /// The id under which a series counts now.
    pub(super) fn follow(&self, id: SeriesId) -> SeriesId {
        let mut now = id;
        for _ in 0..CHAIN_MAX {
            match self.moves.get(&now) {
                Some(next) => now = *next,
                None => break,
            }
        }
        now
    }

    pub(super) fn is_empty(&self) -> bool {
        self.renamings.is_empty() && self.moves.is_empty()
    }

    /// Whether a series was merged or forgotten, and its name has no place here.
    pub(super) fn has_moved(&self, id: SeriesId, series: SeriesRef<'_>) -> bool {
        self.moves.contains_key(&id) || self.renamings.apply(series).is_some()
    }
}

// === impl KnownSeries ===

impl KnownSeries {
    /// The last merge or forget that this server knows.
    pub(crate) fn version(&self) -> Version {
        self.moved.load().version
    }

    /// What an id counts under now, if that is known.
    pub(crate) fn named(&self, id: SeriesId) -> Option<Arc<Named>> {
        let id = self.moved.load().follow(id);
        self.lock().by_id.get(&id).cloned()
    }

    /// What a series is called now, if it was merged or forgotten.
    pub(crate) fn renamed(&self, series: SeriesRef<'_>) -> Option<Series> {
        self.renamed_by(&self.moved.load(), series)
    }

    pub(super) fn renamed_by(&self, moved: &Moved, series: SeriesRef<'_>) -> Option<Series> {
        self.forgotten(moved, series).or_else(|| moved.renamings.apply(series))
    }

    /// What a series has become that was forgotten when its id was all that was kept of it: by a regex. A
    /// renaming that follows would otherwise give it another id, under which the name came back.
    fn forgotten(&self, moved: &Moved, series: SeriesRef<'_>) -> Option<Series> {
        if moved.moves.is_empty() {
            return None;
        }
        let id = series.to_owned().id(0);
        let to = Some(moved.follow(id)).filter(|to| *to != id)?;
        let inner = self.lock();
        let now = &inner.by_id.get(&to)?.series;
        let is_forgotten = [
            (&now.service, series.service),
            (&now.path, series.path),
            (&now.customer, series.customer),
        ]
        .into_iter()
        .any(|(now, before)| &**now == FORGOTTEN && before != FORGOTTEN);
        is_forgotten.then(|| now.clone())
    }

    /// What a name has become, if it has moved.
    pub(crate) fn moved(&self, named: &Named) -> Option<Arc<Named>> {
        let to = self.moved.load().follow(named.id);
        if to == named.id {
            return None;
        }
        self.lock().by_id.get(&to).cloned()
    }

    /// Follows what has changed: series that have moved are not known any more, and a new belief begins,
    /// because rows that are on their way were made before. Nothing begins if nothing has changed, because
    /// every name would then be stored once more.
    pub(crate) fn follow_changes(&self, changes: Changes) {
        let Changes { version, renamings, are_all, moves, targets, .. } = changes;
        let mut inner = self.lock();
        if !are_all && version.seq < self.version().seq {
            return;
        }
        let before = self.moved.load();
        let mut all = if are_all { HashMap::new() } else { before.moves.clone() };
        all.extend(moves);
        let is_news = are_all || version != before.version || all != before.moves;
        let mut moved = Moved { version, renamings, moves: all };
        let mut added = Vec::new();
        for (id, series) in targets {
            if self.find((&series).into(), |_| ()).is_none() && !inner.by_id.contains_key(&id) {
                self.rooms.of(series.namespace).take((&series).into());
                added.push(inner.add(id, series));
            }
        }
        // What came while the change was being made, and is not in the database.
        let known: Vec<Arc<Named>> = inner.by_id.values().cloned().collect();
        let mut gone = Vec::new();
        for named in known {
            let has_moved = moved.follow(named.id) != named.id;
            if !has_moved {
                let Some(series) = moved.renamings.apply((&named.series).into()) else { continue };
                let fields = SeriesRef::from(&series);
                let found = self.find(fields, |one| one.id);
                let found = found.or_else(|| {
                    added
                        .iter()
                        .find(|one| SeriesRef::from(&one.series) == fields)
                        .map(|one| one.id)
                });
                let to = found.unwrap_or_else(|| {
                    self.rooms.of(series.namespace).take(fields);
                    let id = inner.free_id(&series);
                    added.push(inner.add(id, series.clone()));
                    id
                });
                moved.moves.insert(named.id, to);
            }
            inner.by_id.remove(&named.id);
            self.rooms.of(named.series.namespace).give((&named.series).into());
            gone.push(named);
        }
        self.moved.store(Arc::new(moved));
        self.publish(added);
        let is_news = is_news || !gone.is_empty();
        self.withdraw(&gone);
        if is_news {
            self.begin_belief(&mut inner);
        }
    }

    /// Makes series invisible to lookups.
    fn withdraw(&self, gone: &[Arc<Named>]) {
        let hash = |named: &Arc<Named>| self.hash((&named.series).into());
        let mut shards = Shards::clone(&self.shards.load());
        for named in gone {
            let hash = hash(named);
            let table = Arc::make_mut(&mut shards[super::shard_index(hash)]);
            if let Ok(entry) = table.find_entry(hash, |one| Arc::ptr_eq(one, named)) {
                entry.remove();
            }
        }
        self.shards.store(Arc::new(shards));
    }
}
