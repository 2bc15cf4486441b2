//! Migrations on Postgres that somebody is in the way of.

use refinery::{Migration, Runner};
use tally_runtime::chain;
use tally_store::{Migrations, Outcome};
use tally_testkit::TestDatabase;

use crate::open;

/// A number of the sequence stays taken, whatever becomes of the transaction that took it.
const FIRST: &str = "CREATE SEQUENCE attempts; CREATE TABLE seen (lock_timeout TEXT)";

/// The first attempts fail with this state.
fn after(attempts: u32, state: &str) -> Runner {
    let second = format!(
        "INSERT INTO seen VALUES (current_setting('lock_timeout')); \
         DO $$ BEGIN \
             IF nextval('attempts') <= {attempts} THEN \
                 RAISE EXCEPTION 'in the way' USING ERRCODE = '{state}'; \
             END IF; \
         END $$"
    );
    let migration = |name, sql| Migration::unapplied(name, sql).expect("a name");
    Runner::new(&[migration("V1__first", FIRST), migration("V2__second", &second)])
}

fn set(postgres: fn() -> Runner) -> Migrations {
    Migrations {
        set: "test",
        postgres,
        cockroach: postgres,
        sqlite: postgres,
        copying: tally_store::copy::Copying::PLAIN,
    }
}

#[tokio::test]
async fn a_table_that_is_held_is_tried_again_and_a_mistake_is_not() {
    for (name, postgres, tries) in [
        ("held", (|| after(2, "55P03")) as fn() -> Runner, 3),
        ("deadlock", || after(1, "40P01"), 2),
        ("held_on", || after(1_000, "55P03"), 8),
        ("mistake", || after(1_000, "42P07"), 1),
    ] {
        let Some(database) = TestDatabase::create_or_skip(name) else { return };
        let tally = open(&database.url()).await.expect("it opens");
        let done = set(postgres).run(&tally).await;
        let client = database.connect().await;
        let sql = "SELECT last_value, (SELECT min(lock_timeout) FROM seen) FROM attempts";
        let row = client.query_one(sql, &[]).await.expect("the first migration is there");
        assert_eq!(row.get::<_, i64>(0), tries, "{name}");
        // Not for longer than that do others wait behind it.
        let waits: Option<String> = row.get(1);
        match done {
            Ok(schema) => assert_eq!((schema.latest, waits.as_deref()), (2, Some("3s")), "{name}"),
            Err(error) => {
                assert_eq!(waits, None, "{name}");
                let line = chain(&error);
                let is_held = line.contains("migrate the database: another session holds a table");
                assert_eq!((is_held, error.is_transient()), (tries > 1, tries > 1), "{line}");
                assert!(is_held || line.contains("in the way"), "{line}");
                assert_eq!(error.outcome() == Outcome::Indeterminate, tries > 1, "{line}");
            }
        }
    }
}
