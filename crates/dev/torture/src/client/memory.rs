//! The raw client's state on disk, so that it can resume after a kill.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use uuid::Uuid;

/// The state that the protocol asks a client to keep. It omits the batches because the seed
/// reproduces them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    path: PathBuf,
    pub(super) producer: Uuid,
    pub(super) epoch: u64,
    /// Claims of Opens after `epoch` that were not answered.
    pub(super) claims: Vec<u64>,
    pub(super) base_micros: i64,
    /// How many parcels precede this producer's first batch.
    pub(super) before: u64,
}

// === impl Memory ===

impl Memory {
    /// Reads the file, or creates it for a new producer.
    pub(super) fn open(path: &Path, base_micros: i64) -> anyhow::Result<Memory> {
        let path = path.to_owned();
        if !path.exists() {
            let (producer, claims) = (Uuid::now_v7(), Vec::new());
            let memory = Memory { path, producer, epoch: 0, claims, base_micros, before: 0 };
            memory.save()?;
            return Ok(memory);
        }
        let text = fs::read_to_string(&path)?;
        let mut words = text.split_whitespace();
        let mut next = || words.next().context("the memory is incomplete");
        let producer = next()?.parse()?;
        let (epoch, base_micros, before) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
        let claims = words.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Memory { path, producer, epoch, claims, base_micros, before })
    }

    /// Becomes a new producer, whose first batch is the parcel after the first `before`.
    pub(super) fn renew(&mut self, before: u64) -> anyhow::Result<()> {
        self.producer = Uuid::now_v7();
        self.epoch = 0;
        self.claims.clear();
        self.before = before;
        self.save()
    }

    /// Replaces the file atomically.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let Memory { path, producer, epoch, claims, base_micros, before } = self;
        let claims: Vec<String> = claims.iter().map(u64::to_string).collect();
        let text = format!("{producer} {epoch} {base_micros} {before} {}\n", claims.join(" "));
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, path).context("cannot replace the memory")
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn a_saved_memory_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let mut memory = Memory::open(&path, 5).unwrap();
        assert_eq!(Memory::open(&path, 6).unwrap(), memory);
        memory.epoch = 3;
        memory.claims = vec![1, 2];
        memory.save().unwrap();
        assert_eq!(Memory::open(&path, 6).unwrap(), memory);
    }
}
