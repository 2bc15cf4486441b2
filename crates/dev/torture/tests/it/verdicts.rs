//! The oracle's verdict on correct and broken servers.

use tally_testkit::Output;

use crate::program::torture;

#[track_caller]
fn assert_passes(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.ends_with("\nPASS\n"), "{}", output.stdout);
}

/// The run fails, and one of its differences contains all these words.
#[track_caller]
fn assert_finds(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{}\n{}", output.stdout, output.stderr);
    let mut lines = output.stdout.lines();
    let found = lines.any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no {words:?} in {}", output.stdout);
    assert!(output.stdout.contains("\nFAIL\n"), "{}", output.stdout);
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

            #[test]
            fn trusting_cached_names_is_found() {
                let output = run(&["--seed", "7", "--minutes", "0", "--broken", "keep-names"]);
                assert_finds(&output, &["live answers: ", "_unknown"]);
            }

            #[test]
            fn reusing_ids_is_found() {
                let output = run(&["--seed", "7", "--minutes", "0", "--broken", "reuse-ids"]);
                // The later client has the other one's counts.
                assert_finds(&output, &["live answers: ", "/add-3/"]);
            }

            #[test]
            fn an_acknowledgement_before_the_commit_is_found() {
                let broken = ["--broken", "ack-before-commit"];
                let output = run(&[&["--seed", "7", "--minutes", "0"], &broken[..]].concat());
                assert_finds(&output, &["acknowledged <= stored: ", "LOST"]);
                assert_finds(&output, &["Opened has 0, and 1 was acknowledged"]);
            }

            #[test]
            fn a_missing_sequence_check_is_found() {
                let broken = ["--broken", "skip-sequence-check"];
                let output = run(&[&["--seed", "7", "--minutes", "0"], &broken[..]].concat());
                assert_finds(&output, &["stored <= sent: ", "TOO MANY"]);
            }

            #[test]
            fn a_checkpoint_apart_from_its_batch_is_found() {
                let broken = ["--broken", "checkpoint-apart"];
                let output = run(&[&["--seed", "7", "--minutes", "0"], &broken[..]].concat());
                assert_finds(&output, &["stored <= sent: ", "/reader-7/", "TOO MANY"]);
            }

            #[test]
            fn a_fold_that_ignores_moves_is_found() {
                let broken = ["--broken", "moves-ignored"];
                let output = run(&[&["--seed", "7", "--minutes", "0"], &broken[..]].concat());
                assert_finds(&output, &["books: nothing is left of what moved: "]);
            }

            #[track_caller]
            fn assert_finds_unbalanced_books(broken: &str) {
                let output = run(&["--seed", "7", "--minutes", "0", "--broken", broken]);
                assert_finds(&output, &["books: accepted = rows + folded: "]);
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
            fn a_call_that_is_counted_twice_is_found() {
                let output = run(&["--seed", "7", "--minutes", "0", "--broken", "counted-twice"]);
                assert_finds(&output, &["stored <= sent: ", "/layer-8/", "TOO MANY"]);
            }
        }
    };
}

on!(sqlite);
on!(postgres);
