//! A new producer takes over all pending batches, or none.

use super::log::Log;
use super::record::{Identity, Position};
use super::state::State;
use super::{Error, Fsync, Options, Spool, Stored, files};

/// Maps each pending batch, with its new sequence, to rows and a payload, or leaves it out.
pub(crate) type Rewrite<'a> = &'a mut dyn FnMut(u64, Stored) -> Option<(u64, Vec<u8>)>;

// === impl Spool ===

impl Spool {
    /// Becomes a new producer, at epoch 0 without claims, with the pending batches that `rewrite`
    /// gives, from sequence 1. All or nothing: they are written as the next generation beside this
    /// one, and then the state names that. `bytes_max` holds for the old and for the new batches.
    pub(crate) fn start_new_producer(
        &mut self,
        producer_id: [u8; 16],
        rewrite: Rewrite<'_>,
    ) -> Result<(), Error> {
        let what = "the spool has come to the end of its generations";
        let generation = self.state.identity.generation.checked_add(1);
        let generation = generation.ok_or(Error::Invalid { what })?;
        let identity = Identity { producer_id, generation, salt: self.state.salt_next };
        for file in self.directory.segments()? {
            // Left by an earlier attempt.
            if file.generation == generation {
                files::remove(&file.path)?;
            }
        }
        let options = self.log.options;
        // One sync at the end is enough.
        let at_end = Options { fsync: Fsync::OsOnly, ..options };
        let mut log = Log::new(self.directory.path(), at_end, identity, Position::default());
        let copied = self.copy(&mut log, rewrite).and_then(|()| log.sync());
        let salt_before = self.state.identity.salt;
        let state = State { salt_before, last: log.last, ..State::new(identity) };
        if let Err(error) = copied.and_then(|()| self.directory.put_state(&state)) {
            // The next attempt or `open` removes what is left.
            let _ = log.remove_all();
            return Err(error);
        }
        if let Err(error) = files::sync_directory(self.directory.path()) {
            // A power failure may leave either state, so all files stay.
            self.directory.put_state(&self.state)?;
            return Err(error);
        }
        log.options = options;
        let mut old = std::mem::replace(&mut self.log, log);
        (self.state, self.missing) = (state, Vec::new());
        let _ = old.remove_all();
        Ok(())
    }

    fn copy(&mut self, log: &mut Log, rewrite: Rewrite<'_>) -> Result<(), Error> {
        let mut sequence = self.state.acknowledged.saturating_add(1);
        while sequence < self.next_sequence() {
            let stored = self.read(sequence)?;
            sequence = match &stored {
                Stored::Batch { sequence, .. } => sequence.saturating_add(1),
                Stored::Missing(missing) => missing.last.saturating_add(1),
            };
            if let Some((rows, payload)) = rewrite(log.last.sequence.saturating_add(1), stored) {
                log.append(rows, &payload)?;
            }
        }
        Ok(())
    }
}
