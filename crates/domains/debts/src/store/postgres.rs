//! Debts in Postgres and CockroachDB.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tally_outbox::postgres as outbox;
use tally_runtime::{Namespace, faults};
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::watch;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    Added, Changes, Deed, GAPS_MAX, Listing, Loaded, Outcome, Result, Tell, Told, WATCH, creations,
    definition_of, definition_text, gap_before, judge, made, named, outcome_number, outcome_of,
    status_number, status_of,
};
use crate::domain::NAME;
use crate::ledger::Known;
use crate::model::{
    Debt, KeptFlip, KeptRun, Named, NewDebt, ShownPayment, Which, flags_of, kind_number, kind_of,
    noted_of, stage_of,
};
use crate::state::{Gap, Run, State};

type Values<'a> = Vec<&'a (dyn ToSql + Sync)>;

pub(super) async fn settle(
    database: &Database,
    deeds: &[Deed],
    now: Timestamp,
    debts_max: u32,
    tell: &Tell,
) -> Result<Vec<Outcome>> {
    let transaction = database.writer().await?.transaction(Isolation::Default).await?;
    let loaded = load(&transaction, deeds, now, debts_max).await?;
    let changes = judge(loaded, deeds, now, tell);
    save(&transaction, &changes).await?;
    faults::point("debts.before_commit").await;
    transaction.commit().await?;
    faults::point("debts.committed").await;
    Ok(changes.outcomes)
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
    for (at, new) in creations(deeds) {
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
        let debt = debt(&row)?;
        loaded.debts.insert(debt.id, debt);
    }
    let told = Told::of(deeds, &loaded.found);
    loaded.runs = read_runs(transaction, &all, &told.runs).await?;
    loaded.known = read_known(transaction, &told.once).await?;
    let limit = i64::from(GAPS_MAX);
    let rows = transaction.rows("read gaps", include_str!("postgres/gaps.sql"), &[&limit]).await?;
    let gap = |row: &Row| Gap { from: row.get(0), until: row.get(1) };
    loaded.gaps = rows.iter().rev().map(gap).collect();
    loaded.gaps.extend(gap_before(now, watch::until(transaction, WATCH).await?));
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
    let values: [&(dyn ToSql + Sync); 2] = [&namespace, &i64::from(debts_max)];
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
    }
    Ok(Some(made > 0))
}

async fn read_runs(
    transaction: &Transaction,
    debts: &[Uuid],
    named: &[(Uuid, String)],
) -> Result<HashMap<Uuid, Vec<KeptRun>>> {
    let (of, runs): (Vec<Uuid>, Vec<&str>) = named.iter().map(|(of, run)| (*of, &**run)).unzip();
    let sql = include_str!("postgres/runs_to_judge.sql");
    let mut read: HashMap<Uuid, Vec<KeptRun>> = HashMap::new();
    for row in transaction.rows("read runs", sql, &[&debts, &of, &runs]).await? {
        let run = run(&row)?;
        read.entry(run.debt).or_default().push(run);
    }
    Ok(read)
}

async fn read_known(
    transaction: &Transaction,
    once: &[(Uuid, Uuid)],
) -> Result<HashMap<(Uuid, Uuid), Known>> {
    let (debts, once): (Vec<Uuid>, Vec<Uuid>) = once.iter().copied().unzip();
    let sql = include_str!("postgres/known.sql");
    let rows = transaction.rows("look which payments are known", sql, &[&debts, &once]).await?;
    let known = |row: &Row| {
        let known = Known { number: row.get(2), fingerprint: row.get(3) };
        ((row.get(0), row.get(1)), known)
    };
    Ok(rows.iter().map(known).collect())
}

async fn save(transaction: &Transaction, changes: &Changes) -> Result<()> {
    save_debts(transaction, changes).await?;
    save_payments(transaction, changes).await?;
    save_runs(transaction, &changes.runs).await?;
    if !changes.flips.is_empty() {
        let flips = &changes.flips;
        let debts: Vec<Uuid> = flips.iter().map(|flip| flip.debt).collect();
        let numbers: Vec<i64> = flips.iter().map(|flip| flip.number).collect();
        let at: Vec<Timestamp> = flips.iter().map(|flip| flip.at).collect();
        let noticed: Vec<Timestamp> = flips.iter().map(|flip| flip.noticed).collect();
        let causes: Vec<&str> = flips.iter().map(|flip| &*flip.cause).collect();
        let values: [&(dyn ToSql + Sync); 5] = [&debts, &numbers, &at, &noticed, &causes];
        let sql = include_str!("postgres/insert_flips.sql");
        transaction.write("store flips", sql, &values).await?;
    }
    for event in &changes.events {
        outbox::append(transaction, event).await?;
    }
    Ok(())
}

/// The columns of a debt that change, in their order; of several debts, as lists.
#[derive(Default)]
struct Columns {
    status: Vec<i64>,
    since: Vec<Timestamp>,
    settled: Vec<Timestamp>,
    due: Vec<Option<Timestamp>>,
    overdue: Vec<Option<Timestamp>>,
    failures: Vec<i64>,
    successes: Vec<i64>,
    paid: Vec<Option<Timestamp>>,
    rate_period: Vec<Option<Timestamp>>,
    rate_payments: Vec<i64>,
    payments: Vec<i64>,
    runs: Vec<i64>,
    open_runs: Vec<i64>,
    flips: Vec<i64>,
}

// === impl Columns ===

impl Columns {
    fn of(debt: &Debt) -> Self {
        let mut columns = Self::default();
        columns.push(debt);
        columns
    }

    fn push(&mut self, debt: &Debt) {
        let state = &debt.state;
        self.status.push(status_number(state.status));
        self.since.push(state.since);
        self.settled.push(state.settled);
        self.due.push(state.due);
        self.overdue.push(state.deadline);
        self.failures.push(state.failures.into());
        self.successes.push(state.successes.into());
        self.paid.push(state.last_payment);
        self.rate_period.push(state.rate_period);
        self.rate_payments.push(state.rate_payments.into());
        self.payments.push(debt.payments);
        self.runs.push(debt.runs);
        self.open_runs.push(debt.open_runs);
        self.flips.push(debt.flips);
    }

    fn values(&self) -> [&(dyn ToSql + Sync); 14] {
        [
            &self.status,
            &self.since,
            &self.settled,
            &self.due,
            &self.overdue,
            &self.failures,
            &self.successes,
            &self.paid,
            &self.rate_period,
            &self.rate_payments,
            &self.payments,
            &self.runs,
            &self.open_runs,
            &self.flips,
        ]
    }
}

async fn save_debts(transaction: &Transaction, changes: &Changes) -> Result<()> {
    let debts = &changes.debts;
    if debts.is_empty() {
        return Ok(());
    }
    let redefined = |debt: &&Debt| changes.redefined.contains(&debt.id);
    let ids: Vec<Uuid> = debts.iter().map(|debt| debt.id).collect();
    let slugs: Vec<&str> = debts.iter().map(|debt| &*debt.definition.slug).collect();
    let text = |debt| Some(debt).filter(redefined).map(|debt| definition_text(&debt.definition));
    let definitions: Vec<Option<String>> =
        debts.iter().map(|debt| text(debt).transpose()).collect::<Result<_>>()?;
    let mut columns = Columns::default();
    debts.iter().for_each(|debt| columns.push(debt));
    let mut values: Values<'_> = vec![&ids, &slugs, &definitions];
    values.extend(columns.values());
    let sql = include_str!("postgres/update.sql");
    transaction.write("store debts", sql, &values).await.map(drop)
}

async fn save_payments(transaction: &Transaction, changes: &Changes) -> Result<()> {
    let all = &changes.payments;
    if all.is_empty() {
        return Ok(());
    }
    let debts: Vec<Uuid> = all.iter().map(|one| one.debt).collect();
    let numbers: Vec<i64> = all.iter().map(|one| one.number).collect();
    let once: Vec<Uuid> = all.iter().map(|one| one.payment.once).collect();
    let run_once: Vec<Option<Uuid>> = all.iter().map(|one| one.payment.run_once).collect();
    let fingerprints: Vec<i64> = all.iter().map(|one| one.payment.fingerprint).collect();
    let kinds: Vec<i64> = all.iter().map(|one| kind_number(&one.payment.kind)).collect();
    let runs: Vec<Option<&str>> = all.iter().map(|one| one.payment.run.as_deref()).collect();
    let stages: Vec<&str> = all.iter().map(|one| stage_of(&one.payment.kind)).collect();
    let statuses: Vec<Option<i64>> =
        all.iter().map(|one| one.payment.exit_status.map(i64::from)).collect();
    let received: Vec<Timestamp> = all.iter().map(|one| one.payment.received).collect();
    let said: Vec<Option<Timestamp>> = all.iter().map(|one| one.payment.said).collect();
    let took: Vec<Option<i64>> = all.iter().map(|one| one.noted.took.map(micros)).collect();
    let slots: Vec<Option<Timestamp>> = all.iter().map(|one| one.noted.slot).collect();
    let flags: Vec<i64> = all.iter().map(|one| flags_of(&one.noted)).collect();
    let keys: Vec<&str> = all.iter().map(|one| &*one.payment.key_name).collect();
    let sources: Vec<&str> = all.iter().map(|one| &*one.payment.source).collect();
    let bodies: Vec<&[u8]> = all.iter().map(|one| &*one.payment.body).collect();
    let bytes: Vec<i64> = all.iter().map(|one| one.payment.body_bytes as i64).collect();
    let values: [&(dyn ToSql + Sync); 18] = [
        &debts,
        &numbers,
        &once,
        &run_once,
        &fingerprints,
        &kinds,
        &runs,
        &stages,
        &statuses,
        &received,
        &said,
        &took,
        &slots,
        &flags,
        &keys,
        &sources,
        &bodies,
        &bytes,
    ];
    let sql = include_str!("postgres/insert_payments.sql");
    transaction.write("store payments", sql, &values).await.map(drop)
}

async fn save_runs(transaction: &Transaction, all: &[KeptRun]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let debts: Vec<Uuid> = all.iter().map(|one| one.debt).collect();
    let numbers: Vec<i64> = all.iter().map(|one| one.number).collect();
    let runs: Vec<Option<&str>> = all.iter().map(|one| one.run.id.as_deref()).collect();
    let started: Vec<Option<Timestamp>> = all.iter().map(|one| one.run.started).collect();
    let heard: Vec<Timestamp> = all.iter().map(|one| one.run.heard).collect();
    let stages: Vec<String> = all.iter().map(|one| super::stages_text(&one.run.stages)).collect();
    let overdue: Vec<Option<Timestamp>> = all.iter().map(|one| one.run.deadline).collect();
    let outcomes: Vec<i64> = all.iter().map(|one| outcome_number(one.run.outcome)).collect();
    let ended: Vec<Option<Timestamp>> = all.iter().map(|one| one.run.ended).collect();
    let values: [&(dyn ToSql + Sync); 9] =
        [&debts, &numbers, &runs, &started, &heard, &stages, &overdue, &outcomes, &ended];
    let sql = include_str!("postgres/put_runs.sql");
    transaction.write("store runs", sql, &values).await.map(drop)
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
    let gone = transaction.write(step, include_str!("postgres/delete.sql"), &[&debt.id]).await?;
    if gone > 0 {
        let sql = include_str!("postgres/count_down.sql");
        transaction.write(step, sql, &[&debt.namespace.0]).await?;
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

pub(super) async fn list(database: &Database, listing: &Listing) -> Result<Vec<Debt>> {
    let sql = include_str!("postgres/list.sql");
    let statuses: Vec<i64> = listing.statuses.iter().map(|one| status_number(*one)).collect();
    let (is_overdue, slug) = listing.after.clone().unwrap_or((true, String::new()));
    let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX);
    let values: [&(dyn ToSql + Sync); 7] = [
        &listing.namespace.0,
        &statuses,
        &listing.search,
        &listing.tags,
        &!is_overdue,
        &slug,
        &limit,
    ];
    database.rows("list debts", sql, &values).await?.iter().map(debt).collect()
}

pub(super) async fn counts(database: &Database, namespace: Option<Namespace>) -> Result<[i64; 4]> {
    let sql = include_str!("postgres/counts.sql");
    let namespace = namespace.map(|namespace| namespace.0);
    let mut counts = [0; 4];
    for row in database.rows("count debts", sql, &[&namespace]).await? {
        let status = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        if let Some(count) = counts.get_mut(status) {
            *count = row.get(1);
        }
    }
    Ok(counts)
}

pub(super) async fn payments(
    database: &Database,
    debt: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<ShownPayment>> {
    let sql = include_str!("postgres/payments.sql");
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

pub(super) async fn runs(
    database: &Database,
    debt: Uuid,
    before: i64,
    open: bool,
    limit: u32,
) -> Result<Vec<KeptRun>> {
    let sql = include_str!("postgres/runs.sql");
    let values: [&(dyn ToSql + Sync); 4] = [&debt, &before, &open, &i64::from(limit)];
    database.rows("list runs", sql, &values).await?.iter().map(run).collect()
}

pub(super) async fn flips(
    database: &Database,
    debt: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<KeptFlip>> {
    let sql = include_str!("postgres/flips.sql");
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

pub(super) async fn overdue(
    database: &Database,
    now: Timestamp,
    after: (Timestamp, Uuid),
    limit: u32,
) -> Result<Vec<(Timestamp, Uuid)>> {
    let sql = include_str!("postgres/overdue.sql");
    let values: [&(dyn ToSql + Sync); 4] = [&now, &after.0, &after.1, &i64::from(limit)];
    let rows = database.rows("look what is overdue", sql, &values).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
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

pub(super) async fn prune(database: &Database, before: Timestamp, limit: u32) -> Result<u64> {
    let (step, limit) = ("prune payments", i64::from(limit));
    let sql = include_str!("postgres/prune_payments.sql");
    let payments = database.commit_rows(step, sql, &[&before, &limit]).await?.len();
    let sql = include_str!("postgres/prune_runs.sql");
    let runs = database.commit_rows(step, sql, &[&before, &limit]).await?.len();
    Ok((payments + runs) as u64)
}

fn debt(row: &Row) -> Result<Debt> {
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

fn run(row: &Row) -> Result<KeptRun> {
    Ok(KeptRun {
        debt: row.get(0),
        number: row.get(1),
        run: Run {
            id: row.get(2),
            started: row.get(3),
            heard: row.get(4),
            stages: super::stages_of(row.get(5))?,
            deadline: row.get(6),
            outcome: outcome_of(row.get(7)),
            ended: row.get(8),
        },
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
