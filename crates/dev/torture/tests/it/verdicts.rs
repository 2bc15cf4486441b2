//! The oracle's verdict on correct and broken servers.

use tally_testkit::Output;

use crate::program::torture;

#[track_caller]
fn assert_passes(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.ends_with("\nPASS\n"), "{}", output.stdout);
}

/// The run fails, and this check finds differences. Only the first ones of each check are listed, and
/// which ones these are depends on the timing; the table has how many there are.
#[track_caller]
fn assert_finds(output: &Output, check: &str) {
    assert_eq!(output.status.code(), Some(1), "{}\n{}", output.stdout, output.stderr);
    let of_check = |line: &str| -> Option<u64> {
        let numbers = line.trim_start().strip_prefix(check)?;
        let [_, differences] = numbers.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        differences.parse().ok()
    };
    let differences = output.stdout.lines().find_map(of_check);
    assert!(differences > Some(0), "{differences:?} of {check:?} in {}", output.stdout);
    assert!(output.stdout.contains("\nFAIL\n"), "{}", output.stdout);
}

/// The run fails, and a difference that begins like this has these words. Only of a check that compares
/// once for each client, because all of its differences are listed.
#[track_caller]
fn assert_says(output: &Output, begin: &str, words: &str) {
    assert_eq!(output.status.code(), Some(1), "{}\n{}", output.stdout, output.stderr);
    let is_said = |line: &str| line.trim_start().starts_with(begin) && line.contains(words);
    let says = output.stdout.lines().any(is_said);
    assert!(says, "no {begin:?} with {words:?} in {}", output.stdout);
}

macro_rules! on {
    ($backend:ident) => {
        mod $backend {
            use super::*;

            const BACKEND: [&str; 2] = ["--backend", stringify!($backend)];

            fn run(arguments: &[&str]) -> Output {
                torture(&[&BACKEND, arguments].concat())
            }

            #[test]
            fn a_short_run_passes() {
                assert_passes(&run(&["--seed", "7", "--minutes", "0.1"]));
            }

            #[test]
            fn a_short_run_with_rewinds_passes() {
                assert_passes(&run(&["--seed", "7", "--minutes", "0.1", "--goes-back"]));
            }

            fn broken(rule: &str) -> Output {
                run(&["--seed", "7", "--minutes", "0", "--broken", rule])
            }

            #[test]
            fn trusting_cached_names_is_found() {
                let output = broken("keep-names");
                assert_finds(&output, "names in answers");
                assert_finds(&output, "live answers");
            }

            #[test]
            fn reusing_ids_is_found() {
                let output = broken("reuse-ids");
                // A later series has the counts of the one whose id it got.
                assert_finds(&output, "stored <= sent");
            }

            #[test]
            fn an_acknowledgement_before_the_commit_is_found() {
                let output = broken("ack-before-commit");
                assert_finds(&output, "acknowledged <= stored");
                assert_says(&output, "protocol: raw-1: ", "Opened has 0, and ");
            }

            #[test]
            fn a_missing_sequence_check_is_found() {
                assert_finds(&broken("skip-sequence-check"), "stored <= sent");
            }

            #[test]
            fn a_checkpoint_apart_from_its_batch_is_found() {
                let output = broken("checkpoint-apart");
                assert_finds(&output, "stored <= sent");
                assert_says(&output, "accepted of a client: ", "reader-7: ");
            }

            #[test]
            fn an_idempotency_key_apart_from_its_rows_is_found() {
                assert_finds(&broken("keys-forgotten"), "stored <= sent");
            }

            #[test]
            fn a_fold_that_ignores_moves_is_found() {
                assert_finds(&broken("moves-ignored"), "books: nothing is left of what moved");
            }

            #[test]
            fn a_payment_that_is_stored_again_is_found() {
                let output = broken("payments-forgotten");
                assert_finds(&output, "debts: stored once");
                assert_finds(&output, "debts: counted");
            }

            #[test]
            fn an_alarm_that_is_dated_late_is_found() {
                assert_finds(&broken("alarms-late"), "debts: dates");
            }

            #[test]
            fn an_alarm_that_nobody_is_told_is_found() {
                assert_finds(&broken("alarms-untold"), "debts: told");
            }

            #[test]
            fn what_is_counted_wrongly_of_debts_is_found() {
                let output = broken("debts-miscounted");
                for check in ["debts: numbers", "debts: open runs", "debts: alarms"] {
                    assert_finds(&output, check);
                }
            }

            #[test]
            fn a_debt_that_nobody_looks_at_is_found() {
                assert_finds(&broken("debts-unswept"), "debts: all was swept");
            }

            #[test]
            fn a_message_of_a_timeline_that_is_stored_again_or_astray_is_found() {
                let output = broken("events-forgotten");
                assert_finds(&output, "timelines: stored once");
                assert_finds(&output, "timelines: pairs");
            }

            fn assert_finds_unbalanced_books(rule: &str) {
                assert_finds(&broken(rule), "books: accepted = rows + folded");
            }

            #[test]
            fn a_fold_that_keeps_rows_is_found() {
                assert_finds_unbalanced_books("fold-keeps-rows");
            }

            #[test]
            fn a_fold_that_loses_rows_is_found() {
                assert_finds_unbalanced_books("fold-loses-rows");
            }

            #[test]
            fn a_fold_in_two_transactions_is_found() {
                assert_finds_unbalanced_books("fold-is-split");
            }

            #[test]
            fn a_fold_that_forgets_the_months_is_found() {
                assert_finds_unbalanced_books("fold-forgets-months");
            }

            #[test]
            fn a_request_that_is_lost_when_rows_become_one_is_found() {
                let output = broken("merge-loses");
                assert_finds(&output, "acknowledged <= stored");
                assert_finds(&output, "books: accepted = rows + folded");
            }

            #[test]
            fn entries_that_count_as_one_request_are_found() {
                let output = broken("entry-is-one");
                assert_finds(&output, "acknowledged <= stored");
                assert_finds(&output, "accepted of a client");
            }

            #[test]
            fn a_request_in_another_namespace_is_found() {
                let output = broken("another-namespace");
                assert_finds(&output, "acknowledged <= stored");
                assert_finds(&output, "stored <= sent");
                assert_finds(&output, "books: accepted = rows + folded");
            }

            #[test]
            fn a_call_that_is_counted_twice_is_found() {
                assert_finds(&broken("counted-twice"), "stored <= sent");
            }
        }
    };
}

on!(sqlite);
on!(postgres);
