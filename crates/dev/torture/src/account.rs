//! What a client's journal means: how many requests of each key must be stored and may be.

use std::collections::BTreeMap;

use crate::journal::{Key, Line, Parcel};

/// The accounts of all clients, by name.
pub(crate) type Accounts = BTreeMap<String, Account>;

/// A client's requests according to its journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Sent requests that the server may have.
    pub(crate) sent: BTreeMap<Key, u64>,
    /// Everything the client announced, and the number of the last parcel.
    pub(crate) announced: BTreeMap<Key, u64>,
    pub(crate) last: u64,
    /// Sent requests that the server must have.
    pub(crate) acknowledged: BTreeMap<Key, u64>,
    /// By day, the drops reported to the server, and those that it acknowledged.
    pub(crate) drops_sent: BTreeMap<i32, u64>,
    pub(crate) drops_acknowledged: BTreeMap<i32, u64>,
    /// By day, requests dropped by the client library: those the server will hear about, and those
    /// it may hear about because a process was killed while it queued a parcel.
    pub(crate) dropped: BTreeMap<i32, u64>,
    pub(crate) maybe_dropped: BTreeMap<i32, u64>,
    /// Whether the current process drops, and the parcel that it is queueing.
    drops: bool,
    handing_over: Option<u64>,
    /// Batches left in the spool by earlier processes, by sequence.
    pub(crate) spooled: BTreeMap<u64, Parcel>,
    /// Acknowledged requests of clients that know only the total: before this process, and in it.
    total_before: u64,
    total: u64,
    /// The last process finished: everything it sent is stored.
    pub(crate) done: bool,
    pub(crate) processes: u64,
    /// A restarted process is the same producer, so the server keeps one account for all of them.
    pub(crate) resumed: bool,
    /// Rules that the client saw the server break.
    pub(crate) broken: Vec<String>,
    /// Signs of a rewound database that the client saw.
    pub(crate) setbacks: Vec<String>,
    /// How many of them prove that acknowledged requests were lost.
    pub(crate) losses: u64,
    /// Some of the last process's requests may or may not be stored.
    pub(crate) in_doubt: bool,
    /// Sent by the current process and not acknowledged.
    open: BTreeMap<u64, Parcel>,
}

// === impl Account ===

impl Account {
    #[cfg(test)]
    pub(crate) fn of(lines: impl IntoIterator<Item = Line>) -> Account {
        let mut account = Account::default();
        lines.into_iter().for_each(|line| account.apply(line));
        account
    }

    pub(crate) fn apply(&mut self, line: Line) {
        match line {
            Line::Start { resumed, drops } => self.start(resumed, drops),
            Line::Sent(number, parcel) => {
                add(&mut self.sent, &parcel.requests);
                add(&mut self.announced, &parcel.requests);
                self.last = number;
                add(&mut self.drops_sent, &parcel.drops);
                self.open.insert(number, parcel);
                self.handing_over = self.drops.then_some(number);
            }
            Line::Queued(number, left) => {
                self.handing_over = None;
                add(&mut self.dropped, &left.days());
                for (key, count) in left.requests {
                    *self.sent.entry(key.clone()).or_default() -= count;
                    if let Some(parcel) = self.open.get_mut(&number) {
                        *parcel.requests.entry(key).or_default() -= count;
                    }
                }
            }
            Line::UpTo(number) => {
                let after = self.open.split_off(&(number + 1));
                for parcel in std::mem::replace(&mut self.open, after).into_values() {
                    self.acknowledge(&parcel);
                }
            }
            Line::Exactly(number, count) => {
                for (key, sent) in self.open.remove(&number).unwrap_or_default().requests {
                    *self.sent.entry(key.clone()).or_default() -= sent.saturating_sub(count);
                    *self.acknowledged.entry(key).or_default() += count;
                }
            }
            Line::Doubtful(number) => {
                self.open.remove(&number);
            }
            Line::Spooled(number, parcel) => {
                self.spooled.insert(number, parcel);
            }
            Line::Total(count) => self.total = count,
            Line::Done => {
                self.apply(Line::UpTo(self.last));
                self.done = true;
                self.handing_over = None;
            }
            Line::InDoubt => {
                self.done = true;
                self.in_doubt = true;
                self.handing_over = None;
                self.open.clear();
            }
            Line::Broken(what) => self.broken.push(what),
            Line::Note(_) => {}
            Line::Setback(what) => self.setbacks.push(what),
            Line::Lost(what) => {
                self.setbacks.push(what);
                self.losses += 1;
            }
        }
    }

    fn start(&mut self, resumed: bool, drops: bool) {
        self.processes += 1;
        self.resumed = resumed;
        self.done = false;
        self.total_before += std::mem::take(&mut self.total);
        if let Some(parcel) = self.handing_over.take().and_then(|at| self.open.get(&at)) {
            add(&mut self.maybe_dropped, &parcel.days());
        }
        add(&mut self.maybe_dropped, &std::mem::take(&mut self.dropped));
        self.drops = drops;
        if !resumed {
            // They are not sent again, but stay in `sent` because the server may have them.
            self.open.clear();
        }
    }

    /// How many requests are acknowledged, even if only the total is known.
    pub(crate) fn acknowledged_total(&self) -> u64 {
        let by_key: u64 = self.acknowledged.values().sum();
        by_key.max(self.total_before + self.total)
    }

    /// By day, the most drops that the server may have recorded.
    pub(crate) fn drops_at_most(&self) -> BTreeMap<i32, u64> {
        let mut most = self.drops_sent.clone();
        add(&mut most, &self.dropped);
        add(&mut most, &self.maybe_dropped);
        most
    }

    /// What may still be acknowledged of the parcels after this one: by key, drops by day, and the
    /// total of all requests.
    pub(crate) fn open(&self, after: u64) -> (Parcel, u64) {
        let mut open = Parcel::default();
        for parcel in self.open.range(after + 1..).map(|(_, parcel)| parcel) {
            add(&mut open.requests, &parcel.requests);
            add(&mut open.drops, &parcel.drops);
        }
        let counts = self.open.values().flat_map(|parcel| parcel.requests.values());
        let total = counts.sum::<u64>().saturating_sub(self.total);
        let sum = open.requests.values().sum();
        (open, total.min(sum))
    }

    fn acknowledge(&mut self, parcel: &Parcel) {
        add(&mut self.acknowledged, &parcel.requests);
        add(&mut self.drops_acknowledged, &parcel.drops);
    }
}

/// The count of a key, or 0.
pub(crate) fn count<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or(0)
}

/// Adds `counts` to `to`.
pub(crate) fn add<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, counts: &BTreeMap<K, u64>) {
    for (key, count) in counts {
        *to.entry(key.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Series;

    fn key(path: &str) -> Key {
        let series = Series { method: 3, path: path.to_owned(), ..Series::default() };
        Key { quarter: 20_000 * 96, series }
    }

    fn sent(number: u64, path: &str, count: u64) -> Line {
        Line::Sent(number, Parcel::of(key(path), count))
    }

    fn counts(of: &BTreeMap<Key, u64>) -> Vec<(&str, u64)> {
        of.iter().map(|(key, count)| (key.series.path.as_str(), *count)).collect()
    }

    #[test]
    fn acknowledged_requests_must_be_stored_and_sent_ones_may_be() {
        let start = Line::Start { resumed: false, drops: false };
        let lines = [start, sent(1, "/a", 5), sent(2, "/b", 7), sent(3, "/a", 2), Line::UpTo(2)];
        let mut account = Account::of(lines);
        assert_eq!(counts(&account.sent), [("/a", 7), ("/b", 7)]);
        assert_eq!(counts(&account.acknowledged), [("/a", 5), ("/b", 7)]);
        account.apply(Line::Done);
        assert!(account.done);
        assert_eq!(account.acknowledged, account.sent);
    }

    #[test]
    fn a_process_without_memory_leaves_the_previous_one_unacknowledged() {
        for (resumed, acknowledged) in [(false, 2), (true, 7)] {
            let start = Line::Start { resumed, drops: false };
            let account = Account::of([sent(1, "/a", 5), start, sent(2, "/a", 2), Line::Done]);
            assert_eq!(counts(&account.sent), [("/a", 7)]);
            assert_eq!(counts(&account.acknowledged), [("/a", acknowledged)], "{resumed}");
        }
    }

    #[test]
    fn a_failed_stream_counts_exactly_if_the_server_said_so_and_is_open_otherwise() {
        let lines = [sent(1, "/a", 5), Line::Exactly(1, 3), sent(2, "/b", 4), Line::Doubtful(2)];
        let account = Account::of(lines.into_iter().chain([Line::Done]));
        assert_eq!(counts(&account.sent), [("/a", 3), ("/b", 4)]);
        assert_eq!(counts(&account.acknowledged), [("/a", 3)]);
    }

    #[test]
    fn a_request_that_was_not_queued_is_a_drop_and_was_not_sent() {
        let left = |count| Parcel::of(key("/a"), count);
        let start = || Line::Start { resumed: false, drops: true };
        let mut account = Account::of([start(), sent(1, "/a", 5), Line::Queued(1, left(2))]);
        assert_eq!(counts(&account.sent), [("/a", 3)]);
        assert_eq!(account.dropped, BTreeMap::from([(20_000, 2)]));
        account.apply(sent(2, "/a", 4));
        // Killed: any of the four may be dropped, and the two may not be reported.
        account.apply(start());
        assert_eq!(account.dropped, BTreeMap::new());
        assert_eq!(account.maybe_dropped, BTreeMap::from([(20_000, 6)]));
        account.apply(sent(3, "/a", 8));
        account.apply(Line::Queued(3, Parcel::default()));
        account.apply(Line::Done);
        assert_eq!(counts(&account.acknowledged), [("/a", 8)]);
        assert_eq!(counts(&account.sent), [("/a", 15)]);
    }

    #[test]
    fn totals_add_up_across_processes_but_not_within_one() {
        let start = || Line::Start { resumed: false, drops: false };
        let lines = [start(), Line::Total(3), Line::Total(5), start(), Line::Total(2)];
        assert_eq!(Account::of(lines).acknowledged_total(), 7);
    }
}
