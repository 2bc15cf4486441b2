//! Making debts, and what the tables have of them.

use anyhow::Context as _;
use rusqlite::Connection;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::definition::Schedule;
use tally_proto::tally::debts::v1::{AddDebtRequest, Definition};

use crate::place::Place;
use crate::server::Server;

/// The debt that the others are copies of.
const TEMPLATE: &str = "d-0";

/// How long after the last payment each debt is due.
const HOURS: i64 = 12;

/// Makes the first debt.
pub(super) async fn template(server: &Server) -> anyhow::Result<()> {
    let every = prost_types::Duration { seconds: HOURS * 3_600, nanos: 0 };
    let definition = Definition {
        slug: TEMPLATE.to_owned(),
        schedule: Some(Schedule::Every(every)),
        notify: vec![super::HOOK.to_owned()],
        ..Definition::default()
    };
    let request = AddDebtRequest { definition: Some(definition) };
    let mut client = DebtServiceClient::new(server.connect().await?);
    client.add_debt(request).await.map(drop).with_context(|| server.log())
}

/// The slug of a debt.
pub(super) fn slug(debt: u64) -> String {
    format!("d-{debt}")
}

/// Writes anew when debts are overdue.
const DEADLINES: &str = "DELETE FROM tally_debt_deadlines; \
    INSERT INTO tally_debt_deadlines (overdue_at, debt_id, namespace_id, late_at) \
    SELECT overdue_at, id, namespace_id, due_at FROM tally_debts WHERE overdue_at IS NOT NULL ORDER BY 1, 2";

/// Makes copies of the first debt until there are so many.
pub(super) async fn fill(place: &Place, debts: u64) -> anyhow::Result<()> {
    let columns = "created_at, status, since, settled_at, due_at, overdue_at, failures, successes, paid_at, \
         rate_period_at, rate_payments, payments, runs, open_runs, flips";
    let head = format!(
        "INSERT INTO tally_debts (id, namespace_id, number, slug, ping_id, definition, {columns})"
    );
    let tail =
        format!("'d-' || n, %uuid, replace(definition, '\"d-0\"', '\"d-' || n || '\"'), {columns}");
    // Most debts are up.
    let tail = tail.replace(" status,", " 1,");
    let last = debts.saturating_sub(1);
    let counted =
        format!("UPDATE tally_debt_namespaces SET debts = {debts}, last_number = {debts}");
    if let Some(client) = place.postgres().await {
        let tail = tail.replace("%uuid", "gen_random_uuid()");
        let sql = format!(
            "{head} SELECT gen_random_uuid(), namespace_id, n + 1, {tail} \
             FROM tally_debts, generate_series(1, {last}) AS n"
        );
        client.batch_execute(&sql).await?;
        client.batch_execute(&counted).await?;
        client.batch_execute(DEADLINES).await?;
        // Not of empty tables: plans made then would be for empty ones.
        client.batch_execute("VACUUM (ANALYZE) tally_debts, tally_debt_deadlines").await?;
        return Ok(client.batch_execute("CHECKPOINT").await?);
    }
    let tail = tail.replace("%uuid", "randomblob(16)");
    let sql = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) \
         {head} SELECT randomblob(16), namespace_id, n + 1, {tail} FROM tally_debts, numbers"
    );
    let connection = Connection::open(place.file().context("a file")?)?;
    Ok(connection.execute_batch(&format!("{sql}; {counted}; {DEADLINES}"))?)
}

/// How many payments are stored: rows, and as the debts themselves say.
pub(super) async fn payments(place: &Place) -> anyhow::Result<u64> {
    let rows = number(place, "SELECT count(*) FROM tally_debt_payments").await?;
    let sum = "SELECT CAST(coalesce(sum(payments), 0) AS BIGINT) FROM tally_debts";
    let said = number(place, sum).await?;
    anyhow::ensure!(rows == said, "{rows} payments are stored, and debts have {said}");
    Ok(rows)
}

/// How many transactions have written something, and how many bytes Postgres's log has; zeros on SQLite.
pub(super) async fn written(place: &Place) -> anyhow::Result<[u64; 2]> {
    let Some(client) = place.postgres().await else { return Ok([0; 2]) };
    let sql = "SELECT txid_snapshot_xmax(txid_current_snapshot()), \
         (pg_current_wal_insert_lsn() - '0/0'::PG_LSN)::BIGINT";
    let row = client.query_one(sql, &[]).await?;
    Ok([0, 1].map(|at| row.get::<_, i64>(at).unsigned_abs()))
}

/// The one number that a query answers.
pub(super) async fn number(place: &Place, sql: &str) -> anyhow::Result<u64> {
    let number: i64 = match place.postgres().await {
        Some(client) => client.query_one(sql, &[]).await?.get(0),
        None => Connection::open(place.file().context("a file")?)?
            .query_row(sql, [], |row| row.get(0))?,
    };
    Ok(number.unsigned_abs())
}

/// Lets one in so many debts have been due an hour ago, and returns how many.
pub(super) async fn age(place: &Place, one_in: u64) -> anyhow::Result<u64> {
    let ago = HOURS + 1;
    let is_postgres = place.postgres().await.is_some();
    let earlier = |column: &str| match is_postgres {
        true => format!("{column} = {column} - INTERVAL '{ago} hours'"),
        false => format!("{column} = {column} - {ago} * 3600000000"),
    };
    let all = ["created_at", "since", "settled_at", "due_at", "overdue_at", "paid_at"].map(earlier);
    // Those that were not made to be due before.
    let sql = format!(
        "UPDATE tally_debts SET {} WHERE number % {one_in} = 0 AND status <> 2",
        all.join(", ")
    );
    match place.postgres().await {
        Some(client) => {
            let aged = client.execute(&sql, &[]).await?;
            client.batch_execute(DEADLINES).await?;
            client.batch_execute("VACUUM (ANALYZE) tally_debts, tally_debt_deadlines").await?;
            Ok(aged)
        }
        None => {
            let connection = Connection::open(place.file().context("a file")?)?;
            let aged = connection.execute(&sql, [])?;
            connection.execute_batch(DEADLINES)?;
            Ok(aged as u64)
        }
    }
}
