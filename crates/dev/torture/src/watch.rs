//! Live queries and roll-ups during the run; each answer is checked against the journals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};

use tokio::time::error::Elapsed;
use tonic::{Code, Status};

use crate::account::{Account, Accounts, add, count};
use crate::changes::{Change, renamed_totals};
use crate::client::load::{LONG_AGO_DAY, day};
use crate::client::now_micros;
use crate::journal::{Journal, Key, Series};
use crate::losses::{Losses, is_unknown};
use crate::oracle::Verdict;
use crate::random::Random;
use crate::stop::Stop;
use crate::stored::{self, Totals};
use crate::tables::{self, Tables};
use crate::views::{self, Question, View, sums_by_period};
use crate::world::World;
use crate::world::client::Client;
use crate::world::server::Server;

/// Milliseconds between queries: few, so that some hit the last moments of a roll-up.
const QUERY_PAUSE_MS: u64 = 5;

/// Milliseconds between two looks into the database, and how often a server rests from roll-ups, so
/// that rows are left for those who fold by themselves.
const LOOK_PAUSE_MS: u64 = 300;
const REST_PERCENT: u64 = 5;
const REST_MS: (u64, u64) = (1_000, 4_000);

/// The journals, and the answers so far.
pub(crate) struct Watch<'a> {
    pub(crate) world: &'a World,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    journals: BTreeMap<String, (Journal, Account)>,
    /// By view, the highest count of a key in an answer. A later answer must not be lower.
    seen: BTreeMap<View, Totals>,
    losses: Losses,
    /// The changes that a server has been asked for, and those that the database has for sure.
    attempted: BTreeSet<Change>,
    made: BTreeSet<Change>,
    verdict: Verdict,
}

/// The least that an answer to a query sent now may contain.
struct Least {
    view: View,
    totals: Totals,
    /// The changes that it must show.
    made: BTreeSet<Change>,
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
    pub(crate) fn query(&self, server: &Server, seed: u64, stop: &Stop) -> anyhow::Result<()> {
        let mut random = Random::derived(seed, &server.process.name, 1);
        while stop.pause(QUERY_PAUSE_MS) {
            let view = View::ASKED[random.index(View::ASKED.len())];
            let namespace = if random.percent(50) { 1 } else { 0 };
            let answered = self.live_query(server, view, namespace)?;
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
            if random.percent(REST_PERCENT) && !stop.pause(random.within(REST_MS.0, REST_MS.1)) {
                break;
            }
            let answered = self.roll_up(server, &mut random)?;
            self.world.log.done(if answered { "asked: roll-up" } else { "asked: no answer" });
        }
        Ok(())
    }

    /// Checks that the books in the database are balanced until the run stops.
    pub(crate) fn books(&self, stop: &Stop) -> anyhow::Result<()> {
        while stop.pause(LOOK_PAUSE_MS) {
            let tables = self.look();
            let is_read = tables.is_some();
            if let Some(tables) = tables {
                tables.check(&mut self.lock().verdict);
            }
            self.world.log.done(if is_read { "asked: the books" } else { "asked: no answer" });
        }
        Ok(())
    }

    /// What the database has now; None if it is away.
    pub(crate) fn look(&self) -> Option<Tables> {
        let tables = match self.world.primary() {
            Some(url) => self.world.runtime.block_on(tables::postgres(&url)),
            None => tables::sqlite(&self.world.sqlite_path()),
        };
        tables.inspect_err(|error| self.world.log.say(|| format!("no books: {error:#}"))).ok()
    }

    /// Asks for live totals of a namespace once. Returns whether there was an answer.
    pub(crate) fn live_query(
        &self,
        server: &Server,
        view: View,
        namespace: i64,
    ) -> anyhow::Result<bool> {
        let question = Question::live(view, namespace, day(now_micros()));
        let mut least = self.least(view)?;
        let door = self.world.door(server, namespace);
        let answer = self.world.runtime.block_on(stored::query(&door, question));
        let Some(answer) = self.answer(server, answer)? else { return Ok(false) };
        // The answer covers some days of a namespace only.
        least.totals.retain(|key, _| question.covers(key));
        self.check("live answers", server, &least, &answer.totals)?;
        Ok(true)
    }

    /// Lets a server fold once. Returns whether it did.
    pub(crate) fn fold(&self, server: &Server) -> anyhow::Result<bool> {
        let answer = self.world.runtime.block_on(stored::fold(&self.world.door(server, 0)));
        Ok(self.answer(server, answer)?.is_some())
    }

    /// Notes that a server is asked for a change.
    pub(crate) fn attempt(&self, change: Change) {
        self.lock().attempted.insert(change);
    }

    /// Lets a server merge or forget series. Returns whether it did.
    pub(crate) fn change(&self, server: &Server, change: Change) -> anyhow::Result<bool> {
        self.attempt(change);
        let before = self.lock().losses.settled_times();
        let answer = self
            .world
            .runtime
            .block_on(stored::change(&self.world.door(server, change.namespace()), change));
        let Some(is_made) = self.answer(server, answer)? else { return Ok(false) };
        let books = &mut *self.lock();
        // If the database was set back meanwhile, it may have lost it.
        if is_made && before.is_some() && before == books.losses.settled_times() {
            books.made.insert(change);
        }
        Ok(true)
    }

    /// Makes all changes that were attempted, so that nothing is left under an old name.
    pub(crate) fn finish_changes(&self, server: &Server) -> anyhow::Result<()> {
        let attempted = self.lock().attempted.clone();
        for change in attempted {
            let is_made = self.change(server, change)?;
            self.lock().verdict.check("changes are made", is_made, || format!("{change:?}"));
        }
        Ok(())
    }

    /// Checks that nothing counts under a name that a change has removed.
    pub(crate) fn check_names(&self, server: &Server, answer: &Totals) {
        let books = &mut *self.lock();
        check_names(&mut books.verdict, &books.made, server, answer);
    }

    /// Checks that days and months have nothing of series that have moved.
    pub(crate) fn check_left_behind(&self, tables: &Tables) {
        let left = tables.left_behind();
        self.lock().verdict.check("books: nothing is left of what moved", left == 0, || {
            format!("{left} requests are under the ids that they had")
        });
    }

    fn roll_up(&self, server: &Server, random: &mut Random) -> anyhow::Result<bool> {
        let today = day(now_micros());
        let date_of = views::date_of;
        let (back, parts) = [(0, 3), (0, 3), (1, 3), (3, 3), (0, 2), (0, 1)][random.index(6)];
        let date = if random.percent(15) {
            date_of(LONG_AGO_DAY, random.within(1, 3))
        } else {
            date_of(today - back, parts)
        };
        let mut least = self.least(View::Endpoints)?;
        let answer =
            self.world.runtime.block_on(stored::roll_up(&self.world.door(server, 0), date));
        let Some(totals) = self.answer(server, answer)? else { return Ok(false) };
        // The answer covers this period of `default` only.
        least.totals.retain(|key, _| key.series.namespace == 0 && views::is_in(key.day(), date));
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
    fn least(&self, view: View) -> anyhow::Result<Least> {
        let mut books = self.lock();
        books.read()?;
        let mut totals = Totals::new();
        for (client, (_, account)) in &books.journals {
            add(&mut totals, &view.totals(&books.losses.due(client, &account.acknowledged)));
        }
        for (key, seen) in books.seen.get(&view).into_iter().flatten() {
            let entry = totals.entry(key.clone()).or_default();
            *entry = (*entry).max(*seen);
        }
        let made = books.made.clone();
        Ok(Least { view, totals, made, times: books.losses.settled_times() })
    }

    /// Checks an answer: at least `least`, and at most what was sent by now.
    fn check(
        &self,
        check: &'static str,
        server: &Server,
        least: &Least,
        answer: &Totals,
    ) -> anyhow::Result<()> {
        let books = &mut *self.lock();
        books.read()?;
        // If the database was set back meanwhile, the answer may be from before or after that.
        let is_later = least.times.is_some() && least.times == books.losses.settled_times();
        if is_later {
            check_names(&mut books.verdict, &least.made, server, answer);
        }
        if books.losses.deleted.is_none() {
            let (unknown, name) = (answer.keys().find(|key| is_unknown(key)), &server.process.name);
            books.verdict.check("names in answers", unknown.is_none(), || {
                unknown
                    .map(|key| format!("{name}: {key}, and no name was deleted"))
                    .unwrap_or_default()
            });
        }
        let answer = &renamed_totals(answer);
        let unnamed = books.losses.unnamed(answer);
        let (mut low, mut high, mut found) = (least.totals.clone(), Totals::new(), answer.clone());
        for (_, account) in books.journals.values() {
            add(&mut high, &least.view.totals(&account.sent));
        }
        let is_whole = books.losses.deleted.is_none() || least.view.has_paths();
        if !is_whole {
            (low, high) = (sums_by_period(&low), sums_by_period(&high));
            found = sums_by_period(&found);
        }
        let keys: BTreeSet<&Key> = low.keys().chain(found.keys()).collect();
        for key in keys {
            if unnamed.contains_key(&key.quarter) && is_unknown(key) {
                continue;
            }
            let low = if is_later { count(&low, key) } else { 0 };
            let (high, found) = (count(&high, key), count(&found, key));
            let holds = found <= high && low <= found + count(&unnamed, &key.quarter);
            books.verdict.check(check, holds, || {
                let (name, view) = (&server.process.name, least.view);
                format!("{name}: {view:?}: {key}: {found}, expected {low} to {high}")
            });
            if is_later && is_whole {
                let seen = books.seen.entry(least.view).or_default();
                let seen = seen.entry(key.clone()).or_default();
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
    pub(crate) fn names_deleted(&self, names: Vec<(i64, Series)>) {
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

    /// Whether a client has closed, and everything was acknowledged.
    pub(crate) fn has_finished(&self, client: &str) -> anyhow::Result<bool> {
        let mut books = self.lock();
        books.read()?;
        Ok(books.accounts().get(client).is_some_and(|account| account.done))
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
        self.made.clear();
    }

    fn read(&mut self) -> anyhow::Result<()> {
        for (reader, account) in self.journals.values_mut() {
            reader.next()?.into_iter().for_each(|line| account.apply(line));
        }
        Ok(())
    }
}

fn check_names(verdict: &mut Verdict, made: &BTreeSet<Change>, server: &Server, answer: &Totals) {
    let series: BTreeSet<&Series> = answer.keys().map(|key| &key.series).collect();
    for change in made {
        let left = series.iter().find(|series| change.selects(series));
        verdict.check("merged and forgotten", left.is_none(), || {
            let name = &server.process.name;
            left.map(|left| format!("{name}: {left} after {change:?}")).unwrap_or_default()
        });
    }
}
