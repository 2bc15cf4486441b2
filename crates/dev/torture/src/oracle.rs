//! The oracle: compares what is stored with what the clients recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{Account, add};
use crate::journal::Key;
use crate::losses::{Losses, is_unknown};
use crate::stored::Totals;

/// How many differences are listed; the others are only counted.
const DIFFERENCES_MAX: usize = 20;

/// What the servers and the database have at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// Live totals from each server, before the final roll-up.
    pub(crate) live: Vec<BTreeMap<Key, u64>>,
    /// Rolled-up totals from each server, after it.
    pub(crate) rolled_up: Vec<BTreeMap<Key, u64>>,
    /// The database's own totals, after it.
    pub(crate) table: BTreeMap<Key, u64>,
    /// The totals without a name, by day and id.
    pub(crate) unnamed: BTreeMap<(i32, i64), u64>,
    /// Rows that are not rolled up.
    pub(crate) rows_left: u64,
    /// By client, how many requests of its producers a server has accepted.
    pub(crate) accepted_of_client: BTreeMap<String, u64>,
    /// By day, requests accepted from producers and drops reported by them.
    pub(crate) accepted: BTreeMap<i32, u64>,
    pub(crate) dropped: BTreeMap<i32, u64>,
    /// Drops over all days, from each server.
    pub(crate) dropped_total: Vec<u64>,
    /// The names of the producers whose setbacks each server reports with its totals.
    pub(crate) setbacks: Vec<BTreeSet<String>>,
    /// Each server's exit code after the final SIGTERM.
    pub(crate) exits: BTreeMap<String, Option<i32>>,
    /// Panic messages of servers and clients.
    pub(crate) panics: Vec<String>,
}

/// The comparisons and their result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) comparisons: u64,
    /// Comparisons by check.
    pub(crate) by_check: BTreeMap<&'static str, u64>,
    pub(crate) differences: Vec<String>,
    /// How many more differences there are.
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

    /// Adds another verdict.
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

/// Checks everything that must hold at the end.
pub(crate) fn judge(
    accounts: &BTreeMap<String, Account>,
    losses: &Losses,
    stored: &Stored,
) -> Verdict {
    let mut verdict = Verdict::default();
    let rewound = losses.times > 0;
    for (client, account) in accounts {
        let finished = account.done && (rewound || !account.in_doubt);
        verdict.check("clients finished", finished, || client.clone());
        let mut broken = account.broken.clone();
        if !rewound {
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
        let acknowledged = losses.due_of_total(client, account.acknowledged_total());
        let most = account.sent.values().sum();
        // The producers of the others are forgotten once they finish.
        let least = if account.resumed { acknowledged } else { 0 };
        verdict.check("accepted of a client", (least..=most).contains(accepted), || {
            format!("{client}: {accepted} accepted, {acknowledged} acknowledged, {most} sent")
        });
    }
    drops(&mut verdict, accounts, losses, stored);
    for reported in &stored.setbacks {
        let holds = rewound || reported.is_empty();
        verdict.check("no setback without a rewind", holds, || format!("{reported:?}"));
        for (client, account) in accounts {
            // Setbacks beyond the first thousand have no name.
            let is_reported = reported.contains(client) || reported.contains("");
            let holds = is_reported || !losses.must_be_reported(client, account);
            verdict
                .check("losses are reported", holds, || format!("{client} is not in {reported:?}"));
        }
    }
    verdict
}

/// The table with the deleted names filled in. No other name may be missing.
fn names(verdict: &mut Verdict, losses: &Losses, stored: &Stored) -> Totals {
    let mut named = stored.table.clone();
    named.retain(|key, _| !is_unknown(key));
    let deleted = losses.deleted.clone().unwrap_or_default();
    for (&(day, id), count) in &stored.unnamed {
        let name = deleted.get(&id);
        verdict.check("names exist", name.is_some(), || {
            format!("day {day}: {count} of endpoint {id} have no name, and it was not deleted")
        });
        if let Some((method, path)) = name.cloned() {
            *named.entry(Key { day, method, path }).or_default() += count;
        }
    }
    named
}

/// acknowledged ≤ stored ≤ sent for each key, allowing for what the database lost.
fn bounds(
    verdict: &mut Verdict,
    accounts: &BTreeMap<String, Account>,
    losses: &Losses,
    stored: &Totals,
) {
    let (mut lower, mut upper) = (BTreeMap::new(), BTreeMap::new());
    for (client, account) in accounts {
        add(&mut lower, &losses.due(client, &account.acknowledged));
        add(&mut upper, &account.sent);
    }
    let unnamed = losses.unnamed(stored);
    // By day, how many requests of known keys are missing at least and at most.
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
            format!("day {day}: {count_unnamed} have no name, expected {least} to {most}")
        });
    }
}

/// Checks the totals of clients that know only how many requests are acknowledged.
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
        let least = losses.due_of_total(client, account.acknowledged_total());
        // A finished client has sent its whole spool, and these keys are its own. After a rewind it
        // may have dropped batches because they were in doubt.
        let mut spooled = BTreeMap::new();
        account.spooled.values().for_each(|parcel| add(&mut spooled, &parcel.requests));
        for (key, least) in spooled.iter().filter(|_| account.done && losses.times == 0) {
            let found = count(stored, key);
            verdict.check("spooled <= stored", *least <= found, || {
                format!("{}: LOST {}: {found} stored, {least} spooled", name(key), least - found)
            });
        }
        let shared = of_client(&account.sent) < account.sent.values().sum();
        verdict.check("client: acknowledged <= stored", shared || least <= found, || {
            format!("{client}: LOST {}: {found} stored, {least} acknowledged", least - found)
        });
    }
}

/// Checks that the server has the drops that clients reported.
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
        // After a rewind a client may have dropped the batch that reported them.
        if account.done && losses.times == 0 {
            add(&mut lower, &account.dropped);
        }
    }
    let lower = losses.due_of_drops(&lower);
    let days: BTreeSet<i32> = upper.keys().chain(stored.dropped.keys()).copied().collect();
    for day in days {
        let (least, most) = (count(&lower, &day), count(&upper, &day));
        let found = count(&stored.dropped, &day);
        verdict.check("drops", least <= found && found <= most, || {
            format!("day {day}: the database has {found}, clients reported {least} to {most}")
        });
    }
    let sum: u64 = stored.dropped.values().sum();
    for total in &stored.dropped_total {
        verdict.check("drops in answers", *total == sum, || {
            format!("an answer says {total}, the database has {sum}")
        });
    }
}

/// The count of a key, or 0.
pub(crate) fn count<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or(0)
}

/// A key for humans.
pub(crate) fn name(key: &Key) -> String {
    format!("day {} method {} {}", key.day, key.method, key.path)
}

#[cfg(test)]
mod tests;
