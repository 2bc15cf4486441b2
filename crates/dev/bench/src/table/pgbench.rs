//! What people do now, by `pgbench`: a statement for each request; and how long a bare COMMIT takes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::run as run_program;

use super::copy::SERIES;
use super::figures::{Figures, Metric};
use super::load::Amount;
use super::programs::{checked, find};
use super::{Measured, Run};
use crate::arguments::Backend;
use crate::place::Place;
use crate::samples::Samples;

/// The Go server's tables: rows with a foreign key, and an index on the time.
const REQUESTS: &str = "\
    CREATE TABLE endpoints (id SERIAL PRIMARY KEY, method TEXT NOT NULL, path TEXT NOT NULL, \
        UNIQUE (method, path)); \
    CREATE TABLE requests (id BIGSERIAL PRIMARY KEY, endpoint_id INT NOT NULL REFERENCES endpoints, \
        requested_at TIMESTAMPTZ NOT NULL); \
    CREATE INDEX ON requests (requested_at); \
    INSERT INTO endpoints (method, path) SELECT 'GET', '/path/' || n FROM generate_series(1, 100) AS n; \
    VACUUM ANALYZE endpoints";
const INSERT: &str = "\\set endpoint random(1, 100)\n\
    INSERT INTO requests (endpoint_id, requested_at) VALUES (:endpoint, now());\n";
const INSERTED: &str = "SELECT count(*) FROM requests";

/// A counter for each endpoint.
const COUNTERS: &str = "\
    CREATE TABLE counters (id INT PRIMARY KEY, requests BIGINT NOT NULL); \
    INSERT INTO counters SELECT n, 0 FROM generate_series(1, 100) AS n; \
    VACUUM ANALYZE counters";
const UPDATE: &str = "\\set counter random(1, 100)\n\
    UPDATE counters SET requests = requests + 1 WHERE id = :counter;\n";
const UPDATED: &str = "SELECT coalesce(sum(requests), 0)::BIGINT FROM counters";

/// The smallest transaction that stores a row.
const ROWS: &str = "CREATE TABLE bare (id BIGINT NOT NULL, requested_at TIMESTAMPTZ NOT NULL)";
const ROW: &str = "INSERT INTO bare (id, requested_at) VALUES (1, now());\n";
const COMMITTED: &str = "SELECT count(*) FROM bare";

/// As many as the statements say.
const _: () = assert!(SERIES == 100);

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What `pgbench` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Summary {
    transactions: u64,
    per_second: f64,
}

pub(super) async fn measure_inserts(run: &Run<'_>, clients: u32) -> anyhow::Result<Measured> {
    let place = run.place(Backend::Postgres)?;
    measure(run, &place, clients, (REQUESTS, INSERT, INSERTED)).await
}

pub(super) async fn measure_updates(run: &Run<'_>, clients: u32) -> anyhow::Result<Measured> {
    let place = run.place(Backend::Postgres)?;
    measure(run, &place, clients, (COUNTERS, UPDATE, UPDATED)).await
}

/// How long a transaction of one row takes, for one client that does nothing else.
pub(super) async fn measure_commit(run: &Run<'_>) -> anyhow::Result<Measured> {
    let place = run.place(Backend::Postgres)?;
    let mut measured = measure(run, &place, 1, (ROWS, ROW, COMMITTED)).await?;
    let log = run.folder.path().join("commit");
    let mut times = Samples::default();
    for file in run.folder.path().read_dir()?.flatten() {
        if file.path().to_string_lossy().starts_with(&*log.to_string_lossy()) {
            times.join(parse_log(&std::fs::read_to_string(file.path())?)?);
            std::fs::remove_file(file.path())?;
        }
    }
    let ms = |permille| times.at(permille).as_secs_f64() * 1e3;
    measured.figures.set(Metric::P50, ms(500));
    measured.figures.set(Metric::P99, ms(990));
    measured.figures.set(Metric::P999, ms(999));
    Ok(measured)
}

/// Makes tables, runs a statement again and again, and counts what has happened.
async fn measure(
    run: &Run<'_>,
    place: &Place,
    clients: u32,
    (tables, statement, counted): (&str, &str, &str),
) -> anyhow::Result<Measured> {
    let client = place.postgres().await.context("Postgres")?;
    for statement in tables.split("; ") {
        client.batch_execute(statement).await?;
    }
    let script: PathBuf = run.folder.path().join("statement.sql");
    std::fs::write(&script, statement)?;
    let mut command = Command::new(find("pgbench", "postgresql")?);
    command.args(["-n", "-M", "prepared", "-j", "2", "-c", &clients.to_string()]);
    match run.sizes.statements {
        Amount::Seconds(seconds) => command.args(["-T", &seconds.to_string()]),
        Amount::Requests(count) => command.args(["-t", &count.to_string()]),
    };
    if clients == 1 {
        command.arg("-l").arg("--log-prefix").arg(run.folder.path().join("commit"));
    }
    command.arg("-f").arg(&script).arg(&place.url);
    let output = checked(run_program(&command, b"", LIMIT)).context("pgbench")?;
    let summary = parse(&output.stdout).with_context(|| output.stdout.clone())?;
    let mut figures = Figures::default();
    figures.set(Metric::Rate, summary.per_second);
    let stored = client.query_one(counted, &[]).await?.get::<_, i64>(0);
    let mut measured = Measured::of(figures);
    measured.expect("requests", stored.unsigned_abs(), summary.transactions);
    Ok(measured)
}

/// Understands the summary.
fn parse(text: &str) -> anyhow::Result<Summary> {
    let after = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let transactions = after("number of transactions actually processed: ");
    // With a number for each client: 50/50.
    let transactions = transactions.and_then(|text| text.split('/').next()?.trim().parse().ok());
    let per_second = after("tps = ").and_then(|text| text.split(' ').next()?.parse().ok());
    Ok(Summary {
        transactions: transactions.context("no number of transactions")?,
        per_second: per_second.context("no transactions per second")?,
    })
}

/// Understands the log, whose third column is the time of a transaction in microseconds.
fn parse_log(text: &str) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for line in text.lines() {
        let micros = line.split(' ').nth(2).and_then(|micros| micros.parse().ok());
        samples.add(Duration::from_micros(micros.with_context(|| line.to_owned())?));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_a_time_is_understood() {
        let text = "pgbench (15.18 (Debian 15.18-0+deb12u1))\ntransaction type: /tmp/s.sql\n\
            scaling factor: 1\nquery mode: prepared\nnumber of clients: 8\nnumber of threads: 2\n\
            maximum number of tries: 1\nduration: 4 s\n\
            number of transactions actually processed: 59221\n\
            number of failed transactions: 0 (0.000%)\nlatency average = 0.539 ms\n\
            initial connection time = 20.315 ms\n\
            tps = 14843.711712 (without initial connection time)\n";
        let summary = Summary { transactions: 59_221, per_second: 14_843.711_712 };
        assert_eq!(parse(text).unwrap(), summary);
    }

    #[test]
    fn the_summary_of_a_number_is_understood() {
        let text = "number of transactions actually processed: 160/160\ntps = 980.5 (without)\n";
        assert_eq!(parse(text).unwrap(), Summary { transactions: 160, per_second: 980.5 });
        assert!(parse("tps = 980.5 (without)\n").is_err());
    }

    #[test]
    fn the_log_has_the_time_of_each_transaction() {
        let times = parse_log("0 1 208 0 1700000000 1\n0 2 250 0 1700000000 2\n").unwrap();
        assert_eq!(times.at(1_000), Duration::from_micros(250));
        assert_eq!(times.at(500), Duration::from_micros(208));
        assert!(parse_log("0 1\n").is_err());
    }
}
