//! The connections of clients: how many there may be, which one makes room for another, and what all of
//! them have open and unread.
//!
//! | file | what it owns |
//! |---|---|
//! | `kept.rs` | what the h2 library keeps for connections |
//! | `metrics.rs` | what a scrape is told of them |
//! | `network.rs` | which addresses are one client's |
//! | `open.rs` | one request of a connection: while it is unfinished, and while a service works on it |
//! | `room.rs` | which connection makes room for others |
//! | `unread.rs` | what has arrived and no service has read |

mod kept;
mod metrics;
mod network;
mod open;
mod room;
mod unread;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use self::kept::Kept;
use self::network::network;
pub(crate) use self::open::{Open, Ticket, Whose};
pub(crate) use self::unread::Data;
use self::unread::UNREAD_BYTES_MAX;
use crate::seldom::Seldom;
use crate::server::STREAMS_MAX;

/// How many connections clients may have, unless the server is told.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// Of 4 connections, one address may have 3. The addresses of an IPv6 network of 64 bits are one.
const SHARE: (usize, usize) = (3, 4);
/// A connection with this many unfinished requests is not read. This is more than may be open at the
/// same time, because those end only if their connection is read. A request with the largest headers
/// takes some 13 KB.
const UNFINISHED_MAX: usize = STREAMS_MAX as usize / 4 * 5;
/// How many requests of all connections may be open: those of callers who may make them, and those that need
/// no key where others do. So nobody without a key takes the places of those who have one. And how many of
/// one connection, of each kind, in any case.
const OPEN_MAX: usize = 4_096;
const OPEN_OF_ANYONE_MAX: usize = OPEN_MAX / 4;
const OPEN_OWN_MAX: usize = 2;
/// One is the connection's.
const TICKETS_OWN_MAX: usize = OPEN_OWN_MAX + 1;
/// How many unfinished requests all connections may have beyond those few of each: those that are open, and
/// others that no service has seen, or whose end is not sent. Then a connection with more than its own is not
/// read, and others are read by single frames. Until then a connection has what one read brings, for each
/// thread some hundred.
const UNFINISHED_OF_ALL_MAX: usize = OPEN_MAX + OPEN_OF_ANYONE_MAX + STREAMS_MAX as usize;
/// How long a connection that has too much is not read, until it is looked again.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// The connections of a server's clients. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Clients(Arc<All>);

#[derive(Debug)]
struct All {
    connections_max: usize,
    /// Activity is told in milliseconds since then.
    start: Instant,
    table: Mutex<Table>,
    of_callers: AtomicUsize,
    of_anyone: AtomicUsize,
    /// Beyond those that each connection has in any case.
    unfinished: AtomicUsize,
    streams: AtomicUsize,
    unread: AtomicUsize,
    kept: AtomicUsize,
    refused: AtomicU64,
    made_room: AtomicU64,
    /// When it was last looked for a connection that makes room for requests.
    looked: AtomicU64,
    seldom: Seldom,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    connections: HashMap<u64, Arc<State>>,
    addresses: HashMap<IpAddr, usize>,
    /// When it was last logged that there is no room.
    logged: Option<Instant>,
}

/// A connection's place, until this is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) state: Arc<State>,
}

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct State {
    all: Arc<All>,
    /// From 1 on.
    number: u64,
    address: IpAddr,
    pub(crate) since: Instant,
    /// Whether a complete head has come.
    has_head: AtomicBool,
    /// Whether somebody who may make requests had an answer.
    was_served: AtomicBool,
    /// When something last came or went that is more than a sign of life.
    active: AtomicU64,
    /// How many requests its services work on, or refuse.
    open: AtomicUsize,
    of_callers: AtomicUsize,
    of_anyone: AtomicUsize,
    /// How many requests there are in all: those that are worked on or wait for that, and by their frames.
    unfinished: AtomicUsize,
    streams: AtomicUsize,
    unread: AtomicUsize,
    /// How many frames are unread.
    frames: AtomicUsize,
    kept: Kept,
    is_given_up: AtomicBool,
    reader: AtomicWaker,
}

// === impl Clients ===

impl Clients {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self(Arc::new(All {
            connections_max: connections_max.max(1),
            start: Instant::now(),
            table: Mutex::default(),
            of_callers: AtomicUsize::new(0),
            of_anyone: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            made_room: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            seldom: Seldom::default(),
        }))
    }

    /// A place for a connection. When all are taken, or those of its address, another one makes room: one
    /// that has not sent a complete head, the oldest first, then one that has had no request of a caller who
    /// may make it, then one that has none now, the longest idle first, then one with such requests on which
    /// nothing has come or gone for a while. It is one of the address that has most, so that no address keeps
    /// others out. None if there is no such connection.
    pub(crate) fn admit(&self, address: SocketAddr) -> Option<Client> {
        let all = &self.0;
        let address = network(address.ip());
        let mut table = all.lock();
        let share = (all.connections_max * SHARE.0).div_ceil(SHARE.1);
        let of_address = table.addresses.get(&address).copied().unwrap_or(0);
        let is_full = table.connections.len() >= all.connections_max;
        if is_full || of_address >= share {
            let greediest = || table.addresses.iter().max_by_key(|(_, n)| **n).map(|(of, _)| *of);
            let from = if of_address >= share { Some(address) } else { greediest() };
            let has_made_room =
                all.make_room(&mut table, |one| one.rank().filter(|_| Some(one.address) == from));
            table.log(all.connections_max);
            if !has_made_room {
                all.refused.fetch_add(1, SeqCst);
                return None;
            }
        }
        table.next += 1;
        let state = Arc::new(State::new(all, table.next, address));
        table.connections.insert(state.number, Arc::clone(&state));
        *table.addresses.entry(address).or_default() += 1;
        drop(table);
        Some(Client { state })
    }

    /// How many there are, how many have made room for others, and how many were refused.
    fn counts(&self) -> (usize, u64, u64) {
        let now = self.0.lock().connections.len();
        (now, self.0.made_room.load(SeqCst), self.0.refused.load(SeqCst))
    }
}

// === impl All ===

impl All {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_many_requests(&self) -> bool {
        self.unfinished.load(SeqCst) > UNFINISHED_OF_ALL_MAX
            || self.streams.load(SeqCst) > UNFINISHED_OF_ALL_MAX
            || self.has_much_kept()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Table ===

impl Table {
    fn remove(&mut self, number: u64) -> Option<Arc<State>> {
        let state = self.connections.remove(&number)?;
        state.forget_kept();
        if let Some(count) = self.addresses.get_mut(&state.address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&state.address);
            }
        }
        Some(state)
    }

    /// Once a minute.
    fn log(&mut self, connections_max: usize) {
        if self.logged.is_some_and(|at| at.elapsed() < Duration::from_secs(60)) {
            return;
        }
        self.logged = Some(Instant::now());
        let (connections, addresses) = (self.connections.len(), self.addresses.len());
        tracing::warn!(
            connections,
            addresses,
            connections_max,
            "clients have as many connections as they may; idle ones make room for new ones"
        );
    }
}

// === impl Client ===

impl Drop for Client {
    fn drop(&mut self) {
        self.state.all.lock().remove(self.state.number);
        self.state.forget_unread();
        self.state.forget_kept();
        self.state.note_streams(0);
    }
}

// === impl State ===

impl State {
    fn new(all: &Arc<All>, number: u64, address: IpAddr) -> Self {
        Self {
            all: Arc::clone(all),
            number,
            address,
            since: Instant::now(),
            has_head: AtomicBool::new(false),
            was_served: AtomicBool::new(false),
            active: AtomicU64::new(all.now()),
            open: AtomicUsize::new(0),
            of_callers: AtomicUsize::new(0),
            of_anyone: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            frames: AtomicUsize::new(0),
            kept: Kept::default(),
            is_given_up: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    pub(crate) fn has_head(&self) -> bool {
        self.has_head.load(SeqCst)
    }

    pub(crate) fn note_head(&self) {
        self.has_head.store(true, SeqCst);
    }

    /// Something came or went that is more than a sign of life.
    pub(crate) fn note_activity(&self) {
        if self.has_head() {
            self.active.store(self.all.now(), SeqCst);
        }
    }

    /// Whether a service works on a request of it.
    pub(crate) fn is_serving(&self) -> bool {
        self.open.load(SeqCst) > 0
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(SeqCst)
    }

    /// Wakes this task when the connection is given up or may be read.
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        self.reader.register(cx.waker());
    }

    /// Whether all connections have so much that this one is read by single frames.
    pub(crate) fn is_read_slowly(&self) -> bool {
        self.all.has_many_requests() || self.all.unread.load(SeqCst) > UNREAD_BYTES_MAX
    }

    /// Whether this connection is not read now, because it and all have too much. Then one may make room.
    pub(crate) fn has_too_much(&self) -> bool {
        let has_many_requests = self.has_more_than_own() && self.all.has_many_requests();
        if has_many_requests {
            self.all.make_room_for_requests();
        }
        has_many_requests || self.has_much_unread()
    }

    /// Whether it has more requests than are its own in any case.
    fn has_more_than_own(&self) -> bool {
        self.streams.load(SeqCst) > OPEN_OWN_MAX || self.unfinished.load(SeqCst) > TICKETS_OWN_MAX
    }

    /// How many requests are open by their frames.
    pub(crate) fn note_streams(&self, streams: usize) {
        if self.streams.load(SeqCst) == streams {
            return;
        }
        let before = self.streams.swap(streams, SeqCst);
        self.all.streams.fetch_add(streams.saturating_sub(OPEN_OWN_MAX), SeqCst);
        self.all.streams.fetch_sub(before.saturating_sub(OPEN_OWN_MAX), SeqCst);
    }

    /// Ready when the connection may be read as far as its requests are concerned.
    pub(crate) fn poll_few(&self, cx: &Context<'_>) -> Poll<()> {
        let are_few = || self.unfinished.load(SeqCst) < UNFINISHED_MAX;
        if are_few() {
            return Poll::Ready(());
        }
        self.listen(cx);
        if are_few() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests;
