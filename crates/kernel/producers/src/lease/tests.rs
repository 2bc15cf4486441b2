//! Who gets a producer, and who does not.

use super::*;

/// The epoch that is drawn for an opening.
const NEXT: i64 = 1 << 62;

fn opening(epoch: i64, claims: &[i64]) -> Opening {
    let (id, name) = (Uuid::from_u128(1), String::new());
    let (claims, may_be_new) = (claims.to_vec(), epoch == 0);
    let (take_over, told, next_epoch) = (false, None, NEXT);
    Opening { id, epoch, claims, name, may_be_new, take_over, told, next_epoch }
}

fn taking_over(epoch: i64, claims: &[i64]) -> Opening {
    Opening { take_over: true, ..opening(epoch, claims) }
}

fn at(epoch: i64, claim: i64) -> Option<Standing> {
    let (is_shared, checkpoint, last_seen_micros) = (false, Vec::new(), 0);
    Some(Standing { epoch, claim, sequence: 7, last_seen_micros, is_shared, checkpoint })
}

fn shared(epoch: i64, claim: i64) -> Option<Standing> {
    at(epoch, claim).map(|standing| Standing { is_shared: true, ..standing })
}

#[test]
fn epochs_are_drawn_from_all_63_bits() {
    let drawn: Vec<i64> = (0..200).map(|_| draw_epoch()).collect();
    assert!(drawn.iter().all(|epoch| *epoch > 0));
    // Each bit is set in some, and not in others.
    let (all, any) = drawn.iter().fold((-1, 0), |(all, any), one| (all & one, any | one));
    assert_eq!((all, any), (0, i64::MAX));
}

#[test]
fn the_rules_of_opening() {
    let (in_use, forgotten) = (Step::Refuse(Refusal::InUse), Step::Refuse(Refusal::Forgotten));
    let taken_over = Step::Refuse(Refusal::TakenOver);
    let go_on = |epoch| Step::GoOn { epoch };
    for (opening, standing, step) in [
        (opening(0, &[5]), None, Step::Add),
        (opening(3, &[5]), None, forgotten),
        (Opening { may_be_new: true, ..opening(3, &[5]) }, None, Step::Add),
        // The answer to the first one was lost, or the connection was.
        (opening(0, &[5]), at(70, 5), go_on(70)),
        (opening(70, &[5]), at(70, 5), go_on(70)),
        (opening(70, &[5]), at(30, 5), go_on(30)),
        // The next process, which knows the epoch, or a claim that was not answered.
        (opening(70, &[6]), at(70, 5), go_on(NEXT)),
        (opening(0, &[5, 6]), at(70, 5), go_on(NEXT)),
        (opening(70, &[6, 7, 8]), at(30, 7), go_on(NEXT)),
        // Another client with the same id, or with a copy of an old file.
        (opening(0, &[6]), at(70, 5), in_use),
        (opening(1, &[6]), at(70, 5), in_use),
        (opening(70, &[6]), at(30, 5), in_use),
        (opening(69, &[6]), at(70, 5), in_use),
        // A server's own worker.
        (opening(0, &[6]), at(0, 0), in_use),
        (taking_over(0, &[6]), at(0, 0), in_use),
        // It takes over what was shared from the beginning, and nothing else.
        (taking_over(0, &[5]), None, Step::Add),
        (taking_over(0, &[6]), shared(70, 5), go_on(NEXT)),
        (taking_over(0, &[6]), at(70, 5), in_use),
        (opening(0, &[6]), shared(70, 5), in_use),
        // The process that has it comes back, or the one after it with what it knew.
        (taking_over(70, &[5]), shared(70, 5), go_on(70)),
        (taking_over(70, &[5, 6]), shared(70, 5), go_on(NEXT)),
        // Another one has it by now.
        (taking_over(69, &[5]), shared(70, 6), taken_over),
        (taking_over(3, &[5]), None, forgotten),
    ] {
        assert_eq!(opening.step(standing.as_ref()), step, "{opening:?} at {standing:?}");
    }
}

/// Whichever answers are lost and whenever the process is killed, the client that notes its
/// claims before it asks gets in; one that shares nothing with it never does.
#[test]
fn no_lost_answer_locks_the_client_out() {
    for lost in 0..64_u32 {
        let (mut standing, mut epoch, mut noted) = (None, 0, Vec::new());
        for (attempt, claim) in (0..6).zip([1, 1, 2, 3, 3, 4]) {
            if noted.last() != Some(&claim) {
                noted.push(claim);
            }
            let opening = Opening { next_epoch: draw_epoch(), ..opening(epoch, &noted) };
            let now = match opening.step(standing.as_ref()) {
                Step::Add => opening.next_epoch,
                Step::GoOn { epoch } => epoch,
                Step::Refuse(refusal) => panic!("{lost:b}: {refusal}"),
            };
            standing = at(now, claim);
            if lost & (1 << attempt) == 0 {
                (epoch, noted) = (now, vec![claim]);
            }
            for guess in 0..8 {
                let other = Opening { epoch: guess, claims: vec![99], ..opening.clone() };
                assert_eq!(other.step(standing.as_ref()), Step::Refuse(Refusal::InUse));
            }
        }
    }
}
