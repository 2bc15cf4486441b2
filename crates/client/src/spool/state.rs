//! The bytes of the state file: two copies of the same block.

use tally_proto::wire::CLAIMS_MAX;

use super::record::{Decoded, Identity, Position, Reader, block, crc, preamble, put};
use crate::random;

/// The block size of most disks, so the copies do not share a block.
const COPY_BYTES: usize = 4096;

pub(super) const STATE_BYTES: usize = 2 * COPY_BYTES;

const MAGIC: [u8; 8] = *b"TALLYSPL";

/// What a spool knows besides its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) identity: Identity,
    /// The salt of the previous generation, whose files may still be there.
    pub(super) salt_before: u64,
    /// The salt of the next generation, whose files may be half written.
    pub(super) salt_next: u64,
    pub(super) epoch: u64,
    pub(super) claims: Vec<u64>,
    pub(super) acknowledged: u64,
    /// When that was heard, in microseconds since 1970-01-01 UTC; 0 in the file if unknown.
    pub(super) acknowledged_at: Option<i64>,
    /// The position before the first live segment; those that begin earlier await removal.
    pub(super) base: Position,
    /// The last batch when this was written, or an earlier one.
    pub(super) last: Position,
}

// === impl State ===

impl State {
    /// A producer without batches.
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            salt_before: random::number(),
            salt_next: random::number(),
            epoch: 0,
            claims: Vec::new(),
            acknowledged: 0,
            acknowledged_at: None,
            base: Position::default(),
            last: Position::default(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Identity { producer_id, generation, salt } = self.identity;
        let mut bytes = preamble(MAGIC);
        bytes.extend(producer_id);
        put(&mut bytes, &[generation, salt, self.salt_before, self.salt_next]);
        let at = self.acknowledged_at.unwrap_or(0).cast_unsigned();
        put(&mut bytes, &[self.epoch, self.acknowledged, at]);
        put(&mut bytes, &[self.base.sequence, self.base.rows]);
        put(&mut bytes, &[self.last.sequence, self.last.rows]);
        put(&mut bytes, &[self.claims.len() as u64]);
        put(&mut bytes, &self.claims);
        bytes.resize(COPY_BYTES - 4, 0);
        bytes.extend(crc(&bytes).to_le_bytes());
        bytes.repeat(2)
    }

    /// Reads a state file. True: both copies are intact.
    pub(super) fn decode(bytes: &[u8]) -> Decoded<(Self, bool)> {
        let copy = |at| block(MAGIC, bytes.get(at..).unwrap_or_default(), COPY_BYTES, Self::read);
        match (copy(0), copy(COPY_BYTES)) {
            (Decoded::Newer(version), _) | (_, Decoded::Newer(version)) => Decoded::Newer(version),
            (Decoded::Intact(state), other) => {
                let whole = bytes.len() == STATE_BYTES && other == Decoded::Intact(state.clone());
                Decoded::Intact((state, whole))
            }
            (Decoded::Damaged, Decoded::Intact(state)) => Decoded::Intact((state, false)),
            (Decoded::Damaged, Decoded::Damaged) => Decoded::Damaged,
        }
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let mut state = Self {
            identity: reader.identity(),
            salt_before: reader.u64(),
            salt_next: reader.u64(),
            epoch: reader.u64(),
            claims: Vec::new(),
            acknowledged: reader.u64(),
            acknowledged_at: Some(reader.u64().cast_signed()).filter(|at| *at != 0),
            base: reader.position(),
            last: reader.position(),
        };
        let claims = usize::try_from(reader.u64()).ok().filter(|claims| *claims <= CLAIMS_MAX)?;
        state.claims = (0..claims).map(|_| reader.u64()).collect();
        let in_order = state.base.sequence <= state.acknowledged
            && state.acknowledged <= state.last.sequence
            && state.last.sequence < u64::MAX
            && state.base.rows <= state.last.rows;
        in_order.then_some(state)
    }
}
