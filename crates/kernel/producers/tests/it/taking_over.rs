//! A shared producer is taken over within its domain and its namespace only.

use tally_producers::{Opening, Refusal, Shown, Told};
use tally_runtime::Namespace;
use uuid::Uuid;

use crate::place::{Place, opening};

fn taking_over(id: Uuid, claim: i64) -> Opening {
    Opening { take_over: true, claims: vec![claim], ..opening(id) }
}

#[tokio::test]
async fn what_another_domain_or_namespace_has_is_not_taken_over() {
    for place in Place::all("taking_over").await {
        let (one, two) = (place.producers("one"), place.producers("two"));
        let other = one.of(Namespace(7));
        let id = Uuid::now_v7();
        let standing = one.open(&taking_over(id, 1)).await.unwrap().unwrap();
        let refused = two.open(&taking_over(id, 2)).await.unwrap();
        assert_eq!(refused, Err(Refusal::OtherDomain { domain: "two" }));
        // Under the same id, another namespace has a producer of its own.
        let own = other.open(&taking_over(id, 2)).await.unwrap().unwrap();
        assert_ne!(own.epoch, standing.epoch);
        // Its own process has it still.
        let again = Opening { epoch: standing.epoch, ..taking_over(id, 1) };
        assert_eq!(one.open(&again).await.unwrap().unwrap().epoch, standing.epoch);
    }
}

/// The process that took it over may be done with it, so nothing is known to be missing.
#[tokio::test]
async fn a_shared_producer_that_is_missing_is_no_setback() {
    for place in Place::all("taking_over_missing").await {
        let producers = place.producers("one");
        let told = Told { sequence: 9, at_micros: None, is_recent: true, now_micros: 1 };
        let fenced =
            |id| Opening { told: Some(told), epoch: 5, may_be_new: false, ..taking_over(id, 1) };
        let id = Uuid::now_v7();
        assert_eq!(producers.open(&fenced(id)).await.unwrap(), Err(Refusal::Forgotten));
        producers.open(&taking_over(id, 2)).await.unwrap().unwrap();
        assert_eq!(producers.open(&fenced(id)).await.unwrap(), Err(Refusal::TakenOver));
        assert_eq!(producers.setbacks().await.unwrap(), []);
        // What the process that has it misses is known.
        let own = Opening { told: Some(told), ..taking_over(id, 2) };
        producers.open(&own).await.unwrap().unwrap();
        assert_eq!(producers.setbacks().await.unwrap()[0].batches, 9);
    }
}

/// The last one that asks has it, and each has its turn.
#[tokio::test]
async fn two_processes_that_take_over_in_a_loop_each_have_their_turn() {
    for place in Place::all("taking_over_loop").await {
        let (one, two) = (place.producers("one"), place.producers("one"));
        let id = Uuid::now_v7();
        let turns = async |producers: &tally_producers::Producers, claim| {
            let mut epochs = Vec::new();
            for round in 0..50_i64 {
                // Each turn is a new process.
                let opening = taking_over(id, claim + 2 * round);
                epochs.push(producers.open(&opening).await.unwrap().unwrap().epoch);
            }
            epochs
        };
        let (mut epochs, more) = tokio::join!(turns(&one, 1), turns(&two, 2));
        epochs.extend(more);
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), 100, "each had an epoch of its own");
    }
}

/// As many as there is room for: whoever is second finds the producer, even if it did not when it looked first.
#[tokio::test]
async fn two_processes_that_begin_one_producer_at_once_both_have_it() {
    for place in Place::all("taking_over_new").await {
        let (one, two) = (place.producers("one"), place.producers("one"));
        for _ in 0..20 {
            let id = Uuid::now_v7();
            let openings = [taking_over(id, 1), taking_over(id, 2)];
            let (a, b) = tokio::join!(one.open(&openings[0]), two.open(&openings[1]));
            let (a, b) = (a.unwrap().unwrap(), b.unwrap().unwrap());
            assert_ne!(a.epoch, b.epoch);
            let shown = Shown::parse(&id.to_string()).unwrap();
            assert_eq!(one.forget_shown(&shown).await.unwrap().len(), 1);
        }
    }
}
