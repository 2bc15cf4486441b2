//! Debts in Postgres and CockroachDB.
//!
//! | file | what it owns |
//! |---|---|
//! | `read.rs` | reading debts, and what belongs to them |
//! | `save.rs` | writing what has become of debts |

mod read;
mod save;

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join4;
use jiff::Timestamp;
use tally_outbox::postgres as outbox;
use tally_runtime::{Namespace, faults};
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::watch;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub(super) use self::read::{
    ahead, badge_secret, counts, flips, list, numbered, of_tag, overdue, payments, runs, seen, time,
};
use self::read::{debt, run};
use self::save::{Columns, save, save_deadlines};
use super::codes::definition_text;
use super::{
    Added, Changes, Deed, GAPS_MAX, Loaded, Result, Tell, Told, WATCH, creations, gap_before,
    gaps_at, judge, made, named,
};
use crate::domain::NAME;
use crate::ledger::Known;
use crate::model::{Debt, Named, NewDebt, Which};
use crate::state::Gap;

type Values<'a> = Vec<&'a (dyn ToSql + Sync)>;

pub(super) async fn settle(
    database: &Database,
    deeds: &[Deed],
    now: Timestamp,
    debts_max: u32,
    tell: &Tell,
) -> Result<Changes> {
    let transaction = database.writer().await?.transaction(Isolation::Default).await?;
    let loaded = load(&transaction, deeds, now, debts_max).await?;
    let changes = judge(loaded, deeds, now, tell);
    save(&transaction, &changes).await?;
    faults::point("debts.before_commit").await;
    transaction.commit().await?;
    faults::point("debts.committed").await;
    Ok(changes)
}

/// Makes what is missing, locks the debts, and reads what belongs to them.
async fn load(
    transaction: &Transaction,
    deeds: &[Deed],
    now: Timestamp,
    debts_max: u32,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    let wanted: Vec<Named> = deeds.iter().map(named).collect();
    loaded.found = ids(transaction, &wanted).await?;
    let mut is_new = false;
    // The numbers of debts are locked in one order as well.
    let mut creations: Vec<_> = creations(deeds).collect();
    creations.sort_by_key(|(_, new)| new.namespace);
    for (at, new) in creations {
        if loaded.found[at].is_some() {
            continue;
        }
        is_new = true;
        match insert(transaction, new, now, debts_max).await? {
            Some(true) => drop(loaded.created.insert(new.id)),
            Some(false) => {}
            None => drop(loaded.too_many.insert(at)),
        }
    }
    if is_new {
        loaded.found = ids(transaction, &wanted).await?;
        loaded.too_many.retain(|at| loaded.found[*at].is_none());
    }
    let all: HashSet<Uuid> = loaded.found.iter().flatten().copied().collect();
    let all: Vec<Uuid> = all.into_iter().collect();
    for row in transaction.rows("lock debts", include_str!("postgres/lock.sql"), &[&all]).await? {
        match debt(&row) {
            Ok(debt) => drop(loaded.debts.insert(debt.id, debt)),
            Err(error) => loaded.note_broken(row.get(0), error)?,
        }
    }
    let told = Told::of(deeds, &loaded.found);
    // Sent at once: they wait for the database together.
    let ((), known, gaps, watched) = try_join4(
        read_runs(transaction, &all, &told.runs, &mut loaded),
        read_known(transaction, &told.once),
        read_gaps(transaction),
        watch::until(transaction, WATCH),
    )
    .await?;
    loaded.known = known;
    loaded.gaps = gaps_at(now, gaps, watched);
    Ok(loaded)
}

/// The debts that are asked for.
async fn ids(transaction: &Transaction, wanted: &[Named]) -> Result<Vec<Option<Uuid>>> {
    let (mut by_id, mut by_number, mut by_slug, mut by_ping) = (vec![], vec![], vec![], vec![]);
    for Named { namespace, which } in wanted {
        match which {
            // Whatever its namespace is: it is compared below.
            Which::Id(id) => by_id.push((*id, Some(namespace.0))),
            Which::Swept(id) => by_id.push((*id, None)),
            Which::Number(number) => by_number.push((namespace.0, *number)),
            Which::Slug(slug) => by_slug.push((namespace.0, &**slug)),
            Which::Ping(id) => by_ping.push(*id),
        }
    }
    let (ids, of_ids): (Vec<Uuid>, Vec<Option<i64>>) = by_id.into_iter().unzip();
    let (of_numbers, numbers): (Vec<i64>, Vec<i64>) = by_number.into_iter().unzip();
    let (of_slugs, slugs): (Vec<i64>, Vec<&str>) = by_slug.into_iter().unzip();
    let values: [&(dyn ToSql + Sync); 7] =
        [&ids, &of_ids, &of_numbers, &numbers, &of_slugs, &slugs, &by_ping];
    let sql = include_str!("postgres/ids.sql");
    let mut found: HashMap<Which, HashMap<Option<i64>, Uuid>> = HashMap::new();
    for row in transaction.rows("find debts", sql, &values).await? {
        let (id, namespace): (Uuid, i64) = (row.get(0), row.get(1));
        let mut note = |which: Which, of: Option<i64>| {
            found.entry(which).or_default().insert(of, id);
        };
        note(Which::Id(id), Some(namespace));
        note(Which::Swept(id), None);
        note(Which::Number(row.get(2)), Some(namespace));
        note(Which::Slug(row.get(3)), Some(namespace));
        note(Which::Ping(row.get(4)), None);
    }
    let one = |Named { namespace, which }: &Named| {
        let of = match which {
            Which::Swept(_) | Which::Ping(_) => None,
            _ => Some(namespace.0),
        };
        found.get(which)?.get(&of).copied()
    };
    Ok(wanted.iter().map(one).collect())
}

/// Makes a debt. False if there is one of its slug; none if there are too many.
async fn insert(
    transaction: &Transaction,
    new: &NewDebt,
    now: Timestamp,
    debts_max: u32,
) -> Result<Option<bool>> {
    let step = "make a debt";
    let namespace = new.namespace.0;
    let (most, secret) = (i64::from(debts_max), new.badge_secret);
    let values: [&(dyn ToSql + Sync); 3] = [&namespace, &most, &secret];
    let numbers = transaction.rows(step, include_str!("postgres/count_up.sql"), &values).await?;
    let Some(number) = numbers.first().map(|row| row.get(0)) else { return Ok(None) };
    let debt = made(new, number, now);
    let (definition, slug) = (definition_text(&debt.definition)?, &debt.definition.slug);
    let mut values: Values<'_> =
        vec![&debt.id, &namespace, &debt.number, slug, &debt.ping_id, &definition, &debt.created];
    let columns = Columns::of(&debt);
    values.extend(columns.values());
    let made = transaction.write(step, include_str!("postgres/insert.sql"), &values).await?;
    if made == 0 {
        let sql = include_str!("postgres/count_down.sql");
        transaction.write(step, sql, &[&namespace]).await?;
    } else {
        save_deadlines(transaction, debt.deadline().as_slice()).await?;
    }
    Ok(Some(made > 0))
}

async fn read_runs(
    transaction: &Transaction,
    debts: &[Uuid],
    named: &[(Uuid, String)],
    loaded: &mut Loaded,
) -> Result<()> {
    let (of, runs): (Vec<Uuid>, Vec<&str>) = named.iter().map(|(of, run)| (*of, &**run)).unzip();
    let sql = include_str!("postgres/runs_to_judge.sql");
    for row in transaction.rows("read runs", sql, &[&debts, &of, &runs]).await? {
        match run(&row) {
            Ok(run) => loaded.runs.entry(run.debt).or_default().push(run),
            Err(error) => loaded.note_broken(row.get(0), error)?,
        }
    }
    Ok(())
}

async fn read_known(
    transaction: &Transaction,
    once: &[(Uuid, Uuid)],
) -> Result<HashMap<(Uuid, Uuid), Known>> {
    let (debts, once): (Vec<Uuid>, Vec<Uuid>) = once.iter().copied().unzip();
    let sql = include_str!("postgres/known.sql");
    let rows = transaction.rows("look which payments are known", sql, &[&debts, &once]).await?;
    let known = |row: &Row| {
        let known = Known { number: row.get(2), fingerprint: row.get(3), flags: row.get(4) };
        ((row.get(0), row.get(1)), known)
    };
    Ok(rows.iter().map(known).collect())
}

/// The latest gaps, the last first.
async fn read_gaps(transaction: &Transaction) -> Result<Vec<Gap>> {
    let limit = i64::from(GAPS_MAX);
    let rows = transaction.rows("read gaps", include_str!("postgres/gaps.sql"), &[&limit]).await?;
    let gap = |row: &Row| Gap { from: row.get(0), until: row.get(1) };
    Ok(rows.iter().map(gap).collect())
}

pub(super) async fn add(
    database: &Database,
    new: &NewDebt,
    now: Timestamp,
    debts_max: u32,
) -> Result<Added> {
    let transaction = database.begin(Isolation::Default).await?;
    let done = insert(&transaction, new, now, debts_max).await?;
    let slug = Which::Slug(new.definition.slug.clone());
    let named = Named { namespace: new.namespace, which: slug };
    let found = find_in(&transaction, &named).await?;
    match (done, found) {
        (Some(true), Some(debt)) => {
            transaction.commit().await?;
            Ok(Added::New(Box::new(debt)))
        }
        (_, found) => {
            transaction.abandon().await?;
            Ok(found.map_or(Added::TooMany, |debt| Added::Taken(Box::new(debt))))
        }
    }
}

pub(super) async fn remove(database: &Database, debt: &Debt, subjects: &[Uuid]) -> Result<()> {
    let step = "forget a debt";
    let transaction = database.begin(Isolation::Default).await?;
    // First the number of debts, then debts: the order in which payments that make debts lock them.
    let sql = include_str!("postgres/count_down.sql");
    transaction.write(step, sql, &[&debt.namespace.0]).await?;
    let gone = transaction.rows(step, include_str!("postgres/delete.sql"), &[&debt.id]).await?;
    let Some(gone) = gone.first() else { return transaction.abandon().await };
    if let Some(deadline) = gone.get::<_, Option<Timestamp>>(0) {
        let sql = include_str!("postgres/delete_deadlines.sql");
        transaction.write(step, sql, &[&[deadline].as_slice(), &[debt.id].as_slice()]).await?;
    }
    for sql in [
        include_str!("postgres/delete_payments.sql"),
        include_str!("postgres/delete_runs.sql"),
        include_str!("postgres/delete_flips.sql"),
    ] {
        transaction.write(step, sql, &[&debt.id]).await?;
    }
    for subject in subjects {
        outbox::remove(&transaction, NAME, *subject).await?;
    }
    transaction.commit().await
}

pub(super) async fn find(database: &Database, named: &Named) -> Result<Option<Debt>> {
    let transaction = database.begin(Isolation::Default).await?;
    let found = find_in(&transaction, named).await?;
    transaction.abandon().await?;
    Ok(found)
}

async fn find_in(transaction: &Transaction, named: &Named) -> Result<Option<Debt>> {
    let Some(id) = ids(transaction, std::slice::from_ref(named)).await?.pop().flatten() else {
        return Ok(None);
    };
    let sql = include_str!("postgres/debt.sql");
    transaction.rows("read a debt", sql, &[&id]).await?.first().map(debt).transpose()
}

pub(super) async fn note_gap(database: &Database, now: Timestamp) -> Result<()> {
    let (step, sql) = ("note a gap", include_str!("postgres/note_gap.sql"));
    let transaction = database.begin(Isolation::Default).await?;
    if let Some(gap) = gap_before(now, watch::until(&transaction, WATCH).await?) {
        transaction.write(step, sql, &[&gap.from, &gap.until]).await?;
        return transaction.commit().await;
    }
    transaction.abandon().await
}

pub(super) async fn renew_badges(
    database: &Database,
    namespace: Namespace,
    secret: Uuid,
) -> Result<()> {
    let (step, sql) = ("renew badges", include_str!("postgres/renew_badges.sql"));
    database.commit_rows(step, sql, &[&namespace.0, &secret]).await.map(drop)
}

pub(super) async fn prune(database: &Database, before: Timestamp, limit: u32) -> Result<u64> {
    let (step, limit) = ("prune payments", i64::from(limit));
    let sql = include_str!("postgres/prune_payments.sql");
    let payments = database.commit_rows(step, sql, &[&before, &limit]).await?.len();
    let sql = include_str!("postgres/prune_runs.sql");
    let runs = database.commit_rows(step, sql, &[&before, &limit]).await?.len();
    Ok((payments + runs) as u64)
}
