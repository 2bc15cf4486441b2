//! Several servers create the tables once; an older program refuses newer tables.

use tally_requests::MIGRATIONS;
use tally_store::{Database, Schema};
use tally_testkit::TestDatabase;

use crate::backend;

/// A database with the tables that all domains share, which come first.
async fn open(url: &str) -> Database {
    let database = backend::open(url).await;
    tally_producers::MIGRATIONS.run(&database).await.unwrap();
    database
}

async fn tables(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT table_name::TEXT FROM information_schema.columns WHERE table_schema = 'public' \
               ORDER BY table_name, ordinal_position";
    let rows = database.connect().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn assert_done(schema: &Schema) {
    assert!(schema.pending.is_empty() && schema.current == schema.latest, "{schema:?}");
}

/// Empty, then migrated, then nothing to do. The answer is how many migrations there are.
async fn twice(database: &Database) -> usize {
    let before = MIGRATIONS.check(database).await.unwrap();
    assert_eq!(before.current, 0);
    assert!(!before.pending.is_empty() && before.latest > 0, "{before:?}");
    assert_eq!(MIGRATIONS.check(database).await.unwrap(), before, "a check changes nothing");
    assert_eq!(MIGRATIONS.run(database).await.unwrap(), before);
    assert_done(&MIGRATIONS.run(database).await.unwrap());
    assert_done(&MIGRATIONS.check(database).await.unwrap());
    before.pending.len()
}

#[tokio::test]
async fn twice_changes_nothing_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tally.db");
    let database = open(&format!("sqlite:{}", path.display())).await;
    let migrations = twice(&database).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT count(*) FROM tally_migrations_requests";
    let rows: i64 = file.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(rows), Ok(migrations));
}

#[tokio::test]
async fn twice_changes_nothing_on_postgres() {
    let Some(database) = TestDatabase::create_or_skip("migrate_twice") else { return };
    let tally = open(&database.url()).await;
    let before = tables(&database).await;
    MIGRATIONS.check(&tally).await.unwrap();
    assert_eq!(tables(&database).await, before, "a check changes nothing");
    twice(&tally).await;
    let once = tables(&database).await;
    assert!(once.contains(&"tally_request_days".to_owned()), "{once:?}");
    MIGRATIONS.run(&tally).await.unwrap();
    assert_eq!(tables(&database).await, once);
}

#[tokio::test]
async fn twice_changes_nothing_on_cockroach() {
    let Some(database) = TestDatabase::create_on_cockroach("migrate_twice") else { return };
    twice(&open(&database.url()).await).await;
}

async fn at_once(database: &TestDatabase) {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(open(&database.url()).await);
    }
    let all = futures_util::future::join_all(servers.iter().map(|one| MIGRATIONS.run(one))).await;
    let mut migrated = 0;
    for schema in all {
        let schema = schema.unwrap_or_else(|error| panic!("{}", tally_runtime::chain(&error)));
        migrated += usize::from(schema.current < schema.latest);
    }
    assert!(migrated >= 1);
    if servers[0].dialect() == tally_store::Dialect::Postgres {
        assert_eq!(migrated, 1, "only one server migrates");
    }
    assert_done(&MIGRATIONS.check(&servers[3]).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_servers_start_at_once_on_postgres() {
    for _ in 0..5 {
        let Some(database) = TestDatabase::create_or_skip("migrate_at_once") else { return };
        at_once(&database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_servers_start_at_once_on_cockroach() {
    let Some(database) = TestDatabase::create_on_cockroach("migrate_at_once") else { return };
    at_once(&database).await;
}

const FROM_THE_FUTURE: &str = "INSERT INTO tally_migrations_requests \
     (version, name, applied_on, checksum) VALUES (99, 'future', '2040-01-01T00:00:00Z', '1')";

const NEWER: [&str; 2] = ["version 99", "newer Tally"];
const OTHER: [&str; 2] = ["V1__requests is not the one of this program", "begin a new database"];

/// As after a pull that has changed a baseline.
const OF_ANOTHER_BUILD: &str = "UPDATE tally_migrations_requests SET checksum = '1'";

async fn refuse(database: &Database, words: [&str; 2]) {
    for refused in [MIGRATIONS.run(database).await, MIGRATIONS.check(database).await] {
        let error = refused.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        let line = tally_runtime::chain(&error);
        assert!(words.iter().all(|words| line.contains(words)), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[tokio::test]
async fn a_newer_postgres_database_and_one_of_another_build_are_refused() {
    let Some(database) = TestDatabase::create_or_skip("migrate_newer") else { return };
    let tally = open(&database.url()).await;
    MIGRATIONS.run(&tally).await.unwrap();
    let client = database.connect().await;
    client.batch_execute(FROM_THE_FUTURE).await.unwrap();
    refuse(&tally, NEWER).await;
    client.batch_execute("DELETE FROM tally_migrations_requests WHERE version = 99").await.unwrap();
    client.batch_execute(OF_ANOTHER_BUILD).await.unwrap();
    refuse(&tally, OTHER).await;
}

#[tokio::test]
async fn a_newer_sqlite_file_and_one_of_another_build_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tally.db");
    let database = open(&format!("sqlite:{}", path.display())).await;
    MIGRATIONS.run(&database).await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(FROM_THE_FUTURE).unwrap();
    refuse(&database, NEWER).await;
    connection.execute_batch("DELETE FROM tally_migrations_requests WHERE version = 99").unwrap();
    connection.execute_batch(OF_ANOTHER_BUILD).unwrap();
    refuse(&database, OTHER).await;
}

#[tokio::test]
async fn a_table_in_the_way_is_named_without_the_migration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tally.db");
    let sql = "CREATE TABLE tally_requests (id INTEGER)";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let database = open(&format!("sqlite:{}", path.display())).await;
    let line = tally_runtime::chain(&MIGRATIONS.run(&database).await.unwrap_err());
    assert!(line.contains("table tally_requests already exists"), "{line}");
    assert!(!line.contains("CREATE"), "{line}");
}
