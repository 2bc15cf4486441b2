//! What a process left in its spool.

use std::path::Path;

use anyhow::Context as _;
use prost::Message as _;
use tally_client::spool::{Options, Spool, Stored};
use tally_proto::tally::requests::v1::Batch;
use uuid::Uuid;

use super::load::day;
use crate::journal::{Key, Line, Parcel};

/// The batches waiting in a spool that is not open elsewhere.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<Line>> {
    let opened = Spool::open(folder, Options::default(), Uuid::now_v7().into_bytes());
    let (mut spool, recovered) = opened?;
    anyhow::ensure!(recovered.missing.is_empty(), "the spool has a hole: {:?}", recovered.missing);
    let mut lines = Vec::new();
    for number in recovered.acknowledged + 1..recovered.next_sequence {
        let Stored::Batch { sequence, payload, .. } = spool.read(number)? else {
            anyhow::bail!("batch {number} of the spool is missing");
        };
        lines.push(Line::Spooled(sequence, parcel(&Batch::decode(&*payload)?)?));
    }
    spool.close()?;
    Ok(lines)
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
