//! What one server does for all, second by second.

use tally_requests::Settings;
use tally_testkit::TestDatabase;

use crate::backend::NOW;
use crate::server::{Counting, get, settings};

/// Asks a database how many rows a table has.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(TestDatabase),
}

// === impl Place ===

impl Place {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("tally.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match self {
            Self::Sqlite(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("tally.db"));
                file.and_then(|file| file.query_row(&sql, [], |row| row.get(0))).expect("a count")
            }
            Self::Postgres(database) => {
                database.connect().await.query_one(&sql, &[]).await.expect("a count").get(0)
            }
        }
    }
}

#[tokio::test]
async fn sqlite_is_kept_without_anybody_watching() {
    keep(&Place::sqlite()).await;
}

#[tokio::test]
async fn postgres_is_kept_without_anybody_watching() {
    let Some(database) = TestDatabase::create_or_skip("keeper") else { return };
    keep(&Place::Postgres(database)).await;
}

async fn keep(place: &Place) {
    let roll_up_at = "00:10".parse().expect("a time of day");
    let settings = Settings { roll_up_at, quarter_retention_days: 2, ..settings() };
    let counting = Counting::start(&place.url(), settings).await;
    let at = async |time: &str| {
        counting.clock.set(time.parse().expect("a time"));
        counting.service.keeper().tick().await.expect("the duties");
    };
    // A server that starts catches up first.
    at(NOW).await;
    counting.add(vec![get("/", NOW); 3]).await.unwrap();
    at("2030-06-15T12:14:59Z").await;
    assert_eq!(place.count("tally_requests").await, 3, "the quarter goes on");
    at("2030-06-15T12:15:02Z").await;
    assert_eq!(place.count("tally_requests").await, 0);
    assert_eq!(place.count("tally_request_days").await, 1);
    assert_eq!(counting.live().await.iter().map(|total| total.3).sum::<i64>(), 3);

    at("2030-06-16T00:09:59Z").await;
    assert_eq!(place.count("tally_request_months").await, 0, "it is not yet time");
    at("2030-06-16T00:10:00Z").await;
    assert_eq!(place.count("tally_request_months").await, 1);

    // A week without a tick, and a month's end in it.
    for day in ["2030-06-28", "2030-06-30", "2030-07-01"] {
        counting.clock.set(format!("{day}T10:00:00Z").parse().expect("a time"));
        counting.add(vec![get("/", &format!("{day}T10:00:00Z"))]).await.unwrap();
    }
    at("2030-07-02T09:00:02Z").await;
    assert_eq!(place.count("tally_request_months").await, 2);
    let rolled_up = "tally_request_calendar WHERE rolled_up_at IS NOT NULL";
    assert_eq!(place.count(rolled_up).await, 4);
    // Two whole days are kept.
    assert_eq!(place.count("tally_request_days").await, 2);
    assert_eq!(place.count("tally_request_calendar WHERE pruned_at IS NOT NULL").await, 2);
    assert_eq!(counting.live().await.iter().map(|total| total.3).sum::<i64>(), 6);
}
