//! What a process has left in its spool, read as the client's FORMAT.md describes it and not by
//! the client's code.

use std::path::Path;

use anyhow::Context as _;
use prost::Message as _;
use tally_proto::methods;
use tally_proto::tally::requests::v1::Batch;

use crate::journal::{Key, Line, Parcel, Series};

/// What a segment and a record begin with, in bytes.
const SEGMENT_HEADER: usize = 68;
const RECORD_HEADER: usize = 44;

/// The batches of a client of this namespace that wait in a spool that is not open elsewhere, stored as they are
/// sent.
pub(super) fn read(folder: &Path, namespace: i64) -> anyhow::Result<Vec<Line>> {
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
                let parcel = parcel(&Batch::decode(payload)?, namespace)?;
                lines.push(Line::Spooled(sequence, parcel));
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

fn parcel(batch: &Batch, namespace: i64) -> anyhow::Result<Parcel> {
    let mut parcel = Parcel::default();
    let mut micros = 0;
    for (at, (number, delta)) in batch.number.iter().zip(&batch.time_delta).enumerate() {
        micros += delta;
        let requests = match &*batch.requests {
            [] => 1,
            requests => *requests.get(at).context("a list of requests is too short")?,
        };
        let series = batch.series.get(*number as usize).context("an unknown series")?;
        let series = Series {
            namespace,
            path: series.path.clone(),
            method: methods::number_of_text(&series.method),
            service: series.service.clone(),
            status: series.status.try_into()?,
            customer: series.customer.clone(),
        };
        *parcel.requests.entry(Key::at(micros, series)).or_default() += u64::from(requests);
    }
    for drops in &batch.drops {
        *parcel.drops.entry(drops.day).or_default() += drops.count;
    }
    Ok(parcel)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tally_client::{Method, Producer, Row, spool::Options};

    use super::*;

    /// What the client wrote is found, and a record that it did not finish is not.
    #[tokio::test]
    async fn a_spool_is_read_as_the_client_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let builder = Producer::builder("http://127.0.0.1:1").batch_rows_max(10);
        let builder = builder.spool(folder.path(), Options::default());
        let mut producer = builder.connect().await.unwrap();
        let series = producer.endpoint(Method::GET, "/a");
        producer.send(vec![Row::one(series, -5); 20]).await.unwrap();
        let merged = Row { requests: 2, ..Row::one(series, -5) };
        producer.send([vec![merged; 4], vec![Row::one(series, -5); 2]].concat()).await.unwrap();
        let report = producer.close_within(Duration::from_secs(60)).await;
        assert_eq!(report.spooled, 30);

        let (path, method) = ("/a".to_owned(), Method::GET.0);
        let key = Key { quarter: -1, series: Series { path, method, ..Series::default() } };
        let ten = || Parcel { requests: [(key.clone(), 10)].into(), ..Parcel::default() };
        let expected: Vec<_> = (1..=3).map(|number| Line::Spooled(number, ten())).collect();
        assert_eq!(read(folder.path(), 0).unwrap(), expected);

        let files = std::fs::read_dir(folder.path()).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        let segment = files.find(|path| path.extension().is_some()).unwrap();
        let bytes = std::fs::read(&segment).unwrap();
        std::fs::write(&segment, &bytes[..bytes.len() - 1]).unwrap();
        // The state knows of the third.
        let error = read(folder.path(), 0).unwrap_err().to_string();
        assert!(error.contains("had 3 and ends before 3"), "{error}");
    }
}
