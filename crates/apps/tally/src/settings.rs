//! The server's own settings, without its domains': every mistake is reported at once.

use std::net::Ipv6Addr;
use std::time::Duration;

use clap::ArgMatches;
use tally_outbox::{Webhooks, WebhooksArgs};
use tally_producers::Terms;
use tally_runtime::config::{Given, Invalid, Problems, name};
use tally_runtime::telemetry;
use tally_serve::{Configured, Connections, Domain, HostNames, TlsArgs, TlsFiles};
use tally_store::{DatabaseUrl, Dialect, Driver, Environment};

use crate::access::{AccessArgs, AccessSettings};
use crate::schema::Sets;

/// What messages call the settings whose variables lack the prefix.
const DATABASE_URL: &str = "--database-url (DB_URL)";
const LISTEN: &str = "--listen (LISTEN_ADDR)";

/// The most database connections that may be configured.
const CONNECTIONS_MAX: usize = 1_000;

/// What a command needs that opens the database itself.
pub(crate) const OF_COMMANDS: Connections =
    Connections { writers: 1, others: 3, write_max: Duration::from_secs(10) };

/// The health check has a connection of its own.
const OF_HEALTH: Connections = Connections { writers: 0, others: 1, write_max: Duration::ZERO };

/// Delivering events takes one.
const OF_OUTBOX: Connections = Connections { writers: 0, others: 1, write_max: Duration::ZERO };

/// Reading keys takes one.
const OF_ACCESS: Connections = Connections { writers: 0, others: 1, write_max: Duration::ZERO };

/// The database.
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

    /// The database's kind, as the Go server calls it: pgx or cockroachdb
    #[arg(long, env = "MIGRATION_DRIVER", value_name = "DRIVER")]
    migration_driver: Option<Given<Driver>>,

    /// The most connections to Postgres or CockroachDB; by default and at least as many as the
    /// domains can use at once
    #[arg(long, env = "TALLY_CONNECTIONS_MAX", value_name = "N")]
    connections_max: Option<Given<usize>>,
}

/// What is logged.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug or trace, or as in info,tally_store=debug
    #[arg(long, env = "TALLY_LOG", value_name = "LEVEL", default_value = "info")]
    log_level: Given<telemetry::Level>,

    /// How to log: text or json
    #[arg(long, env = "TALLY_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: Given<telemetry::Format>,
}

/// Which domains are on.
#[derive(Debug, clap::Args)]
pub(crate) struct DomainArgs {
    // Its help is added where the domains are known.
    #[arg(long, env = "TALLY_DOMAINS", value_name = "NAMES", default_value = ALL)]
    domains: String,
}

/// The word for all domains.
const ALL: &str = "all";

/// Producers of all domains.
#[derive(Debug, clap::Args)]
struct ProducerArgs {
    /// How many clients that number their batches the server remembers at most, of each namespace
    #[arg(long, env = "TALLY_PRODUCERS_MAX", value_name = "N", default_value = "100000")]
    producers_max: Given<u32>,

    /// For how many days the server remembers such a client after its last batch; one with a checkpoint, such
    /// as an imported file, for 400 days at least
    #[arg(long, env = "TALLY_PRODUCER_RETENTION_DAYS", value_name = "DAYS", default_value = "30")]
    producer_retention_days: Given<u32>,
}

/// The server's settings as given, without its domains'.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where to listen for gRPC and HTTP
    #[arg(long, env = "LISTEN_ADDR", value_name = "HOST:PORT", default_value = "127.0.0.1:7777")]
    listen: Given<String>,

    /// By which names browsers may ask for the server, such as that of a proxy: names with commas between
    /// them, besides addresses, localhost, names without a dot, and the host of --listen
    #[arg(long, env = "TALLY_HOST_NAMES", value_name = "NAMES")]
    host_names: Option<Given<HostNames>>,

    /// How many connections clients may have at the same time, as far as the open files allow; beyond, idle
    /// ones are closed, and new ones are refused
    #[arg(long, env = "TALLY_CLIENT_CONNECTIONS_MAX", value_name = "N", default_value = "4096")]
    client_connections_max: Given<usize>,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    pub(crate) database: DatabaseArgs,

    /// Whether to bring the tables up to date at start: true or false
    #[arg(long, env = "TALLY_MIGRATE", value_name = "BOOL", default_value = "true")]
    migrate: Given<bool>,

    #[command(flatten)]
    pub(crate) domains: DomainArgs,

    #[command(flatten)]
    producers: ProducerArgs,

    #[command(flatten)]
    pub(crate) webhooks: WebhooksArgs,

    /// How long a stopping server may take to store and acknowledge what it accepted
    #[arg(long, env = "TALLY_DRAIN_TIMEOUT_MS", value_name = "MS", default_value = "30000")]
    drain_timeout_ms: Given<u64>,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// The database's settings, checked.
#[derive(Debug)]
pub(crate) struct DatabaseSettings {
    pub(crate) url: DatabaseUrl,
    pub(crate) driver: Option<Driver>,
    pub(crate) pool: tally_store::postgres::Settings,
}

/// What is logged, checked.
#[derive(Debug)]
pub(crate) struct LogSettings {
    pub(crate) level: telemetry::Level,
    pub(crate) format: telemetry::Format,
}

/// The server's settings, checked.
pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) host_names: HostNames,
    pub(crate) access: AccessSettings,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) client_connections_max: usize,
    pub(crate) database: DatabaseSettings,
    pub(crate) migrate: bool,
    pub(crate) drain_timeout: Duration,
    pub(crate) log: LogSettings,
    pub(crate) webhooks: Webhooks,
    /// The domains that are on.
    pub(crate) domains: Vec<(Domain, Box<dyn Configured>)>,
    /// Grows with each migration of any domain, even of those that are off.
    pub(crate) version: i64,
}

// === impl DatabaseArgs ===

impl DatabaseArgs {
    pub(crate) fn url(&self, problems: &mut Problems) -> Option<DatabaseUrl> {
        let driver = self.driver(problems);
        database_url(problems, DATABASE_URL, &self.database_url, driver)
    }

    fn driver(&self, problems: &mut Problems) -> Option<Driver> {
        let driver = self.migration_driver.as_ref()?;
        problems.take("--migration-driver (MIGRATION_DRIVER)", driver)
    }

    pub(crate) fn check(
        &self,
        needed: Connections,
        problems: &mut Problems,
    ) -> Option<DatabaseSettings> {
        let driver = self.driver(problems);
        let url = database_url(problems, DATABASE_URL, &self.database_url, driver);
        let needed = needed.and(OF_HEALTH);
        let is_pooled = matches!(url, Some(DatabaseUrl::Postgres(_)));
        let least = if is_pooled { needed.total() } else { 1 };
        let connections_max = self.connections_max.as_ref().map_or(needed.total(), |given| {
            problems.within(&name("connections-max"), given, least..=CONNECTIONS_MAX)
        });
        let pool = tally_store::postgres::Settings {
            connections_max,
            writers_max: connections_max.saturating_sub(needed.others).max(1),
            write_max: needed.write_max,
            ..tally_store::postgres::Settings::default()
        };
        Some(DatabaseSettings { url: url?, driver, pool })
    }
}

// === impl LogArgs ===

impl LogArgs {
    /// How to say that settings are wrong: as text, if this one is.
    pub(crate) fn format(&self) -> telemetry::Format {
        Problems::new().take("", &self.log_format).unwrap_or(telemetry::Format::Text)
    }

    pub(crate) fn check(&self, problems: &mut Problems) -> Option<LogSettings> {
        let level = problems.take("--log-level (TALLY_LOG)", &self.log_level);
        let format = problems.take("--log-format (TALLY_LOG_FORMAT)", &self.log_format);
        Some(LogSettings { level: level?, format: format? })
    }
}

// === impl DomainArgs ===

impl DomainArgs {
    pub(crate) fn help(known: &[Domain]) -> String {
        let names = names(known);
        format!(
            "The domains to serve: {ALL}, or a comma-separated list of: {names}; one that is off has no tables"
        )
    }

    /// The domains that are on; all, if a name is wrong, so that mistakes in their settings are noted too.
    pub(crate) fn check(&self, known: &[Domain], problems: &mut Problems) -> Vec<Domain> {
        let chosen: Vec<_> = self.domains.split(',').map(str::trim).collect();
        if chosen == [ALL] {
            return known.to_vec();
        }
        let is_known = |name: &str| known.iter().any(|one| one.name == name);
        for unknown in chosen.iter().filter(|name| !is_known(name)) {
            let wrong = match *unknown {
                ALL => format!("{ALL} stands alone"),
                _ => format!(
                    "there is no domain \u{201c}{unknown}\u{201d}: write {ALL}, or a comma-separated \
                     list of: {}",
                    names(known)
                ),
            };
            problems.add(format!("{}: {wrong}", name("domains")));
        }
        let are_known = chosen.iter().all(|name| is_known(name));
        let is_on = |domain: &Domain| !are_known || chosen.contains(&domain.name);
        known.iter().copied().filter(is_on).collect()
    }
}

fn names(domains: &[Domain]) -> String {
    domains.iter().map(|domain| domain.name).collect::<Vec<_>>().join(", ")
}

// === impl ProducerArgs ===

impl ProducerArgs {
    fn check(&self, problems: &mut Problems) -> Terms {
        let (max, days) = (&self.producers_max, &self.producer_retention_days);
        Terms {
            producers_max: problems.within(&name("producers-max"), max, 0..=10_000_000),
            // A worker that was silent for a day begins anew, so it is never forgotten before.
            retention_days: problems.within(&name("producer-retention-days"), days, 1..=36_500),
        }
    }
}

// === impl ServeArgs ===

impl ServeArgs {
    /// Checks these settings, and those of the domains that are on, which `matches` has. They may have
    /// problems already.
    pub(crate) fn check(
        &self,
        known: &[Domain],
        matches: &ArgMatches,
        mut problems: Problems,
    ) -> Result<Settings, Invalid> {
        let settings = self.collect(known, matches, &mut problems);
        problems.check()?;
        Ok(settings.expect("without problems there are settings"))
    }

    fn collect(
        &self,
        known: &[Domain],
        matches: &ArgMatches,
        problems: &mut Problems,
    ) -> Option<Settings> {
        let listen = problems.take(LISTEN, &self.listen).and_then(|listen| {
            let wrong = |reason| {
                problems.add(format!(
                    "{LISTEN}: \u{201c}{listen}\u{201d}: {reason}: write HOST:PORT, as in \
                     127.0.0.1:7777 or [::1]:7777"
                ));
            };
            host_and_port(&listen).map_err(wrong).ok()
        });
        let host_names = self.host_names.as_ref();
        let host_names =
            host_names.and_then(|given| problems.take_secret(&name("host-names"), given));
        let host_names = host_names.unwrap_or_default();
        let access = self.access.check(problems);
        let tls = self.tls.check(problems);
        let client_connections_max = problems.within(
            &name("client-connections-max"),
            &self.client_connections_max,
            8..=1_000_000,
        );
        let migrate = problems.take(&name("migrate"), &self.migrate);
        let drain_timeout = problems.ms(&name("drain-timeout-ms"), &self.drain_timeout_ms);
        let log = self.log.check(problems);
        let producers = self.producers.check(problems);
        let webhooks = self.webhooks.check(problems);
        let on = self.domains.check(known, problems).into_iter();
        let domains: Vec<_> = on
            .filter_map(|domain| Some((domain, (domain.check)(matches, producers, problems)?)))
            .collect();
        let needed = domains.iter().map(|(_, configured)| configured.connections());
        let needed = needed.fold(OF_OUTBOX.and(OF_ACCESS), Connections::and);
        let database = self.database.check(needed, problems)?;
        let dialect = match &database.url {
            DatabaseUrl::Sqlite(_) => Dialect::Sqlite,
            DatabaseUrl::Postgres(url) => url.dialect(),
        };
        let version = Sets::of(known).version(dialect);
        let (listen, access, migrate, log) = (listen?, access?, migrate?, log?);
        Some(Settings {
            listen,
            host_names,
            access,
            tls,
            client_connections_max,
            database,
            migrate,
            drain_timeout,
            log,
            webhooks,
            domains,
            version,
        })
    }
}

// === impl Settings ===

impl Settings {
    /// The domains that are on.
    pub(crate) fn on(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter().map(|(domain, _)| domain)
    }
}

/// A database with the driver's dialect, and with what libpq reads besides the URL.
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

/// An address to listen on: `:7777` is every address of this machine.
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

#[cfg(test)]
mod tests;
