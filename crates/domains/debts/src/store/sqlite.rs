//! Debts in SQLite.
//!
//! | file | what it owns |
//! |---|---|
//! | `read.rs` | reading debts, and what belongs to them |
//! | `save.rs` | writing what has become of debts |

mod read;
mod save;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use tally_outbox::sqlite as outbox;
use tally_runtime::{Namespace, faults};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use tally_store::watch;
use uuid::Uuid;

pub(super) use self::read::{
    ahead, badge_secret, counts, flips, list, numbered, of_tag, overdue, payments, runs, seen,
};
use self::read::{debt, runs_of};
use self::save::{save, save_deadline};
use super::codes::{definition_text, status_number};
use super::{
    Added, Changes, Deed, GAPS_MAX, Loaded, Result, Tell, Told, WATCH, creations, gap_before,
    gaps_at, judge, made, named,
};
use crate::domain::NAME;
use crate::ledger::Known;
use crate::model::{Debt, Named, NewDebt, Which};
use crate::state::Gap;

pub(super) fn settle(
    connection: &mut Connection,
    deeds: &[Deed],
    now: Timestamp,
    debts_max: u32,
    tell: &Tell,
) -> Result<Changes> {
    let transaction = begin(connection)?;
    let loaded = load(&transaction, deeds, now, debts_max)?;
    let changes = judge(loaded, deeds, now, tell);
    save(&transaction, &changes)?;
    faults::blocking_point("debts.before_commit");
    transaction.commit().step("commit")?;
    faults::blocking_point("debts.committed");
    Ok(changes)
}

/// Makes what is missing, and reads what belongs to the debts.
fn load(
    transaction: &Transaction<'_>,
    deeds: &[Deed],
    now: Timestamp,
    debts_max: u32,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for deed in deeds {
        loaded.found.push(id(transaction, &named(deed))?);
    }
    for (at, new) in creations(deeds) {
        let named = named(&deeds[at]);
        // An earlier deed may have made it.
        if id(transaction, &named)?.is_none() {
            match insert(transaction, new, now, debts_max)? {
                Some(true) => drop(loaded.created.insert(new.id)),
                Some(false) => {}
                None => drop(loaded.too_many.insert(at)),
            }
        }
        loaded.found[at] = id(transaction, &named)?;
    }
    let all: HashSet<Uuid> = loaded.found.iter().flatten().copied().collect();
    for id in all {
        let sql = include_str!("sqlite/open_runs.sql");
        let open = runs_of(transaction, sql, params![id.as_bytes()]);
        match read(transaction, id).and_then(|debt| Ok((debt, open?))) {
            Ok((debt, open)) => {
                loaded.debts.extend(debt.map(|debt| (id, debt)));
                loaded.runs.insert(id, open);
            }
            Err(error) => loaded.note_broken(id, error)?,
        }
    }
    let told = Told::of(deeds, &loaded.found);
    for (debt, run) in told.runs {
        let sql = include_str!("sqlite/run_to_judge.sql");
        let named = runs_of(transaction, sql, params![debt.as_bytes(), run]);
        let named = named.or_else(|error| loaded.note_broken(debt, error).map(|()| Vec::new()))?;
        for named in named {
            let runs = loaded.runs.entry(debt).or_default();
            if runs.iter().all(|other| other.number != named.number) {
                runs.push(named);
                runs.sort_by_key(|run| run.number);
            }
        }
    }
    loaded.known = read_known(transaction, &told.once)?;
    let gap = |row: &Row<'_>| Ok(Gap { from: time(row.get(0)?), until: time(row.get(1)?) });
    let sql = include_str!("sqlite/gaps.sql");
    let noted = rows(transaction, "read gaps", sql, [GAPS_MAX], gap)?;
    loaded.gaps = gaps_at(now, noted, watch::until_in_sqlite(transaction, WATCH)?);
    Ok(loaded)
}

fn id(connection: &Connection, Named { namespace, which }: &Named) -> Result<Option<Uuid>> {
    let step = "find a debt";
    let one = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<Option<Uuid>> {
        let mut statement = connection.prepare_cached(sql).step(step)?;
        let id = statement.query_row(values, |row| row.get(0)).optional().step(step)?;
        Ok(id.map(Uuid::from_bytes))
    };
    match which {
        Which::Id(id) => one(include_str!("sqlite/by_id.sql"), &[id.as_bytes(), &namespace.0]),
        Which::Swept(id) => Ok(Some(*id)),
        Which::Number(number) => one(include_str!("sqlite/by_number.sql"), &[number, &namespace.0]),
        Which::Slug(slug) => one(include_str!("sqlite/by_slug.sql"), &[slug, &namespace.0]),
        Which::Ping(id) => one(include_str!("sqlite/by_ping.sql"), &[id.as_bytes()]),
    }
}

fn read(connection: &Connection, id: Uuid) -> Result<Option<Debt>> {
    let step = "read a debt";
    let mut statement = connection.prepare_cached(include_str!("sqlite/debt.sql")).step(step)?;
    statement.query_row([id.as_bytes()], |row| Ok(debt(row))).optional().step(step)?.transpose()
}

/// Makes a debt. False if there is one of its slug; none if there are too many.
fn insert(
    transaction: &Transaction<'_>,
    new: &NewDebt,
    now: Timestamp,
    debts_max: u32,
) -> Result<Option<bool>> {
    let step = "make a debt";
    let namespace = new.namespace.0;
    let sql = include_str!("sqlite/count_up.sql");
    let values = (namespace, debts_max, new.badge_secret.as_bytes());
    let number = transaction.query_row(sql, values, |row| row.get(0)).optional().step(step)?;
    let Some(number) = number else { return Ok(None) };
    let debt = made(new, number, now);
    let state = &debt.state;
    let values = params![
        debt.id.as_bytes(),
        namespace,
        debt.number,
        debt.definition.slug,
        debt.ping_id.as_bytes(),
        definition_text(&debt.definition)?,
        debt.created.as_microsecond(),
        status_number(state.status),
        state.since.as_microsecond(),
        state.settled.as_microsecond(),
        micros(state.due),
        micros(state.deadline),
    ];
    let done = transaction.execute(include_str!("sqlite/insert.sql"), values).step(step)?;
    if done == 0 {
        transaction.execute(include_str!("sqlite/count_down.sql"), [namespace]).step(step)?;
    } else if let Some(deadline) = debt.deadline() {
        save_deadline(transaction, &deadline)?;
    }
    Ok(Some(done > 0))
}

fn read_known(
    transaction: &Transaction<'_>,
    once: &[(Uuid, Uuid)],
) -> Result<HashMap<(Uuid, Uuid), Known>> {
    let step = "look which payments are known";
    let mut statement = transaction.prepare_cached(include_str!("sqlite/known.sql")).step(step)?;
    let mut read = HashMap::new();
    for (debt, once) in once {
        let known = |row: &Row<'_>| {
            Ok(Known { number: row.get(0)?, fingerprint: row.get(1)?, flags: row.get(2)? })
        };
        let values = (debt.as_bytes(), once.as_bytes());
        if let Some(known) = statement.query_row(values, known).optional().step(step)? {
            read.insert((*debt, *once), known);
        }
    }
    Ok(read)
}

pub(super) fn add(
    connection: &mut Connection,
    new: &NewDebt,
    now: Timestamp,
    debts_max: u32,
) -> Result<Added> {
    let transaction = begin(connection)?;
    let done = insert(&transaction, new, now, debts_max)?;
    let slug = Which::Slug(new.definition.slug.clone());
    let named = Named { namespace: new.namespace, which: slug };
    let found = find(&transaction, &named)?;
    match (done, found) {
        (Some(true), Some(debt)) => {
            transaction.commit().step("commit")?;
            Ok(Added::New(Box::new(debt)))
        }
        (_, found) => Ok(found.map_or(Added::TooMany, |debt| Added::Taken(Box::new(debt)))),
    }
}

pub(super) fn remove(connection: &mut Connection, debt: &Debt, subjects: &[Uuid]) -> Result<()> {
    let step = "forget a debt";
    let transaction = begin(connection)?;
    let id = debt.id.as_bytes();
    let sql = include_str!("sqlite/delete.sql");
    let gone = transaction.query_row(sql, [id], |row| row.get::<_, Option<i64>>(0)).optional();
    if let Some(deadline) = gone.step(step)? {
        let sql = include_str!("sqlite/count_down.sql");
        transaction.execute(sql, [debt.namespace.0]).step(step)?;
        let sql = include_str!("sqlite/delete_deadline.sql");
        transaction.execute(sql, (deadline, id)).step(step)?;
    }
    for sql in [
        include_str!("sqlite/delete_payments.sql"),
        include_str!("sqlite/delete_runs.sql"),
        include_str!("sqlite/delete_flips.sql"),
    ] {
        transaction.execute(sql, [id]).step(step)?;
    }
    for subject in subjects {
        outbox::remove(&transaction, NAME, *subject)?;
    }
    transaction.commit().step("commit")
}

pub(super) fn find(connection: &Connection, named: &Named) -> Result<Option<Debt>> {
    match id(connection, named)? {
        Some(id) => read(connection, id),
        None => Ok(None),
    }
}

pub(super) fn note_gap(connection: &mut Connection, now: Timestamp) -> Result<()> {
    if let Some(gap) = gap_before(now, watch::until_in_sqlite(connection, WATCH)?) {
        let values = (gap.from.as_microsecond(), gap.until.as_microsecond());
        connection.execute(include_str!("sqlite/note_gap.sql"), values).step("note a gap")?;
    }
    Ok(())
}

pub(super) fn renew_badges(
    connection: &mut Connection,
    namespace: Namespace,
    secret: Uuid,
) -> Result<()> {
    let sql = include_str!("sqlite/renew_badges.sql");
    connection.execute(sql, (namespace.0, secret.as_bytes())).step("renew badges").map(drop)
}

pub(super) fn prune(connection: &mut Connection, before: Timestamp, limit: u32) -> Result<u64> {
    let (step, values) = ("prune payments", (before.as_microsecond(), limit));
    let transaction = begin(connection)?;
    let sql = include_str!("sqlite/prune_payments.sql");
    let payments = transaction.execute(sql, values).step(step)?;
    let sql = include_str!("sqlite/prune_runs.sql");
    let runs = transaction.execute(sql, values).step(step)?;
    transaction.commit().step("commit")?;
    Ok((payments + runs) as u64)
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_microsecond)
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
