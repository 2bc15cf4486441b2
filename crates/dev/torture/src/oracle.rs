//! The oracle: holds what is stored against what the clients say.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{Account, add};
use crate::journal::Key;
use crate::losses::{Losses, is_unknown};
use crate::stored::Totals;

/// How many differences are kept; the rest is only counted.
const DIFFERENCES_MAX: usize = 20;

/// What can be read from the servers and the database when all is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// Live totals, from each server, before anything is rolled up for the last time.
    pub(crate) live: Vec<BTreeMap<Key, u64>>,
    /// Rolled-up totals, from each server, after that.
    pub(crate) rolled_up: Vec<BTreeMap<Key, u64>>,
    /// What the database itself has in its totals after that.
    pub(crate) table: BTreeMap<Key, u64>,
    /// What of it has no name: by day and id.
    pub(crate) unnamed: BTreeMap<(i32, i64), u64>,
    /// How many rows are left in the database after that.
    pub(crate) rows_left: u64,
    /// By client, how many requests a server says were accepted from its producers.
    pub(crate) accepted_of_client: BTreeMap<String, u64>,
    /// By day, what the database says that producers sent and dropped.
    pub(crate) accepted: BTreeMap<i32, u64>,
    pub(crate) dropped: BTreeMap<i32, u64>,
    /// What each server says that was dropped, over all days.
    pub(crate) dropped_total: Vec<u64>,
    /// The names of the producers whose setbacks each server tells of with its totals.
    pub(crate) setbacks: Vec<BTreeSet<String>>,
    /// How each server ended on SIGTERM in the end.
    pub(crate) exits: BTreeMap<String, Option<i32>>,
    /// What servers and clients said when they panicked.
    pub(crate) panics: Vec<String>,
}

/// What was compared, and what was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) comparisons: u64,
    /// By check, how often it compared.
    pub(crate) by_check: BTreeMap<&'static str, u64>,
    pub(crate) differences: Vec<String>,
    /// How many differences there were beyond those.
    pub(crate) more: u64,
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// Notes one comparison, and the difference if there is one.
    pub(crate) fn check(&mut self, check: &'static str, holds: bool, say: impl FnOnce() -> String) {
        self.comparisons += 1;
        *self.by_check.entry(check).or_default() += 1;
        if holds {
            return;
        }
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(format!("{check}: {}", say()));
        } else {
            self.more += 1;
        }
    }

    /// Adds what another one has found.
    pub(crate) fn merge(&mut self, other: Verdict) {
        self.comparisons += other.comparisons;
        self.more += other.more;
        for (check, count) in other.by_check {
            *self.by_check.entry(check).or_default() += count;
        }
        for difference in other.differences {
            if self.differences.len() < DIFFERENCES_MAX {
                self.differences.push(difference);
            } else {
                self.more += 1;
            }
        }
    }

    fn equal<K: Ord + std::fmt::Debug>(
        &mut self,
        check: &'static str,
        one: (&str, &BTreeMap<K, u64>),
        other: (&str, &BTreeMap<K, u64>),
    ) {
        let keys: BTreeSet<&K> = one.1.keys().chain(other.1.keys()).collect();
        for key in keys {
            let (a, b) = (count(one.1, key), count(other.1, key));
            self.check(check, a == b, || format!("{key:?}: {} {a}, {} {b}", one.0, other.0));
        }
    }
}

/// All that must hold in the end.
pub(crate) fn judge(
    accounts: &BTreeMap<String, Account>,
    losses: &Losses,
    stored: &Stored,
) -> Verdict {
    let mut verdict = Verdict::default();
    let went_back = losses.times > 0;
    for (client, account) in accounts {
        let finished = account.done && (went_back || !account.in_doubt);
        verdict.check("clients finished", finished, || client.clone());
        let mut broken = account.broken.clone();
        if !went_back {
            broken.extend_from_slice(&account.setbacks);
        }
        verdict.check("protocol", broken.is_empty(), || format!("{client}: {}", broken.join("; ")));
    }
    for (server, code) in &stored.exits {
        verdict.check("servers ended", *code == Some(0), || format!("{server}: {code:?}"));
    }
    verdict.check("no panic", stored.panics.is_empty(), || stored.panics.join("; "));
    let named = names(&mut verdict, losses, stored);
    bounds(&mut verdict, accounts, losses, &named);
    by_client(&mut verdict, accounts, losses, &named);
    for totals in &stored.live {
        bounds(&mut verdict, accounts, losses, totals);
        verdict.equal("live = rolled up", ("live", totals), ("in the table", &stored.table));
    }
    for totals in &stored.rolled_up {
        let table = ("in the table", &stored.table);
        verdict.equal("rolled up = table", ("rolled up", totals), table);
    }
    verdict.check("no rows left", stored.rows_left == 0, || format!("{} rows", stored.rows_left));

    let mut by_day: BTreeMap<i32, u64> = BTreeMap::new();
    for (key, count) in &stored.table {
        *by_day.entry(key.day).or_default() += count;
    }
    verdict.equal("accepted = stored", ("accepted", &stored.accepted), ("stored", &by_day));
    for (client, accepted) in &stored.accepted_of_client {
        let account = accounts.get(client).cloned().unwrap_or_default();
        let acknowledged = losses.left_of_total(client, account.acknowledged_total());
        let most = account.sent.values().sum();
        // The others say that they are done, and their producers are forgotten.
        let least = if account.resumed { acknowledged } else { 0 };
        verdict.check("accepted of a client", (least..=most).contains(accepted), || {
            format!("{client}: {accepted} accepted, {acknowledged} acknowledged, {most} sent")
        });
    }
    drops(&mut verdict, accounts, losses, stored);
    for told in &stored.setbacks {
        verdict.check("nothing else is told", went_back || told.is_empty(), || format!("{told:?}"));
        for (client, account) in accounts {
            // Beyond a thousand they have no name any more.
            let is_told = told.contains(client) || told.contains("");
            let is_told = is_told || !losses.must_be_told(client, account);
            verdict.check("the loss is told", is_told, || format!("{client} is not in {told:?}"));
        }
    }
    verdict
}

/// The table with the names that were deleted by hand. No other name may be missing.
fn names(verdict: &mut Verdict, losses: &Losses, stored: &Stored) -> Totals {
    let mut named = stored.table.clone();
    named.retain(|key, _| !is_unknown(key));
    let deleted = losses.deleted.clone().unwrap_or_default();
    for (&(day, id), count) in &stored.unnamed {
        let name = deleted.get(&id);
        verdict.check("names are there", name.is_some(), || {
            format!("day {day}: {count} of endpoint {id} have no name, and nobody has deleted it")
        });
        if let Some((method, path)) = name.cloned() {
            *named.entry(Key { day, method, path }).or_default() += count;
        }
    }
    named
}

/// acknowledged ≤ stored ≤ sent, for each key, but for what the database has lost.
fn bounds(
    verdict: &mut Verdict,
    accounts: &BTreeMap<String, Account>,
    losses: &Losses,
    stored: &Totals,
) {
    let (mut lower, mut upper) = (BTreeMap::new(), BTreeMap::new());
    for (client, account) in accounts {
        add(&mut lower, &losses.left(client, &account.acknowledged));
        add(&mut upper, &account.sent);
    }
    let unnamed = losses.unnamed(stored);
    // By day, how much is missing of keys, and how much more of them there may be.
    let (mut missing, mut room) = (BTreeMap::new(), BTreeMap::new());
    let keys: BTreeSet<&Key> = upper.keys().chain(stored.keys()).collect();
    for key in keys {
        if unnamed.contains_key(&key.day) && is_unknown(key) {
            continue;
        }
        let (least, most, found) = (count(&lower, key), count(&upper, key), count(stored, key));
        let with_unnamed = found + count(&unnamed, &key.day);
        verdict.check("acknowledged <= stored", least <= with_unnamed, || {
            format!("{}: LOST {}: {found} stored, {least} acknowledged", name(key), least - found)
        });
        verdict.check("stored <= sent", found <= most, || {
            format!("{}: {} TOO MANY: {found} stored, {most} sent", name(key), found - most)
        });
        *missing.entry(key.day).or_default() += least.saturating_sub(found);
        *room.entry(key.day).or_default() += most.saturating_sub(found);
    }
    for (day, count_unnamed) in unnamed {
        let (least, most) = (count(&missing, &day), count(&room, &day));
        verdict.check("without a name", (least..=most).contains(&count_unnamed), || {
            format!("day {day}: {count_unnamed} have no name, and {least} to {most} may have none")
        });
    }
}

/// A client that only knows how many requests are acknowledged, and has paths of its own.
fn by_client(
    verdict: &mut Verdict,
    accounts: &BTreeMap<String, Account>,
    losses: &Losses,
    stored: &Totals,
) {
    for (client, account) in accounts {
        let own = format!("/{client}/");
        let of_client = |counts: &BTreeMap<Key, u64>| -> u64 {
            let own = counts.iter().filter(|(key, _)| key.path.starts_with(&own));
            own.map(|(_, count)| count).sum()
        };
        let found = of_client(stored);
        let least = losses.left_of_total(client, account.acknowledged_total());
        // A client that has finished has sent what was in its spool; only it has these keys. One
        // whose database went back may have let some of it go, since it was in doubt.
        let mut kept = BTreeMap::new();
        account.kept.values().for_each(|parcel| add(&mut kept, &parcel.requests));
        for (key, least) in kept.iter().filter(|_| account.done && losses.times == 0) {
            let found = count(stored, key);
            verdict.check("kept in a spool <= stored", *least <= found, || {
                format!("{}: LOST {}: {found} stored, {least} kept", name(key), least - found)
            });
        }
        let shared = of_client(&account.sent) < account.sent.values().sum();
        verdict.check("client: acknowledged <= stored", shared || least <= found, || {
            format!("{client}: LOST {}: {found} stored, {least} acknowledged", least - found)
        });
    }
}

/// The server knows of the drops that clients told it of.
fn drops(
    verdict: &mut Verdict,
    accounts: &BTreeMap<String, Account>,
    losses: &Losses,
    stored: &Stored,
) {
    let (mut lower, mut upper) = (BTreeMap::new(), BTreeMap::new());
    for account in accounts.values() {
        add(&mut lower, &account.drops_acknowledged);
        add(&mut upper, &account.drops_at_most());
        // A client whose database went back may have let a batch go that told of them.
        if account.done && losses.times == 0 {
            add(&mut lower, &account.dropped);
        }
    }
    let lower = losses.left_of_drops(&lower);
    let days: BTreeSet<i32> = upper.keys().chain(stored.dropped.keys()).copied().collect();
    for day in days {
        let (least, most) = (count(&lower, &day), count(&upper, &day));
        let found = count(&stored.dropped, &day);
        verdict.check("drops", least <= found && found <= most, || {
            format!("day {day}: the database has {found}, clients told {least} to {most}")
        });
    }
    let sum: u64 = stored.dropped.values().sum();
    for total in &stored.dropped_total {
        verdict.check("drops in answers", *total == sum, || {
            format!("an answer says {total}, the database has {sum}")
        });
    }
}

/// The count of a key, 0 if it has none.
pub(crate) fn count<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or(0)
}

/// A key as a person reads it.
pub(crate) fn name(key: &Key) -> String {
    format!("day {} method {} {}", key.day, key.method, key.path)
}

#[cfg(test)]
mod tests;
