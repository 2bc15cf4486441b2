//! A client's record of itself, in a file that outlives it: what it is about to send, and later
//! what was acknowledged.
//!
//! Each line is written by one call, so a kill leaves whole lines and at most one torn line. A torn
//! line does not count: what it announces was not sent.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::str::FromStr;

/// How many quarters a day of UTC has, and a quarter in microseconds.
pub(crate) const QUARTERS_PER_DAY: i32 = 96;
const QUARTER_MICROS: i64 = 900_000_000;

/// What a request counts under.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    /// The number of its namespace.
    pub(crate) namespace: i64,
    pub(crate) path: String,
    /// A number of `count.v1.Method`.
    pub(crate) method: i32,
    pub(crate) service: String,
    /// Or its class, where only that is known.
    pub(crate) status: u16,
    pub(crate) customer: String,
}

/// What counts are kept for: a series in a quarter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Quarters since 1970-01-01 UTC; of a longer period, its first one.
    pub(crate) quarter: i32,
    pub(crate) series: Series,
}

/// What a client sends in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// Requests by key.
    pub(crate) requests: BTreeMap<Key, u64>,
    /// Reported drops by day.
    pub(crate) drops: BTreeMap<i32, u64>,
}

/// A line of a journal. Parcels are numbered 1, 2, 3 … across all processes of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A process starts. `resumed`: it resends what the previous process left unacknowledged.
    /// `drops`: it drops requests when it is full, and each parcel has a line `Queued`.
    Start { resumed: bool, drops: bool },
    /// This parcel is sent after this line is written.
    Sent(u64, Parcel),
    /// Every parcel up to this one is acknowledged.
    UpTo(u64),
    /// Exactly this many requests of this single-key parcel are counted.
    Exactly(u64, u64),
    /// Any number of requests of this parcel may be counted.
    Doubtful(u64),
    /// An earlier process left this batch in its spool, so it will be sent.
    Spooled(u64, Parcel),
    /// This many requests of this process are acknowledged; which ones is unknown.
    Total(u64),
    /// This parcel was queued except for these requests, which were dropped; the drops will be
    /// reported to the server.
    Queued(u64, Parcel),
    /// Everything this process sent is acknowledged.
    Done,
    /// This process finished, and some of its requests may or may not be stored. The last `Total`
    /// says how many were acknowledged.
    InDoubt,
    /// The server broke a rule.
    Broken(String),
    /// The server no longer knows the client, as after its database was set back.
    Setback(String),
    /// Acknowledged requests are missing from the database.
    Lost(String),
    /// Of a client that does not count: what it sends, and what it was answered.
    Note(String),
}

/// A journal that is read while it grows, or written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Where the next line to read begins.
    at: u64,
}

// === impl Series ===

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Series { namespace, path, method, service, status, customer } = self;
        write!(f, "{namespace}:{service}:{method}:{path}:{status}:{customer}")
    }
}

// === impl Key ===

impl Key {
    /// A series at a time in microseconds.
    pub(crate) fn at(micros: i64, series: Series) -> Key {
        let quarter = micros.div_euclid(QUARTER_MICROS);
        Key { quarter: i32::try_from(quarter).expect("the quarter fits i32"), series }
    }

    /// Days since 1970-01-01 UTC.
    pub(crate) fn day(&self) -> i32 {
        self.quarter.div_euclid(QUARTERS_PER_DAY)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, slot) = (self.day(), self.quarter.rem_euclid(QUARTERS_PER_DAY));
        write!(f, "day {day} quarter {slot} {}", self.series)
    }
}

// === impl Parcel ===

impl Parcel {
    /// `count` requests of one key.
    pub(crate) fn of(key: Key, count: u64) -> Parcel {
        Parcel { requests: BTreeMap::from([(key, count)]), drops: BTreeMap::new() }
    }

    /// Requests by day.
    pub(crate) fn days(&self) -> BTreeMap<i32, u64> {
        let mut days = BTreeMap::new();
        for (key, count) in &self.requests {
            *days.entry(key.day()).or_default() += count;
        }
        days
    }
}

impl fmt::Display for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (Key { quarter, series }, count) in &self.requests {
            write!(f, " {quarter}:{series}:{count}")?;
        }
        self.drops.iter().try_for_each(|(day, count)| write!(f, " {day}:{count}"))
    }
}

// === impl Line ===

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Start { resumed, drops } => {
                write!(f, "start {} {}", u8::from(*resumed), u8::from(*drops))
            }
            Line::Sent(number, parcel) => write!(f, "sent {number}{parcel}"),
            Line::Queued(number, parcel) => write!(f, "queued {number}{parcel}"),
            Line::Spooled(number, parcel) => write!(f, "spooled {number}{parcel}"),
            Line::UpTo(number) => write!(f, "upto {number}"),
            Line::Exactly(number, count) => write!(f, "exactly {number} {count}"),
            Line::Doubtful(number) => write!(f, "doubtful {number}"),
            Line::Total(count) => write!(f, "total {count}"),
            Line::Done => write!(f, "done"),
            Line::InDoubt => write!(f, "indoubt"),
            Line::Broken(what) => write!(f, "broken {what}"),
            Line::Setback(what) => write!(f, "setback {what}"),
            Line::Lost(what) => write!(f, "lost {what}"),
            Line::Note(what) => write!(f, "note {what}"),
        }
    }
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Line> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || rest.split_once(' ').unwrap_or_default();
        Ok(match word {
            "start" => Line::Start { resumed: pair().0 == "1", drops: pair().1 == "1" },
            "sent" => numbered(rest).map(|(number, parcel)| Line::Sent(number, parcel))?,
            "queued" => numbered(rest).map(|(number, parcel)| Line::Queued(number, parcel))?,
            "spooled" => numbered(rest).map(|(number, parcel)| Line::Spooled(number, parcel))?,
            "upto" => Line::UpTo(rest.parse()?),
            "exactly" => Line::Exactly(pair().0.parse()?, pair().1.parse()?),
            "doubtful" => Line::Doubtful(rest.parse()?),
            "total" => Line::Total(rest.parse()?),
            "done" => Line::Done,
            "indoubt" => Line::InDoubt,
            "broken" => Line::Broken(rest.to_owned()),
            "setback" => Line::Setback(rest.to_owned()),
            "lost" => Line::Lost(rest.to_owned()),
            "note" => Line::Note(rest.to_owned()),
            _ => anyhow::bail!("not a line of a journal: {line:?}"),
        })
    }
}

/// A number and the items of a parcel: `quarter:namespace:service:method:path:status:customer:count` or, for
/// drops, `day:count`.
fn numbered(rest: &str) -> anyhow::Result<(u64, Parcel)> {
    let mut words = rest.split(' ');
    let number = words.next().unwrap_or_default().parse()?;
    let mut parcel = Parcel::default();
    for item in words {
        match item.split(':').collect::<Vec<_>>()[..] {
            [quarter, namespace, service, method, path, status, customer, count] => {
                let series = Series {
                    namespace: namespace.parse()?,
                    path: path.to_owned(),
                    method: method.parse()?,
                    service: service.to_owned(),
                    status: status.parse()?,
                    customer: customer.to_owned(),
                };
                parcel.requests.insert(Key { quarter: quarter.parse()?, series }, count.parse()?);
            }
            [day, count] => {
                parcel.drops.insert(day.parse()?, count.parse()?);
            }
            _ => anyhow::bail!("not an item of a parcel: {item:?}"),
        }
    }
    Ok((number, parcel))
}

// === impl Journal ===

impl Journal {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Journal> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        Ok(Journal { file, at: 0 })
    }

    /// Opens a journal for appending after its last whole line, and returns its lines.
    pub(crate) fn resume(path: &Path) -> anyhow::Result<(Journal, Vec<Line>)> {
        let mut journal = Journal::open(path)?;
        let lines = journal.next()?;
        journal.file.set_len(journal.at)?;
        Ok((journal, lines))
    }

    /// The whole lines added after the last call.
    pub(crate) fn next(&mut self) -> anyhow::Result<Vec<Line>> {
        let mut bytes = Vec::new();
        // A torn line is read again: the client's next process truncates it.
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.at += end as u64;
        std::str::from_utf8(&bytes[..end])?.lines().map(str::parse).collect()
    }

    /// What a client that does not count has noted, in order.
    pub(crate) fn notes(path: &Path) -> anyhow::Result<Vec<String>> {
        let lines = Journal::open(path)?.next()?.into_iter();
        let note = |line| if let Line::Note(what) = line { Some(what) } else { None };
        Ok(lines.filter_map(note).collect())
    }

    /// Appends a line. Once this returns, the line outlives the process.
    pub(crate) fn write(&mut self, line: &Line) -> io::Result<()> {
        let line = line.to_string().replace('\n', " ");
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(quarter: i32, path: &str) -> Key {
        let series = Series { method: 3, path: path.to_owned(), ..Series::default() };
        Key { quarter, series }
    }

    #[test]
    fn every_line_round_trips() {
        let mut parcel = Parcel::of(key(16_572, "/a"), 7);
        let mut full = key(-1, "/b/c");
        (full.series.service, full.series.customer) = ("shop".to_owned(), "acme".to_owned());
        (full.series.status, full.series.namespace) = (503, 1);
        parcel.requests.insert(full, 1);
        parcel.drops.insert(20_000, 3);
        let lines = [
            Line::Start { resumed: true, drops: false },
            Line::Start { resumed: false, drops: false },
            Line::Sent(12, parcel),
            Line::Spooled(12, Parcel::of(key(1, "/a"), 2)),
            Line::UpTo(12),
            Line::Exactly(14, 0),
            Line::Doubtful(15),
            Line::Total(16),
            Line::Queued(17, Parcel::default()),
            Line::Queued(18, Parcel::of(key(-3, "/a"), 2)),
            Line::Done,
            Line::InDoubt,
            Line::Broken("a b".to_owned()),
            Line::Setback("a b".to_owned()),
            Line::Lost("a b".to_owned()),
            Line::Note("a b".to_owned()),
        ];
        for line in lines {
            assert_eq!(line.to_string().parse::<Line>().unwrap(), line);
        }
    }

    #[test]
    fn a_torn_line_does_not_count_and_is_overwritten_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut reader = Journal::open(&path).unwrap();
        std::fs::write(&path, "start 0 0\nupto 1\nup").unwrap();
        assert_eq!(
            reader.next().unwrap(),
            [Line::Start { resumed: false, drops: false }, Line::UpTo(1)]
        );

        let (mut journal, lines) = Journal::resume(&path).unwrap();
        assert_eq!(lines.len(), 2);
        journal.write(&Line::UpTo(2)).unwrap();
        assert_eq!(reader.next().unwrap(), [Line::UpTo(2)]);
        journal.write(&Line::Done).unwrap();
        assert_eq!(reader.next().unwrap(), [Line::Done]);
        assert_eq!(reader.next().unwrap(), []);
    }
}
