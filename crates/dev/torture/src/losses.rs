//! What may be missing because the database was set back or names were deleted.

use std::collections::BTreeMap;

use tally_proto::wire::UNKNOWN_PATH;

use crate::account::{Account, Accounts, add, count};
use crate::arguments::namespace_of;
use crate::journal::{Key, Series};
use crate::stored::Totals;

/// All that was lost in a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    /// How often the database was set back or lost names.
    pub(crate) times: u64,
    /// A rewind is in progress: an answer may be from before or after it.
    pub(crate) is_rewinding: bool,
    by_client: BTreeMap<String, Loss>,
    /// How many losses each client had seen before the last rewind.
    seen_before: BTreeMap<String, u64>,
    /// By namespace and day, the most drops that the database may have lost.
    drops: BTreeMap<(i64, i32), u64>,
    /// Deleted names by id; None if no name was deleted.
    pub(crate) deleted: Option<BTreeMap<i64, Series>>,
}

/// The most requests of a client that may be lost.
#[derive(Clone, Debug, Default)]
struct Loss {
    requests: Totals,
    total: u64,
    /// The last parcel that may be lost.
    up_to: u64,
}

// === impl Losses ===

impl Losses {
    /// The database was set back to a state that has everything acknowledged in `before`, and
    /// nothing sent after `now` is affected. So at most the parcels unacknowledged in `before` and
    /// those sent in between are lost; those already counted as lost are not counted again.
    pub(crate) fn add(&mut self, before: &Accounts, now: &Accounts) {
        for (client, now) in now {
            self.seen_before.insert(client.clone(), now.losses);
            let before = before.get(client).cloned().unwrap_or_default();
            let loss = self.by_client.entry(client.clone()).or_default();
            let (open, total) = before.open(std::mem::replace(&mut loss.up_to, now.last));
            let between = excess(&now.announced, &before.announced);
            loss.total += total + between.values().sum::<u64>();
            add(&mut loss.requests, &open.requests);
            add(&mut loss.requests, &between);
            for drops in [open.drops, excess(&now.drops_sent, &before.drops_sent)] {
                add(&mut self.drops, &in_namespace_of(client, &drops));
            }
        }
    }

    /// How often the database was set back; None while it is being set back.
    pub(crate) fn settled_times(&self) -> Option<u64> {
        (!self.is_rewinding).then_some(self.times)
    }

    /// The acknowledged requests of a client that must be stored despite the losses.
    pub(crate) fn due(&self, client: &str, acknowledged: &Totals) -> Totals {
        let loss = self.by_client.get(client);
        loss.map_or_else(|| acknowledged.clone(), |loss| excess(acknowledged, &loss.requests))
    }

    /// The same for their total.
    pub(crate) fn due_of_total(&self, client: &str, acknowledged: u64) -> u64 {
        let loss = self.by_client.get(client).map_or(0, |loss| loss.total);
        acknowledged.saturating_sub(loss)
    }

    /// The same for the drops of all clients.
    pub(crate) fn due_of_drops(
        &self,
        acknowledged: &BTreeMap<(i64, i32), u64>,
    ) -> BTreeMap<(i64, i32), u64> {
        excess(acknowledged, &self.drops)
    }

    /// Whether a client has seen a loss after the last rewind, so that the server must report it.
    /// The database may have lost its notes of earlier losses.
    pub(crate) fn must_be_reported(&self, client: &str, account: &Account) -> bool {
        account.losses > self.seen_before.get(client).copied().unwrap_or(0)
    }

    /// The most requests of all clients that may be lost.
    pub(crate) fn sum(&self) -> u64 {
        self.by_client.values().map(|loss| loss.total).sum()
    }

    /// By period, the requests that an answer counts without a name; empty unless names were deleted.
    pub(crate) fn unnamed(&self, answer: &Totals) -> BTreeMap<i32, u64> {
        let mut unnamed = BTreeMap::new();
        if self.deleted.is_some() {
            let all = answer.iter().filter(|(key, _)| is_unknown(key));
            unnamed.extend(all.map(|(key, count)| (key.quarter, *count)));
        }
        unnamed
    }
}

/// A client's drops by day, by its namespace as well.
pub(crate) fn in_namespace_of(
    client: &str,
    drops: &BTreeMap<i32, u64>,
) -> BTreeMap<(i64, i32), u64> {
    let namespace = namespace_of(client);
    drops.iter().map(|(day, count)| ((namespace, *day), *count)).collect()
}

pub(crate) fn is_unknown(key: &Key) -> bool {
    key.series.path == UNKNOWN_PATH
}

/// How much each count exceeds the other one.
fn excess<K: Ord + Clone>(
    counts: &BTreeMap<K, u64>,
    others: &BTreeMap<K, u64>,
) -> BTreeMap<K, u64> {
    let excess = |(key, most): (&K, &u64)| (key.clone(), most.saturating_sub(count(others, key)));
    counts.iter().map(excess).filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Line, Parcel};

    const QUARTER: i32 = 20_000 * 96;

    fn key(path: &str) -> Key {
        let series = Series { method: 3, path: path.to_owned(), ..Series::default() };
        Key { quarter: QUARTER, series }
    }

    fn accounts(lines: &[Line]) -> Accounts {
        BTreeMap::from([("one".to_owned(), Account::of(lines.to_vec()))])
    }

    #[test]
    fn only_requests_sent_between_mark_and_end_may_be_lost() {
        let mut lines = vec![
            Line::Start { resumed: true, drops: false },
            Line::Sent(1, Parcel::of(key("/a"), 10)),
            Line::UpTo(1),
            Line::Sent(2, Parcel::of(key("/a"), 5)),
        ];
        let before = accounts(&lines);
        lines.extend([Line::UpTo(2), Line::Sent(3, Parcel::of(key("/b"), 7))]);
        let mut losses = Losses::default();
        losses.add(&before, &accounts(&lines));
        lines.extend([Line::UpTo(3), Line::Sent(4, Parcel::of(key("/b"), 4)), Line::UpTo(4)]);

        let account = &accounts(&lines)["one"];
        let left = losses.due("one", &account.acknowledged);
        assert_eq!(left, BTreeMap::from([(key("/a"), 10), (key("/b"), 4)]));
        assert_eq!(losses.due_of_total("one", account.acknowledged_total()), 14);
        assert_eq!(losses.due("two", &left), left);
    }

    #[test]
    fn an_abandoned_parcel_is_lost_only_once() {
        let start = || Line::Start { resumed: false, drops: false };
        let mut lines = vec![start(), Line::Sent(1, Parcel::of(key("/a"), 10)), Line::Total(4)];
        let before = accounts(&lines);
        lines.extend([start(), Line::Sent(2, Parcel::of(key("/a"), 5))]);
        let mut losses = Losses::default();
        losses.add(&before, &accounts(&lines));
        assert_eq!(losses.sum(), 6 + 5);
        let before = accounts(&lines);
        lines.push(Line::Sent(3, Parcel::of(key("/b"), 1)));
        losses.add(&before, &accounts(&lines));
        assert_eq!(losses.sum(), 6 + 5 + 1);
    }

    #[test]
    fn only_deleted_names_may_be_missing() {
        let unknown = key(UNKNOWN_PATH);
        let answer = BTreeMap::from([(unknown, 3), (key("/a"), 1)]);
        let mut losses = Losses::default();
        assert!(losses.unnamed(&answer).is_empty());
        losses.deleted = Some(BTreeMap::new());
        assert_eq!(losses.unnamed(&answer), BTreeMap::from([(QUARTER, 3)]));
    }
}
