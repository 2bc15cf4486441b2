//! SQLite files: one server each, and clear words when a file is none.

use tally_runtime::chain;
use tally_store::Database;
use tally_store::error::Step as _;
use tally_testkit::eventually;

use crate::{open, refused_for_good};

#[tokio::test]
async fn a_second_server_on_one_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let first = open(&url).await.expect("it opens");
    let line = refused_for_good(&url).await;
    assert!(line.contains("another Tally server uses this file"), "{line}");
    assert!(line.contains("tally.db") && line.contains("--database-url"), "{line}");
    first.ping().await.expect("the first one goes on");
    let other = format!("sqlite:{}", folder.path().join("other.db").display());
    open(&other).await.expect("another file").ping().await.expect("a sign of life");
    drop(first);
    let again = async || open(&url).await;
    eventually("the file is free again", std::time::Duration::from_secs(30), again).await;
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
async fn a_removed_file_gives_no_sign_of_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let opened = open(&format!("sqlite:{}", path.display())).await.expect("it opens");
    opened.ping().await.expect("a sign of life");
    std::fs::remove_file(&path).expect("removed");
    let line = chain(&opened.ping().await.expect_err("it is gone"));
    assert!(line.contains("was removed or replaced while the server runs"), "{line}");
}

#[tokio::test]
async fn a_full_file_is_worth_another_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let url = format!("sqlite:{}?size_bytes_max=65536", path.display());
    let Ok(Database::Sqlite(opened)) = open(&url).await else { panic!("SQLite") };
    let fill = |bytes: usize| {
        let opened = opened.clone();
        async move {
            opened
                .write(move |connection| {
                    connection
                        .execute_batch("CREATE TABLE IF NOT EXISTS blobs (b BLOB)")
                        .step("make a table")?;
                    let sql = "INSERT INTO blobs VALUES (zeroblob(?1))";
                    connection.execute(sql, [bytes as i64]).step("fill the file")
                })
                .await
        }
    };
    fill(1_000).await.expect("room for this");
    let error = fill(1_000_000).await.expect_err("full");
    assert!(error.is_transient() && chain(&error).contains("full"), "{}", chain(&error));
    fill(1_000).await.expect("room for this all the same");
}
