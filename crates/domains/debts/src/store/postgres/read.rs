//! Reading debts, and what belongs to them.

use std::time::Duration;

use jiff::Timestamp;
use tally_runtime::Namespace;
use tally_store::postgres::Database;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::codes::{definition_of, outcome_of, stages_of, status_number, status_of, sum_of};
use super::super::{Counts, Listing, Numbered, Result};
use crate::metrics::{Seen, SeenDebt};
use crate::model::{Debt, KeptFlip, KeptRun, ShownPayment, kind_of, noted_of};
use crate::state::{Run, Standing, State};

pub(in crate::store) async fn list(
    database: &Database,
    listing: &Listing,
    now: Timestamp,
) -> Result<Vec<Debt>> {
    let sql = include_str!("list.sql");
    let numbered = |(status, is_asked)| (status_number(status), is_asked);
    let (statuses, are_asked): (Vec<i64>, Vec<bool>) = listing.each_status().map(numbered).unzip();
    let (rank, slug) = listing.after.clone().unwrap_or_default();
    let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
    let values: [&(dyn ToSql + Sync); 11] = [
        &listing.namespace.0,
        &statuses,
        &listing.search,
        &listing.tags,
        &now,
        &i64::from(rank),
        &slug,
        &limit,
        &are_asked,
        &listing.asks_for(Standing::Late),
        &listing.by_slug,
    ];
    database.rows("list debts", sql, &values).await?.iter().map(debt).collect()
}

pub(in crate::store) async fn numbered(
    database: &Database,
    namespace: Namespace,
    after: i64,
    limit: u32,
) -> Result<Vec<Numbered>> {
    let values: [&(dyn ToSql + Sync); 3] = [&namespace.0, &after, &i64::from(limit)];
    let rows = database.rows("list debts", include_str!("numbered.sql"), &values).await?;
    let numbered = |row: &Row| Numbered {
        number: row.get(0),
        created: row.get(1),
        paid: row.get(2),
        payments: row.get(3),
    };
    Ok(rows.iter().map(numbered).collect())
}

pub(in crate::store) async fn badge_secret(
    database: &Database,
    namespace: Namespace,
) -> Result<Option<Uuid>> {
    let (step, sql) = ("read the secret of badges", include_str!("badge_secret.sql"));
    let rows = database.rows(step, sql, &[&namespace.0]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

pub(in crate::store) async fn of_tag(
    database: &Database,
    namespace: Namespace,
    tag: &str,
    now: Timestamp,
) -> Result<[i64; 5]> {
    let (step, sql) = ("look at the debts of a tag", include_str!("of_tag.sql"));
    let rows = database.rows(step, sql, &[&namespace.0, &tag, &now]).await?;
    Ok(rows.first().map(|row| std::array::from_fn(|at| row.get(at))).unwrap_or_default())
}

pub(in crate::store) async fn counts(
    database: &Database,
    namespace: Option<Namespace>,
    now: Timestamp,
) -> Result<Counts> {
    let sql = include_str!("counts.sql");
    let namespace = namespace.map(|namespace| namespace.0);
    let rows = database.rows("count debts", sql, &[&namespace, &now]).await?;
    Ok(sum_of(rows.iter().map(|row| std::array::from_fn(|at| row.get(at)))))
}

pub(in crate::store) async fn seen(database: &Database, debts_max: u32) -> Result<Seen> {
    let whole = |number: i64| u64::try_from(number).unwrap_or_default();
    let sum = |row: &Row| (status_of(row.get(0)), whole(row.get(1)), whole(row.get(2)));
    let sums = database.rows("count debts", include_str!("sums.sql"), &[]).await?;
    let mut seen = Seen { sums: sums.iter().map(sum).collect(), debts: Vec::new() };
    if debts_max > 0 {
        let sql = include_str!("oldest.sql");
        let debt = |row: &Row| SeenDebt {
            namespace: Namespace(row.get(0)),
            slug: row.get(1),
            status: status_of(row.get(2)),
            since: row.get(3),
            paid: row.get(4),
            created: row.get(5),
            payments: whole(row.get(6)),
        };
        let debts = database.rows("look at debts", sql, &[&i64::from(debts_max)]).await?;
        seen.debts = debts.iter().map(debt).collect();
    }
    Ok(seen)
}

pub(in crate::store) async fn payments(
    database: &Database,
    debt: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<ShownPayment>> {
    let sql = include_str!("payments.sql");
    let rows = database.rows("list payments", sql, &[&debt, &before, &i64::from(limit)]).await?;
    let shown = |row: &Row| ShownPayment {
        number: row.get(0),
        kind: kind_of(row.get(1), row.get(3)),
        run: row.get(2),
        exit_status: row.get::<_, Option<i64>>(4).and_then(|status| u8::try_from(status).ok()),
        received: row.get(5),
        said: row.get(6),
        noted: noted_of(row.get(9), row.get(8), row.get::<_, Option<i64>>(7).map(duration)),
        key_name: row.get(10),
        source: row.get(11),
        body: row.get(12),
        body_bytes: row.get(13),
    };
    Ok(rows.iter().map(shown).collect())
}

pub(in crate::store) async fn runs(
    database: &Database,
    debt: Uuid,
    before: i64,
    open: bool,
    limit: u32,
) -> Result<Vec<KeptRun>> {
    let sql = include_str!("runs.sql");
    let values: [&(dyn ToSql + Sync); 4] = [&debt, &before, &open, &i64::from(limit)];
    database.rows("list runs", sql, &values).await?.iter().map(run).collect()
}

pub(in crate::store) async fn flips(
    database: &Database,
    debt: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<KeptFlip>> {
    let sql = include_str!("flips.sql");
    let rows = database.rows("list flips", sql, &[&debt, &before, &i64::from(limit)]).await?;
    let flip = |row: &Row| KeptFlip {
        debt,
        number: row.get(0),
        at: row.get(1),
        noticed: row.get(2),
        cause: row.get(3),
    };
    Ok(rows.iter().map(flip).collect())
}

pub(in crate::store) async fn overdue(
    database: &Database,
    now: Timestamp,
    after: (Timestamp, Uuid),
    limit: u32,
) -> Result<Vec<(Timestamp, Uuid)>> {
    let sql = include_str!("overdue.sql");
    let values: [&(dyn ToSql + Sync); 4] = [&now, &after.0, &after.1, &i64::from(limit)];
    let rows = database.rows("look what is overdue", sql, &values).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(in crate::store) async fn time(database: &Database) -> Result<Timestamp> {
    let connection = database.connection().await?;
    Ok(connection.row("ask for the time", include_str!("time.sql"), &[]).await?.get(0))
}

pub(in crate::store) async fn ahead(
    database: &Database,
    moment: Timestamp,
    after: Uuid,
    limit: u32,
) -> Result<Vec<Uuid>> {
    let values: [&(dyn ToSql + Sync); 3] = [&moment, &after, &i64::from(limit)];
    let step = "look what is ahead of the clock";
    let rows = database.rows(step, include_str!("ahead.sql"), &values).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) fn debt(row: &Row) -> Result<Debt> {
    let count = |at: usize| row.get::<_, i64>(at);
    Ok(Debt {
        id: row.get(0),
        namespace: Namespace(row.get(1)),
        number: row.get(2),
        ping_id: row.get(3),
        definition: definition_of(row.get(4))?,
        created: row.get(5),
        state: State {
            status: status_of(row.get(6)),
            since: row.get(7),
            settled: row.get(8),
            due: row.get(9),
            deadline: row.get(10),
            failures: u16::try_from(count(11)).unwrap_or(u16::MAX),
            successes: u16::try_from(count(12)).unwrap_or(u16::MAX),
            last_payment: row.get(13),
            rate_period: row.get(14),
            rate_payments: u32::try_from(count(15)).unwrap_or(u32::MAX),
        },
        payments: row.get(16),
        runs: row.get(17),
        open_runs: row.get(18),
        flips: row.get(19),
    })
}

pub(super) fn run(row: &Row) -> Result<KeptRun> {
    Ok(KeptRun {
        debt: row.get(0),
        number: row.get(1),
        run: Run {
            id: row.get(2),
            started: row.get(3),
            heard: row.get(4),
            stages: stages_of(row.get(5))?,
            deadline: row.get(6),
            outcome: outcome_of(row.get(7)),
            ended: row.get(8),
        },
    })
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
