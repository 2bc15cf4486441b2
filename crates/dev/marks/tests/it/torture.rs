//! A server that is killed again and again while clients resend everything that they may.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tally_runtime::random;
use tally_testkit::{Stream, eventually, eventually_blocking, free_port};
use tonic::Status;

use crate::support::{Client, Home, LIMIT, Server, wait_for};

const CLIENTS: u8 = 3;
/// How often the server is killed.
const KILLS: usize = 5;
/// How many batches a client sends before it waits: the server allows as many.
const WINDOW: u64 = 8;

/// What the clients and the one who kills the server know of each other.
struct Shared {
    address: String,
    /// Counts the batches that are acknowledged.
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// A client that goes on until all of its batches are acknowledged.
struct Stubborn<'a> {
    shared: &'a Shared,
    number: u8,
    client: Client,
    acknowledged: u64,
    /// The last batch that was ever sent.
    last: u64,
    /// Whether new batches were acknowledged on two streams, both open before the first batch came.
    has_resent: bool,
}

#[test]
fn nothing_is_lost_or_stored_twice_in_sqlite() {
    assert_eq!(torture(&Home::sqlite(), KILLS, None), Ok(()));
}

#[test]
fn nothing_is_lost_or_stored_twice_in_postgres() {
    assert_eq!(torture(&Home::postgres("marks_torture"), KILLS, None), Ok(()));
}

/// Without the rule that a number is stored once, the check fails.
#[test]
fn a_server_that_stores_resent_batches_again_is_found_out_in_sqlite() {
    let found = torture(&Home::sqlite(), 1, Some("record.skip_sequence"));
    assert!(found.as_ref().is_err_and(|found| found.contains(" stored twice")), "{found:?}");
}

#[test]
fn a_server_that_stores_resent_batches_again_is_found_out_in_postgres() {
    let found = torture(&Home::postgres("marks_found_out"), 1, Some("record.skip_sequence"));
    assert!(found.as_ref().is_err_and(|found| found.contains(" stored twice")), "{found:?}");
}

/// Kills the server this often, and compares what is stored with what was sent.
fn torture(home: &Home, kills: usize, broken: Option<&str>) -> Result<(), String> {
    let shared = Shared {
        address: format!("127.0.0.1:{}", free_port()),
        acknowledged: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let serve = |point: Option<&str>| {
        let mut command = home.command(&["--listen", &shared.address]);
        let faults: Vec<_> = point.into_iter().chain(broken).collect();
        Server::start(command.env("TALLY_FAULT", faults.join(",")))
    };
    let points: &[&str] = if home.is_postgres() {
        &["append.small.committed", "append.before_commit", "append.committed"]
    } else {
        &["append.before_commit", "append.committed"]
    };
    let sent = thread::scope(|scope| {
        let shared = &shared;
        let client = |number| scope.spawn(move || wait_for(Stubborn::new(shared, number).send()));
        let clients: Vec<_> = (1..=CLIENTS).map(client).collect();
        for _ in 0..kills {
            // One more than there are: killed anywhere.
            match points.get(below(points.len() as u64 + 1) as usize) {
                Some(point) => {
                    let server = serve(Some(point));
                    server.process.wait_for_line(Stream::Stderr, "stopped at", LIMIT);
                    server.kill();
                }
                None => {
                    let server = serve(None);
                    let enough = shared.acknowledged.load(Ordering::SeqCst) + 1 + below(50);
                    let acknowledged = || shared.acknowledged.load(Ordering::SeqCst) >= enough;
                    assert_eq!(eventually_blocking(LIMIT, acknowledged), Ok(()));
                    server.kill();
                }
            }
        }
        let server = serve(None);
        shared.is_over.store(true, Ordering::SeqCst);
        let last = clients.into_iter().map(|client| client.join().expect("it ends"));
        let last: Vec<_> = (1..=CLIENTS).zip(last).collect();
        server.stop();
        last
    });
    let sent = sent.into_iter().flat_map(|(number, last)| (1..=last).map(move |n| (number, n)));
    compare(sent.flat_map(|(number, n)| marks(number, n)), home)
}

/// Whether each mark that was sent is stored once, and nothing else is.
fn compare(sent: impl Iterator<Item = i64>, home: &Home) -> Result<(), String> {
    let mut stored = BTreeMap::<i64, u64>::new();
    for mark in home.column::<i64>("SELECT mark FROM tally_marks") {
        *stored.entry(mark).or_default() += 1;
    }
    let twice = stored.values().filter(|count| **count > 1).count();
    let lost = sent.filter(|mark| stored.remove(mark).is_none()).count();
    match (lost, twice, stored.len()) {
        (0, 0, 0) => Ok(()),
        (lost, twice, unknown) => {
            Err(format!("marks: {lost} lost, {twice} stored twice, {unknown} never sent"))
        }
    }
}

/// The marks of a client's batch: of no other one.
fn marks(client: u8, sequence: u64) -> Vec<i64> {
    let first = i64::from(client) * 1_000_000_000 + sequence.cast_signed() * 10;
    (first..=first + sequence.cast_signed() % 3).collect()
}

fn below(limit: u64) -> u64 {
    random::number() % limit
}

// === impl Stubborn ===

impl<'a> Stubborn<'a> {
    fn new(shared: &'a Shared, number: u8) -> Self {
        Self { shared, number, client: Client::new(), acknowledged: 0, last: 0, has_resent: false }
    }

    /// Sends until it is over. Returns how many batches it has sent.
    async fn send(mut self) -> u64 {
        eventually("all is acknowledged", LIMIT, async || self.attempt().await).await;
        self.last
    }

    /// Sends what is not acknowledged, and what is.
    async fn attempt(&mut self) -> Result<(), Status> {
        let is_over = self.shared.is_over.load(Ordering::SeqCst);
        let is_new = self.acknowledged == self.last && (!is_over || !self.has_resent);
        if is_new {
            self.last += 1 + below(WINDOW);
        }
        let mut streams = Vec::new();
        // Both are open before the first batch comes: neither knows of what the other brings.
        let is_twice = !self.has_resent || below(2) == 1;
        for _ in 0..=u8::from(is_twice) {
            streams.push(self.client.open(&self.shared.address).await?);
        }
        let first = if is_over || below(4) == 0 { 1 } else { self.acknowledged + 1 };
        for mut stream in streams {
            for sequence in first..=self.last {
                stream.send(sequence, marks(self.number, sequence));
            }
            if self.has_resent && !is_over && below(8) == 0 {
                // Whether it was stored is not known here.
                return Err(Status::cancelled("gave up"));
            }
            stream.acknowledged(self.last).await?;
            let new = self.last - std::mem::replace(&mut self.acknowledged, self.last);
            self.shared.acknowledged.fetch_add(new, Ordering::SeqCst);
        }
        self.has_resent |= is_new && is_twice;
        if is_over && self.has_resent { Ok(()) } else { Err(Status::aborted("it goes on")) }
    }
}
