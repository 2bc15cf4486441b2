//! Reading debts, and what belongs to them.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};
use tally_runtime::Namespace;
use tally_store::error::Step as _;
use tally_store::sqlite::rows;
use uuid::Uuid;

use super::super::codes::{definition_of, outcome_of, stages_of, status_number, status_of, sum_of};
use super::super::{Counts, Listing, Numbered, Result};
use super::time;
use crate::metrics::{Seen, SeenDebt};
use crate::model::{Debt, KeptFlip, KeptRun, ShownPayment, kind_of, noted_of};
use crate::state::{Run, Standing, State, Status};

pub(in crate::store) fn list(
    connection: &mut Connection,
    listing: &Listing,
    now: Timestamp,
) -> Result<Vec<Debt>> {
    let step = "list debts";
    let tags = serde_json::to_string(&listing.tags).expect("texts can be JSON");
    let has_late = listing.asks_for(Standing::Late);
    let (first, after) = listing.after.clone().unwrap_or_default();
    // One snapshot of all statuses.
    let transaction = connection.transaction().step(step)?;
    let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
    let from = |rank: u8| if rank == first { &*after } else { "" };
    let (namespace, search, now) = (listing.namespace.0, &listing.search, now.as_microsecond());
    let mut all = Vec::new();
    let mut add = |rank: u8, sql: &str, values: &[&dyn ToSql]| -> Result<()> {
        if rank >= first {
            for debt in rows(&transaction, step, sql, values, |row| Ok(debt(row)))? {
                all.push((rank, debt?));
            }
        }
        Ok(())
    };
    for (status, is_asked) in listing.each_status() {
        let rank = if status == Status::Down && !listing.by_slug { 0 } else { 2 };
        let (number, late_too) = (status_number(status), has_late && listing.by_slug);
        let values =
            params![namespace, number, search, tags, now, from(rank), limit, is_asked, late_too];
        add(rank, include_str!("list.sql"), values)?;
    }
    if has_late && !listing.by_slug {
        let values = params![namespace, search, tags, now, from(1), limit];
        add(1, include_str!("list_late.sql"), values)?;
    }
    all.sort_by(|(rank, one), (other_rank, other)| {
        (rank, &one.definition.slug).cmp(&(other_rank, &other.definition.slug))
    });
    Ok(all.into_iter().map(|(_, debt)| debt).take(listing.limit).collect())
}

pub(in crate::store) fn numbered(
    connection: &Connection,
    namespace: Namespace,
    after: i64,
    limit: u32,
) -> Result<Vec<Numbered>> {
    let numbered = |row: &Row<'_>| {
        Ok(Numbered {
            number: row.get(0)?,
            created: time(row.get(1)?),
            paid: row.get::<_, Option<i64>>(2)?.map(time),
            payments: row.get(3)?,
        })
    };
    let sql = include_str!("numbered.sql");
    rows(connection, "list debts", sql, params![namespace.0, after, limit], numbered)
}

pub(in crate::store) fn badge_secret(
    connection: &Connection,
    namespace: Namespace,
) -> Result<Option<Uuid>> {
    let (step, sql) = ("read the secret of badges", include_str!("badge_secret.sql"));
    let secret = |row: &Row<'_>| Ok(Uuid::from_bytes(row.get(0)?));
    Ok(rows(connection, step, sql, [namespace.0], secret)?.into_iter().next())
}

pub(in crate::store) fn of_tag(
    connection: &Connection,
    namespace: Namespace,
    tag: &str,
    now: Timestamp,
) -> Result<[i64; 5]> {
    let (step, sql) = ("look at the debts of a tag", include_str!("of_tag.sql"));
    let values = params![namespace.0, tag, now.as_microsecond()];
    let counts =
        |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]);
    Ok(rows(connection, step, sql, values, counts)?.into_iter().next().unwrap_or_default())
}

pub(in crate::store) fn counts(
    connection: &Connection,
    namespace: Option<Namespace>,
    now: Timestamp,
) -> Result<Counts> {
    let values = params![namespace.map(|namespace| namespace.0), now.as_microsecond()];
    let one = |row: &Row<'_>| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?])
    };
    Ok(sum_of(rows(connection, "count debts", include_str!("counts.sql"), values, one)?))
}

pub(in crate::store) fn seen(connection: &Connection, debts_max: u32) -> Result<Seen> {
    let sum = |row: &Row<'_>| Ok((status_of(row.get(0)?), whole(row.get(1)?), whole(row.get(2)?)));
    let sums = rows(connection, "count debts", include_str!("sums.sql"), [], sum)?;
    let mut seen = Seen { sums, debts: Vec::new() };
    if debts_max > 0 {
        let debt = |row: &Row<'_>| {
            Ok(SeenDebt {
                namespace: Namespace(row.get(0)?),
                slug: row.get(1)?,
                status: status_of(row.get(2)?),
                since: time(row.get(3)?),
                paid: row.get::<_, Option<i64>>(4)?.map(time),
                created: time(row.get(5)?),
                payments: whole(row.get(6)?),
            })
        };
        let sql = include_str!("oldest.sql");
        seen.debts = rows(connection, "look at debts", sql, [debts_max], debt)?;
    }
    Ok(seen)
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(in crate::store) fn payments(
    connection: &Connection,
    debt: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<ShownPayment>> {
    let shown = |row: &Row<'_>| {
        let took = row.get::<_, Option<i64>>(7)?;
        let took = took.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
        Ok(ShownPayment {
            number: row.get(0)?,
            kind: kind_of(row.get(1)?, row.get(3)?),
            run: row.get(2)?,
            exit_status: row.get(4)?,
            received: time(row.get(5)?),
            said: row.get::<_, Option<i64>>(6)?.map(time),
            noted: noted_of(row.get(9)?, row.get::<_, Option<i64>>(8)?.map(time), took),
            key_name: row.get(10)?,
            source: row.get(11)?,
            body: row.get(12)?,
            body_bytes: row.get(13)?,
        })
    };
    let sql = include_str!("payments.sql");
    rows(connection, "list payments", sql, (debt.as_bytes(), before, limit), shown)
}

pub(in crate::store) fn runs(
    connection: &Connection,
    debt: Uuid,
    before: i64,
    open: bool,
    limit: u32,
) -> Result<Vec<KeptRun>> {
    let sql = include_str!("runs.sql");
    runs_of(connection, sql, params![debt.as_bytes(), before, open, limit])
}

pub(super) fn runs_of(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<KeptRun>> {
    rows(connection, "read runs", sql, values, |row| Ok(run(row)))?.into_iter().collect()
}

pub(in crate::store) fn flips(
    connection: &Connection,
    debt: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<KeptFlip>> {
    let flip = |row: &Row<'_>| {
        Ok(KeptFlip {
            debt,
            number: row.get(0)?,
            at: time(row.get(1)?),
            noticed: time(row.get(2)?),
            cause: row.get(3)?,
        })
    };
    let sql = include_str!("flips.sql");
    rows(connection, "list flips", sql, (debt.as_bytes(), before, limit), flip)
}

pub(in crate::store) fn overdue(
    connection: &Connection,
    now: Timestamp,
    after: (Timestamp, Uuid),
    limit: u32,
) -> Result<Vec<(Timestamp, Uuid)>> {
    let pair = |row: &Row<'_>| Ok((time(row.get(0)?), Uuid::from_bytes(row.get(1)?)));
    let (at, id) = (after.0.as_microsecond(), after.1);
    let values = (now.as_microsecond(), at, id.as_bytes(), limit);
    rows(connection, "look what is overdue", include_str!("overdue.sql"), values, pair)
}

pub(in crate::store) fn ahead(
    connection: &Connection,
    moment: Timestamp,
    after: Uuid,
    limit: u32,
) -> Result<Vec<Uuid>> {
    let step = "look what is ahead of the clock";
    let values = (moment.as_microsecond(), after.as_bytes(), limit);
    let id = |row: &Row<'_>| Ok(Uuid::from_bytes(row.get(0)?));
    rows(connection, step, include_str!("ahead.sql"), values, id)
}

pub(super) fn debt(row: &Row<'_>) -> Result<Debt> {
    let step = "read a debt";
    let at = |at: usize| row.get::<_, Option<i64>>(at).map(|micros| micros.map(time)).step(step);
    let definition: String = row.get(4).step(step)?;
    Ok(Debt {
        id: Uuid::from_bytes(row.get(0).step(step)?),
        namespace: Namespace(row.get(1).step(step)?),
        number: row.get(2).step(step)?,
        ping_id: Uuid::from_bytes(row.get(3).step(step)?),
        definition: definition_of(&definition)?,
        created: at(5)?.unwrap_or_default(),
        state: State {
            status: status_of(row.get(6).step(step)?),
            since: at(7)?.unwrap_or_default(),
            settled: at(8)?.unwrap_or_default(),
            due: at(9)?,
            deadline: at(10)?,
            failures: row.get(11).step(step)?,
            successes: row.get(12).step(step)?,
            last_payment: at(13)?,
            rate_period: at(14)?,
            rate_payments: row.get(15).step(step)?,
        },
        payments: row.get(16).step(step)?,
        runs: row.get(17).step(step)?,
        open_runs: row.get(18).step(step)?,
        flips: row.get(19).step(step)?,
    })
}

fn run(row: &Row<'_>) -> Result<KeptRun> {
    let step = "read a run";
    let at = |at: usize| row.get::<_, Option<i64>>(at).map(|micros| micros.map(time)).step(step);
    let stages: String = row.get(5).step(step)?;
    Ok(KeptRun {
        debt: Uuid::from_bytes(row.get(0).step(step)?),
        number: row.get(1).step(step)?,
        run: Run {
            id: row.get(2).step(step)?,
            started: at(3)?,
            heard: at(4)?.unwrap_or_default(),
            stages: stages_of(&stages)?,
            deadline: at(6)?,
            outcome: outcome_of(row.get(7).step(step)?),
            ended: at(8)?,
        },
    })
}
