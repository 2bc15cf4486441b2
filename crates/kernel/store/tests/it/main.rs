//! Opening valid and invalid databases, as an operator sees it.

mod abandoned;
mod copy;
mod lease;
mod migrate;
mod pooler;
mod postgres;
mod sqlite;
mod tls;

use tally_runtime::{Kind, chain};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl, Error};

async fn open(url: &str) -> Result<Database, Error> {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    Database::open(&url, Settings::default()).await
}

/// Why a database does not open, in one line without a password.
async fn refused(url: &str) -> String {
    let Err(error) = open(url).await else { panic!("{url} was opened") };
    let line = chain(&error);
    assert!(!line.contains('\n'), "{line}");
    assert!(!line.contains("s3cret") && !line.contains("tally-test"), "{line}");
    line
}

/// The same, for an error that a retry does not fix.
async fn refused_for_good(url: &str) -> String {
    let line = refused(url).await;
    let error = open(url).await.expect_err("as before");
    assert!(!error.is_transient(), "{line}");
    assert_ne!(error.kind(), Kind::Unavailable, "{line}");
    line
}

#[test]
fn unknown_schemes_and_broken_urls_are_refused_by_name() {
    for (url, part) in [
        ("mysql://me:s3cret@db/tally", "mysql://…"),
        ("tally.db", "use sqlite:PATH"),
        ("", "use sqlite:PATH"),
        ("sqlite:", "names no file"),
        ("sqlite::memory:", "name a file"),
        ("postgres://db/tally?sslmode=s3cure", "sslmode"),
        ("postgres://me:s3cret@db:port/tally", "USER:PASSWORD@HOST:PORT"),
    ] {
        let error = url.parse::<DatabaseUrl>().expect_err(url);
        let line = chain(&error);
        assert!(line.contains(part), "{url}: {line}");
        assert!(!line.contains("s3cret"), "{url}: {line}");
    }
}
