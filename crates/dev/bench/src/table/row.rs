//! The rows of the table: what is measured once in each round.

use std::fmt;

use tally_requests::Resolution;

use crate::arguments::Backend;

/// How many streams bring requests at full speed.
pub(crate) const STREAMS: [u32; 3] = [1, 8, 64];

/// How many connections do what people do now.
pub(crate) const CLIENTS: [u32; 2] = [8, 32];

/// How many series requests are of, and how many days have totals.
pub(crate) const SERIES: [u32; 3] = [1, 1_000, 100_000];
pub(crate) const DAYS: [u32; 3] = [1, 30, 365];

/// What part of the full speed comes at a steady rate, in percent.
pub(crate) const PERCENT: [u32; 2] = [10, 50];

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Add,
    Record,
    /// The client crate's queue, on one connection.
    Queue,
}

/// Whether Redis answers before or after its log is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fsync {
    Always,
    EverySecond,
}

/// Requests at full speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ingest {
    pub(crate) way: Way,
    pub(crate) resolution: Resolution,
    /// One, for the queue.
    pub(crate) streams: u32,
    pub(crate) backend: Backend,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    /// The database's own limit: `psql \copy` of the same rows.
    Copy {
        connections: u32,
    },
    /// SQLite's: a bare loop of inserts.
    Loop,
    Ingest(Ingest),
    /// What people do now.
    Insert {
        clients: u32,
    },
    Update {
        clients: u32,
    },
    Redis(Fsync),
    /// Millions of rows of a day become totals.
    Fold(Backend),
    /// Times to an acknowledgement: of a bare COMMIT, of an idle server, at a part of the full speed.
    Commit,
    Idle,
    Paced {
        percent: u32,
    },
    /// Full speed, by how much there is.
    Series {
        count: u32,
    },
    Days {
        count: u32,
    },
    Disk(Resolution, Backend),
}

/// What the ratios of Postgres's rows are to.
pub(crate) const COPY: Row = Row::Copy { connections: 1 };

/// Full speed.
pub(crate) const fn record(resolution: Resolution, streams: u32, backend: Backend) -> Row {
    Row::Ingest(Ingest { way: Way::Record, resolution, streams, backend })
}

/// The rows of this run, in the order of a round: those that contain `only`, and those that they are
/// held against. A quick run has one of each kind.
pub(crate) fn selected(only: Option<&str>, backends: &[Backend], is_quick: bool) -> Vec<Row> {
    let all: Vec<Row> = all().into_iter().filter(|row| !is_quick || row.is_quick()).collect();
    let only = only.map(str::to_lowercase);
    let is_chosen = |row: &Row| {
        only.as_deref().is_none_or(|only| row.to_string().to_lowercase().contains(only))
    };
    let chosen: Vec<Row> = all.iter().copied().filter(is_chosen).collect();
    let needed: Vec<Row> = chosen.iter().flat_map(|row| row.needs()).collect();
    let is_selected = |row: &Row| {
        (chosen.contains(row) || needed.contains(row)) && backends.contains(&row.backend())
    };
    all.into_iter().filter(is_selected).collect()
}

fn all() -> Vec<Row> {
    let mut rows = vec![COPY, Row::Copy { connections: 2 }, Row::Loop];
    let resolutions = [Resolution::Raw, Resolution::Second];
    for backend in [Backend::Postgres, Backend::Sqlite] {
        for way in [Way::Add, Way::Record] {
            for streams in STREAMS {
                let one = |resolution| Row::Ingest(Ingest { way, resolution, streams, backend });
                rows.extend(resolutions.map(one));
            }
        }
        let way = Way::Queue;
        let one = |resolution| Row::Ingest(Ingest { way, resolution, streams: 1, backend });
        rows.extend(resolutions.map(one));
    }
    rows.extend(CLIENTS.map(|clients| Row::Insert { clients }));
    rows.extend(CLIENTS.map(|clients| Row::Update { clients }));
    rows.extend([Row::Redis(Fsync::Always), Row::Redis(Fsync::EverySecond)]);
    rows.extend([Row::Commit, Row::Idle]);
    rows.extend(PERCENT.map(|percent| Row::Paced { percent }));
    rows.extend(SERIES.map(|count| Row::Series { count }));
    rows.extend(DAYS.map(|count| Row::Days { count }));
    rows.extend([Row::Fold(Backend::Postgres), Row::Fold(Backend::Sqlite)]);
    for backend in [Backend::Postgres, Backend::Sqlite] {
        rows.extend(resolutions.map(|resolution| Row::Disk(resolution, backend)));
    }
    rows
}

// === impl Row ===

impl Row {
    /// On which database it is measured. Redis goes with Postgres: both are servers.
    pub(crate) fn backend(self) -> Backend {
        match self {
            Self::Ingest(Ingest { backend, .. }) | Self::Fold(backend) | Self::Disk(_, backend) => {
                backend
            }
            Self::Loop => Backend::Sqlite,
            _ => Backend::Postgres,
        }
    }

    /// Whether it runs the server, and at which resolution.
    pub(crate) fn resolution(self) -> Option<Resolution> {
        match self {
            Self::Ingest(Ingest { resolution, .. }) | Self::Disk(resolution, _) => Some(resolution),
            Self::Idle | Self::Paced { .. } | Self::Series { .. } | Self::Days { .. } => {
                Some(Resolution::Raw)
            }
            _ => None,
        }
    }

    /// Whether `tally bench` brings its requests.
    pub(crate) fn has_load(self) -> bool {
        let is_queue = matches!(self, Self::Ingest(Ingest { way: Way::Queue, .. }));
        self.resolution().is_some() && !is_queue
    }

    /// Whether a run that measures nothing has it: no other row has code of its own.
    fn is_quick(self) -> bool {
        match self {
            Self::Ingest(Ingest { way, streams, .. }) => streams == 8 || way == Way::Queue,
            Self::Insert { clients } | Self::Update { clients } => clients == 8,
            Self::Redis(fsync) => fsync == Fsync::EverySecond,
            Self::Paced { percent } => percent == 50,
            Self::Series { count } => count == 1_000,
            Self::Days { count } => count == 30,
            _ => true,
        }
    }

    /// The rows that it is held against.
    fn needs(self) -> Vec<Row> {
        let full = record(Resolution::Raw, 8, Backend::Postgres);
        match self {
            Self::Ingest(Ingest { backend: Backend::Sqlite, .. }) => vec![Self::Loop],
            Self::Copy { .. } | Self::Ingest(_) => vec![COPY],
            Self::Insert { .. } | Self::Update { .. } | Self::Redis(_) => {
                vec![COPY, full, record(Resolution::Second, 8, Backend::Postgres)]
            }
            Self::Idle => vec![Self::Commit],
            Self::Paced { .. } => vec![COPY, full],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { connections } => {
                write!(f, "\\copy, {connections} connection{}", plural(*connections))
            }
            Self::Loop => write!(f, "bare loop of inserts"),
            Self::Ingest(ingest) => write!(f, "{ingest}, {}", ingest.backend),
            Self::Insert { clients } => write!(f, "INSERT per request, {clients} clients"),
            Self::Update { clients } => write!(f, "UPDATE per request, {clients} clients"),
            Self::Redis(Fsync::Always) => write!(f, "Redis INCR, fsync always"),
            Self::Redis(Fsync::EverySecond) => write!(f, "Redis INCR, fsync everysec"),
            Self::Fold(backend) => write!(f, "fold and roll-up, {backend}"),
            Self::Commit => write!(f, "bare COMMIT of one INSERT, 1 client"),
            Self::Idle => write!(f, "idle, one request at a time"),
            Self::Paced { percent } => write!(f, "{percent} % of full speed"),
            Self::Series { count } => write!(f, "{count} series"),
            Self::Days { count } => write!(f, "{count} day{} of totals", plural(*count)),
            Self::Disk(resolution, backend) => write!(f, "bytes, {resolution}, {backend}"),
        }
    }
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

// === impl Ingest ===

impl fmt::Display for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, resolution, streams, .. } = self;
        match way {
            Way::Add => write!(f, "Add, {streams} stream{}, {resolution}", plural(*streams)),
            Way::Record => write!(f, "Record, {streams} stream{}, {resolution}", plural(*streams)),
            Way::Queue => write!(f, "queue, 2 threads, {resolution}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BOTH: [Backend; 2] = [Backend::Postgres, Backend::Sqlite];

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: HashSet<String> = all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn a_selected_row_brings_those_that_it_is_held_against_before_it() {
        let rows = selected(Some("50 %"), &BOTH, false);
        let full = record(Resolution::Raw, 8, Backend::Postgres);
        assert_eq!(rows, [COPY, full, Row::Paced { percent: 50 }]);
        assert_eq!(
            selected(Some("insert PER"), &BOTH, false),
            selected(Some("INSERT per"), &BOTH, false)
        );
        assert!(selected(Some("no such row"), &BOTH, false).is_empty());
    }

    #[test]
    fn one_database_has_rows_of_its_own() {
        assert_eq!(selected(None, &BOTH, false).len(), all().len());
        let rows = selected(Some("Record"), &[Backend::Sqlite], false);
        assert_eq!(rows.len(), 1 + 2 * STREAMS.len());
        assert_eq!(rows[0], Row::Loop);
    }

    #[test]
    fn a_quick_run_has_all_that_its_rows_are_held_against() {
        let rows = selected(None, &BOTH, true);
        assert!(rows.len() < all().len());
        for row in &rows {
            assert!(row.needs().iter().all(|needed| rows.contains(needed)), "{row}");
        }
    }
}
