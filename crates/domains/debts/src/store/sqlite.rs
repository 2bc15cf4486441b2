//! Debts in SQLite.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use tally_outbox::sqlite as outbox;
use tally_runtime::{Namespace, faults};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use tally_store::watch;
use uuid::Uuid;

use super::{
    Added, Changes, Deed, GAPS_MAX, Listing, Loaded, Outcome, Result, Tell, Told, WATCH, creations,
    definition_of, definition_text, gap_before, judge, made, named, outcome_number, outcome_of,
    stages_of, stages_text, status_number, status_of,
};
use crate::domain::NAME;
use crate::ledger::Known;
use crate::model::{
    Debt, KeptFlip, KeptPayment, KeptRun, Named, NewDebt, ShownPayment, Which, flags_of,
    kind_number, kind_of, noted_of, stage_of,
};
use crate::state::{Gap, Run, State};

pub(super) fn settle(
    connection: &mut Connection,
    deeds: &[Deed],
    now: Timestamp,
    debts_max: u32,
    tell: &Tell,
) -> Result<Vec<Outcome>> {
    let transaction = begin(connection)?;
    let loaded = load(&transaction, deeds, now, debts_max)?;
    let changes = judge(loaded, deeds, now, tell);
    save(&transaction, &changes)?;
    faults::blocking_point("debts.before_commit");
    transaction.commit().step("commit")?;
    faults::blocking_point("debts.committed");
    Ok(changes.outcomes)
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
        if let Some(debt) = read(transaction, id)? {
            loaded.debts.insert(id, debt);
        }
        let sql = include_str!("sqlite/open_runs.sql");
        let open = runs_of(transaction, sql, params![id.as_bytes()])?;
        loaded.runs.insert(id, open);
    }
    let told = Told::of(deeds, &loaded.found);
    for (debt, run) in told.runs {
        let sql = include_str!("sqlite/run_to_judge.sql");
        for named in runs_of(transaction, sql, params![debt.as_bytes(), run])? {
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
    loaded.gaps = rows(transaction, "read gaps", sql, [GAPS_MAX], gap)?;
    loaded.gaps.reverse();
    loaded.gaps.extend(gap_before(now, watch::until_in_sqlite(transaction, WATCH)?));
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
    let values = (namespace, debts_max);
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
        let known = |row: &Row<'_>| Ok(Known { number: row.get(0)?, fingerprint: row.get(1)? });
        let values = (debt.as_bytes(), once.as_bytes());
        if let Some(known) = statement.query_row(values, known).optional().step(step)? {
            read.insert((*debt, *once), known);
        }
    }
    Ok(read)
}

fn save(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    let step = "store debts";
    for debt in &changes.debts {
        let is_redefined = changes.redefined.contains(&debt.id);
        let text = is_redefined.then(|| definition_text(&debt.definition)).transpose()?;
        let state = &debt.state;
        let values = params![
            debt.id.as_bytes(),
            debt.definition.slug,
            text,
            status_number(state.status),
            state.since.as_microsecond(),
            state.settled.as_microsecond(),
            micros(state.due),
            micros(state.deadline),
            state.failures,
            state.successes,
            micros(state.last_payment),
            micros(state.rate_period),
            state.rate_payments,
            debt.payments,
            debt.runs,
            debt.open_runs,
            debt.flips,
        ];
        let mut update =
            transaction.prepare_cached(include_str!("sqlite/update.sql")).step(step)?;
        update.execute(values).step(step)?;
    }
    for payment in &changes.payments {
        save_payment(transaction, payment)?;
    }
    for kept in &changes.runs {
        let run = &kept.run;
        let values = params![
            kept.debt.as_bytes(),
            kept.number,
            run.id,
            micros(run.started),
            run.heard.as_microsecond(),
            stages_text(&run.stages),
            micros(run.deadline),
            outcome_number(run.outcome),
            micros(run.ended),
        ];
        let mut put = transaction.prepare_cached(include_str!("sqlite/put_run.sql")).step(step)?;
        put.execute(values).step(step)?;
    }
    for flip in &changes.flips {
        let (at, noticed) = (flip.at.as_microsecond(), flip.noticed.as_microsecond());
        let values = params![flip.debt.as_bytes(), flip.number, at, noticed, flip.cause];
        transaction.execute(include_str!("sqlite/insert_flip.sql"), values).step(step)?;
    }
    changes.events.iter().try_for_each(|event| outbox::append(transaction, event))
}

fn save_payment(transaction: &Transaction<'_>, kept: &KeptPayment) -> Result<()> {
    let step = "store a payment";
    let (payment, noted) = (&kept.payment, &kept.noted);
    let values = params![
        kept.debt.as_bytes(),
        kept.number,
        payment.once.as_bytes(),
        payment.run_once.as_ref().map(Uuid::as_bytes),
        payment.fingerprint,
        kind_number(&payment.kind),
        payment.run,
        stage_of(&payment.kind),
        payment.exit_status,
        payment.received.as_microsecond(),
        micros(payment.said),
        noted.took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)),
        micros(noted.slot),
        flags_of(noted),
        payment.key_name,
        payment.source,
        payment.body,
        i64::try_from(payment.body_bytes).unwrap_or(i64::MAX),
    ];
    let sql = include_str!("sqlite/insert_payment.sql");
    transaction.prepare_cached(sql).step(step)?.execute(values).step(step).map(drop)
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
    if transaction.execute(include_str!("sqlite/delete.sql"), [id]).step(step)? > 0 {
        let sql = include_str!("sqlite/count_down.sql");
        transaction.execute(sql, [debt.namespace.0]).step(step)?;
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

pub(super) fn list(connection: &Connection, listing: &Listing) -> Result<Vec<Debt>> {
    let json = |texts: &[String]| serde_json::to_string(texts).expect("texts can be JSON");
    let statuses: Vec<i64> = listing.statuses.iter().map(|one| status_number(*one)).collect();
    let statuses = serde_json::to_string(&statuses).expect("numbers can be JSON");
    let (is_overdue, slug) = listing.after.clone().unwrap_or((true, String::new()));
    let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
    let values = params![
        listing.namespace.0,
        statuses,
        listing.search,
        json(&listing.tags),
        !is_overdue,
        slug,
        limit,
    ];
    let sql = include_str!("sqlite/list.sql");
    rows(connection, "list debts", sql, values, |row| Ok(debt(row)))?.into_iter().collect()
}

pub(super) fn counts(connection: &Connection, namespace: Option<Namespace>) -> Result<[i64; 4]> {
    let mut counts = [0; 4];
    let namespace = namespace.map(|namespace| namespace.0);
    let pair = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?));
    let sql = include_str!("sqlite/counts.sql");
    for (status, count) in rows(connection, "count debts", sql, [namespace], pair)? {
        let status = usize::try_from(status).unwrap_or(usize::MAX);
        if let Some(of_status) = counts.get_mut(status) {
            *of_status = count;
        }
    }
    Ok(counts)
}

pub(super) fn payments(
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
    let sql = include_str!("sqlite/payments.sql");
    rows(connection, "list payments", sql, (debt.as_bytes(), before, limit), shown)
}

pub(super) fn runs(
    connection: &Connection,
    debt: Uuid,
    before: i64,
    open: bool,
    limit: u32,
) -> Result<Vec<KeptRun>> {
    let sql = include_str!("sqlite/runs.sql");
    runs_of(connection, sql, params![debt.as_bytes(), before, open, limit])
}

fn runs_of(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<KeptRun>> {
    rows(connection, "read runs", sql, values, |row| Ok(run(row)))?.into_iter().collect()
}

pub(super) fn flips(
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
    let sql = include_str!("sqlite/flips.sql");
    rows(connection, "list flips", sql, (debt.as_bytes(), before, limit), flip)
}

pub(super) fn overdue(
    connection: &Connection,
    now: Timestamp,
    after: (Timestamp, Uuid),
    limit: u32,
) -> Result<Vec<(Timestamp, Uuid)>> {
    let pair = |row: &Row<'_>| Ok((time(row.get(0)?), Uuid::from_bytes(row.get(1)?)));
    let (at, id) = (after.0.as_microsecond(), after.1);
    let values = (now.as_microsecond(), at, id.as_bytes(), limit);
    rows(connection, "look what is overdue", include_str!("sqlite/overdue.sql"), values, pair)
}

pub(super) fn note_gap(connection: &mut Connection, now: Timestamp) -> Result<()> {
    if let Some(gap) = gap_before(now, watch::until_in_sqlite(connection, WATCH)?) {
        let values = (gap.from.as_microsecond(), gap.until.as_microsecond());
        connection.execute(include_str!("sqlite/note_gap.sql"), values).step("note a gap")?;
    }
    Ok(())
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

fn debt(row: &Row<'_>) -> Result<Debt> {
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

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_microsecond)
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
