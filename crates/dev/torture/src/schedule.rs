//! What goes wrong and when. The seed alone decides it.

use crate::changes::CHANGES;
use crate::random::Random;

/// What one thread tortures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// The network between clients and servers.
    ClientLinks,
    /// The network between servers and Postgres.
    DatabaseLinks,
    Servers,
    Postgres,
    Clients,
    /// Folding, and who has the lease for it.
    Duties,
    /// The state of the database, which is set back.
    Rewind,
    /// Names, which a person merges and forgets.
    Names,
}

/// Where a server is stopped and killed; those after `prune.before_commit` exist only on Postgres.
const POINTS: [&str; 13] = [
    "fold.begun",
    "fold.added",
    "fold.before_commit",
    "fold.committed",
    "roll_up.begun",
    "roll_up.added",
    "roll_up.before_commit",
    "roll_up.committed",
    "prune.before_commit",
    "fold.locked",
    "tray.before_close",
    "tray.closed",
    "tray.before_open",
];
const POSTGRES_POINTS: usize = 4;

/// The same for merges and forgets; `moves.step` exists only on Postgres.
const CHANGE_POINTS: [&str; 7] = [
    "moves.noted",
    "moves.before_commit",
    "moves.committed",
    "settle.step",
    "settle.before_commit",
    "settle.committed",
    "moves.step",
];

/// The resolutions of `tally serve`.
pub(crate) const RESOLUTIONS: [&str; 3] = ["raw", "1s", "1m"];

/// The resolution that a server has from this start on: those of one database have different ones at the
/// same time, and one after the other.
pub(crate) fn resolution(seed: u64, server: &str, start: usize) -> &'static str {
    let mut random = Random::derived(seed, server, 2 + start as u64);
    RESOLUTIONS[random.index(RESOLUTIONS.len())]
}

/// The size of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) clients: usize,
    pub(crate) servers: usize,
    pub(crate) is_postgres: bool,
    pub(crate) rewinds: bool,
}

/// What goes wrong. Clients, servers and links are indices into the world's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The files of the servers' certificate are replaced.
    SwapCertificate,
    /// All connections end, and new ones fail for a while.
    Cut { link: usize, ms: u64 },
    /// All connections end with a reset.
    Reset { link: usize },
    /// A connection ends with a reset in the middle of a message.
    Tear { link: usize, bytes: usize },
    /// One direction is lost for a while, then the connections are reset.
    HalfOpen { link: usize, to_client: bool, ms: u64 },
    /// Everything is delayed for a while.
    Delay { link: usize, by_ms: u64, ms: u64 },
    /// Nothing moves for a while.
    Stall { link: usize, ms: u64 },
    /// The answer to the next batch's commit is lost: of a batch sent by COPY, or of a small one.
    LoseCommit { link: usize, small: bool },
    /// A client switches to another server.
    Redirect { client: usize, server: usize },
    /// SIGKILL, then a start, sometimes with injected errors.
    KillServer { server: usize, ms: u64, errors: Option<(&'static str, u64)> },
    /// SIGTERM, then a start.
    TerminateServer { server: usize, ms: u64 },
    /// SIGSTOP, then SIGCONT.
    StopServer { server: usize, ms: u64 },
    /// SIGSTOP until after the end of every lease, then SIGCONT.
    OutliveLease { server: usize, ms: u64 },
    /// A start with a point at which it stops, SIGKILL there, then a start.
    KillServerAt { server: usize, point: &'static str, ms: u64 },
    /// The same while it merges or forgets series.
    KillServerIn { server: usize, change: usize, point: &'static str, ms: u64 },
    /// SIGKILL, then a start with this much room in the file, then one without a limit after the
    /// file was full for this long.
    FillDisk { server: usize, kib: u64, ms: u64 },
    /// SIGKILL, then a start.
    KillPostgres { ms: u64 },
    /// A regular restart.
    RestartPostgres { ms: u64 },
    /// All sessions end with 57P01.
    EndSessions,
    /// No connection is left: 53300.
    UseUpConnections { ms: u64 },
    /// SIGKILL, then a start.
    KillClient { client: usize, ms: u64 },
    /// SIGTERM, then a start.
    TerminateClient { client: usize },
    /// SIGSTOP, then SIGCONT.
    StopClient { client: usize, ms: u64 },
    /// SIGKILL, then a start with another key; the key before is revoked.
    ReplaceKey { client: usize },
    /// A server folds everything.
    Fold { server: usize },
    /// A server merges or forgets series.
    Change { server: usize, change: usize },
    /// Every lease ends, whatever its holder believes.
    EndLeases,
    /// A SQLite file is restored from a backup of this age while the server runs.
    Restore { ms: u64 },
    /// Postgres gets SIGKILL after it has not written commits for this long.
    LoseCommits { ms: u64 },
    /// A standby is promoted after it was disconnected for this long.
    FailOver { ms: u64 },
    /// Names are deleted whose id is divisible by this.
    DeleteNames { every: u64 },
}

/// The endless acts of one lane, each with the milliseconds to pause before it.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    random: Random,
    lane: Lane,
    shape: Shape,
}

// === impl Lane ===

impl Lane {
    /// The lanes of a world of this shape.
    pub(crate) fn all(shape: Shape) -> Vec<Lane> {
        let mut lanes =
            vec![Lane::ClientLinks, Lane::Servers, Lane::Clients, Lane::Duties, Lane::Names];
        if shape.is_postgres {
            lanes.extend([Lane::DatabaseLinks, Lane::Postgres]);
        }
        if shape.rewinds {
            lanes.push(Lane::Rewind);
        }
        lanes
    }
}

// === impl Act ===

impl Act {
    /// The name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Act::Cut { .. } => "network: cut",
            Act::Reset { .. } => "network: reset",
            Act::Tear { .. } => "network: torn message",
            Act::HalfOpen { .. } => "network: half-open",
            Act::Delay { .. } => "network: delay",
            Act::Stall { .. } => "network: stall",
            Act::LoseCommit { .. } => "network: lost answer to a commit",
            Act::Redirect { .. } => "network: another server",
            Act::KillServer { .. } => "server: kill -9",
            Act::TerminateServer { .. } => "server: SIGTERM",
            Act::StopServer { .. } => "server: SIGSTOP",
            Act::OutliveLease { .. } => "server: SIGSTOP beyond its lease",
            Act::KillServerAt { .. } => "server: kill -9 in its books",
            Act::KillServerIn { .. } => "server: kill -9 in a change",
            Act::FillDisk { .. } => "server: disk full",
            Act::KillPostgres { .. } => "Postgres: kill -9",
            Act::RestartPostgres { .. } => "Postgres: restart",
            Act::EndSessions => "Postgres: 57P01",
            Act::UseUpConnections { .. } => "Postgres: 53300",
            Act::KillClient { .. } => "client: kill -9",
            Act::TerminateClient { .. } => "client: SIGTERM",
            Act::StopClient { .. } => "client: SIGSTOP",
            Act::ReplaceKey { .. } => "client: another key",
            Act::SwapCertificate => "servers: another certificate",
            Act::Fold { .. } => "books: fold",
            Act::Change { .. } => "books: merge or forget",
            Act::EndLeases => "books: all leases end",
            Act::Restore { .. } => "rewind: restore",
            Act::LoseCommits { .. } => "rewind: commits lost",
            Act::FailOver { .. } => "rewind: failover",
            Act::DeleteNames { .. } => "rewind: names deleted",
        }
    }
}

// === impl Schedule ===

impl Schedule {
    pub(crate) fn new(seed: u64, lane: Lane, shape: Shape) -> Schedule {
        let random = Random::derived(seed, "schedule", lane as u64);
        Schedule { random, lane, shape }
    }

    fn client_link(&mut self) -> Act {
        let link = self.random.index(self.shape.clients);
        match self.random.within(0, 9) {
            8 | 9 if self.shape.servers > 1 => {
                Act::Redirect { client: link, server: self.random.index(self.shape.servers) }
            }
            _ => self.link(link),
        }
    }

    fn database_link(&mut self) -> Act {
        let link = self.shape.clients + self.random.index(self.shape.servers);
        if self.random.percent(35) {
            Act::LoseCommit { link, small: self.random.percent(50) }
        } else {
            self.link(link)
        }
    }

    fn link(&mut self, link: usize) -> Act {
        let random = &mut self.random;
        match random.within(0, 11) {
            0 | 1 => Act::Cut { link, ms: random.within(20, 600) },
            2..=4 => Act::Reset { link },
            5..=7 => Act::Tear { link, bytes: random.index(40_000) },
            8 | 9 => {
                Act::HalfOpen { link, to_client: random.percent(60), ms: random.within(50, 900) }
            }
            10 => Act::Delay { link, by_ms: random.within(1, 40), ms: random.within(100, 800) },
            _ => Act::Stall { link, ms: random.within(50, 900) },
        }
    }

    fn server(&mut self) -> Act {
        let server = self.random.index(self.shape.servers);
        let random = &mut self.random;
        let ms = random.within(0, 300);
        match random.within(0, 23) {
            0..=3 => {
                let missing = if self.shape.is_postgres { 0 } else { POSTGRES_POINTS };
                let point = POINTS[random.index(POINTS.len() - missing)];
                Act::KillServerAt { server, point, ms }
            }
            4 | 5 => {
                let points = CHANGE_POINTS.len() - usize::from(!self.shape.is_postgres);
                let (change, point) = (random.index(CHANGES), CHANGE_POINTS[random.index(points)]);
                Act::KillServerIn { server, change, point, ms }
            }
            6..=13 => {
                let states = ["40001", "40P01", "57P01", "53300"];
                let with_errors = self.shape.is_postgres && random.percent(30);
                let state = (states[random.index(states.len())], random.within(3, 12));
                Act::KillServer { server, ms, errors: with_errors.then_some(state) }
            }
            14..=16 => Act::TerminateServer { server, ms },
            17..=19 => Act::StopServer { server, ms: random.within(50, 1_500) },
            20 | 21 if self.shape.is_postgres => {
                Act::OutliveLease { server, ms: random.within(500, 3_000) }
            }
            _ if self.shape.is_postgres => Act::KillServer { server, ms, errors: None },
            _ => {
                Act::FillDisk { server, kib: random.within(0, 500), ms: random.within(100, 2_000) }
            }
        }
    }

    fn postgres(&mut self) -> Act {
        let random = &mut self.random;
        match random.within(0, 9) {
            0..=5 => Act::KillPostgres { ms: random.within(0, 500) },
            6 => Act::RestartPostgres { ms: random.within(0, 500) },
            7 | 8 => Act::EndSessions,
            _ => Act::UseUpConnections { ms: random.within(200, 1_000) },
        }
    }

    fn client(&mut self) -> Act {
        let client = self.random.index(self.shape.clients);
        let random = &mut self.random;
        // A database that is set back may lose a key, or that one is revoked.
        let last = if self.shape.rewinds { 9 } else { 10 };
        match random.within(0, last) {
            10 => Act::ReplaceKey { client },
            0..=5 => Act::KillClient { client, ms: random.within(0, 300) },
            6 | 7 => Act::TerminateClient { client },
            _ => Act::StopClient { client, ms: random.within(50, 2_000) },
        }
    }

    fn duties(&mut self) -> Act {
        let server = self.random.index(self.shape.servers);
        let ends = self.shape.is_postgres && self.random.percent(40);
        match self.random.within(0, 9) {
            0 => Act::SwapCertificate,
            _ if ends => Act::EndLeases,
            _ => Act::Fold { server },
        }
    }

    fn names(&mut self) -> Act {
        let server = self.random.index(self.shape.servers);
        Act::Change { server, change: self.random.index(CHANGES) }
    }

    fn rewind(&mut self) -> Act {
        let random = &mut self.random;
        match random.within(0, 9) {
            0 | 1 => Act::DeleteNames { every: random.within(1, 3) },
            _ if !self.shape.is_postgres => Act::Restore { ms: random.within(50, 3_000) },
            2..=6 => Act::LoseCommits { ms: random.within(50, 1_500) },
            _ => Act::FailOver { ms: random.within(50, 1_500) },
        }
    }
}

impl Iterator for Schedule {
    type Item = (u64, Act);

    fn next(&mut self) -> Option<(u64, Act)> {
        let ((from, to), act): (_, fn(&mut Schedule) -> Act) = match self.lane {
            Lane::ClientLinks => ((20, 300), Schedule::client_link),
            Lane::DatabaseLinks => ((100, 600), Schedule::database_link),
            Lane::Servers => ((200, 1_200), Schedule::server),
            Lane::Postgres => ((1_000, 3_000), Schedule::postgres),
            Lane::Clients => ((500, 2_500), Schedule::client),
            Lane::Duties => ((200, 1_500), Schedule::duties),
            Lane::Rewind => ((1_000, 6_000), Schedule::rewind),
            Lane::Names => ((500, 3_000), Schedule::names),
        };
        Some((self.random.within(from, to), act(self)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const POSTGRES: Shape = Shape { clients: 4, servers: 2, is_postgres: true, rewinds: false };
    const SQLITE: Shape = Shape { clients: 4, servers: 1, is_postgres: false, rewinds: false };

    fn steps(seed: u64, lane: Lane, shape: Shape) -> Vec<(u64, Act)> {
        Schedule::new(seed, lane, shape).take(1_000).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        for lane in Lane::all(POSTGRES) {
            assert_eq!(steps(7, lane, POSTGRES), steps(7, lane, POSTGRES));
            assert_ne!(steps(7, lane, POSTGRES), steps(8, lane, POSTGRES));
        }
    }

    #[test]
    fn servers_have_all_resolutions_at_once_and_after_each_other() {
        let [one, other] = ["server-1", "server-2"]
            .map(|server| (0..60).map(|start| resolution(7, server, start)).collect::<Vec<_>>());
        for before in RESOLUTIONS {
            for after in RESOLUTIONS {
                assert!(one.windows(2).any(|pair| pair == [before, after]), "{before}, {after}");
                let mut both = one.iter().zip(&other);
                assert!(both.any(|pair| pair == (&before, &after)), "{before} and {after}");
            }
        }
    }

    #[test]
    fn every_possible_fault_occurs() {
        let names = |shape| -> BTreeSet<&str> {
            let lanes = Lane::all(shape).into_iter();
            lanes.flat_map(|lane| steps(7, lane, shape)).map(|(_, act)| act.name()).collect()
        };
        assert_eq!(names(POSTGRES).len(), 26, "all except the full disk: {:?}", names(POSTGRES));
        assert_eq!(names(SQLITE).len(), 19, "none for Postgres: {:?}", names(SQLITE));
        let with_rewinds = |shape| names(Shape { rewinds: true, ..shape }).len();
        assert_eq!((with_rewinds(POSTGRES), with_rewinds(SQLITE)), (25 + 3, 18 + 2));
    }
}
