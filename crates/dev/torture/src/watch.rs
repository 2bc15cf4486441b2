//! Live queries and roll-ups during the run; each answer is checked against the journals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};

use tokio::time::error::Elapsed;
use tonic::{Code, Status};

use crate::account::{Account, Accounts, add, count};
use crate::client::{load::day, now_micros};
use crate::journal::{Journal, Key};
use crate::losses::{Losses, is_unknown};
use crate::oracle::Verdict;
use crate::random::Random;
use crate::stop::Stop;
use crate::stored::{self, Totals};
use crate::world::World;
use crate::world::client::Client;
use crate::world::server::Server;

/// Milliseconds between queries: few, so that some hit the last moments of a roll-up.
const QUERY_PAUSE_MS: u64 = 5;

/// The journals, and the answers so far.
pub(crate) struct Watch<'a> {
    pub(crate) world: &'a World,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    journals: BTreeMap<String, (Journal, Account)>,
    /// The highest count of a key in an answer. A later answer must not be lower.
    seen: Totals,
    losses: Losses,
    verdict: Verdict,
}

/// The least that an answer to a query sent now may contain.
struct Least {
    totals: Totals,
    /// How often the database was set back; None while it is being set back.
    times: Option<u64>,
}

// === impl Watch ===

impl<'a> Watch<'a> {
    pub(crate) fn new(world: &'a World) -> anyhow::Result<Watch<'a>> {
        let mut books = Books::default();
        for client in &world.clients {
            let journal = Journal::open(&client.arguments.journal())?;
            books.journals.insert(client.process.name.clone(), (journal, Account::default()));
        }
        Ok(Watch { world, books: Mutex::new(books) })
    }

    /// Queries a server's live totals until the run stops. A missing answer is not an error.
    pub(crate) fn query(&self, server: &Server, stop: &Stop) -> anyhow::Result<()> {
        while stop.pause(QUERY_PAUSE_MS) {
            let answered = self.live_query(server)?;
            self.world.log.done(if answered { "asked: live totals" } else { "asked: no answer" });
        }
        Ok(())
    }

    /// Lets a server roll up until the run stops, except while roll-ups are paused.
    pub(crate) fn roll_ups(&self, server: &Server, seed: u64, stop: &Stop) -> anyhow::Result<()> {
        let mut random = Random::derived(seed, &server.process.name, 0);
        while stop.pause(random.within(10, 200)) {
            if self.world.roll_ups_paused.load(Ordering::SeqCst) {
                continue;
            }
            let answered = self.roll_up(server, &mut random)?;
            self.world.log.done(if answered { "asked: roll-up" } else { "asked: no answer" });
        }
        Ok(())
    }

    /// Queries live totals once. Returns whether there was an answer.
    pub(crate) fn live_query(&self, server: &Server) -> anyhow::Result<bool> {
        let least = self.least()?;
        let answer = self.world.runtime.block_on(stored::query(&server.url(), true));
        let Some(answer) = self.answer(server, answer)? else { return Ok(false) };
        self.check("live answers", server, &least, &answer.totals)?;
        Ok(true)
    }

    fn roll_up(&self, server: &Server, random: &mut Random) -> anyhow::Result<bool> {
        let today = day(now_micros());
        let (back, parts) = [(0, 3), (0, 3), (1, 3), (3, 3), (0, 2), (0, 1)][random.index(6)];
        let date = if random.percent(15) {
            stored::date_of(16_572, random.within(1, 3))
        } else {
            stored::date_of(today - back, parts)
        };
        let mut least = self.least()?;
        let answer = self.world.runtime.block_on(stored::roll_up(&server.url(), date));
        let Some(totals) = self.answer(server, answer)? else { return Ok(false) };
        // The answer covers this period only.
        least.totals.retain(|key, _| stored::is_in(key.day, date));
        self.check("roll-up answers", server, &least, &totals)?;
        Ok(true)
    }

    /// The answer, or None if the server could not give one. A malformed answer fails the run.
    fn answer<T>(&self, server: &Server, answer: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        let error = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        if let Some(status) = error.downcast_ref::<Status>() {
            let code = status.code();
            // With another code a failing server would misjudge its own failure. tonic reports
            // Unknown for a connection that ends in the middle of an answer.
            let lost = [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Unknown];
            self.lock().verdict.check("statuses", lost.contains(&code), || {
                format!("{}: {code:?} {}", server.process.name, status.message())
            });
            return Ok(None);
        }
        let is_lost = error.is::<Elapsed>() || error.is::<tonic::transport::Error>();
        if is_lost { Ok(None) } else { Err(error.context(server.process.name.clone())) }
    }

    /// The least that an answer may contain from now on.
    fn least(&self) -> anyhow::Result<Least> {
        let mut books = self.lock();
        books.read()?;
        let mut totals = Totals::new();
        for (client, (_, account)) in &books.journals {
            add(&mut totals, &books.losses.due(client, &account.acknowledged));
        }
        for (key, seen) in &books.seen {
            let entry = totals.entry(key.clone()).or_default();
            *entry = (*entry).max(*seen);
        }
        Ok(Least { totals, times: books.losses.settled_times() })
    }

    /// Checks an answer: at least `least`, and at most what was sent by now.
    fn check(
        &self,
        check: &'static str,
        server: &Server,
        least: &Least,
        answer: &Totals,
    ) -> anyhow::Result<()> {
        let mut books = self.lock();
        books.read()?;
        // If the database was set back meanwhile, the answer may be from before or after that.
        let is_later = least.times.is_some() && least.times == books.losses.settled_times();
        let unnamed = books.losses.unnamed(answer);
        let mut most = Totals::new();
        books.journals.values().for_each(|(_, account)| add(&mut most, &account.sent));
        let keys: BTreeSet<&Key> = least.totals.keys().chain(answer.keys()).collect();
        for key in keys {
            if unnamed.contains_key(&key.day) && is_unknown(key) {
                continue;
            }
            let low = if is_later { count(&least.totals, key) } else { 0 };
            let (high, found) = (count(&most, key), count(answer, key));
            let holds = found <= high && low <= found + count(&unnamed, &key.day);
            books.verdict.check(check, holds, || {
                format!("{}: {key}: {found}, expected {low} to {high}", server.process.name)
            });
            if is_later {
                let seen = books.seen.entry(key.clone()).or_default();
                *seen = (*seen).max(found);
            }
        }
        Ok(())
    }

    /// The accounts now, before the state to which the database will be set back.
    pub(crate) fn mark(&self) -> anyhow::Result<Accounts> {
        let mut books = self.lock();
        books.read()?;
        Ok(books.accounts())
    }

    /// Notes that a rewind starts.
    pub(crate) fn rewinding(&self) {
        self.lock().losses.is_rewinding = true;
    }

    /// Notes that a rewind ended: whatever is acknowledged from now on stays.
    pub(crate) fn rewound(&self, to: &Accounts) -> anyhow::Result<()> {
        let mut books = self.lock();
        books.read()?;
        let now = books.accounts();
        books.losses.add(to, &now);
        books.settle();
        Ok(())
    }

    /// Notes that names are about to be deleted.
    pub(crate) fn deleting_names(&self) {
        let losses = &mut self.lock().losses;
        losses.is_rewinding = true;
        losses.deleted.get_or_insert_default();
    }

    /// Notes which names were deleted.
    pub(crate) fn names_deleted(&self, names: Vec<(i64, (i32, String))>) {
        let mut books = self.lock();
        books.losses.deleted.get_or_insert_default().extend(names);
        books.settle();
    }

    /// How many of a client's requests are acknowledged.
    pub(crate) fn progress(&self, client: &Client) -> anyhow::Result<u64> {
        let mut books = self.lock();
        books.read()?;
        Ok(books.journals[&client.process.name].1.acknowledged_total())
    }

    /// The accounts, the losses, and the verdict so far.
    pub(crate) fn result(&self) -> anyhow::Result<(Accounts, Losses, Verdict)> {
        let mut books = self.lock();
        books.read()?;
        Ok((books.accounts(), books.losses.clone(), books.verdict.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

// === impl Books ===

impl Books {
    fn accounts(&self) -> Accounts {
        let journals = self.journals.iter();
        journals.map(|(name, (_, account))| (name.clone(), account.clone())).collect()
    }

    /// Ends a rewind: later answers count as lower bounds again.
    fn settle(&mut self) {
        self.losses.times += 1;
        self.losses.is_rewinding = false;
        self.seen.clear();
    }

    fn read(&mut self) -> anyhow::Result<()> {
        for (reader, account) in self.journals.values_mut() {
            reader.next()?.into_iter().for_each(|line| account.apply(line));
        }
        Ok(())
    }
}
