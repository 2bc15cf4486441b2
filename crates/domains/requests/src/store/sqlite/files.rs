//! Files that were counted as a whole.

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use tally_store::error::Step as _;

use super::super::Result;
use crate::counted::{CountedFile, REMEMBERED_MAX};
use crate::model::Namespace;

/// Remembers files.
pub(crate) fn note(transaction: &Transaction<'_>, files: &[CountedFile]) -> Result<()> {
    let step = "remember which files are counted";
    let mut note = transaction.prepare_cached(include_str!("note_file.sql")).step(step)?;
    for file in files {
        let CountedFile { fingerprint, name, reading, requests, malformed, counted_micros } = file;
        let values =
            (fingerprint, name, reading, requests, malformed, counted_micros, Namespace::DEFAULT.0);
        note.execute(values).step(step)?;
    }
    Ok(())
}

/// Which of these were counted.
pub(crate) fn find(connection: &Connection, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>> {
    let step = "look for counted files";
    let mut find = connection.prepare_cached(include_str!("counted_file.sql")).step(step)?;
    let mut found = Vec::new();
    for fingerprint in fingerprints {
        let file = find.query_row((fingerprint, Namespace::DEFAULT.0), |row| {
            Ok(CountedFile {
                fingerprint: fingerprint.clone(),
                name: row.get(0)?,
                reading: row.get(1)?,
                requests: row.get(2)?,
                malformed: row.get(3)?,
                counted_micros: row.get(4)?,
            })
        });
        found.extend(file.optional().step(step)?);
    }
    Ok(found)
}

/// Forgets all but the latest.
pub(crate) fn forget(connection: &Connection) -> Result<()> {
    connection
        .execute(include_str!("forget_files.sql"), [REMEMBERED_MAX])
        .step("forget counted files")?;
    Ok(())
}
