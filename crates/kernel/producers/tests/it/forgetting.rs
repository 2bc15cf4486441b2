//! What a domain stores when its producer leaves is stored with that, or not at all.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tally_producers::{Leaving, OnForget};
use tally_runtime::Kind;
use tally_store::Error;
use uuid::Uuid;

use crate::place::{Place, opening};

/// Writes into the transaction, and fails afterwards if it is told to.
#[derive(Debug, Default)]
struct Farewell {
    accepted: Mutex<Vec<i64>>,
    fails: bool,
}

impl Farewell {
    fn done(&self, accepted: i64) -> Result<(), Error> {
        self.accepted.lock().expect("no panic").push(accepted);
        if self.fails { Err(Error::permanent("say farewell", Kind::Internal)) } else { Ok(()) }
    }
}

#[async_trait]
impl OnForget for Farewell {
    async fn postgres(
        &self,
        transaction: &tally_store::postgres::Transaction,
        accepted: i64,
    ) -> Result<(), Error> {
        transaction.batch_execute("INSERT INTO farewells VALUES (1)").await.expect("a row");
        self.done(accepted)
    }

    fn sqlite(&self, transaction: &rusqlite::Transaction<'_>, accepted: i64) -> Result<(), Error> {
        transaction.execute("INSERT INTO farewells VALUES (1)", []).expect("a row");
        self.done(accepted)
    }
}

#[tokio::test]
async fn a_domain_adds_to_the_transaction_that_forgets() {
    for place in Place::all("forgetting").await {
        // A second row is refused.
        place.execute("CREATE TABLE farewells (number INT PRIMARY KEY)").await;
        let (producers, id) = (place.producers("one"), Uuid::now_v7());
        let epoch = producers.open(&opening(id)).await.unwrap().unwrap().epoch;
        place.count(id, "one", 6, 1).await;
        let leaving = Leaving { id, epoch, sequence: 0, last_seen_micros: None };
        let failing = Arc::new(Farewell { fails: true, ..Farewell::default() });
        let then: Arc<dyn OnForget> = Arc::clone(&failing) as _;
        producers.forget(leaving, then).await.unwrap_err();
        assert_eq!(*failing.accepted.lock().unwrap(), [6]);
        assert_eq!(producers.list(false).await.unwrap()[0].accepted, 6, "nothing has changed");

        // Not as it was left: the domain is not asked.
        let other = Arc::new(Farewell::default());
        let then: Arc<dyn OnForget> = Arc::clone(&other) as _;
        producers.forget(Leaving { sequence: 1, ..leaving }, then).await.unwrap();
        assert_eq!(*other.accepted.lock().unwrap(), [0_i64; 0]);

        let last = Arc::new(Farewell::default());
        for _ in 0..2 {
            let then: Arc<dyn OnForget> = Arc::clone(&last) as _;
            producers.forget(leaving, then).await.unwrap();
        }
        assert_eq!(*last.accepted.lock().unwrap(), [6], "once");
        assert_eq!(producers.list(false).await.unwrap(), []);
        assert_eq!(place.dropped("one").await, 1);
    }
}
