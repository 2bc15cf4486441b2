//! The server's settings: flags, then environment, then defaults; every mistake at once.

use std::net::Ipv6Addr;
use std::time::Duration;

use tally_ingest::Limits;
use tally_runtime::config::{Given, Invalid, Problems};
use tally_runtime::telemetry;
use tally_store::{DatabaseUrl, Driver, Environment};

/// How messages call the database's setting.
const DATABASE_URL: &str = "--database-url (DB_URL)";

/// Which database, and how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The database: sqlite:PATH, postgres://USER@HOST/DATABASE or cockroachdb://…
    #[arg(
        long,
        env = "DB_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "sqlite:tally.db"
    )]
    database_url: Given<DatabaseUrl>,

    /// What the database is, in the words of the Go server: pgx or cockroachdb
    #[arg(long, env = "MIGRATION_DRIVER", value_name = "DRIVER")]
    migration_driver: Option<Given<Driver>>,

    /// How many connections to Postgres or CockroachDB are opened at most
    #[arg(long, env = "TALLY_CONNECTIONS_MAX", value_name = "N", default_value = "12")]
    connections_max: Given<usize>,

    /// What is logged: error, warn, info, debug or trace, or as in info,tally_store=debug
    #[arg(long, env = "TALLY_LOG", value_name = "LEVEL", default_value = "info")]
    log_level: Given<telemetry::Level>,

    /// How it is logged: text or json
    #[arg(long, env = "TALLY_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: Given<telemetry::Format>,
}

/// How many endpoints are told apart.
#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// How long a path may be; requests with longer ones are counted under the path _other
    #[arg(long, env = "TALLY_PATH_BYTES_MAX", value_name = "BYTES", default_value = "2048")]
    path_bytes_max: Given<usize>,

    /// How many endpoints are told apart, and 256 times as many bytes of paths; beyond, requests are
    /// counted under the path _other
    #[arg(long, env = "TALLY_ENDPOINTS_MAX", value_name = "N", default_value = "100000")]
    endpoints_max: Given<usize>,
}

/// The server's settings, as they were given.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where the server listens, for gRPC and HTTP; there is no TLS and no login on this port
    #[arg(long, env = "LISTEN_ADDR", value_name = "HOST:PORT", default_value = "127.0.0.1:7777")]
    listen: Given<String>,

    #[command(flatten)]
    pub(crate) database: DatabaseArgs,

    /// Whether the server brings the tables up to date when it starts: true or false
    #[arg(long, env = "TALLY_MIGRATE", value_name = "BOOL", default_value = "true")]
    migrate: Given<bool>,

    /// How many batches are written at the same time (SQLite: always one)
    #[arg(long, env = "TALLY_WORKERS", value_name = "N", default_value = "2")]
    workers: Given<usize>,

    /// How many requests a batch takes before it is written, give or take a chunk
    #[arg(long, env = "TALLY_BATCH_ROWS_MAX", value_name = "ROWS", default_value = "100000")]
    batch_rows_max: Given<usize>,

    /// How many requests may wait in memory
    #[arg(long, env = "TALLY_QUEUE_ROWS_MAX", value_name = "ROWS", default_value = "1000000")]
    queue_rows_max: Given<u32>,

    /// How much memory they may take, and 4 KiB for each `Add` stream that waits for its own
    #[arg(long, env = "TALLY_QUEUE_BYTES_MAX", value_name = "BYTES", default_value = "67108864")]
    queue_bytes_max: Given<u32>,

    /// How long a stream is held back when the queue is full, before it ends with UNAVAILABLE
    #[arg(long, env = "TALLY_QUEUE_WAIT_MS", value_name = "MS", default_value = "5000")]
    queue_wait_ms: Given<u64>,

    /// How long requests are kept while the database is away, before their streams end
    #[arg(long, env = "TALLY_WRITE_WAIT_MS", value_name = "MS", default_value = "30000")]
    write_wait_ms: Given<u64>,

    /// How long a stop waits until what was taken is stored and answered
    #[arg(long, env = "TALLY_DRAIN_TIMEOUT_MS", value_name = "MS", default_value = "30000")]
    drain_timeout_ms: Given<u64>,

    #[command(flatten)]
    names: NamesArgs,

    /// How many totals one answer may have, and 64 times as many bytes of paths
    #[arg(long, env = "TALLY_TOTALS_MAX", value_name = "N", default_value = "1000000")]
    totals_max: Given<usize>,

    /// How many clients that number their batches are known at the same time
    #[arg(long, env = "TALLY_PRODUCERS_MAX", value_name = "N", default_value = "100000")]
    producers_max: Given<u32>,

    /// How many days such a client is remembered that stores nothing
    #[arg(long, env = "TALLY_PRODUCER_RETENTION_DAYS", value_name = "DAYS", default_value = "30")]
    producer_retention_days: Given<u32>,
}

/// The database's settings, checked.
#[derive(Debug)]
pub(crate) struct DatabaseSettings {
    pub(crate) url: DatabaseUrl,
    pub(crate) driver: Option<Driver>,
    pub(crate) pool: tally_store::postgres::Settings,
    pub(crate) log_level: telemetry::Level,
    pub(crate) log_format: telemetry::Format,
}

/// The server's settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) database: DatabaseSettings,
    pub(crate) migrate: bool,
    pub(crate) drain_timeout: Duration,
    pub(crate) requests: tally_requests::Settings,
}

// === impl DatabaseArgs ===

impl DatabaseArgs {
    pub(crate) fn check(&self) -> Result<DatabaseSettings, Invalid> {
        let mut problems = Problems::new();
        let settings = self.collect(&mut problems);
        problems.check()?;
        Ok(settings.expect("without problems there are settings"))
    }

    /// The database itself, or none if it is wrong.
    pub(crate) fn url(&self, problems: &mut Problems) -> Option<DatabaseUrl> {
        let driver = self.driver(problems);
        database_url(problems, DATABASE_URL, &self.database_url, driver)
    }

    fn driver(&self, problems: &mut Problems) -> Option<Driver> {
        let driver = self.migration_driver.as_ref()?;
        problems.take("--migration-driver (MIGRATION_DRIVER)", driver)
    }

    pub(crate) fn collect(&self, problems: &mut Problems) -> Option<DatabaseSettings> {
        let driver = self.driver(problems);
        let url = database_url(problems, DATABASE_URL, &self.database_url, driver);
        let connections_max = problems.within(
            "--connections-max (TALLY_CONNECTIONS_MAX)",
            &self.connections_max,
            1 + tally_requests::CONNECTIONS_BESIDE_WORKERS..=1_000,
        );
        let log_level = problems.take("--log-level (TALLY_LOG)", &self.log_level);
        let log_format = problems.take("--log-format (TALLY_LOG_FORMAT)", &self.log_format);
        Some(DatabaseSettings {
            url: url?,
            driver,
            pool: tally_store::postgres::Settings {
                connections_max,
                writers_max: connections_max
                    .saturating_sub(tally_requests::CONNECTIONS_BESIDE_WRITES)
                    .max(1),
                ..tally_store::postgres::Settings::default()
            },
            log_level: log_level?,
            log_format: log_format?,
        })
    }
}

// === impl NamesArgs ===

impl NamesArgs {
    /// How many bytes a path may have, and how many endpoints there may be.
    pub(crate) fn collect(&self, problems: &mut Problems) -> (usize, usize) {
        // Postgres takes at most a third of a page, 2,704 bytes, into its unique index.
        let path_bytes_max = problems.within(
            "--path-bytes-max (TALLY_PATH_BYTES_MAX)",
            &self.path_bytes_max,
            1..=2_600,
        );
        let endpoints_max = problems.within(
            "--endpoints-max (TALLY_ENDPOINTS_MAX)",
            &self.endpoints_max,
            0..=10_000_000,
        );
        (path_bytes_max, endpoints_max)
    }
}

// === impl ServeArgs ===

impl ServeArgs {
    /// # Errors
    /// All mistakes, by name.
    pub(crate) fn check(&self) -> Result<Settings, Invalid> {
        let mut problems = Problems::new();
        let settings = self.collect(&mut problems);
        problems.check()?;
        Ok(settings.expect("without problems there are settings"))
    }

    fn collect(&self, problems: &mut Problems) -> Option<Settings> {
        let database = self.database.collect(problems);
        let listen = problems.take("--listen (LISTEN_ADDR)", &self.listen);
        let listen = listen.and_then(|listen| {
            let wrong = |reason| {
                problems.add(format!(
                    "--listen (LISTEN_ADDR): \u{201c}{listen}\u{201d}: {reason}: write HOST:PORT, as in \
                     127.0.0.1:7777 or [::1]:7777"
                ));
            };
            host_and_port(&listen).map_err(wrong).ok()
        });
        let migrate = problems.take("--migrate (TALLY_MIGRATE)", &self.migrate);
        let requests = self.requests(problems);
        if let Some(database) = &database {
            let needed = requests.workers + tally_requests::CONNECTIONS_BESIDE_WORKERS;
            let given = database.pool.connections_max;
            let is_pooled = matches!(database.url, DatabaseUrl::Postgres(_));
            if is_pooled && given < needed {
                problems.add(format!(
                    "--connections-max (TALLY_CONNECTIONS_MAX): {given} is too few for {} workers, \
                     which need {needed}",
                    requests.workers
                ));
            }
        }
        let drain_timeout =
            ms(problems, "--drain-timeout-ms (TALLY_DRAIN_TIMEOUT_MS)", &self.drain_timeout_ms);
        let (mut database, listen, migrate) = (database?, listen?, migrate?);
        database.pool.write_max = requests.attempt_max();
        Some(Settings { listen, database, migrate, drain_timeout, requests })
    }

    fn requests(&self, problems: &mut Problems) -> tally_requests::Settings {
        let queue = self.queue(problems);
        let (path_bytes_max, endpoints_max) = self.names.collect(problems);
        tally_requests::Settings {
            workers: problems.within("--workers (TALLY_WORKERS)", &self.workers, 1..=64),
            batch_rows_max: problems.within(
                "--batch-rows-max (TALLY_BATCH_ROWS_MAX)",
                &self.batch_rows_max,
                1..=10_000_000,
            ),
            queue,
            write_wait_max: ms(
                problems,
                "--write-wait-ms (TALLY_WRITE_WAIT_MS)",
                &self.write_wait_ms,
            ),
            path_bytes_max,
            endpoints_max,
            totals_max: problems.within(
                "--totals-max (TALLY_TOTALS_MAX)",
                &self.totals_max,
                1..=1_000_000_000,
            ),
            record: tally_requests::RecordLimits::default(),
            producers_max: problems.within(
                "--producers-max (TALLY_PRODUCERS_MAX)",
                &self.producers_max,
                0..=10_000_000,
            ),
            // A worker that was silent for a day begins anew, so it is never forgotten before.
            producer_retention_days: problems.within(
                "--producer-retention-days (TALLY_PRODUCER_RETENTION_DAYS)",
                &self.producer_retention_days,
                1..=36_500,
            ),
        }
    }

    fn queue(&self, problems: &mut Problems) -> Limits {
        Limits {
            rows_max: problems.within(
                "--queue-rows-max (TALLY_QUEUE_ROWS_MAX)",
                &self.queue_rows_max,
                2_048..=100_000_000,
            ),
            bytes_max: problems.within(
                "--queue-bytes-max (TALLY_QUEUE_BYTES_MAX)",
                &self.queue_bytes_max,
                1 << 20..=u32::MAX / 2,
            ),
            wait_max: ms(problems, "--queue-wait-ms (TALLY_QUEUE_WAIT_MS)", &self.queue_wait_ms),
        }
    }
}

/// A database as it is opened: of the kind that the driver says, and with what libpq reads besides
/// the URL.
pub(crate) fn database_url(
    problems: &mut Problems,
    flag: &str,
    given: &Given<DatabaseUrl>,
    driver: Option<Driver>,
) -> Option<DatabaseUrl> {
    let mut url = problems.take_secret(flag, given)?;
    if let Some(driver) = driver {
        url = url.with_driver(driver);
    }
    let url = url.completed(&Environment::of_process());
    url.map_err(|error| problems.add(format!("{flag}: {error}"))).ok()
}

/// An address to listen on. Without a host, as in `:7777`, it is every address of this machine.
fn host_and_port(listen: &str) -> Result<String, &'static str> {
    let (host, port) = listen.rsplit_once(':').ok_or("it has no port")?;
    if listen.contains("://") {
        return Err("it is a URL");
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return Err("its port is not a number from 0 to 65535");
    }
    let is_v6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match in_brackets {
        _ if host.is_empty() => Ok(format!("0.0.0.0:{port}")),
        Some(v6) if is_v6(v6) => Ok(listen.to_owned()),
        None if host.chars().all(is_name) => Ok(listen.to_owned()),
        _ => Err("its host is not a name or an address"),
    }
}

/// A duration of an hour at most.
fn ms(problems: &mut Problems, name: &str, given: &Given<u64>) -> Duration {
    const HOUR_MS: u64 = 60 * 60 * 1000;
    Duration::from_millis(problems.within(name, given, 0..=HOUR_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(host_and_port(":7777").as_deref(), Ok("0.0.0.0:7777"));
        for good in ["127.0.0.1:7777", "[::1]:0", "localhost:7777", "a-b.c_d:1"] {
            assert_eq!(host_and_port(good).as_deref(), Ok(good));
        }
        for bad in ["", "7777", "localhost", "localhost:", "localhost:http", "[::1]", "a:65536"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
        for bad in ["::1:7777", "[x]:7777", "a b:7777", "a/b:1", "a:+1", "http://127.0.0.1:7777"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
