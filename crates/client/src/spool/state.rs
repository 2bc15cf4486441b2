//! The bytes of the state file: two copies of the same block.

use super::record::{
    Decoded, Identity, PREAMBLE_BYTES, Position, Reader, Writer, crc, preamble, split_crc,
};

/// As many as the server takes.
pub(super) const CLAIMS_MAX: usize = 64;

/// A block of most disks, so that the copies do not share one.
const COPY_BYTES: usize = 4096;

/// The size of the file.
pub(super) const STATE_BYTES: usize = 2 * COPY_BYTES;

const MAGIC: [u8; 8] = *b"TALLYSPL";

/// What a spool knows beside its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) identity: Identity,
    /// The salt of the generation before, whose files may not be removed yet.
    pub(super) salt_before: u64,
    /// The salt of the next generation, whose files may be half written.
    pub(super) salt_next: u64,
    pub(super) epoch: u64,
    pub(super) claims: Vec<u64>,
    pub(super) acknowledged: u64,
    /// When that was heard, in microseconds since 1970-01-01 UTC; in the file 0 if it is not known.
    pub(super) acknowledged_at: Option<i64>,
    /// The position before the first segment that counts: a segment that begins at or before
    /// it is only waiting to be removed.
    pub(super) base: Position,
    /// The last batch when this was written; there may be more.
    pub(super) last: Position,
}

/// What the state file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Both(State),
    One(State),
    Damaged,
    Newer(u32),
}

// === impl State ===

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; COPY_BYTES];
        let mut writer = Writer::new(&mut bytes);
        writer.preamble(MAGIC);
        writer.put(&self.identity.producer_id);
        for number in [
            self.identity.generation,
            self.identity.salt,
            self.salt_before,
            self.salt_next,
            self.epoch,
            self.acknowledged,
            self.acknowledged_at.unwrap_or(0).cast_unsigned(),
            self.base.sequence,
            self.base.rows,
            self.last.sequence,
            self.last.rows,
            self.claims.len() as u64,
        ] {
            writer.u64(number);
        }
        for claim in &self.claims {
            writer.u64(*claim);
        }
        let check = crc(&bytes[..COPY_BYTES - 4]);
        bytes[COPY_BYTES - 4..].copy_from_slice(&check.to_le_bytes());
        bytes.repeat(2)
    }

    /// Reads a state file.
    pub(super) fn decode(bytes: &[u8]) -> Found {
        let copy = |at: usize| decode_copy(bytes.get(at..at + COPY_BYTES).unwrap_or_default());
        match (copy(0), copy(COPY_BYTES)) {
            (Decoded::Newer(version), _) | (_, Decoded::Newer(version)) => Found::Newer(version),
            (Decoded::Intact(state), Decoded::Intact(other)) if state == other => {
                if bytes.len() == STATE_BYTES { Found::Both(state) } else { Found::One(state) }
            }
            (Decoded::Intact(state), _) | (_, Decoded::Intact(state)) => Found::One(state),
            (Decoded::Damaged, Decoded::Damaged) => Found::Damaged,
        }
    }
}

fn decode_copy(bytes: &[u8]) -> Decoded<State> {
    match preamble(MAGIC, bytes) {
        Decoded::Intact(()) => {}
        Decoded::Damaged => return Decoded::Damaged,
        Decoded::Newer(version) => return Decoded::Newer(version),
    }
    match split_crc(bytes, COPY_BYTES) {
        Some((body, check)) if crc(body) == check => {
            fields(&body[PREAMBLE_BYTES..]).map_or(Decoded::Damaged, Decoded::Intact)
        }
        _ => Decoded::Damaged,
    }
}

fn fields(body: &[u8]) -> Option<State> {
    let mut reader = Reader(body);
    let producer_id = reader.take();
    let (generation, salt) = (reader.u64(), reader.u64());
    let mut state = State {
        identity: Identity { producer_id, generation, salt },
        salt_before: reader.u64(),
        salt_next: reader.u64(),
        epoch: reader.u64(),
        claims: Vec::new(),
        acknowledged: reader.u64(),
        acknowledged_at: Some(reader.u64().cast_signed()).filter(|at| *at != 0),
        base: Position { sequence: reader.u64(), rows: reader.u64() },
        last: Position { sequence: reader.u64(), rows: reader.u64() },
    };
    let claims = usize::try_from(reader.u64()).ok().filter(|claims| *claims <= CLAIMS_MAX)?;
    state.claims = (0..claims).map(|_| reader.u64()).collect();
    let in_order = state.base.sequence <= state.acknowledged
        && state.acknowledged <= state.last.sequence
        && state.last.sequence < u64::MAX
        && state.base.rows <= state.last.rows;
    in_order.then_some(state)
}
