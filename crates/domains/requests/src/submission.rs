//! Entries that come in one call, and not in a stream: all of them are stored, or none.

use std::borrow::Cow;
use std::hash::Hasher as _;
use std::sync::Arc;

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tally_producers::stream::Builder as _;
use tally_producers::{Fingerprint, Once, Parcel};
use tally_proto::wire::{ENTRY_REQUESTS_MAX, MICROS, STATUS_MAX};

use crate::intake::{Intake, Rules};
use crate::model::SeriesRef;
use crate::rows::{Rows, RowsBuilder};

/// How many entries a call may have.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// The key of the hash that makes fingerprints. It never changes, because they are in databases.
const FINGERPRINT_KEY: (u64, u64) = (0x7461_6c6c_792e_6f6e, 0x6365_2e72_6571_2e31);

/// What one entry says, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) service: Cow<'a, str>,
    pub(crate) method: Cow<'a, str>,
    pub(crate) path: Cow<'a, str>,
    pub(crate) status: u64,
    pub(crate) customer: Cow<'a, str>,
    /// In microseconds since 1970-01-01 UTC; by default now.
    pub(crate) micros: Option<i64>,
    pub(crate) requests: u64,
}

/// Why an entry cannot be counted, for one of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEntry {
    #[error("it is {0}, and may be at most {STATUS_MAX}")]
    Status(u64),
    #[error("it is {0}, and an entry may stand for 1 to {ENTRY_REQUESTS_MAX}")]
    Requests(u64),
    #[error("it is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z")]
    TimeOutOfRange,
    #[error("it is {0} s ahead of the server's clock, more than 24 h")]
    TimeAhead(i64),
}

/// Entries that can be counted.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) parcel: Parcel<Rows>,
    /// How many entries they are.
    pub(crate) entries: usize,
    /// How many requests they stand for.
    pub(crate) requests: u64,
}

// === impl Entry ===

impl Entry<'_> {
    /// What is wrong with it.
    pub(crate) fn check(&self, rules: Rules) -> Vec<InvalidEntry> {
        let mut invalid = Vec::new();
        if self.status > u64::from(STATUS_MAX) {
            invalid.push(InvalidEntry::Status(self.status));
        }
        if !(1..=u64::from(ENTRY_REQUESTS_MAX)).contains(&self.requests) {
            invalid.push(InvalidEntry::Requests(self.requests));
        }
        match self.micros {
            Some(micros) if !MICROS.contains(&micros) => invalid.push(InvalidEntry::TimeOutOfRange),
            Some(micros) => {
                invalid.extend(rules.ahead_seconds(micros).map(InvalidEntry::TimeAhead));
            }
            None => {}
        }
        invalid
    }

    /// What it is counted under.
    fn series(&self, rules: Rules) -> SeriesRef<'_> {
        rules.counted(SeriesRef {
            namespace: rules.namespace,
            service: &self.service,
            method: &self.method,
            path: &self.path,
            status: u16::try_from(self.status).unwrap_or_default(),
            customer: &self.customer,
        })
    }
}

// === impl InvalidEntry ===

impl InvalidEntry {
    /// The field that is wrong.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Requests(_) => "requests",
            Self::TimeOutOfRange | Self::TimeAhead(_) => "time",
        }
    }
}

// === impl Submission ===

impl Submission {
    /// Of entries with which nothing is wrong. With a key, they are stored once.
    pub(crate) fn new(
        entries: &[Entry<'_>],
        key: Option<&str>,
        intake: &Intake,
        rules: Rules,
    ) -> Self {
        let mut rows = intake.builder();
        let mut unknown = Vec::new();
        {
            let known = intake.series.view();
            for entry in entries {
                let series = entry.series(rules);
                let (micros, requests) = (entry.micros.unwrap_or(rules.now_micros), entry.requests);
                match known.find(series) {
                    Some(named) => push(&mut rows, named, micros, requests),
                    None => unknown.push((series, micros, requests)),
                }
            }
        }
        let weighed = unknown.iter().map(|(series, _, requests)| {
            (*series, u32::try_from(*requests).unwrap_or(ENTRY_REQUESTS_MAX))
        });
        let named = intake.series.resolve(weighed);
        for (named, (_, micros, requests)) in named.iter().zip(&unknown) {
            push(&mut rows, named, *micros, *requests);
        }
        intake.ahead.in_time(rules.now_micros);
        let once =
            key.map(|key| Arc::new(Once { key: key.into(), fingerprint: fingerprint(entries) }));
        let requests = entries.iter().map(|entry| entry.requests).sum();
        let parcel = Parcel { once, ..Parcel::new(rules.namespace, rows.finish()) };
        Self { parcel, entries: entries.len(), requests }
    }
}

fn push(rows: &mut RowsBuilder, named: &Arc<crate::Named>, micros: i64, requests: u64) {
    rows.push(named.id, micros, requests.cast_signed());
    rows.name(named);
}

/// 128 bits of SipHash-2-4 over what was sent, so that it is the same in every server, whatever its clock,
/// its settings and the encoding of the body are: of each entry the texts, each with its length before it,
/// the status, the requests, and the time. One without a time is the same at any time.
fn fingerprint(entries: &[Entry<'_>]) -> Fingerprint {
    let mut hasher = SipHasher24::new_with_keys(FINGERPRINT_KEY.0, FINGERPRINT_KEY.1);
    for entry in entries {
        for text in [&entry.service, &entry.method, &entry.path, &entry.customer] {
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        hasher.write(&entry.status.to_le_bytes());
        hasher.write(&entry.requests.to_le_bytes());
        // No time is beyond the range of times.
        hasher.write(&entry.micros.unwrap_or(i64::MAX).to_le_bytes());
    }
    hasher.finish128().as_u128().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Namespace;

    fn entry(path: &str) -> Entry<'_> {
        Entry {
            service: "shop".into(),
            method: "GET".into(),
            path: path.into(),
            status: 200,
            customer: "".into(),
            micros: None,
            requests: 1,
        }
    }

    /// It is in databases, so it never changes.
    #[test]
    fn a_fingerprint_is_the_same_for_ever() {
        let is = |entries: &[Entry<'_>]| u128::from_le_bytes(fingerprint(entries));
        assert_eq!(is(&[]), 315_742_986_942_695_258_621_586_824_490_526_454_713);
        let two = [entry("/"), Entry { micros: Some(5), ..entry("/a") }];
        assert_eq!(is(&two), 132_985_407_741_899_752_734_243_038_244_985_972_523);
    }

    #[test]
    fn any_difference_is_in_the_fingerprint() {
        let base = || entry("/a");
        let text = |text: &'static str| Cow::from(text);
        let others = [
            vec![],
            vec![base(), base()],
            vec![base(), entry("/b")],
            vec![entry("/b"), base()],
            vec![Entry { service: text("sho"), method: text("pGET"), ..base() }],
            vec![Entry { service: text(""), customer: text("shop"), ..base() }],
            vec![Entry { status: 201, ..base() }],
            vec![Entry { requests: 2, ..base() }],
            vec![Entry { micros: Some(0), ..base() }],
            vec![Entry { micros: Some(1), ..base() }],
        ];
        let all: std::collections::HashSet<_> =
            others.iter().map(|one| fingerprint(one)).chain([fingerprint(&[base()])]).collect();
        assert_eq!(all.len(), others.len() + 1);
    }

    #[test]
    fn everything_that_is_wrong_with_an_entry_is_told() {
        let rules = Rules { namespace: Namespace::DEFAULT, path_bytes_max: 10, now_micros: 0 };
        let fields = |entry: Entry<'_>| {
            let invalid = entry.check(rules).into_iter();
            invalid.map(InvalidEntry::field).collect::<Vec<_>>()
        };
        let day = 86_400_000_000;
        let right = Entry { status: 999, requests: 1_000_000, micros: Some(day), ..entry("") };
        assert_eq!(fields(right.clone()), Vec::<&str>::new());
        for micros in [day + 1_000_000, MICROS.end() + 1, MICROS.start() - 1, i64::MIN] {
            let wrong = Entry { status: 1_000, requests: 0, micros: Some(micros), ..entry("") };
            assert_eq!(fields(wrong), ["status", "requests", "time"], "{micros}");
        }
        assert_eq!(fields(Entry { requests: 1_000_001, ..right }), ["requests"]);
    }
}
