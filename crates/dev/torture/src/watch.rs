//! Live queries and roll-ups all the while, each answer held against what is known by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tally_runtime::{Clock as _, SystemClock};
use tokio::time::error::Elapsed;
use tonic::{Code, Status};

use crate::account::{Account, add};
use crate::client::load::day;
use crate::journal::{Key, Reader};
use crate::lanes::Log;
use crate::losses::{Losses, is_unknown};
use crate::oracle::{Verdict, count, name};
use crate::random::Random;
use crate::stop::Stop;
use crate::stored::{self, Totals};
use crate::world::World;
use crate::world::server::Server;

/// Between two queries: few, so that some fall into a roll-up's last moments.
const QUERY_PAUSE: Duration = Duration::from_millis(5);

/// What the journals say, and what answers have said.
pub(crate) struct Watch<'a> {
    world: &'a World,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    journals: BTreeMap<String, (Reader, Account)>,
    /// The most that an answer has said of a key. A later answer cannot say less.
    seen: Totals,
    losses: Losses,
    verdict: Verdict,
}

/// What an answer to a question asked now may not be less than.
struct Least {
    totals: Totals,
    /// How often the database had gone back; None while it does.
    times: Option<u64>,
}

/// What was known when the database was at the state that it goes back to, or later.
pub(crate) struct Mark(BTreeMap<String, Account>);

// === impl Watch ===

impl<'a> Watch<'a> {
    pub(crate) fn new(world: &'a World) -> anyhow::Result<Watch<'a>> {
        let mut books = Books::default();
        for client in &world.clients {
            let reader = Reader::open(&client.journal())?;
            books.journals.insert(client.name.clone(), (reader, Account::default()));
        }
        Ok(Watch { world, books: Mutex::new(books) })
    }

    /// Asks a server for live totals until the run stops. A server that cannot answer is no
    /// difference.
    pub(crate) fn query(&self, server: &Server, stop: &Stop, log: &Log) -> anyhow::Result<()> {
        while stop.pause(QUERY_PAUSE) {
            let answered = self.live_query(server)?;
            log.done(if answered { "asked: live totals" } else { "asked: no answer" });
        }
        Ok(())
    }

    /// Has a server roll up until the run stops, except while a full disk shall stay full.
    pub(crate) fn roll_ups(
        &self,
        server: &Server,
        seed: u64,
        stop: &Stop,
        log: &Log,
    ) -> anyhow::Result<()> {
        let mut random = Random::derived(seed, &server.name, 0);
        while stop.pause_ms(random.within(10, 200)) {
            if self.world.rows_stay.load(Ordering::SeqCst) {
                continue;
            }
            let answered = self.roll_up(server, &mut random)?;
            log.done(if answered { "asked: roll-up" } else { "asked: no answer" });
        }
        Ok(())
    }

    /// Asks for live totals once. Whether there was an answer.
    pub(crate) fn live_query(&self, server: &Server) -> anyhow::Result<bool> {
        let least = self.least()?;
        let answer = self.world.runtime.block_on(stored::query(&server.url(), true));
        let Some(answer) = self.answer(server, answer)? else { return Ok(false) };
        self.hold("live answers", server, &least, &answer.totals)?;
        Ok(true)
    }

    fn roll_up(&self, server: &Server, random: &mut Random) -> anyhow::Result<bool> {
        let today = day(SystemClock.now().as_microsecond());
        let (back, parts) = [(0, 3), (0, 3), (1, 3), (3, 3), (0, 2), (0, 1)][random.index(6)];
        let long_ago = random.percent(15);
        let date = if long_ago {
            stored::date_of(16_572, random.within(1, 3))
        } else {
            stored::date_of(today - back, parts)
        };
        let mut least = self.least()?;
        let answer = self.world.runtime.block_on(stored::roll_up(&server.url(), date));
        let Some(totals) = self.answer(server, answer)? else { return Ok(false) };
        // The answer is about this period only.
        least.totals.retain(|key, _| stored::is_in(key.day, date));
        self.hold("roll-up answers", server, &least, &totals)?;
        Ok(true)
    }

    /// The answer, if the server could give one. One that makes no sense fails the run.
    fn answer<T>(&self, server: &Server, answer: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        let error = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        if let Some(status) = error.downcast_ref::<Status>() {
            let mut books = self.lock();
            books.verdict.check("statuses", may_come(status.code()), || {
                format!("{}: {:?} {}", server.name, status.code(), status.message())
            });
            return Ok(None);
        }
        let is_lost = error.is::<Elapsed>() || error.is::<tonic::transport::Error>();
        if is_lost { Ok(None) } else { Err(error.context(server.name.clone())) }
    }

    /// The least that an answer may say from now on.
    fn least(&self) -> anyhow::Result<Least> {
        let mut books = self.lock();
        books.read()?;
        let mut totals = Totals::new();
        for (client, (_, account)) in &books.journals {
            add(&mut totals, &books.losses.left(client, &account.acknowledged));
        }
        for (key, seen) in &books.seen {
            let entry = totals.entry(key.clone()).or_default();
            *entry = (*entry).max(*seen);
        }
        Ok(Least { totals, times: books.losses.settled_times() })
    }

    /// Holds an answer against what it cannot be less than, and what was sent by now.
    fn hold(
        &self,
        check: &'static str,
        server: &Server,
        least: &Least,
        answer: &Totals,
    ) -> anyhow::Result<()> {
        let mut books = self.lock();
        books.read()?;
        // If the database went back meanwhile, the answer may be from before or from after that.
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
                format!("{}: {}: {found}, which is not {low} to {high}", server.name, name(key))
            });
            if is_later {
                let seen = books.seen.entry(key.clone()).or_default();
                *seen = (*seen).max(found);
            }
        }
        Ok(())
    }

    /// What is known now, before the database is at a state to which it will go back.
    pub(crate) fn mark(&self) -> anyhow::Result<Mark> {
        let mut books = self.lock();
        books.read()?;
        Ok(Mark(books.accounts()))
    }

    /// The database goes back from now on.
    pub(crate) fn goes_back(&self) {
        self.lock().losses.is_going_back = true;
    }

    /// The database went back: what is acknowledged from now on stays.
    pub(crate) fn went_back(&self, to: &Mark) -> anyhow::Result<()> {
        let mut books = self.lock();
        books.read()?;
        let now = books.accounts();
        books.losses.add(&to.0, &now);
        books.settle();
        Ok(())
    }

    /// Names are deleted from now on.
    pub(crate) fn loses_names(&self) {
        let losses = &mut self.lock().losses;
        losses.is_going_back = true;
        losses.deleted.get_or_insert_default();
    }

    /// Names were deleted, which had these ids.
    pub(crate) fn lost_names(&self, names: Vec<(i64, (i32, String))>) {
        let mut books = self.lock();
        books.losses.deleted.get_or_insert_default().extend(names);
        books.settle();
    }

    /// How many requests a client has sent, and how many are acknowledged.
    pub(crate) fn progress(&self, client: &str) -> anyhow::Result<(u64, u64)> {
        let mut books = self.lock();
        books.read()?;
        let account = books.journals.get(client).map(|(_, account)| account);
        Ok(account
            .map_or((0, 0), |account| (account.sent.values().sum(), account.acknowledged_total())))
    }

    /// All that the journals say, what was lost, and what was found so far.
    pub(crate) fn result(&self) -> anyhow::Result<(BTreeMap<String, Account>, Losses, Verdict)> {
        let mut books = self.lock();
        books.read()?;
        Ok((books.accounts(), books.losses.clone(), books.verdict.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What a question may be answered with while servers and databases come and go: that it was
/// not answered. Anything else says that the server did not understand its own failure.
fn may_come(code: Code) -> bool {
    // Unknown is what tonic calls a connection that ends in the middle of an answer.
    let lost = [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Unknown];
    lost.contains(&code)
}

// === impl Books ===

impl Books {
    fn accounts(&self) -> BTreeMap<String, Account> {
        let accounts = self.journals.iter();
        accounts.map(|(name, (_, account))| (name.clone(), account.clone())).collect()
    }

    /// The database is what it is from now on.
    fn settle(&mut self) {
        self.losses.times += 1;
        self.losses.is_going_back = false;
        self.seen.clear();
    }

    fn read(&mut self) -> anyhow::Result<()> {
        for (reader, account) in self.journals.values_mut() {
            reader.next()?.into_iter().for_each(|line| account.take(line));
        }
        Ok(())
    }
}
