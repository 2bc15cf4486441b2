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
    verdict: Verdict,
}

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

    fn live_query(&self, server: &Server) -> anyhow::Result<bool> {
        let least = self.least()?;
        let answer = self.world.runtime.block_on(stored::query(&server.url(), true));
        let Some((totals, _)) = self.answer(server, answer)? else { return Ok(false) };
        self.hold("live answers", server, &least, &totals)?;
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
        least.retain(|key, _| stored::is_in(key.day, date));
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
    fn least(&self) -> anyhow::Result<Totals> {
        let mut books = self.lock();
        books.read()?;
        let mut least = Totals::new();
        books.journals.values().for_each(|(_, account)| add(&mut least, &account.acknowledged));
        for (key, seen) in &books.seen {
            let entry = least.entry(key.clone()).or_default();
            *entry = (*entry).max(*seen);
        }
        Ok(least)
    }

    /// Holds an answer against what it cannot be less than, and what was sent by now.
    fn hold(
        &self,
        check: &'static str,
        server: &Server,
        least: &Totals,
        answer: &Totals,
    ) -> anyhow::Result<()> {
        let mut books = self.lock();
        books.read()?;
        let mut most = Totals::new();
        books.journals.values().for_each(|(_, account)| add(&mut most, &account.sent));
        let keys: BTreeSet<&Key> = least.keys().chain(answer.keys()).collect();
        for key in keys {
            let (low, high, found) = (count(least, key), count(&most, key), count(answer, key));
            books.verdict.check(check, (low..=high).contains(&found), || {
                format!("{}: {}: {found}, which is not {low} to {high}", server.name, name(key))
            });
            let seen = books.seen.entry(key.clone()).or_default();
            *seen = (*seen).max(found);
        }
        Ok(())
    }

    /// How many requests a client has sent, and how many are acknowledged.
    pub(crate) fn progress(&self, client: &str) -> anyhow::Result<(u64, u64)> {
        let mut books = self.lock();
        books.read()?;
        let account = books.journals.get(client).map(|(_, account)| account);
        Ok(account
            .map_or((0, 0), |account| (account.sent.values().sum(), account.acknowledged_total())))
    }

    /// All that the journals say, and what was found so far.
    pub(crate) fn result(&self) -> anyhow::Result<(BTreeMap<String, Account>, Verdict)> {
        let mut books = self.lock();
        books.read()?;
        let accounts = books.journals.iter();
        let accounts = accounts.map(|(name, (_, account))| (name.clone(), account.clone()));
        Ok((accounts.collect(), books.verdict.clone()))
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
    fn read(&mut self) -> anyhow::Result<()> {
        for (reader, account) in self.journals.values_mut() {
            reader.next()?.into_iter().for_each(|line| account.take(line));
        }
        Ok(())
    }
}
