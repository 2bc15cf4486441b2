//! The oracle: compares what is stored with what the clients recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{Accounts, add, count};
use crate::arguments::{OF_DEBTS, namespace_of};
use crate::changes::renamed_totals;
use crate::journal::{Key, QUARTERS_PER_DAY};
use crate::losses::{Losses, in_namespace_of, is_unknown};
use crate::stored::{Answer, Stored, Totals, sum_under};
use crate::tables::Tables;
use crate::views::{Question, View, sums_by_period};

/// How many differences of a check are listed; the others are only counted.
const DIFFERENCES_MAX: u64 = 20;

/// The comparisons and their result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) by_check: BTreeMap<&'static str, Compared>,
    /// The first differences of each check.
    pub(crate) differences: Vec<String>,
}

/// What became of the comparisons of one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) comparisons: u64,
    pub(crate) differences: u64,
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// Notes one comparison, and the difference if there is one.
    pub(crate) fn check(&mut self, check: &'static str, holds: bool, say: impl FnOnce() -> String) {
        let compared = self.by_check.entry(check).or_default();
        compared.comparisons += 1;
        if holds {
            return;
        }
        compared.differences += 1;
        if compared.differences <= DIFFERENCES_MAX {
            self.differences.push(format!("{check}: {}", say()));
        }
    }

    /// Adds the comparisons of another one.
    pub(crate) fn join(&mut self, other: Verdict) {
        for (check, compared) in other.by_check {
            let of = self.by_check.entry(check).or_default();
            of.comparisons += compared.comparisons;
            of.differences += compared.differences;
        }
        self.differences.extend(other.differences);
    }

    /// Of all checks.
    pub(crate) fn sum(&self) -> Compared {
        self.by_check.values().fold(Compared::default(), |sum, of| Compared {
            comparisons: sum.comparisons + of.comparisons,
            differences: sum.differences + of.differences,
        })
    }

    pub(crate) fn equal<K: Ord + std::fmt::Debug>(
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

/// What the checks at the end compare.
pub(crate) struct Judge<'a> {
    pub(crate) accounts: &'a Accounts,
    pub(crate) losses: &'a Losses,
    pub(crate) stored: &'a Stored,
    pub(crate) verdict: &'a mut Verdict,
}

// === impl Judge ===

impl Judge<'_> {
    /// Checks everything that must hold at the end.
    pub(crate) fn judge(&mut self) {
        let (stored, rewound) = (self.stored, self.losses.times > 0);
        self.ends();
        for tables in [&stored.before, &stored.tables] {
            tables.check(self.verdict);
            self.tables(tables);
        }
        self.by_client(&renamed_totals(&self.named(&stored.tables)));
        let tables = stored.tables.totals();
        for (question, answer) in &stored.live {
            self.live(*question, &answer.totals);
        }
        for (namespace, totals) in &stored.rolled_up {
            let mut tables = tables.clone();
            tables.retain(|key, _| key.series.namespace == *namespace);
            self.verdict.equal("rolled up = table", ("rolled up", totals), ("table", &tables));
        }
        let left = stored.tables.in_rows();
        self.verdict.check("no rows left", left == 0, || format!("{left} are not folded"));

        for (client, accepted) in &stored.accepted_of_client {
            let account = self.accounts.get(client).cloned().unwrap_or_default();
            let acknowledged = self.losses.due_of_total(client, account.acknowledged_total());
            let most = account.sent.values().sum();
            // The producers of the others are forgotten once they finish.
            let least = if account.resumed { acknowledged } else { 0 };
            self.verdict.check("accepted of a client", (least..=most).contains(accepted), || {
                format!("{client}: {accepted} accepted, {acknowledged} acknowledged, {most} sent")
            });
        }
        self.drops();
        for (question, Answer { setbacks, .. }) in &stored.live {
            let holds = rewound || setbacks.is_empty();
            self.verdict.check("no setback without a rewind", holds, || format!("{setbacks:?}"));
            let is_of = |client: &str| namespace_of(client) == question.namespace;
            for (client, account) in self.accounts.iter().filter(|(client, _)| is_of(client)) {
                // Setbacks beyond the first thousand have no name.
                let is_reported = setbacks.contains(client) || setbacks.contains("");
                let holds = is_reported || !self.losses.must_be_reported(client, account);
                let say = || format!("{client} is not in {setbacks:?}");
                self.verdict.check("losses are reported", holds, say);
            }
        }
    }

    /// Checks how the processes ended, and that no client saw a rule broken.
    fn ends(&mut self) {
        let rewound = self.losses.times > 0;
        for (client, account) in self.accounts {
            let finished = account.done && (rewound || !account.in_doubt);
            self.verdict.check("clients finished", finished, || client.clone());
            let mut broken = account.broken.clone();
            if !rewound {
                broken.extend_from_slice(&account.setbacks);
            }
            let say = || format!("{client}: {}", broken.join("; "));
            self.verdict.check("protocol", broken.is_empty(), say);
        }
        for exit in &self.stored.exits {
            let say = || exit.clone().err().unwrap_or_default();
            self.verdict.check("servers ended", exit.is_ok(), say);
        }
        let access = &self.stored.access;
        self.verdict.check("keys and certificates", access.is_empty(), || access.join("; "));
        let panics = &self.stored.panics;
        self.verdict.check("no panic", panics.is_empty(), || panics.join("; "));
    }

    /// By day, with the deleted names filled in.
    fn named(&self, tables: &Tables) -> Totals {
        let deleted = self.losses.deleted.clone().unwrap_or_default();
        without_debts(tables.named(&tables.by_day(), QUARTERS_PER_DAY, &deleted))
    }

    /// Checks what the database has against the journals. No name may be missing but deleted ones.
    fn tables(&mut self, tables: &Tables) {
        let deleted = self.losses.deleted.clone().unwrap_or_default();
        for ((day, id), count) in tables.unnamed() {
            self.verdict.check("names exist", deleted.contains_key(&id), || {
                format!("day {day}: {count} of series {id} have no name, and it was not deleted")
            });
        }
        self.bounds(View::Days, &renamed_totals(&self.named(tables)), |_| true);
        let by_quarter = without_debts(tables.named(&tables.by_quarter(), 1, &deleted));
        let by_quarter = renamed_totals(&by_quarter);
        self.bounds(View::Quarters, &by_quarter, |key| tables.keeps_quarters(key.day()));
    }

    /// Checks an answer after the last fault against the journals and the database.
    fn live(&mut self, question: Question, answer: &Totals) {
        let Question { view, .. } = question;
        let mut answer = renamed_totals(answer);
        self.bounds(view, &answer, |key| question.covers(key));
        let tables = &self.stored.before;
        let counts = match view {
            View::Hours | View::LocalDays => {
                tables.named(&tables.by_quarter(), 1, &BTreeMap::new())
            }
            _ => tables.totals(),
        };
        let mut counts = view.totals(&counts);
        counts.retain(|key, _| question.covers(key));
        if self.losses.deleted.is_some() && !view.has_paths() {
            (counts, answer) = (sums_by_period(&counts), sums_by_period(&answer));
        }
        self.verdict.equal("live = table", ("live", &answer), ("table", &counts));
    }

    /// acknowledged ≤ stored ≤ sent for each key of a view, allowing for what the database lost.
    fn bounds(&mut self, view: View, stored: &Totals, covers: impl Fn(&Key) -> bool) {
        let (mut lower, mut upper) = (BTreeMap::new(), BTreeMap::new());
        for (client, account) in self.accounts {
            add(&mut lower, &view.totals(&self.losses.due(client, &account.acknowledged)));
            add(&mut upper, &view.totals(&account.sent));
        }
        let unnamed = self.losses.unnamed(stored);
        let mut stored = stored.clone();
        if self.losses.deleted.is_some() && !view.has_paths() {
            (lower, upper) = (sums_by_period(&lower), sums_by_period(&upper));
            stored = sums_by_period(&stored);
        }
        // By period, how many requests of known keys are missing at least and at most.
        let (mut missing, mut room) = (BTreeMap::new(), BTreeMap::new());
        let keys: BTreeSet<&Key> = upper.keys().chain(stored.keys()).collect();
        for key in keys.into_iter().filter(|key| covers(key)) {
            if unnamed.contains_key(&key.quarter) && is_unknown(key) {
                continue;
            }
            let (least, most, found) =
                (count(&lower, key), count(&upper, key), count(&stored, key));
            let with_unnamed = found + count(&unnamed, &key.quarter);
            self.verdict.check("acknowledged <= stored", least <= with_unnamed, || {
                format!("{key}: LOST {}: {found} stored, {least} acknowledged", least - found)
            });
            self.verdict.check("stored <= sent", found <= most, || {
                format!("{key}: {} TOO MANY: {found} stored, {most} sent", found - most)
            });
            *missing.entry(key.quarter).or_default() += least.saturating_sub(found);
            *room.entry(key.quarter).or_default() += most.saturating_sub(found);
        }
        for (quarter, count_unnamed) in unnamed {
            let (least, most) = (count(&missing, &quarter), count(&room, &quarter));
            self.verdict.check("without a name", (least..=most).contains(&count_unnamed), || {
                format!(
                    "quarter {quarter}: {count_unnamed} have no name, expected {least} to {most}"
                )
            });
        }
    }

    /// Checks the totals of clients that know only how many requests are acknowledged.
    fn by_client(&mut self, stored: &Totals) {
        for (client, account) in self.accounts {
            let own = format!("/{client}/");
            let found = sum_under(stored, &own);
            let least = self.losses.due_of_total(client, account.acknowledged_total());
            // A finished client has sent its whole spool, and these keys are its own. After a
            // rewind it may have dropped batches because they were in doubt.
            let mut spooled = BTreeMap::new();
            for parcel in account.spooled.values() {
                add(&mut spooled, &View::Days.totals(&parcel.requests));
            }
            for (key, least) in spooled.iter().filter(|_| account.done && self.losses.times == 0) {
                let found = count(stored, key);
                self.verdict.check("spooled <= stored", *least <= found, || {
                    format!("{key}: LOST {}: {found} stored, {least} spooled", least - found)
                });
            }
            let shared = sum_under(&account.sent, &own) < account.sent.values().sum();
            self.verdict.check("client: acknowledged <= stored", shared || least <= found, || {
                format!("{client}: LOST {}: {found} stored, {least} acknowledged", least - found)
            });
        }
    }

    /// Checks that the server has the drops that clients reported.
    fn drops(&mut self) {
        let (mut lower, mut upper) = (BTreeMap::new(), BTreeMap::new());
        for (client, account) in self.accounts {
            let of = |drops: &_| in_namespace_of(client, drops);
            add(&mut lower, &of(&account.drops_acknowledged));
            add(&mut upper, &of(&account.drops_at_most()));
            // After a rewind a client may have dropped the batch that reported them.
            if account.done && self.losses.times == 0 {
                add(&mut lower, &of(&account.dropped));
            }
        }
        let dropped = &self.stored.tables.dropped;
        let lower = self.losses.due_of_drops(&lower);
        let keys: BTreeSet<(i64, i32)> = upper.keys().chain(dropped.keys()).copied().collect();
        for key in keys {
            let (least, most) = (count(&lower, &key), count(&upper, &key));
            let (found, (namespace, day)) = (count(dropped, &key), key);
            self.verdict.check("drops", least <= found && found <= most, || {
                let of = format!("namespace {namespace} day {day}");
                format!("{of}: the database has {found}, clients reported {least} to {most}")
            });
        }
        for (question, Answer { dropped: answered, .. }) in &self.stored.live {
            let of = dropped.iter().filter(|((namespace, _), _)| *namespace == question.namespace);
            let sum: u64 = of.map(|(_, count)| count).sum();
            let holds = *answered == sum || (question.from.is_some() && *answered < sum);
            self.verdict.check("drops in answers", holds, || {
                format!("an answer says {answered}, the database has {sum}")
            });
        }
    }
}

/// Without what debts count as, of which no client knows.
fn without_debts(mut totals: Totals) -> Totals {
    totals.retain(|key, _| key.series.namespace != OF_DEBTS);
    totals
}

#[cfg(test)]
mod tests;
