//! SQLite files: one server per file, and clear messages for other files.

use tally_runtime::chain;
use tally_store::error::Step as _;
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl, Error};
use tally_testkit::eventually;

use crate::{open, refused_for_good};

#[tokio::test]
async fn a_second_server_on_one_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let first = open(&url).await.expect("it opens");
    let line = refused_for_good(&url).await;
    assert!(line.contains("a Tally server uses this file"), "{line}");
    assert!(line.contains("tally.db") && line.contains("--database-url"), "{line}");
    let again = open(&url).await.expect_err("as before");
    assert!(tally_store::is_locked(&again) && !again.within("start").is_transient());
    first.ping().await.expect("the first one goes on");
    let other = format!("sqlite:{}", folder.path().join("other.db").display());
    open(&other).await.expect("another file").ping().await.expect("a ping");
    drop(first);
    let again = async || open(&url).await;
    eventually("the file is free again", std::time::Duration::from_secs(30), again).await;
}

/// As when a first key is made in the instant in which a server starts: it has the file, and not its log yet.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_comes_while_a_server_starts_is_told_to_try_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let url: DatabaseUrl = format!("sqlite:{}", path.display()).parse().expect("a database URL");
    let beside = async || Database::open_beside(&url, Settings::default()).await;
    let starting = std::fs::File::create(&path).expect("a file");
    starting.lock().expect("nobody has it");
    let error = beside().await.expect_err("it is starting");
    let line = chain(&error);
    assert!(tally_store::is_locked(&error) && line.contains("a Tally server uses this"), "{line}");
    assert!(
        line.contains("starting or stopping; try again") && !line.contains("stop it"),
        "{line}"
    );
    drop(starting);
    let (database, is_served) = beside().await.expect("it opens");
    assert!(!is_served);
    drop(database);
}

/// The lock is on the file, not on its name; the same holds for two mounts of one file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_second_name_of_a_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = ["a.db", "b.db"].map(|name| folder.path().join(name));
    let opened = open(&format!("sqlite:{}", first.display())).await.expect("it opens");
    std::fs::hard_link(&first, &second).expect("a second name");
    let error = open(&format!("sqlite:{}", second.display())).await.expect_err("it is in use");
    assert!(tally_store::is_locked(&error), "{}", chain(&error));
    opened.close().await.expect("closed");
    open(&format!("sqlite:{}", second.display())).await.expect("the file is free");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_and_its_logs_are_for_their_owner_alone() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let folder = tempfile::tempdir().expect("a folder");
    // As of a service, for which an administrator makes the first key. Nobody else may give anything away.
    let _ = std::os::unix::fs::chown(folder.path(), Some(12_345), None);
    let owner = folder.path().metadata().expect("it is there").uid();
    let path = folder.path().join("tally.db");
    let url = format!("sqlite:{}", path.display());
    let modes = || {
        let files = std::fs::read_dir(folder.path()).expect("the folder").flatten();
        let mode = |file: std::fs::DirEntry| {
            let metadata = file.metadata().expect("it is there");
            (metadata.permissions().mode() & 0o777, metadata.uid())
        };
        files.map(mode).collect::<Vec<_>>()
    };
    let database = open(&url).await.expect("it opens");
    database.ping().await.expect("it works");
    let found = modes();
    assert!(found.len() > 1 && found.iter().all(|one| *one == (0o600, owner)), "{found:?}");
    database.close().await.expect("it closes");
    // Somebody lets a group read it.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
    open(&url).await.expect("it opens").close().await.expect("it closes");
    assert_eq!(modes(), [(0o640, owner)]);
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let Ok(Database::Sqlite(opened)) = open(&format!("sqlite:{}", path.display())).await else {
        panic!("SQLite")
    };
    fill(&opened, 1_000).await.expect("room");
    // An endless query.
    let endless = "WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n";
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let query = opened.read_long(move |connection| {
        let _ = begun.send(());
        connection.query_row(endless, [], |_| Ok(())).step("count for ever")
    });
    let others = async {
        has_begun.await.expect("the query started");
        opened.read(|_| Ok(())).await.expect("a read apart from it");
        let database = Database::Sqlite(opened.clone());
        database.ping().await.expect("a long query does not block it");
        let query = opened.read(move |connection| {
            connection.query_row(endless, [], |_| Ok(())).step("count for ever")
        });
        let (query, closed) = tokio::join!(query, database.close());
        query.expect_err("it was interrupted");
        closed.expect("closed");
    };
    let (query, ()) = tokio::join!(query, others);
    query.expect_err("it was interrupted");
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 1, "only the database itself");
    fill(&opened, 1_000).await.expect_err("it is closed");
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    assert_eq!(blobs(&copy), 1);
}

#[tokio::test]
async fn stored_data_survives_a_removed_log() {
    for is_idle in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tally.db");
        let url = format!("sqlite:{}", path.display());
        let Ok(Database::Sqlite(opened)) = open(&url).await else { panic!("SQLite") };
        for _ in 0..10 {
            fill(&opened, 1_000).await.expect("room");
        }
        for suffix in ["-wal", "-shm"] {
            std::fs::remove_file(format!("{}{suffix}", path.display())).expect("removed");
        }
        let database = Database::Sqlite(opened.clone());
        let error = if is_idle { database.ping().await } else { fill(&opened, 1_000).await };
        let line = chain(&error.expect_err("nothing may be stored now"));
        assert!(line.contains("tally.db-wal: the file was removed or replaced"), "{line}");
        // The database file alone, as a kill would leave it.
        assert_eq!(blobs(&path), 10, "idle: {is_idle}");
        database.close().await.expect("closed");
        assert_eq!(blobs(&path), 10, "idle: {is_idle}");
        let Ok(Database::Sqlite(again)) = open(&url).await else { panic!("it opens again") };
        fill(&again, 1_000).await.expect("room");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_a_database_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to have a header ".repeat(100))
        .expect("a file");
    let inside_a_file = text.join("tally.db");
    let missing = folder.path().join("missing").join("tally.db");
    for path in [&text, &inside_a_file, &missing, &folder.path().to_path_buf()] {
        let line = match open(&format!("sqlite:{}", path.display())).await {
            Ok(_) => panic!("{} was opened", path.display()),
            Err(error) => chain(&error),
        };
        assert!(line.contains(&path.display().to_string()), "{line}");
    }
}

#[tokio::test]
async fn a_ping_fails_on_a_removed_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let opened = open(&format!("sqlite:{}", path.display())).await.expect("it opens");
    opened.ping().await.expect("a ping");
    std::fs::remove_file(&path).expect("removed");
    let line = chain(&opened.ping().await.expect_err("it is gone"));
    assert!(line.contains("was removed or replaced while the server runs"), "{line}");
}

#[tokio::test]
async fn a_full_file_is_transient() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let url = format!("sqlite:{}?size_bytes_max=65536", path.display());
    let Ok(Database::Sqlite(opened)) = open(&url).await else { panic!("SQLite") };
    fill(&opened, 1_000).await.expect("room for this");
    let error = fill(&opened, 1_000_000).await.expect_err("full");
    assert!(error.is_transient() && chain(&error).contains("full"), "{}", chain(&error));
    fill(&opened, 1_000).await.expect("still room for this");
}

/// The space of what was deleted comes back, in steps, up to what is kept for the next rows.
#[tokio::test]
async fn a_file_gets_smaller_after_a_deletion() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let Ok(Database::Sqlite(opened)) = open(&format!("sqlite:{}", path.display())).await else {
        panic!("SQLite")
    };
    for _ in 0..32 {
        fill(&opened, 1 << 20).await.expect("room");
    }
    let delete = |connection: &mut rusqlite::Connection| {
        connection.execute("DELETE FROM blobs WHERE rowid % 4 > 0", []).step("delete").map(|_| ())
    };
    opened.write(delete).await.expect("deleted");
    let (mut left, mut steps) = (u32::MAX, 0);
    while left > 0 {
        let now = opened.give_back(500, 100).await.expect("a step");
        assert!(now < left, "{now} pages are left after {left}");
        (left, steps) = (now, steps + 1);
    }
    assert!(steps > 3, "{steps} steps");
    Database::Sqlite(opened.clone()).close().await.expect("closed");
    let (bytes, kept) = (path.metadata().expect("the file").len(), 100 * (8 << 10));
    assert!(bytes > (8 << 20) + kept && bytes < (9 << 20) + kept, "{bytes} bytes");
    assert_eq!(blobs(&path), 8);
}

/// It takes the operator, because it takes long.
#[tokio::test]
async fn a_file_from_before_gives_nothing_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let before = rusqlite::Connection::open(&path).expect("a database");
    before.execute_batch("CREATE TABLE blobs (b BLOB)").expect("a table");
    drop(before);
    let Ok(Database::Sqlite(opened)) = open(&format!("sqlite:{}", path.display())).await else {
        panic!("SQLite")
    };
    fill(&opened, 1 << 20).await.expect("room");
    let delete = |connection: &mut rusqlite::Connection| {
        connection.execute("DELETE FROM blobs", []).step("delete").map(|_| ())
    };
    opened.write(delete).await.expect("deleted");
    assert_eq!(opened.give_back(500, 0).await.expect("a step"), 0);
}

/// The log of what is stored while a snapshot is read for long is large only as long.
#[tokio::test]
async fn the_log_is_small_again_after_a_long_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let log = folder.path().join("tally.db-wal");
    let Ok(Database::Sqlite(opened)) = open(&format!("sqlite:{}", path.display())).await else {
        panic!("SQLite")
    };
    let bytes = || log.metadata().expect("the log").len();
    fill(&opened, 1 << 20).await.expect("room");
    let (end, has_ended) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let read = opened.read_long(move |connection| {
        let snapshot = connection.transaction().step("begin")?;
        let count = "SELECT count(*) FROM blobs";
        let blobs: i64 = snapshot.query_row(count, [], |row| row.get(0)).step("count")?;
        let _ = begun.send(());
        let _ = has_ended.recv();
        Ok(blobs)
    });
    let write = async {
        has_begun.await.expect("a snapshot");
        for _ in 0..48 {
            fill(&opened, 1 << 20).await.expect("room");
        }
        let large = bytes();
        assert!(large > 48 << 20, "{large} bytes while the snapshot is read");
        opened.give_back(0, 0).await.expect("a step");
        assert_eq!(bytes(), large, "nothing is given back while it is read");
        end.send(()).expect("the reader waits");
    };
    let (read, ()) = tokio::join!(read, write);
    assert_eq!(read.expect("a count"), 1);
    // Nothing else is stored meanwhile.
    let step = async || match opened.give_back(0, 0).await {
        Ok(_) if bytes() < 32 << 20 => Ok(()),
        Ok(_) => Err(format!("the log has {} bytes", bytes())),
        Err(error) => Err(chain(&error)),
    };
    eventually("the log is small", std::time::Duration::from_secs(30), step).await;
    assert_eq!(blobs(&path), 49);
}

/// By what is stored next.
#[tokio::test]
async fn the_log_gets_small_without_housekeeping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let Ok(Database::Sqlite(opened)) = open(&format!("sqlite:{}", path.display())).await else {
        panic!("SQLite")
    };
    fill(&opened, 48 << 20).await.expect("room");
    let log = folder.path().join("tally.db-wal");
    let step = async || {
        fill(&opened, 1_000).await.expect("room");
        let bytes = log.metadata().expect("the log").len();
        if bytes > 32 << 20 { Err(format!("the log has {bytes} bytes")) } else { Ok(()) }
    };
    eventually("the log is small", std::time::Duration::from_secs(30), step).await;
}

/// Stores a blob of this size.
async fn fill(database: &tally_store::sqlite::Database, bytes: i64) -> Result<(), Error> {
    let store = move |connection: &mut rusqlite::Connection| {
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS blobs (b BLOB)")
            .step("make a table")?;
        let sql = "INSERT INTO blobs VALUES (zeroblob(?1))";
        connection.execute(sql, [bytes]).step("fill the file").map(|_| ())
    };
    database.write(store).await
}

/// The number of blobs in a copy of the file alone.
fn blobs(path: &std::path::Path) -> i64 {
    let copy = tempfile::NamedTempFile::new().expect("a file");
    std::fs::copy(path, copy.path()).expect("copied");
    let connection = rusqlite::Connection::open(copy.path()).expect("a database");
    connection.query_row("SELECT count(*) FROM blobs", [], |row| row.get(0)).expect("a count")
}
