//! What has arrived and no service has read.

use std::ops::AddAssign;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use super::State;

/// How much that has arrived may be unread by services, over all connections, and of one in any case. A
/// connection with more is not read while all have more, and others are read by single frames.
pub(super) const UNREAD_BYTES_MAX: usize = 16 << 20;
pub(super) const UNREAD_OWN_BYTES_MAX: usize = 16 << 10;
/// What the h2 library takes for a frame besides its payload: some 250 bytes, in a list that doubles.
const FRAME_BYTES: usize = 512;
/// Each time that a connection was not read for a while, one of so many unread bytes is forgiven: what came too late
/// for its request is counted and never read.
const FORGIVEN: usize = 128;

/// What DATA frames bring.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

// === impl State ===

impl State {
    pub(super) fn has_much_unread(&self) -> bool {
        self.unread.load(SeqCst) > UNREAD_OWN_BYTES_MAX
            && (self.all.unread.load(SeqCst) > UNREAD_BYTES_MAX || self.all.has_much_kept())
    }

    /// This has come for services.
    pub(crate) fn note_unread(&self, data: Data) {
        if !self.is_serving() && self.streams.load(SeqCst) == 0 {
            // What is left was for requests that are over.
            self.forget_unread();
        }
        self.frames.fetch_add(data.frames, SeqCst);
        self.unread.fetch_add(data.size(), SeqCst);
        self.all.unread.fetch_add(data.size(), SeqCst);
    }

    /// A service has read this.
    pub(crate) fn note_read(&self, data: Data) {
        take(&self.frames, data.frames);
        let taken = take(&self.unread, data.size());
        let before = self.all.unread.fetch_sub(taken, SeqCst);
        let is_low = before - taken <= UNREAD_BYTES_MAX;
        if taken > 0 && (is_low || self.unread.load(SeqCst) <= UNREAD_OWN_BYTES_MAX) {
            self.reader.wake();
        }
    }

    /// A pause has passed without reading.
    pub(crate) fn forgive(&self) {
        if self.has_much_unread() {
            let Data { frames, bytes } = self.unread();
            self.note_read(Data {
                frames: frames / FORGIVEN,
                bytes: bytes / FORGIVEN + FRAME_BYTES,
            });
        }
    }

    pub(super) fn forget_unread(&self) {
        self.note_read(self.unread());
    }

    fn unread(&self) -> Data {
        let (frames, size) = (self.frames.load(SeqCst), self.unread.load(SeqCst));
        Data { frames, bytes: size.saturating_sub(frames * FRAME_BYTES) }
    }
}

// === impl Data ===

impl Data {
    /// A frame of so many bytes.
    pub(crate) fn frame(bytes: usize) -> Self {
        Self { frames: 1, bytes }
    }

    /// What it takes until a service has read it.
    pub(crate) fn size(self) -> usize {
        self.bytes + self.frames * FRAME_BYTES
    }
}

impl AddAssign for Data {
    fn add_assign(&mut self, more: Self) {
        self.frames += more.frames;
        self.bytes += more.bytes;
    }
}

/// Takes so much away, or all if there is less. Returns how much that was.
fn take(from: &AtomicUsize, much: usize) -> usize {
    let less = |now: usize| Some(now.saturating_sub(much));
    let before = from.fetch_update(SeqCst, SeqCst, less).unwrap_or_default();
    before.min(much)
}
