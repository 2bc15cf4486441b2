//! An empty database for one test, on a server shared by all tests of the process.

use std::io::Write;
use std::sync::OnceLock;

use refinery::Runner;
use tokio_postgres::{Client, NoTls};

use crate::binaries::{INSTALL_HINT, bin_dir};
use crate::port::random;
use crate::postgres::{Cluster, Options};

/// The URL of a superuser on a running server; its database only serves to create others.
const SERVER_URL: &str = "TEST_DATABASE_URL";

/// The URL of a CockroachDB on which tests may create databases.
const COCKROACH_URL: &str = "TEST_COCKROACH_URL";

/// Set it to 1 to skip the tests that need Postgres if none is installed.
const NO_POSTGRES: &str = "TALLY_TEST_NO_POSTGRES";

/// How much of a test's name becomes part of its database's name, which is at most 63 bytes.
const HINT_BYTES_MAX: usize = 36;

/// An empty database for one test. Dropping the value drops the database.
#[derive(Debug)]
pub struct TestDatabase {
    server_url: String,
    name: String,
}

// === impl TestDatabase ===

impl TestDatabase {
    /// Creates a database on the server of `TEST_DATABASE_URL`, or on a private server that is
    /// started once for this test process. Works inside and outside of a runtime. The hint, such as
    /// the test's name, becomes part of the database's name.
    ///
    /// # Panics
    /// If Postgres is missing, with what to install: a silently skipped test is a lie. See
    /// [`TestDatabase::create_or_skip`].
    #[track_caller]
    pub fn create(hint: &str) -> TestDatabase {
        TestDatabase::create_on(server_url(), hint)
    }

    /// As [`TestDatabase::create`], but if Postgres is missing and `TALLY_TEST_NO_POSTGRES=1`,
    /// reports that on standard error and returns `None`. Never under `CI`.
    #[track_caller]
    pub fn create_or_skip(hint: &str) -> Option<TestDatabase> {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if set(NO_POSTGRES) && !set("CI") && !set(SERVER_URL) && bin_dir().is_none() {
            // Unlike `eprintln`, this is shown even if the test passes.
            let _ = writeln!(std::io::stderr(), "NOT TESTED without Postgres: {hint}");
            return None;
        }
        Some(TestDatabase::create(hint))
    }

    /// Creates a database on the CockroachDB of `TEST_COCKROACH_URL`; `None` if that is unset.
    #[track_caller]
    pub fn create_on_cockroach(hint: &str) -> Option<TestDatabase> {
        let url = std::env::var(COCKROACH_URL).ok().filter(|url| !url.is_empty())?;
        Some(TestDatabase::create_on(&url, hint))
    }

    /// Creates a database on the server of this URL, which must not require TLS and whose user must
    /// be allowed to.
    #[track_caller]
    pub fn create_on(server_url: &str, hint: &str) -> TestDatabase {
        let hint: String = hint
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .take(HINT_BYTES_MAX)
            .collect();
        let name = format!("t_{hint}_{:016x}", random());
        if let Err(error) = execute(server_url, vec![format!("CREATE DATABASE {name}")]) {
            panic!("cannot create a test database on {}: {error}", without_password(server_url));
        }
        TestDatabase { server_url: server_url.to_owned(), name }
    }

    /// The URL of this database, with its server's scheme.
    pub fn url(&self) -> String {
        with_database(&self.server_url, &self.name)
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects; the connection's task runs on the current runtime.
    pub async fn connect(&self) -> Client {
        connect(&as_postgres(&self.url())).await
    }

    /// Makes CockroachDB's tables in this Postgres, for tests of CockroachDB's SQL: see [`as_cockroach`].
    ///
    /// # Panics
    /// If Postgres refuses one.
    pub async fn make_tables_of_cockroach(&self, sets: &[fn() -> Runner]) {
        let client = self.connect().await;
        for set in sets {
            let runner = set();
            let mut all: Vec<_> = runner.get_migrations().iter().collect();
            all.sort_by_key(|one| one.version());
            for one in all {
                let sql = one.sql().expect("a migration that is not applied has its text");
                // Postgres has no index of this kind.
                let sql = sql.replace(" USING HASH WITH (bucket_count = 8)", "");
                client.batch_execute(&sql).await.expect("the tables");
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = &self.name;
        let statements = vec![
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            // CockroachDB has no FORCE, and drops databases that have connections.
            format!("DROP DATABASE IF EXISTS {name} CASCADE"),
        ];
        // If a test killed the server, the database is removed with the server.
        let _ = execute(&self.server_url, statements);
    }
}

/// The URL of a Postgres as if it were a CockroachDB, with that one's isolation.
///
/// # Panics
/// If it is no URL.
#[must_use]
pub fn as_cockroach(url: &str) -> String {
    let (_, rest) = url.split_once("://").expect("a URL");
    let separator = if rest.contains('?') { '&' } else { '?' };
    let isolation = "options=-c%20default_transaction_isolation%3Dserializable";
    format!("cockroachdb://{rest}{separator}{isolation}")
}

/// Connects; the connection's task runs on the current runtime.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|error| panic!("cannot connect to {}: {error:?}", without_password(url)));
    #[expect(clippy::disallowed_methods, reason = "it ends with its client")]
    tokio::spawn(connection);
    client
}

/// The URL of the server shared by this process's tests.
fn server_url() -> &'static str {
    // Never dropped: the cluster's watchdog stops it at the end of the process.
    static SERVER: OnceLock<(String, Option<Cluster>)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| {
        if let Some(url) = std::env::var(SERVER_URL).ok().filter(|url| !url.is_empty()) {
            return (url, None);
        }
        match Cluster::start(Options { in_memory: true, ..Options::default() }) {
            Ok(cluster) => (cluster.url("postgres"), Some(cluster)),
            Err(crate::postgres::Error::NotInstalled) => panic!("{INSTALL_HINT}"),
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    });
    url
}

/// Runs these statements until one succeeds. Uses a thread with its own runtime because the caller
/// may already be in one.
fn execute(server_url: &str, statements: Vec<String>) -> Result<(), String> {
    let url = as_postgres(server_url);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&url, NoTls).await.map_err(|error| format!("{error:?}"))?;
            let work = async move {
                let mut done = Ok(());
                for statement in &statements {
                    done = client.batch_execute(statement).await;
                    if done.is_ok() {
                        break;
                    }
                }
                done.map_err(|error| format!("{error:?}"))
            };
            let (done, _) = tokio::join!(work, connection);
            done
        })
    });
    thread.join().unwrap_or_else(|_| Err("the helper thread panicked".to_owned()))
}

/// Replaces the database of a URL.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (url, String::new()),
    };
    let authority = before.find("://").map_or(0, |at| at + "://".len());
    let end = before[authority..].find('/').map_or(before.len(), |at| authority + at);
    format!("{}/{name}{query}", &before[..end])
}

/// Replaces the scheme by one that the driver knows.
fn as_postgres(url: &str) -> String {
    match url.strip_prefix("cockroachdb://") {
        Some(rest) => format!("postgres://{rest}"),
        None => url.to_owned(),
    }
}

/// The URL for messages.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{with_database, without_password};

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        assert_eq!(with_database("postgres://u:p@h:1/postgres", "t"), "postgres://u:p@h:1/t");
        assert_eq!(with_database("postgresql://h", "t"), "postgresql://h/t");
        assert_eq!(
            with_database("cockroachdb://root@h:1/defaultdb?sslmode=disable", "t"),
            "cockroachdb://root@h:1/t?sslmode=disable"
        );
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("postgres://u:secret@h:1/d"), "postgres://…@h:1/d");
    }
}
