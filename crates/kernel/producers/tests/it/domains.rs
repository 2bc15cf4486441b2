//! A producer belongs to one domain, and no domain sees what another one has.

use std::collections::BTreeSet;

use tally_producers::{Counted, Days, Leaving, Opening, Refusal, Standing, Told};
use uuid::Uuid;

use crate::place::{DAYS, Place, opening};

#[tokio::test]
async fn an_id_of_another_domain_is_refused() {
    for place in Place::all("domains_id").await {
        let (one, two) = (place.producers("one"), place.producers("two"));
        let id = Uuid::now_v7();
        let standing = one.open(&opening(id)).await.unwrap().unwrap();
        // Even if the client knows all about the producer; and it loses nothing.
        let told = Told { sequence: 9, at_micros: None, is_recent: true, now_micros: 1 };
        let known = Opening { epoch: standing.epoch, told: Some(told), ..opening(id) };
        let refusal = two.open(&known).await.unwrap().unwrap_err();
        assert_eq!(refusal, Refusal::OtherDomain { domain: "two" });
        assert!(refusal.to_string().contains("something else than two"), "{refusal}");
        assert_eq!(two.setbacks().await.unwrap(), []);
        let again = one.open(&opening(id)).await.unwrap().unwrap();
        let Standing { epoch, last_seen_micros, .. } = standing;
        assert_eq!(Standing { last_seen_micros, ..again }, standing);
        let leaving = Leaving { id, epoch, sequence: 0, last_seen_micros: None };
        two.forget(leaving).await.unwrap();
        assert_eq!(one.list(true).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn each_domain_lists_its_own_and_has_room_of_its_own() {
    for place in Place::all("domains_list").await {
        let (one, two) = (place.producers("one"), place.producers("two"));
        for producers in [&one, &two] {
            for _ in 0..2 {
                producers.open(&opening(Uuid::now_v7())).await.unwrap().unwrap();
            }
            let third = producers.open(&opening(Uuid::now_v7())).await.unwrap();
            assert_eq!(third, Err(Refusal::TooMany { max: 2 }));
        }
        let of = async |producers: &tally_producers::Producers| {
            let listed = producers.list(true).await.unwrap();
            listed.iter().map(|one| one.id).collect::<Vec<_>>()
        };
        let (of_one, of_two) = (of(&one).await, of(&two).await);
        assert_eq!((of_one.len(), of_two.len()), (2, 2));
        assert!(of_one.iter().all(|id| !of_two.contains(id)));
    }
}

#[tokio::test]
async fn what_forgotten_producers_brought_stays_with_their_domain() {
    for place in Place::all("domains_days").await {
        let sums = [("one", 5), ("two", 70)];
        for (domain, dropped) in sums {
            let (producers, id) = (place.producers(domain), Uuid::now_v7());
            let epoch = producers.open(&opening(id)).await.unwrap().unwrap().epoch;
            place.count(id, domain, 3, dropped).await;
            let listed = producers.list(false).await.unwrap();
            assert_eq!((listed[0].accepted, listed[0].dropped), (3, dropped));
            let leaving = Leaving { id, epoch, sequence: 0, last_seen_micros: None };
            producers.forget(leaving).await.unwrap();
            assert_eq!(producers.list(true).await.unwrap(), []);
            assert_eq!(place.dropped(domain).await, dropped);
        }
        for (domain, dropped) in sums {
            let counted = Counted { accepted: 1, dropped: i64::MAX };
            assert_eq!(place.dropped(domain).await, dropped, "the other one's are not in it");
            place.add_days(domain, Days::from([(DAYS.1, Counted { dropped: 1, ..counted })])).await;
            assert_eq!(place.dropped(domain).await, dropped + 1);
            place.add_days(domain, Days::from([(DAYS.0, counted)])).await;
            assert_eq!(place.dropped(domain).await, i64::MAX, "sums end there");
        }
    }
}

#[tokio::test]
async fn silent_producers_are_forgotten_by_their_domain_alone() {
    for place in Place::all("domains_silent").await {
        let (one, two) = (place.producers("one"), place.producers("two"));
        for producers in [&one, &two] {
            producers.open(&opening(Uuid::now_v7())).await.unwrap().unwrap();
        }
        let long_ago = match place.database {
            tally_store::Database::Sqlite(_) => "0",
            tally_store::Database::Postgres(_) => "TIMESTAMPTZ 'epoch'",
        };
        place.execute(&format!("UPDATE tally_producers SET last_seen = {long_ago}")).await;
        one.forget_silent().await.unwrap();
        assert_eq!(one.list(true).await.unwrap().len(), 0);
        assert_eq!(two.list(true).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn setbacks_are_noted_and_cleared_by_domain() {
    for place in Place::all("domains_setbacks").await {
        let (one, two) = (place.producers("one"), place.producers("two"));
        let told = Told { sequence: 4, at_micros: None, is_recent: true, now_micros: 1 << 50 };
        let worker = Uuid::now_v7();
        for producers in [&one, &one, &two] {
            producers.note_setback(worker, &BTreeSet::new(), told).await.unwrap();
        }
        for producers in [&one, &two] {
            let noted = producers.setbacks().await.unwrap();
            assert_eq!(noted.len(), 1);
            assert_eq!((noted[0].producer, noted[0].batches), (worker, 4));
        }
        assert_eq!(one.clear_setbacks("all").await.unwrap().len(), 1);
        assert_eq!(one.setbacks().await.unwrap(), []);
        assert_eq!(two.setbacks().await.unwrap().len(), 1);
        let cleared = two.clear_setbacks(&tally_producers::short_id(worker)).await.unwrap();
        assert_eq!(cleared.len(), 1);
    }
}
