//! The oracle finds lost, doubled, moved and invented counts.

use std::collections::{BTreeMap, BTreeSet};

use tally_proto::wire::UNKNOWN_PATH;

use super::{Compared, DIFFERENCES_MAX, Judge, Verdict};
use crate::account::{Account, Accounts};
use crate::journal::{Key, Line, Parcel, QUARTERS_PER_DAY, Series};
use crate::losses::Losses;
use crate::stored::{Answer, Stored, Totals};
use crate::tables::Tables;
use crate::views::{Question, View};

const DAY: i32 = 20_000;

fn key(day: i32, path: &str) -> Key {
    let series = Series { method: 3, path: path.to_owned(), ..Series::default() };
    Key { quarter: day * QUARTERS_PER_DAY, series }
}

fn unknown() -> Key {
    let series = Series { path: UNKNOWN_PATH.to_owned(), ..Series::default() };
    Key { quarter: DAY * QUARTERS_PER_DAY, series }
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
    let answer = |view: View| {
        let answer = Answer { totals: view.totals(&totals), dropped: 2, setbacks: BTreeSet::new() };
        (Question::live(view, 0, DAY), answer)
    };
    Stored {
        live: View::ASKED.map(answer).into(),
        before: Tables::unfolded(&totals, 2),
        rolled_up: vec![(0, totals.clone()), (0, totals.clone())],
        tables: Tables::pruned(&totals, 2),
        accepted_of_client: BTreeMap::from([("one".to_owned(), 15), ("three".to_owned(), 10)]),
        access: Vec::new(),
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

/// The stored counts after they changed everywhere in the same way, as if a server stored wrong ones:
/// everything read from it agrees.
fn changed(change: impl Fn(&mut Totals)) -> Stored {
    let mut stored = stored();
    let totals = &mut stored.rolled_up[0].1;
    change(totals);
    let totals = totals.clone();
    for (question, answer) in &mut stored.live {
        answer.totals = question.view.totals(&totals);
    }
    stored.before = Tables::unfolded(&totals, 2);
    stored.tables = Tables::pruned(&totals, 2);
    stored.rolled_up = vec![(0, totals.clone()), (0, totals)];
    stored
}

/// The verdict after that.
fn after(change: impl Fn(&mut Totals)) -> Verdict {
    judge(&accounts(), &changed(change))
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
    let sum = verdict.sum();
    assert!(sum.comparisons > 40 && sum.differences == 0, "{sum:?}");
    // All or none of the unacknowledged requests may be stored.
    for count in [13, 17] {
        let verdict = after(|totals| {
            totals.insert(key(DAY, "/shared/a"), count);
        });
        assert!(verdict.passed(), "{:#?}", verdict.differences);
    }
}

#[test]
fn each_check_counts_its_differences_and_lists_the_first_ones() {
    let mut verdict = Verdict::default();
    for number in 0..100 {
        verdict.check("often", number < 10, || number.to_string());
    }
    verdict.check("once", false, || "late".to_owned());
    verdict.check("never", true, String::new);
    let by_check = |check| verdict.by_check[check];
    assert_eq!(by_check("often"), Compared { comparisons: 100, differences: 90 });
    assert_eq!(by_check("once"), Compared { comparisons: 1, differences: 1 });
    assert_eq!(by_check("never"), Compared { comparisons: 1, differences: 0 });
    assert_eq!(verdict.sum(), Compared { comparisons: 102, differences: 91 });
    assert_eq!(verdict.differences.len() as u64, DIFFERENCES_MAX + 1);
    assert_found(&verdict, "once: late");
}

#[test]
fn one_lost_request_is_found() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/one/b"), 4);
    });
    assert_found(&verdict, "/one/b:0:: LOST 1: 4 stored, 5 acknowledged");
    let verdict = after(|totals| {
        totals.remove(&key(DAY, "/one/b"));
    });
    assert_found(&verdict, "/one/b:0:: LOST 5");
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
    assert_found(&judge(&accounts, &stored()), "/three/b:0:: LOST 1: 4 stored, 5 spooled");
}

#[test]
fn one_request_too_many_is_found() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/shared/a"), 18);
    });
    assert_found(&verdict, "/shared/a:0:: 1 TOO MANY: 18 stored, 17 sent");
}

#[test]
fn a_request_on_another_day_is_found() {
    let verdict = after(|totals| {
        totals.insert(key(DAY, "/one/b"), 4);
        totals.insert(key(DAY + 1, "/one/b"), 1);
    });
    assert_found(&verdict, "day 20000 quarter 0 0::3:/one/b:0:: LOST 1");
    assert_found(&verdict, "day 20001 quarter 0 0::3:/one/b:0:: 1 TOO MANY: 1 stored, 0 sent");
}

#[test]
fn a_request_of_another_series_or_quarter_is_found() {
    let right = || key(DAY, "/one/b");
    let series = [
        Series { namespace: 1, ..right().series },
        Series { method: 5, ..right().series },
        Series { service: "shop".to_owned(), ..right().series },
        Series { status: 200, ..right().series },
        Series { customer: "acme".to_owned(), ..right().series },
    ];
    let mut wrong = series.map(|series| Key { series, ..right() }).to_vec();
    wrong.extend([key(DAY, "/unknown"), Key { quarter: right().quarter + 1, ..right() }]);
    for wrong in wrong {
        let verdict = after(|totals| {
            totals.insert(wrong.clone(), 1);
        });
        assert_found(&verdict, "1 TOO MANY: 1 stored, 0 sent");
    }
}

#[test]
fn disagreeing_answers_are_found() {
    for at in 0..View::ASKED.len() {
        let mut wrong = stored();
        *wrong.live[at].1.totals.values_mut().next().unwrap() -= 1;
        assert_found(&judge(&accounts(), &wrong), "live = table");
    }
    let mut wrong = stored();
    wrong.rolled_up[0].1.remove(&key(DAY, "/one/b"));
    assert_found(&judge(&accounts(), &wrong), "rolled up = table");
    let mut wrong = stored();
    wrong.tables = wrong.before.clone();
    assert_found(&judge(&accounts(), &wrong), "no rows left");
}

#[test]
fn wrong_books_of_producers_and_drops_are_found() {
    let mut wrong = stored();
    wrong.tables.accepted.insert((0, DAY), 31);
    assert_found(&judge(&accounts(), &wrong), "books: accepted = rows + folded");
    let mut accounts = accounts();
    accounts.get_mut("one").unwrap().resumed = true;
    for (client, accepted) in [("one", 14), ("one", 16), ("three", 13), ("unknown", 1)] {
        let mut wrong = stored();
        wrong.accepted_of_client.insert(client.to_owned(), accepted);
        assert_found(&judge(&accounts, &wrong), "accepted of a client: ");
    }
    for dropped in [1, 3] {
        let mut wrong = stored();
        wrong.tables.dropped.insert((0, DAY), dropped);
        assert_found(&judge(&accounts, &wrong), "drops: namespace 0 day 20000");
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
    wrong.access.push("server-1 shows another certificate".to_owned());
    assert_found(&judge(&accounts(), &wrong), "keys and certificates: server-1 shows");
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
    assert_found(&judge(&accounts, &stored()), "drops: namespace 0 day 20000");
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
    let mut found = changed(|totals| {
        totals.remove(&key(DAY, "/one/b"));
    });
    found.accepted_of_client.insert("one".to_owned(), 10);
    let verdict = with_losses(&accounts(), &all_lost(), &found);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    assert_found(&judge(&accounts(), &found), "/one/b:0:: LOST 5");
    let mut wrong = stored();
    wrong.live[0].1.totals.insert(key(DAY, "/shared/a"), 18);
    assert_found(&with_losses(&accounts(), &all_lost(), &wrong), "/shared/a:0:: 1 TOO MANY");
}

#[test]
fn only_deleted_names_may_be_missing() {
    let mut found = changed(|totals| {
        let count = totals.remove(&key(DAY, "/one/b")).unwrap();
        totals.insert(unknown(), count);
    });
    let id = found.tables.forget(UNKNOWN_PATH);
    found.before.forget(UNKNOWN_PATH);
    assert_found(&judge(&accounts(), &found), &format!("5 of series {id} have no name"));
    assert_found(&judge(&accounts(), &found), "/one/b:0:: LOST 5");
    let deleted = |path: &str| {
        let mut losses = Losses::default();
        losses.deleted = Some(BTreeMap::from([(id, key(DAY, path).series)]));
        losses
    };
    let verdict = with_losses(&accounts(), &deleted("/one/b"), &found);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    // The table has them under another series' id.
    let verdict = with_losses(&accounts(), &deleted("/shared/a"), &found);
    assert_found(&verdict, "/shared/a:0:: 3 TOO MANY");
    *found.live[0].1.totals.get_mut(&unknown()).unwrap() = 4;
    let verdict = with_losses(&accounts(), &deleted("/one/b"), &found);
    assert_found(&verdict, "without a name: quarter 1920000: 4");
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
    found.live.iter_mut().for_each(|(_, answer)| answer.setbacks = ["two".to_owned()].into());
    assert_found(&with_losses(&accounts, &losses, &found), "losses are reported: one is not in");
    found.live.iter_mut().for_each(|(_, answer)| answer.setbacks = ["one".to_owned()].into());
    assert!(with_losses(&accounts, &losses, &found).passed());
    assert_found(&judge(&accounts, &found), "no setback without a rewind: {\"one\"}");
}
