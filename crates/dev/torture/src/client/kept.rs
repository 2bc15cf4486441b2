//! What a process has left in its spool, read as the client's FORMAT.md describes it and not by
//! the client's code.

use std::path::Path;

use anyhow::Context as _;
use prost::Message as _;
use tally_proto::tally::requests::v1::Batch;

use super::load::day;
use crate::journal::{Key, Line, Parcel};

/// What a segment and a record begin with, in bytes.
const SEGMENT_HEADER: usize = 68;
const RECORD_HEADER: usize = 44;

/// The batches that wait in a spool that is not in use. A batch is kept as it is sent.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<Line>> {
    let state = match std::fs::read(folder.join("state")) {
        Ok(state) => state,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("the state of the spool"),
    };
    let state = state.get(..128).context("the state of the spool is cut off")?;
    let (generation, acknowledged, last) =
        (number(state, 32), number(state, 72), number(state, 104));
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<std::io::Result<Vec<_>>>()?;
    let prefix = format!("{generation:020}-");
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".segment")
    });
    files.sort();
    let mut lines = Vec::new();
    let mut next = acknowledged + 1;
    for path in files {
        let bytes = std::fs::read(&path)?;
        let mut rest = bytes.get(SEGMENT_HEADER..).unwrap_or_default();
        // A record that the process did not finish ends the last segment.
        while let Some((header, records)) = rest.split_at_checked(RECORD_HEADER)
            && let length = (number(header, 32) as u32) as usize
            && let Some((payload, after)) = records.split_at_checked(length)
        {
            let sequence = number(header, 8);
            if sequence > acknowledged {
                anyhow::ensure!(sequence == next, "the spool has {sequence} in place of {next}");
                next += 1;
                lines.push(Line::Kept(sequence, parcel(&Batch::decode(payload)?)?));
            }
            rest = after;
        }
    }
    anyhow::ensure!(last < next, "the spool had {last} and ends before {next}");
    Ok(lines)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn parcel(batch: &Batch) -> anyhow::Result<Parcel> {
    let mut parcel = Parcel::default();
    let mut micros = 0;
    for (endpoint, delta) in batch.endpoint.iter().zip(&batch.time_delta) {
        micros += delta;
        let endpoint = batch.endpoints.get(*endpoint as usize).context("an unknown endpoint")?;
        let key = Key { day: day(micros), method: endpoint.method, path: endpoint.path.clone() };
        *parcel.requests.entry(key).or_default() += 1;
    }
    for drops in &batch.drops {
        *parcel.drops.entry(drops.day).or_default() += drops.count;
    }
    Ok(parcel)
}
