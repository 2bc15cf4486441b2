//! A producer that leaves is forgotten as it was left, and only once.

use tally_producers::{Leaving, Opening, Producers, Refusal, Shown};
use uuid::Uuid;

use crate::place::{Place, opening};

#[tokio::test]
async fn a_producer_is_forgotten_where_it_stands() {
    for place in Place::all("forgetting").await {
        let (producers, id) = (place.producers("one"), Uuid::now_v7());
        let epoch = producers.open(&opening(id)).await.unwrap().unwrap().epoch;
        place.count(id, "one", 6, 1).await;
        let leaving = Leaving { id, epoch, sequence: 0, last_seen_micros: None };
        producers.forget(Leaving { sequence: 1, ..leaving }).await.unwrap();
        assert_eq!(producers.list(false).await.unwrap()[0].accepted, 6, "not as it was left");
        for _ in 0..2 {
            producers.forget(leaving).await.unwrap();
            assert_eq!(producers.list(false).await.unwrap(), []);
        }
        assert_eq!(place.dropped("one").await, 1);
    }
}

#[tokio::test]
async fn a_person_forgets_one_client_by_what_is_shown_of_it() {
    for place in Place::all("forgetting_shown").await {
        let producers = place.producers("one");
        // Two that end in the same digits, as bytes of a UUID may.
        let ids = [1_u128, 2].map(|n| Uuid::from_u128(n << 64 | 0xabcd_ef01));
        for id in ids {
            producers.open(&opening(id)).await.unwrap().unwrap();
        }
        place.count(ids[0], "one", 6, 1).await;
        let forget = async |of: &Producers, text: &str| {
            let gone = of.forget_shown(&Shown::parse(text).unwrap()).await.unwrap();
            gone.into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert!(forget(&place.producers("two"), "abcdef01").await.is_empty(), "of another domain");
        assert!(forget(&producers, "00000000").await.is_empty());
        assert_eq!(forget(&producers, "ABCDEF01").await.len(), 2, "which one?");
        assert_eq!(producers.list(false).await.unwrap().len(), 2);
        assert_eq!(forget(&producers, &ids[0].to_string()).await, [ids[0]]);
        assert_eq!(place.dropped("one").await, 1, "what it brought stays known");
        assert_eq!(forget(&producers, "abcdef01").await, [ids[1]]);
        assert_eq!(producers.list(false).await.unwrap(), []);
    }
    for text in ["", "all", "abcdef0", "abcdef0g", "abcdef012"] {
        assert_eq!(Shown::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn shared_producers_leave_half_of_the_places() {
    for place in Place::all("half_shared").await {
        let producers = place.producers("one");
        let open = async |take_over| {
            let opening = Opening { take_over, ..opening(Uuid::now_v7()) };
            producers.open(&opening).await.unwrap().map(drop)
        };
        assert_eq!(open(true).await, Ok(()));
        let refused = open(true).await.unwrap_err();
        assert_eq!(refused, Refusal::TooManyShared { max: 1 });
        assert!(refused.to_string().contains("1 shared producers"), "{refused}");
        assert_eq!(open(false).await, Ok(()));
        assert_eq!(open(true).await, Err(Refusal::TooMany { max: 2 }));
        // Others take none of the places of those that are shared.
        let producers = place.producers("two");
        for take_over in [false, true] {
            let opening = Opening { take_over, ..opening(Uuid::now_v7()) };
            producers.open(&opening).await.unwrap().unwrap();
        }
    }
}

/// A server goes on numbering its batches under it.
#[tokio::test]
async fn a_person_does_not_forget_an_insert_worker() {
    for place in Place::all("forgetting_worker").await {
        let (producers, id) = (place.producers("one"), Uuid::from_u128(0xabcd_ef01));
        producers.open(&opening(id)).await.unwrap().unwrap();
        place.execute("UPDATE tally_producers SET epoch = 0").await;
        for text in ["abcdef01", &id.to_string()] {
            let gone = producers.forget_shown(&Shown::parse(text).unwrap()).await.unwrap();
            assert_eq!(gone, [], "{text}");
        }
        assert_eq!(producers.list(true).await.unwrap().len(), 1);
    }
}
