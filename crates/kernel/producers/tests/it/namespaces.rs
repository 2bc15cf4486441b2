//! A producer belongs to one namespace, and no namespace sees what another one has.

use tally_producers::{Counted, Days, Leaving, Opening, Refusal, Shown, Standing, Told};
use tally_runtime::Namespace;
use uuid::Uuid;

use crate::place::{DAYS, Place, opening};

const OTHER: Namespace = Namespace(7);

#[tokio::test]
async fn the_same_id_is_another_producer_in_another_namespace() {
    for place in Place::all("namespaces_id").await {
        let one = place.producers("one");
        let other = one.of(OTHER);
        let id = Uuid::now_v7();
        let standing = one.open(&opening(id)).await.unwrap().unwrap();
        // Even if the client knows all about the producer.
        let known = Opening { epoch: standing.epoch, ..opening(id) };
        let unknown = Opening { may_be_new: false, ..known.clone() };
        assert_eq!(other.open(&unknown).await.unwrap(), Err(Refusal::Forgotten));
        assert_eq!(other.list(true).await.unwrap(), []);
        let second = other.open(&known).await.unwrap().unwrap();
        assert_ne!(second.epoch, standing.epoch);
        assert_eq!(other.setbacks().await.unwrap(), []);
        let Standing { epoch, sequence, last_seen_micros, .. } = standing;
        let leaving = Leaving { id, epoch, sequence, last_seen_micros: Some(last_seen_micros) };
        other.forget(leaving).await.unwrap();
        assert_eq!(one.list(true).await.unwrap().len(), 1);
        let again = one.open(&opening(id)).await.unwrap().unwrap();
        assert_eq!(Standing { last_seen_micros, ..again }, standing);
        let shown = Shown::parse(&id.to_string()).unwrap();
        assert_eq!(other.forget_shown(&shown).await.unwrap().len(), 1);
        assert_eq!(one.list(true).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn each_namespace_has_room_of_its_own() {
    for place in Place::all("namespaces_room").await {
        let one = place.producers("one");
        for producers in [&one, &one.of(OTHER)] {
            for _ in 0..2 {
                producers.open(&opening(Uuid::now_v7())).await.unwrap().unwrap();
            }
            let third = producers.open(&opening(Uuid::now_v7())).await.unwrap();
            assert_eq!(third, Err(Refusal::TooMany { max: 2 }));
            assert_eq!(producers.list(true).await.unwrap().len(), 2);
        }
    }
}

#[tokio::test]
async fn sums_and_setbacks_are_by_namespace() {
    for place in Place::all("namespaces_sums").await {
        let one = place.producers("one");
        let other = one.of(OTHER);
        for (namespace, dropped) in [(Namespace::DEFAULT, 5), (OTHER, 70)] {
            let counted = Counted { accepted: 1, dropped };
            place.add_days_of("one", namespace, Days::from([(DAYS.1, counted)])).await;
        }
        assert_eq!(place.dropped("one").await, 5);
        assert_eq!(place.dropped_of("one", OTHER).await, 70);

        let id = Uuid::now_v7();
        other.open(&opening(id)).await.unwrap().unwrap();
        let told = Told { sequence: 4, at_micros: None, is_recent: true, now_micros: 1 << 50 };
        other.open(&Opening { told: Some(told), ..opening(id) }).await.unwrap().unwrap();
        assert_eq!(one.setbacks().await.unwrap(), []);
        assert_eq!(one.clear_setbacks("all").await.unwrap(), []);
        assert_eq!(other.clear_setbacks("all").await.unwrap().len(), 1);

        // A worker stores for all of them.
        let worker = Uuid::now_v7();
        one.note_setback(worker, &[OTHER].into(), told).await.unwrap();
        assert_eq!(one.setbacks().await.unwrap(), []);
        assert_eq!(other.setbacks().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn there_is_one_namespace() {
    for place in Place::all("namespaces_default").await {
        place.execute("INSERT INTO tally_namespaces (id, name) VALUES (1, 'staging')").await;
        for taken in ["(0, 'books')", "(2, 'default')"] {
            let sql = format!("INSERT INTO tally_namespaces (id, name) VALUES {taken}");
            assert!(!place.try_execute(&sql).await, "{taken} is there");
        }
    }
}
