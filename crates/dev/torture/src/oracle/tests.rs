//! The oracle finds lost, doubled, moved and invented counts.

use std::collections::{BTreeMap, BTreeSet};

use tally_proto::wire::UNKNOWN_PATH;

use super::{Judge, Verdict};
use crate::account::{Account, Accounts};
use crate::journal::{Key, Line, Parcel};
use crate::losses::Losses;
use crate::stored::{Answer, Stored, Tables, Totals};

const DAY: i32 = 20_000;

fn key(day: i32, path: &str) -> Key {
    Key { day, method: 3, path: path.to_owned() }
}

/// Three clients: one finished, one was killed with an unacknowledged parcel, and one knows only
/// how many of its requests are acknowledged.
fn accounts() -> Accounts {
    let start = || Line::Start { resumed: false, drops: false };
    let mut first = Parcel::of(key(DAY, "/shared/a"), 10);
    first.requests.insert(key(DAY, "/one/b"), 5);
    first.drops.insert(DAY, 2);
    let one = [start(), Line::Sent(1, first), Line::UpTo(1), Line::Done];
    let of_two = |path, count| Parcel::of(key(DAY, path), count);
    let two = [
        start(),
        Line::Sent(1, of_two("/shared/a", 3)),
        Line::Exactly(1, 3),
        Line::Sent(2, of_two("/shared/a", 4)),
        start(),
        Line::Done,
    ];
    let three = [
        start(),
        Line::Sent(1, of_two("/three/a", 6)),
        Line::Sent(2, of_two("/three/b", 6)),
        Line::Total(9),
        start(),
        Line::Done,
    ];
    [("one", Account::of(one)), ("two", Account::of(two)), ("three", Account::of(three))]
        .map(|(name, account)| (name.to_owned(), account))
        .into()
}

/// What correct servers store.
fn stored() -> Stored {
    let totals = BTreeMap::from([
        (key(DAY, "/shared/a"), 15),
        (key(DAY, "/one/b"), 5),
        (key(DAY, "/three/a"), 6),
        (key(DAY, "/three/b"), 4),
    ]);
    let answer = Answer { totals: totals.clone(), dropped: 2, setbacks: BTreeSet::new() };
    Stored {
        live: vec![answer.clone(), answer],
        rolled_up: vec![totals.clone(), totals.clone()],
        tables: Tables {
            totals,
            unnamed: BTreeMap::new(),
            rows_left: 0,
            accepted: BTreeMap::from([(DAY, 30)]),
            dropped: BTreeMap::from([(DAY, 2)]),
        },
        accepted_of_client: BTreeMap::from([("one".to_owned(), 15), ("three".to_owned(), 10)]),
        exits: vec![Ok(())],
        panics: Vec::new(),
    }
}

/// The verdict if the database was not set back.
fn judge(accounts: &Accounts, stored: &Stored) -> Verdict {
    with_losses(accounts, &Losses::default(), stored)
}

fn with_losses(accounts: &Accounts, losses: &Losses, stored: &Stored) -> Verdict {
    let mut verdict = Verdict::default();
    Judge { accounts, losses, stored, verdict: &mut verdict }.judge();
    verdict
}

fn all_live(answers: &mut [Answer]) -> impl Iterator<Item = &mut Totals> {
    answers.iter_mut().map(|answer| &mut answer.totals)
}

/// The verdict after the totals changed everywhere in the same way, as if a server stored the wrong
/// counts: everything read from it agrees.
fn after(change: impl Fn(&mut BTreeMap<Key, u64>)) -> Verdict {
    let mut stored = stored();
    all_live(&mut stored.live).chain(&mut stored.rolled_up).for_each(&change);
    change(&mut stored.tables.totals);
    stored.tables.accepted.clear();
    for (key, count) in &stored.tables.totals {
        *stored.tables.accepted.entry(key.day).or_default() += count;
    }
    judge(&accounts(), &stored)
}

#[track_caller]
fn assert_found(verdict: &Verdict, words: &str) {
    let found = verdict.differences.iter().any(|difference| difference.contains(words));
    assert!(found, "no {words:?} in {:#?}", verdict.differences);
}

#[test]
fn correct_counts_pass() {
    let verdict = judge(&accounts(), &stored());
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    assert!(verdict.comparisons > 40, "{}", verdict.comparisons);
    // All or none of the unacknowledged requests may be stored.
    for count in [13, 17] {
        let verdict = after(|totals| {
            totals.insert(key(DAY, "/shared/a"), count);
        });
        assert!(verdict.passed(), "{:#?}", verdict.differences);
    }
}

#[test]
fn one_lost_request_is_found() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/one/b"), 4);
    });
    assert_found(&verdict, "/one/b: LOST 1: 4 stored, 5 acknowledged");
    let verdict = after(|totals| {
        totals.remove(&key(DAY, "/one/b"));
    });
    assert_found(&verdict, "/one/b: LOST 5");
}

#[test]
fn a_lost_request_is_found_if_only_the_total_is_known() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/three/b"), 2);
    });
    assert_found(&verdict, "three: LOST 1: 8 stored, 9 acknowledged");
}

#[test]
fn a_lost_spooled_batch_is_found() {
    let mut accounts = accounts();
    let account = accounts.get_mut("three").unwrap();
    account.apply(Line::Spooled(1, Parcel::of(key(DAY, "/three/b"), 4)));
    assert!(judge(&accounts, &stored()).passed());
    let account = accounts.get_mut("three").unwrap();
    account.apply(Line::Spooled(2, Parcel::of(key(DAY, "/three/b"), 1)));
    assert_found(&judge(&accounts, &stored()), "/three/b: LOST 1: 4 stored, 5 spooled");
}

#[test]
fn one_request_too_many_is_found() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/shared/a"), 18);
    });
    assert_found(&verdict, "/shared/a: 1 TOO MANY: 18 stored, 17 sent");
}

#[test]
fn a_request_on_another_day_is_found() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/one/b"), 4);
        totals.insert(key(DAY + 1, "/one/b"), 1);
    });
    assert_found(&verdict, "day 20000 method 3 /one/b: LOST 1");
    assert_found(&verdict, "day 20001 method 3 /one/b: 1 TOO MANY: 1 stored, 0 sent");
}

#[test]
fn a_request_of_another_endpoint_or_method_is_found() {
    for wrong in [key(DAY, "/unknown"), Key { method: 5, ..key(DAY, "/one/b") }] {
        let verdict = after(|totals| {
            totals.insert(wrong.clone(), 1);
        });
        assert_found(&verdict, "1 TOO MANY: 1 stored, 0 sent");
    }
}

#[test]
fn disagreeing_answers_are_found() {
    let mut wrong = stored();
    wrong.live[1].totals.insert(key(DAY, "/shared/a"), 14);
    assert_found(&judge(&accounts(), &wrong), "live = rolled up");
    let mut wrong = stored();
    wrong.rolled_up[0].remove(&key(DAY, "/one/b"));
    assert_found(&judge(&accounts(), &wrong), "rolled up = table");
    let mut wrong = stored();
    wrong.tables.rows_left = 1;
    assert_found(&judge(&accounts(), &wrong), "no rows left: 1 rows");
}

#[test]
fn wrong_books_of_producers_and_drops_are_found() {
    let mut wrong = stored();
    wrong.tables.accepted.insert(DAY, 31);
    assert_found(&judge(&accounts(), &wrong), "accepted = stored");
    let mut accounts = accounts();
    accounts.get_mut("one").unwrap().resumed = true;
    for (client, accepted) in [("one", 14), ("one", 16), ("three", 13), ("unknown", 1)] {
        let mut wrong = stored();
        wrong.accepted_of_client.insert(client.to_owned(), accepted);
        assert_found(&judge(&accounts, &wrong), "accepted of a client: ");
    }
    for dropped in [1, 3] {
        let mut wrong = stored();
        wrong.tables.dropped.insert(DAY, dropped);
        assert_found(&judge(&accounts, &wrong), "drops: day 20000");
        assert_found(&judge(&accounts, &wrong), "drops in answers");
    }
}

#[test]
fn unfinished_clients_and_broken_rules_are_found() {
    let mut accounts = accounts();
    let account = accounts.get_mut("two").unwrap();
    account.apply(Line::Start { resumed: false, drops: false });
    account.apply(Line::Broken("acknowledged 9, which was never sent".to_owned()));
    let verdict = judge(&accounts, &stored());
    assert_found(&verdict, "clients finished: two");
    assert_found(&verdict, "protocol: two: acknowledged 9");
}

#[test]
fn a_server_that_fails_or_panics_is_found() {
    let mut wrong = stored();
    wrong.exits[0] = Err("server-1 failed".to_owned());
    assert_found(&judge(&accounts(), &wrong), "servers ended: server-1 failed");
    let mut wrong = stored();
    wrong.panics.push("server-1: thread 'main' panicked".to_owned());
    assert_found(&judge(&accounts(), &wrong), "no panic: server-1");
}

#[test]
fn drops_must_be_reported() {
    let mut accounts = accounts();
    let account = accounts.get_mut("one").unwrap();
    account.apply(Line::Sent(2, Parcel::of(key(DAY, "/one/b"), 1)));
    account.apply(Line::Queued(2, Parcel::of(key(DAY, "/one/b"), 1)));
    assert_found(&judge(&accounts, &stored()), "drops: day 20000");
}

/// The losses of a database that was set back to before the first request.
fn all_lost() -> Losses {
    let mut losses = Losses::default();
    losses.times = 1;
    losses.add(&BTreeMap::new(), &accounts());
    losses
}

#[test]
fn lost_requests_may_be_missing_and_none_may_be_added() {
    let mut found = stored();
    let lose = |totals: &mut BTreeMap<Key, u64>| {
        totals.remove(&key(DAY, "/one/b"));
    };
    all_live(&mut found.live).chain(&mut found.rolled_up).for_each(lose);
    lose(&mut found.tables.totals);
    found.tables.accepted.insert(DAY, 25);
    found.accepted_of_client.insert("one".to_owned(), 10);
    let verdict = with_losses(&accounts(), &all_lost(), &found);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    assert_found(&judge(&accounts(), &found), "/one/b: LOST 5");
    let mut wrong = stored();
    wrong.live[0].totals.insert(key(DAY, "/shared/a"), 18);
    assert_found(&with_losses(&accounts(), &all_lost(), &wrong), "/shared/a: 1 TOO MANY");
}

#[test]
fn only_deleted_names_may_be_missing() {
    let mut found = stored();
    let unname = |totals: &mut BTreeMap<Key, u64>| {
        let count = totals.remove(&key(DAY, "/one/b")).unwrap();
        totals.insert(Key { method: 0, ..key(DAY, UNKNOWN_PATH) }, count);
    };
    all_live(&mut found.live).chain(&mut found.rolled_up).for_each(unname);
    unname(&mut found.tables.totals);
    found.tables.unnamed.insert((DAY, 77), 5);
    assert_found(&judge(&accounts(), &found), "5 of endpoint 77 have no name");
    assert_found(&judge(&accounts(), &found), "/one/b: LOST 5");
    let deleted = |path: &str| {
        let mut losses = Losses::default();
        losses.deleted = Some(BTreeMap::from([(77, (3, path.to_owned()))]));
        losses
    };
    let verdict = with_losses(&accounts(), &deleted("/one/b"), &found);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    // The table has them under another endpoint's id.
    let verdict = with_losses(&accounts(), &deleted("/shared/a"), &found);
    assert_found(&verdict, "/shared/a: 3 TOO MANY");
    *found.live[0].totals.get_mut(&Key { method: 0, ..key(DAY, UNKNOWN_PATH) }).unwrap() = 4;
    let verdict = with_losses(&accounts(), &deleted("/one/b"), &found);
    assert_found(&verdict, "without a name: day 20000: 4");
}

#[test]
fn an_unreported_loss_is_found() {
    let mut accounts = accounts();
    let losses = all_lost();
    assert!(with_losses(&accounts, &losses, &stored()).passed());
    accounts.get_mut("one").unwrap().apply(Line::Lost("Opened has 0".to_owned()));
    let mut found = stored();
    assert_found(&with_losses(&accounts, &losses, &found), "losses are reported");
    // Without a rewind no loss may happen.
    assert_found(&judge(&accounts, &found), "protocol: one: Opened has 0");
    found.live.iter_mut().for_each(|answer| answer.setbacks = ["two".to_owned()].into());
    assert_found(&with_losses(&accounts, &losses, &found), "losses are reported: one is not in");
    found.live.iter_mut().for_each(|answer| answer.setbacks = ["one".to_owned()].into());
    assert!(with_losses(&accounts, &losses, &found).passed());
    assert_found(&judge(&accounts, &found), "no setback without a rewind: {\"one\"}");
}
