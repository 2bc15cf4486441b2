//! What the h2 library keeps of memory for a connection, until it closes: places for as many requests and unread
//! frames as it once had at the same time.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use super::room::Rank;
use super::{All, State};

/// What a request's place takes, and an unread frame's: there are twice as many as were needed, or fewer.
const REQUEST_BYTES: usize = 1_536;
const FRAME_BYTES: usize = 256;
/// How much may be kept for all connections, beyond so much for each.
pub(super) const KEPT_BYTES_MAX: usize = 32 << 20;
const KEPT_OWN_BYTES: usize = 40 << 10;

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The most that there were at the same time.
    requests: AtomicUsize,
    frames: AtomicUsize,
    /// What is counted for all connections.
    bytes: AtomicUsize,
}

/// What is kept for so much.
fn bytes(requests: usize, frames: usize) -> usize {
    requests.next_power_of_two() * REQUEST_BYTES + frames.next_power_of_two() * FRAME_BYTES
}

// === impl State ===

impl State {
    /// The library has so many requests, among those that its services have not ended, and all unread frames: its
    /// places are enough for the most that there ever were.
    pub(crate) fn note_kept(&self, requests: usize) {
        let (requests, frames) = (self.requests(requests), self.frames.load(SeqCst));
        let most_requests = self.kept.requests.fetch_max(requests, SeqCst).max(requests);
        let most_frames = self.kept.frames.fetch_max(frames, SeqCst).max(frames);
        let now = bytes(most_requests, most_frames).saturating_sub(KEPT_OWN_BYTES);
        let before = self.kept.bytes.swap(now, SeqCst);
        self.all.kept.fetch_add(now.saturating_sub(before), SeqCst);
    }

    /// It closes.
    pub(super) fn forget_kept(&self) {
        self.all.kept.fetch_sub(self.kept.bytes.swap(0, SeqCst), SeqCst);
    }

    /// The connection for which most is kept that it does not need now makes room first.
    pub(super) fn rank_of_kept(&self) -> Option<Rank> {
        let unused = u64::try_from(self.unused()).unwrap_or(u64::MAX);
        (unused > 0).then_some((0, u64::MAX - unused))
    }

    /// What is kept for it and not needed now.
    fn unused(&self) -> usize {
        let needed = bytes(self.requests(self.streams.load(SeqCst)), self.frames.load(SeqCst));
        self.kept.bytes.load(SeqCst).saturating_sub(needed)
    }

    /// How many there are: so many of the library's, or those that are unfinished. One ticket is the connection's.
    fn requests(&self, of_library: usize) -> usize {
        of_library.max(self.unfinished.load(SeqCst).saturating_sub(1))
    }
}

// === impl All ===

impl All {
    pub(super) fn has_much_kept(&self) -> bool {
        self.kept.load(SeqCst) > KEPT_BYTES_MAX
    }
}
