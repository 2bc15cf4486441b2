//! What a copy compares, and what it does not begin.

use refinery::Runner;
use tally_runtime::chain;
use tally_store::copy::{self, Copied, Copying, Progress};
use tally_store::error::Step as _;
use tally_store::{Database, Migrations};
use tally_testkit::TestDatabase;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_postgres::Client;

use crate::open;

const TABLES: &str = "CREATE TABLE tally_a (id BIGINT PRIMARY KEY, word TEXT);
    CREATE TABLE tally_b (id BIGINT PRIMARY KEY, word TEXT);
    CREATE TABLE tally_c (id BIGINT PRIMARY KEY, word TEXT)";
const ROWS: &str = "INSERT INTO tally_a VALUES (1, 'one'), (2, 'two');
    INSERT INTO tally_b VALUES (1, 'one');
    INSERT INTO tally_c VALUES (1, 'one')";
/// Of Postgres alone.
const LEASES: &str =
    "CREATE TABLE tally_leases (name TEXT PRIMARY KEY, holder UUID, until TIMESTAMPTZ)";

/// What `tally_c` has is not copied.
const COPYING: Copying =
    Copying { left_out: &["tally_c", "tally_leases"], readings: &[], totals: None };

/// A database.
struct Side {
    database: Database,
    place: Place,
}

enum Place {
    File(#[allow(dead_code, reason = "it is removed with this value")] TempDir),
    Server(#[allow(dead_code, reason = "it is removed with this value")] TestDatabase, Client),
}

impl Side {
    async fn file() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let database = open(&url).await.expect("it opens");
        Self { database, place: Place::File(folder) }.with(TABLES).await
    }

    /// None without Postgres.
    async fn server() -> Option<Self> {
        let place = TestDatabase::create_or_skip("copy")?;
        let database = open(&place.url()).await.expect("it opens");
        let client = place.connect().await;
        let side = Self { database, place: Place::Server(place, client) };
        Some(side.with(LEASES).await.with(TABLES).await)
    }

    async fn with(self, sql: &'static str) -> Self {
        self.run(sql).await;
        self
    }

    async fn run(&self, sql: &'static str) {
        match (&self.database, &self.place) {
            (Database::Sqlite(database), _) => {
                let done = database.write(move |file| file.execute_batch(sql).step("do it")).await;
                done.expect("it is done");
            }
            (_, Place::Server(_, client)) => client.batch_execute(sql).await.expect("it is done"),
            _ => unreachable!("a server has sessions"),
        }
    }
}

/// A source with rows and an empty target, of each kind.
async fn pairs() -> Vec<(Side, Side)> {
    let mut all = vec![(Side::file().await, Side::file().await)];
    if let (Some(source), Some(target)) = (Side::server().await, Side::server().await) {
        all.push((source, Side::file().await));
        all.push((Side::file().await, target));
    }
    for (source, _) in &all {
        source.run(ROWS).await;
    }
    all
}

async fn copied(
    (source, target): &(Side, Side),
    copying: Copying,
    tell: &dyn Fn(Progress<'_>),
) -> Result<Copied, String> {
    let none = || Runner::new(&[]);
    let set = Migrations { set: "test", postgres: none, cockroach: none, sqlite: none, copying };
    let done = copy::copy(&source.database, &target.database, &[set], tell).await;
    done.map_err(|error| chain(&error))
}

/// Nothing of a copy that failed is there: the next one succeeds.
#[track_caller]
fn assert_whole(copied: Result<Copied, String>) {
    let copied = copied.expect("copied");
    assert_eq!(copied.tables, [("tally_a".to_owned(), 2), ("tally_b".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_another_one_in_the_target_is_found() {
    for pair in pairs().await {
        let target = &pair.1;
        let (change, stop) = match target.place {
            Place::File(_) => (
                "CREATE TRIGGER changes AFTER INSERT ON tally_a WHEN new.id = 2
                 BEGIN UPDATE tally_a SET word = 'other' WHERE id = 2; END",
                "DROP TRIGGER changes",
            ),
            Place::Server(..) => (
                "CREATE FUNCTION change() RETURNS TRIGGER LANGUAGE plpgsql
                 AS $$ BEGIN NEW.word := 'other'; RETURN NEW; END $$;
                 CREATE TRIGGER changes BEFORE INSERT ON tally_a FOR EACH ROW WHEN (NEW.id = 2)
                 EXECUTE FUNCTION change()",
                "DROP TRIGGER changes ON tally_a",
            ),
        };
        target.run(change).await;
        let why = copied(&pair, COPYING, &|_| ()).await.expect_err("it is another one");
        assert!(why.contains("compare the copy: tally_a are not the same there"), "{why}");
        target.run(stop).await;
        assert_whole(copied(&pair, COPYING, &|_| ()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_are_others_in_the_target_are_found() {
    let totals = Copying { totals: Some(|_| "SELECT count(*) FROM tally_c"), ..COPYING };
    for pair in pairs().await {
        let why = copied(&pair, totals, &|_| ()).await.expect_err("they are others");
        assert!(why.contains("compare the copy: the totals of test are not the same"), "{why}");
        pair.0.run("DELETE FROM tally_c").await;
        assert_whole(copied(&pair, totals, &|_| ()).await);
    }
}

/// A row of one table may be of use only with one of another.
#[tokio::test(flavor = "multi_thread")]
async fn all_tables_are_of_one_moment() {
    for pair in pairs().await {
        let add = |progress: Progress<'_>| {
            if progress == Progress::Written("tally_a", 2) {
                let late = pair.0.run("INSERT INTO tally_b VALUES (2, 'late')");
                block_in_place(|| Handle::current().block_on(late));
            }
        };
        assert_whole(copied(&pair, COPYING, &add).await);
    }
}

/// Who has begun to write there may end after it was seen that there are no rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_somebody_writes_to_is_refused() {
    let Some(target) = Side::server().await else { return };
    let pair = (Side::file().await.with(ROWS).await, target);
    pair.1.run("BEGIN; INSERT INTO tally_a VALUES (9, 'nine')").await;
    let why = copied(&pair, COPYING, &|_| ()).await.expect_err("it is in use");
    assert!(why.contains("lock the tables, which something else uses"), "{why}");
    pair.1.run("ROLLBACK").await;
    assert_whole(copied(&pair, COPYING, &|_| ()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_without_a_word() {
    for pair in pairs().await {
        let source = &pair.0;
        let refused = async || copied(&pair, COPYING, &|_| ()).await.expect_err("refused");
        source.run("CREATE TABLE tally_migrations_other (version BIGINT)").await;
        let why = refused().await;
        assert!(why.contains("this program does not know those of other"), "{why}");
        source.run("DROP TABLE tally_migrations_other").await;
        source.run("ALTER TABLE tally_a ADD COLUMN more TEXT").await;
        source.run("UPDATE tally_a SET more = 'x' WHERE id = 2").await;
        let why = refused().await;
        assert!(why.contains("copy tally_a: it has values in more, which"), "{why}");
        // A column without values, and a table that is told.
        source.run("UPDATE tally_a SET more = NULL").await;
        source.run("CREATE TABLE tally_d AS SELECT * FROM tally_b").await;
        source.run("CREATE TABLE tally_e AS SELECT * FROM tally_b WHERE FALSE").await;
        let done = copied(&pair, COPYING, &|_| ()).await;
        assert_eq!(done.as_ref().map(|done| &*done.left_out), Ok(&["tally_d".to_owned()][..]));
        assert_whole(done);
    }
}
