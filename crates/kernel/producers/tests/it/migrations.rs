//! The tables are made once, under a history of their own.

use tally_producers::MIGRATIONS;

use crate::place::Place;

#[tokio::test]
async fn twice_changes_nothing() {
    for place in Place::all("producers_migrate").await {
        let again = MIGRATIONS.run(&place.database).await.unwrap();
        assert!(again.pending.is_empty() && again.current == again.latest, "{again:?}");
        place.execute("SELECT version FROM tally_migrations_kernel").await;
    }
}
