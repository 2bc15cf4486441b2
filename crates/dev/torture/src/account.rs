//! What a client's journal means: how many requests of each key must be stored, and how many
//! may be.

use std::collections::BTreeMap;

use crate::journal::{Key, Line, Parcel};

/// A client's requests, as far as its journal goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Sent, of those that the server may have.
    pub(crate) sent: BTreeMap<Key, u64>,
    /// All that the client was going to send, and the number of the last parcel.
    pub(crate) announced: BTreeMap<Key, u64>,
    pub(crate) last: u64,
    /// Of what was sent, what the server must have.
    pub(crate) acknowledged: BTreeMap<Key, u64>,
    /// By day, the drops that the server may have been told of, and must know.
    pub(crate) drops_sent: BTreeMap<i32, u64>,
    pub(crate) drops_acknowledged: BTreeMap<i32, u64>,
    /// By day, what the client's library dropped: what the server hears of that in the end, and
    /// what it may hear besides, of a process that was killed while it handed a parcel over.
    pub(crate) dropped: BTreeMap<i32, u64>,
    pub(crate) maybe_dropped: BTreeMap<i32, u64>,
    /// Whether the present process drops, and the parcel that it is handing over.
    drops: bool,
    handing_over: Option<u64>,
    /// What processes left in a spool, by the numbers that it has there.
    pub(crate) kept: BTreeMap<u64, Parcel>,
    /// Acknowledged requests of processes that only count them: before, and in this process.
    total_before: u64,
    total: u64,
    /// Every process has finished: what it sent is stored.
    pub(crate) done: bool,
    pub(crate) processes: u64,
    /// It comes back as the same producer, so the server has all that it brought under its name.
    pub(crate) resumed: bool,
    /// What the server did wrong in the client's eyes.
    pub(crate) broken: Vec<String>,
    /// What it saw of a database that went back.
    pub(crate) setbacks: Vec<String>,
    /// In how many of them what was acknowledged is lost for certain.
    pub(crate) losses: u64,
    /// Nobody knows which of the last process's requests are stored.
    pub(crate) in_doubt: bool,
    /// Sent by the present process and not acknowledged.
    open: BTreeMap<u64, Parcel>,
}

// === impl Account ===

impl Account {
    #[cfg(test)]
    pub(crate) fn of(lines: impl IntoIterator<Item = Line>) -> Account {
        let mut account = Account::default();
        lines.into_iter().for_each(|line| account.take(line));
        account
    }

    pub(crate) fn take(&mut self, line: Line) {
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
            Line::Taken(number, left) => {
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
            Line::Acknowledged(number) => {
                if let Some(parcel) = self.open.remove(&number) {
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
            Line::Kept(number, parcel) => {
                self.kept.insert(number, parcel);
            }
            Line::Total(count) => self.total = count,
            Line::Done => {
                self.done = true;
                self.handing_over = None;
                for parcel in std::mem::take(&mut self.open).into_values() {
                    self.acknowledge(&parcel);
                }
            }
            Line::InDoubt => {
                self.done = true;
                self.in_doubt = true;
                self.handing_over = None;
                self.open.clear();
            }
            Line::Broken(what) => self.broken.push(what),
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
            // Nobody sends them again. They stay in `sent`: the server may have them.
            self.open.clear();
        }
    }

    /// How many requests are acknowledged, be it known which or not.
    pub(crate) fn acknowledged_total(&self) -> u64 {
        let by_key: u64 = self.acknowledged.values().sum();
        by_key.max(self.total_before + self.total)
    }

    /// By day, the most drops that the server may know of.
    pub(crate) fn drops_at_most(&self) -> BTreeMap<i32, u64> {
        let mut most = self.drops_sent.clone();
        add(&mut most, &self.dropped);
        add(&mut most, &self.maybe_dropped);
        most
    }

    /// What of the parcels after this one may still be acknowledged: of each key, of each day's
    /// drops, and of all requests.
    pub(crate) fn open(&self, after: u64) -> (Parcel, u64) {
        let mut open = Parcel::default();
        for parcel in self.open.range(after + 1..).map(|(_, parcel)| parcel) {
            add(&mut open.requests, &parcel.requests);
            add(&mut open.drops, &parcel.drops);
        }
        let of_all = self.open.values().flat_map(|parcel| parcel.requests.values());
        let total = of_all.sum::<u64>().saturating_sub(self.total);
        let sum = open.requests.values().sum();
        (open, total.min(sum))
    }

    fn acknowledge(&mut self, parcel: &Parcel) {
        add(&mut self.acknowledged, &parcel.requests);
        add(&mut self.drops_acknowledged, &parcel.drops);
    }
}

/// Adds counts to others.
pub(crate) fn add<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, counts: &BTreeMap<K, u64>) {
    for (key, count) in counts {
        *to.entry(key.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Key {
        Key { day: 20_000, method: 3, path: path.to_owned() }
    }

    fn sent(number: u64, path: &str, count: u64) -> Line {
        Line::Sent(number, Parcel::of(key(path), count))
    }

    fn counts(of: &BTreeMap<Key, u64>) -> Vec<(&str, u64)> {
        of.iter().map(|(key, count)| (key.path.as_str(), *count)).collect()
    }

    #[test]
    fn what_is_acknowledged_must_be_stored_and_what_was_sent_may_be() {
        let start = Line::Start { resumed: false, drops: false };
        let lines = [start, sent(1, "/a", 5), sent(2, "/b", 7), sent(3, "/a", 2), Line::UpTo(2)];
        let mut account = Account::of(lines);
        assert_eq!(counts(&account.sent), [("/a", 7), ("/b", 7)]);
        assert_eq!(counts(&account.acknowledged), [("/a", 5), ("/b", 7)]);
        account.take(Line::Done);
        assert!(account.done);
        assert_eq!(account.acknowledged, account.sent);
    }

    #[test]
    fn a_new_process_without_a_memory_leaves_the_rest_of_the_old_one_open() {
        for (resumed, acknowledged) in [(false, 2), (true, 7)] {
            let start = Line::Start { resumed, drops: false };
            let account = Account::of([sent(1, "/a", 5), start, sent(2, "/a", 2), Line::Done]);
            assert_eq!(counts(&account.sent), [("/a", 7)]);
            assert_eq!(counts(&account.acknowledged), [("/a", acknowledged)], "{resumed}");
        }
    }

    #[test]
    fn a_stream_that_failed_has_what_the_server_said_or_anything() {
        let lines = [sent(1, "/a", 5), Line::Exactly(1, 3), sent(2, "/b", 4), Line::Doubtful(2)];
        let account = Account::of(lines.into_iter().chain([Line::Done]));
        assert_eq!(counts(&account.sent), [("/a", 3), ("/b", 4)]);
        assert_eq!(counts(&account.acknowledged), [("/a", 3)]);
    }

    #[test]
    fn what_was_not_taken_was_not_sent_and_is_a_drop() {
        let left = |count| Parcel::of(key("/a"), count);
        let start = || Line::Start { resumed: false, drops: true };
        let mut account = Account::of([start(), sent(1, "/a", 5), Line::Taken(1, left(2))]);
        assert_eq!(counts(&account.sent), [("/a", 3)]);
        assert_eq!(account.dropped, BTreeMap::from([(20_000, 2)]));
        account.take(sent(2, "/a", 4));
        // Killed: nobody knows how many of the four were dropped, nor who heard of the two.
        account.take(start());
        assert_eq!(account.dropped, BTreeMap::new());
        assert_eq!(account.maybe_dropped, BTreeMap::from([(20_000, 6)]));
        account.take(sent(3, "/a", 8));
        account.take(Line::Taken(3, Parcel::default()));
        account.take(Line::Done);
        assert_eq!(counts(&account.acknowledged), [("/a", 8)]);
        assert_eq!(counts(&account.sent), [("/a", 15)]);
    }

    #[test]
    fn totals_of_several_processes_are_added_and_those_of_one_are_not() {
        let start = || Line::Start { resumed: false, drops: false };
        let lines = [start(), Line::Total(3), Line::Total(5), start(), Line::Total(2)];
        assert_eq!(Account::of(lines).acknowledged_total(), 7);
    }
}
