//! New numbers for what is pending: all of it, or nothing.

use std::collections::VecDeque;

use super::log::Log;
use super::record::{Identity, Position};
use super::state::State;
use super::{Error, Fsync, Options, Spool, Stored, files, recover};

/// What [`Spool::start_new_producer`] and [`Spool::renumber`] call with the new sequence of
/// each pending batch, in order. It gives the rows and the payload under that sequence, or
/// nothing to leave the batch out; the sequence is then given again with the next batch.
pub type Rewrite<'a> = &'a mut dyn FnMut(u64, Stored) -> Option<(u64, Vec<u8>)>;

// === impl Spool ===

impl Spool {
    /// Becomes a new producer, at epoch 0 without claims, whose batches begin with 1. Each
    /// pending batch goes through `rewrite`. All or nothing, also when the process is killed or
    /// the disk is full. The limit `bytes_max` holds for the old and the new batches each.
    ///
    /// # Errors
    /// When a batch that `rewrite` gives is too large, there is no room, or the system refuses:
    /// the producer and the batches are then what they were.
    pub fn start_new_producer(
        &mut self,
        producer_id: [u8; 16],
        rewrite: Rewrite<'_>,
    ) -> Result<(), Error> {
        let state = State {
            identity: self.next_identity(producer_id)?,
            epoch: 0,
            claims: Vec::new(),
            acknowledged_at: None,
            ..self.state.clone()
        };
        self.rewrite(state, 0, rewrite)
    }

    /// Stays the same producer and numbers the pending batches anew: `acknowledged` becomes the
    /// last that the server has, and the first that `rewrite` gives comes after it. All or
    /// nothing, as with [`start_new_producer`](Self::start_new_producer).
    ///
    /// # Errors
    /// As [`start_new_producer`](Self::start_new_producer).
    pub fn renumber(&mut self, acknowledged: u64, rewrite: Rewrite<'_>) -> Result<(), Error> {
        if acknowledged == u64::MAX {
            return Err(Error::Invalid { what: "the largest number is no sequence" });
        }
        let identity = self.next_identity(self.state.identity.producer_id)?;
        let state = State { identity, ..self.state.clone() };
        self.rewrite(state, acknowledged, rewrite)
    }

    fn next_identity(&self, producer_id: [u8; 16]) -> Result<Identity, Error> {
        let what = "the spool has come to the end of its generations";
        let generation = self.state.identity.generation.checked_add(1);
        let generation = generation.ok_or(Error::Invalid { what })?;
        Ok(Identity { producer_id, generation, salt: self.state.salt_next })
    }

    /// Writes the pending batches under new numbers beside the old ones, and then has the state
    /// name the new ones.
    fn rewrite(
        &mut self,
        mut state: State,
        acknowledged: u64,
        rewrite: Rewrite<'_>,
    ) -> Result<(), Error> {
        let start = Position { sequence: acknowledged, rows: 0 };
        // One sync at the end is enough.
        let options = Options { fsync: Fsync::OsOnly, ..self.options };
        let path = self.directory.path().to_owned();
        for file in self.directory.segments()? {
            // An earlier try has left it.
            if file.generation == state.identity.generation {
                files::remove(&file.path)?;
            }
        }
        let mut log = Log::new(&path, &options, state.identity, VecDeque::new(), start, false);
        let copied = self.copy(&mut log, rewrite).and_then(|()| log.sync());
        state.salt_before = self.state.identity.salt;
        state.salt_next = recover::random();
        (state.acknowledged, state.base, state.last) = (acknowledged, start, log.last());
        if let Err(error) = copied.and_then(|()| self.directory.put_state(&state.encode())) {
            // What cannot be removed now is removed by the next try or `open`.
            let _ = log.remove_all();
            return Err(error);
        }
        if let Err(error) = self.directory.sync() {
            // Which of the two states a power failure leaves is open: all files stay.
            self.directory.put_state(&self.state.encode())?;
            return Err(error);
        }
        log.set_fsync(self.options.fsync);
        let mut old = std::mem::replace(&mut self.log, log);
        (self.state, self.reading, self.missing) = (state, None, Vec::new());
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
            let next = log.last().sequence.saturating_add(1);
            let Some((rows, payload)) = rewrite(next, stored) else { continue };
            let (bytes, bytes_max) = (log.bytes(), self.options.bytes_max);
            let wanted = log.wanted(&payload, bytes_max)?;
            if bytes + wanted > bytes_max {
                let directory = self.directory.path().to_owned();
                return Err(Error::Full { directory, bytes, wanted, bytes_max });
            }
            log.append(rows, &payload)?;
        }
        Ok(())
    }
}
