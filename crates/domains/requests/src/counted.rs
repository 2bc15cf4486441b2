//! Files that were counted as a whole, so that an import can warn before it counts one again.

use std::borrow::Cow;

use async_trait::async_trait;
use tally_producers::{OnForget, short_id};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::wire::{self, COUNTED_FILES_MAX};
use tally_store::postgres;
use uuid::Uuid;

use crate::store;

/// The longest fingerprint or reading.
const FINGERPRINT_BYTES_MAX: usize = 64;
/// The longest name of a file.
const FILE_NAME_BYTES_MAX: usize = 1_024;
/// Only the latest files are remembered.
pub(crate) const REMEMBERED_MAX: i64 = 10_000;

/// A file that was counted as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedFile {
    /// Identifies the file, by a rule of the client's.
    pub fingerprint: Vec<u8>,
    /// Its name, for people.
    pub name: String,
    /// Identifies how its lines were read, by a rule of the client's.
    pub reading: Vec<u8>,
    /// How many requests it has.
    pub requests: i64,
    /// How many of its lines were malformed.
    pub malformed: i64,
    /// When that was, in microseconds since 1970-01-01 UTC.
    pub counted_micros: i64,
}

/// Remembers the files that a producer has counted, when it leaves.
#[derive(Debug)]
pub struct RememberFiles {
    /// The producer.
    pub producer: Uuid,
    /// Each fingerprint once.
    pub files: Vec<CountedFile>,
}

// === impl RememberFiles ===

impl RememberFiles {
    /// The files to remember. None if they have more requests than were accepted from the producer,
    /// which then cannot have counted them.
    fn files_within(&self, accepted: i64) -> &[CountedFile] {
        let requests = self.files.iter().fold(0_i64, |sum, file| sum.saturating_add(file.requests));
        if requests <= accepted {
            return &self.files;
        }
        tracing::warn!(
            producer = short_id(self.producer),
            files = self.files.len(),
            requests,
            accepted,
            "files are not remembered: they have more requests than the producer has stored"
        );
        &[]
    }
}

#[async_trait]
impl OnForget for RememberFiles {
    async fn postgres(
        &self,
        transaction: &postgres::Transaction,
        accepted: i64,
    ) -> Result<(), tally_store::Error> {
        store::postgres::files::note(transaction, self.files_within(accepted)).await
    }

    fn sqlite(
        &self,
        transaction: &rusqlite::Transaction<'_>,
        accepted: i64,
    ) -> Result<(), tally_store::Error> {
        store::sqlite::files::note(transaction, self.files_within(accepted))
    }
}

/// Reads the files that a client has counted, each fingerprint once.
pub(crate) fn files(
    files: Vec<proto::CountedFile>,
    now_micros: i64,
) -> Result<Vec<CountedFile>, Cow<'static, str>> {
    check(files.iter().map(|file| &file.fingerprint))?;
    let mut read: Vec<CountedFile> = Vec::with_capacity(files.len());
    for file in files {
        let proto::CountedFile { fingerprint, name, reading, requests, malformed, .. } = file;
        if name.len() > FILE_NAME_BYTES_MAX || name.contains('\0') {
            return Err("the name of a file has more than 1,024 bytes, or a NUL".into());
        }
        if reading.len() > FINGERPRINT_BYTES_MAX {
            return Err("what tells readings apart has at most 64 bytes".into());
        }
        if requests == 0 {
            return Err("a file has no requests".into());
        }
        let requests = i64::try_from(requests).map_err(|_| "a file has too many requests")?;
        let malformed = i64::try_from(malformed).map_err(|_| "a file has too many lines")?;
        let counted_micros = now_micros;
        read.push(CountedFile { fingerprint, name, reading, requests, malformed, counted_micros });
    }
    read.sort_unstable_by(|one, two| one.fingerprint.cmp(&two.fingerprint));
    read.dedup_by(|one, two| one.fingerprint == two.fingerprint);
    Ok(read)
}

/// Checks fingerprints against the limits.
pub(crate) fn check<'a>(
    mut fingerprints: impl ExactSizeIterator<Item = &'a Vec<u8>>,
) -> Result<(), Cow<'static, str>> {
    let files = fingerprints.len();
    if files > COUNTED_FILES_MAX {
        let text = format!("it names {files} files, and at most {COUNTED_FILES_MAX} are allowed");
        return Err(text.into());
    }
    let are_good = fingerprints.all(|one| (1..=FINGERPRINT_BYTES_MAX).contains(&one.len()));
    are_good.then_some(()).ok_or("a fingerprint has 1 to 64 bytes".into())
}

impl From<CountedFile> for proto::CountedFile {
    fn from(file: CountedFile) -> Self {
        let CountedFile { fingerprint, name, reading, requests, malformed, counted_micros } = file;
        Self {
            fingerprint,
            name,
            reading,
            requests: requests.unsigned_abs(),
            malformed: malformed.unsigned_abs(),
            counted_at: Some(wire::timestamp(counted_micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(fingerprint: usize, name: usize) -> proto::CountedFile {
        let (fingerprint, name) = (vec![7; fingerprint], "n".repeat(name));
        proto::CountedFile { fingerprint, name, requests: 1, ..Default::default() }
    }

    #[test]
    fn what_a_client_says_has_limits() {
        assert_eq!(files(vec![file(64, 1_024), file(1, 0), file(1, 5)], 9).unwrap().len(), 2);
        let empty = proto::CountedFile { requests: 0, ..file(1, 0) };
        let reading = proto::CountedFile { reading: vec![7; 65], ..file(1, 0) };
        for bad in [file(0, 0), file(65, 0), file(1, 1_025), empty, reading] {
            assert!(files(vec![bad], 9).is_err());
        }
        assert!(files(vec![file(1, 1); COUNTED_FILES_MAX + 1], 9).is_err());
        assert!(check(vec![vec![7]; COUNTED_FILES_MAX].iter()).is_ok());
        for bad in [vec![vec![]], vec![vec![7; 65]]] {
            assert!(check(bad.iter()).is_err());
        }
        let reason = check(vec![vec![7]; 1_001].iter()).unwrap_err();
        assert_eq!(reason, "it names 1001 files, and at most 1000 are allowed");
    }
}
