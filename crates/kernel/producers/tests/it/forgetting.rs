//! A producer that leaves is forgotten as it was left, and only once.

use tally_producers::Leaving;
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
