//! How far a client says that it has come.

use tally_proto::wire::CHECKPOINT_BYTES_MAX;

/// A checkpoint is too long: it has this many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint has {0} bytes, and at most {CHECKPOINT_BYTES_MAX} are allowed")]
pub struct CheckpointTooLong(pub usize);

/// The checkpoint of a batch, if it has one.
pub fn read_checkpoint(checkpoint: &[u8]) -> Result<Option<Vec<u8>>, CheckpointTooLong> {
    if checkpoint.len() > CHECKPOINT_BYTES_MAX {
        return Err(CheckpointTooLong(checkpoint.len()));
    }
    Ok((!checkpoint.is_empty()).then(|| checkpoint.to_vec()))
}
