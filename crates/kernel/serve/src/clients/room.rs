//! Which connection makes room for others, and for their requests.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::{All, State, Table};

/// After this long without a frame that brings something, a connection may have to make room although it
/// has requests.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// The same for one to which nothing was ever answered: then it is like one that is idle.
pub(super) const SILENCE_AT_FIRST: Duration = Duration::from_secs(1);
/// How often it is looked for a connection that makes room for requests of others.
pub(super) const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// How readily a connection makes room: the least first.
pub(super) type Rank = (u8, u64);

// === impl All ===

impl All {
    /// Closes the connection with the least rank. False if none has one.
    pub(super) fn make_room(
        &self,
        table: &mut Table,
        rank: impl Fn(&State) -> Option<Rank>,
    ) -> bool {
        let ranked = table.connections.iter();
        let ranked = ranked.filter_map(|(number, one)| Some((rank(one)?, *number)));
        let victim = ranked.min().and_then(|(_, number)| table.remove(number));
        if let Some(victim) = &victim {
            self.made_room.fetch_add(1, SeqCst);
            victim.give_up();
        }
        victim.is_some()
    }

    /// There are too many requests: a connection on which no caller waits makes room, if it has more than its
    /// own. Or too much is kept of what there once was.
    pub(super) fn make_room_for_requests(&self) {
        let (now, looked) = (self.now(), self.looked.load(SeqCst));
        if u128::from(now - looked.min(now)) < ROOM_PAUSE.as_millis()
            || self.looked.compare_exchange(looked, now, SeqCst, SeqCst).is_err()
        {
            return;
        }
        let has_made_room = if self.has_much_kept() {
            self.make_room(&mut self.lock(), State::rank_of_kept)
        } else {
            let is_idle = |one: &State| one.is_idle() && one.has_more_than_own();
            self.make_room(&mut self.lock(), |one| one.rank().filter(|_| is_idle(one)))
        };
        if has_made_room && let Some(others) = self.seldom.turn() {
            tracing::warn!(
                others,
                "clients have, or had, too many unfinished requests at once; connections make room"
            );
        }
    }
}

// === impl State ===

impl State {
    pub(super) fn rank(&self) -> Option<Rank> {
        let active = self.active.load(SeqCst);
        if !self.has_head() {
            return Some((0, active));
        }
        let was_served = self.was_served.load(SeqCst);
        if self.is_idle() {
            return Some((1 + u8::from(was_served), active));
        }
        let silent = u128::from(self.all.now().saturating_sub(active));
        if !was_served && silent >= SILENCE_AT_FIRST.as_millis() {
            return Some((2, active));
        }
        (silent >= SILENCE.as_millis()).then_some((3, active))
    }

    /// Whether no service works on a request of somebody who may make it.
    fn is_idle(&self) -> bool {
        self.of_callers.load(SeqCst) == 0
    }

    fn give_up(&self) {
        self.is_given_up.store(true, SeqCst);
        self.reader.wake();
    }
}
