//! An empty database for one test, on the server that all tests of the process share.

use std::io::Write;
use std::sync::{Mutex, OnceLock};

use tokio_postgres::{Client, NoTls};

use crate::binaries::{INSTALL_HINT, bin_dir};
use crate::port::random;
use crate::postgres::{Cluster, Options};

/// The URL of a superuser on a running server; its database is only used to make others.
const SERVER_URL: &str = "TEST_DATABASE_URL";

/// The URL of a CockroachDB that may be filled with databases.
const COCKROACH_URL: &str = "TEST_COCKROACH_URL";

/// Set to 1 by a person who has no Postgres and knows what is not tested then.
const NO_POSTGRES: &str = "TALLY_TEST_NO_POSTGRES";

/// How much of a test's name goes into its database's name, which has 63 bytes at most.
const HINT_BYTES_MAX: usize = 36;

/// An empty database of its own for one test. It is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    server_url: String,
    name: String,
}

// === impl TestDatabase ===

impl TestDatabase {
    /// Makes a database on the server of `TEST_DATABASE_URL` or, without that, on a private
    /// server that is started once for this test process. Works inside of a runtime and
    /// outside of one. The hint, such as the test's name, becomes a part of the name.
    ///
    /// # Panics
    /// When there is no Postgres, with what to install: a test that is skipped in silence is
    /// a lie. See [`TestDatabase::create_or_skip`].
    #[track_caller]
    pub fn create(hint: &str) -> TestDatabase {
        TestDatabase::create_on(server_url(), hint)
    }

    /// As [`TestDatabase::create`], but gives `None`, and says so on standard error, when
    /// there is no Postgres and `TALLY_TEST_NO_POSTGRES=1`. Never under `CI`.
    ///
    /// # Panics
    /// When there is no Postgres, and no such leave.
    #[track_caller]
    pub fn create_or_skip(hint: &str) -> Option<TestDatabase> {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if set(NO_POSTGRES) && !set("CI") && !set(SERVER_URL) && bin_dir().is_none() {
            // Not by `eprintln`, which is captured while a test passes.
            let _ = writeln!(std::io::stderr(), "NOT TESTED for want of Postgres: {hint}");
            return None;
        }
        Some(TestDatabase::create(hint))
    }

    /// Makes a database on the CockroachDB of `TEST_COCKROACH_URL`; `None` when it is unset.
    ///
    /// # Panics
    /// When that server cannot be reached, or makes no database.
    #[track_caller]
    pub fn create_on_cockroach(hint: &str) -> Option<TestDatabase> {
        let url = std::env::var(COCKROACH_URL).ok().filter(|url| !url.is_empty())?;
        Some(TestDatabase::create_on(&url, hint))
    }

    /// Makes a database on the server of this URL, whose user may do that.
    ///
    /// # Panics
    /// When that server cannot be reached without TLS, or makes no database.
    #[track_caller]
    pub fn create_on(server_url: &str, hint: &str) -> TestDatabase {
        let hint: String = hint
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .take(HINT_BYTES_MAX)
            .collect();
        let name = format!("t_{hint}_{:016x}", random());
        if let Err(error) = execute(server_url, vec![format!("CREATE DATABASE {name}")]) {
            panic!("cannot make a test database on {}: {error}", without_password(server_url));
        }
        TestDatabase { server_url: server_url.to_owned(), name }
    }

    /// The URL of this database, with the scheme of its server's.
    pub fn url(&self) -> String {
        with_database(&self.server_url, &self.name)
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection, whose other half runs on the current runtime.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Client {
        let url = as_postgres(&self.url());
        let (client, connection) = tokio_postgres::connect(&url, NoTls)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error:?}", self.name));
        #[expect(clippy::disallowed_methods, reason = "a test's connection ends with the test")]
        tokio::spawn(connection);
        client
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = &self.name;
        let ways = vec![
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            // CockroachDB has no FORCE, and lets others be connected.
            format!("DROP DATABASE IF EXISTS {name} CASCADE"),
        ];
        // A test may have killed the server, and the server's own end drops it as well.
        let _ = execute(&self.server_url, ways);
    }
}

/// The URL of the server that this process's tests share.
fn server_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    // Never dropped: the cluster's watchdog stops it at the end of the process.
    static CLUSTER: Mutex<Option<Cluster>> = Mutex::new(None);
    URL.get_or_init(|| {
        if let Some(url) = std::env::var(SERVER_URL).ok().filter(|url| !url.is_empty()) {
            return url;
        }
        match Cluster::start(Options::default()) {
            Ok(cluster) => {
                let url = cluster.url("postgres");
                *CLUSTER.lock().expect("only set here") = Some(cluster);
                url
            }
            Err(crate::postgres::Error::NotInstalled) => panic!("{INSTALL_HINT}"),
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    })
}

/// Runs the first of these statements that works, on a thread with a runtime of its own: the
/// caller may or may not be in one.
fn execute(server_url: &str, statements: Vec<String>) -> Result<(), String> {
    let url = as_postgres(server_url);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
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

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (url, String::new()),
    };
    let authority = before.find("://").map_or(0, |at| at + "://".len());
    let end = before[authority..].find('/').map_or(before.len(), |at| authority + at);
    format!("{}/{name}{query}", &before[..end])
}

/// The same URL with a scheme that the driver knows.
fn as_postgres(url: &str) -> String {
    match url.strip_prefix("cockroachdb://") {
        Some(rest) => format!("postgres://{rest}"),
        None => url.to_owned(),
    }
}

/// The same URL as it may be shown.
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
