//! Writing what has become of debts.

use std::time::Duration;

use futures_util::future::{try_join, try_join3, try_join5};
use jiff::Timestamp;
use tally_outbox::postgres as outbox;
use tally_store::postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::codes::{definition_text, outcome_number, stages_text, status_number};
use super::super::{Changes, Result};
use super::Values;
use crate::domain::NAME;
use crate::model::{Deadline, Debt, KeptFlip, KeptRun, flags_of, kind_number, stage_of};

pub(super) async fn save(transaction: &Transaction, changes: &Changes) -> Result<()> {
    for subject in &changes.subjects_gone {
        outbox::remove(transaction, NAME, *subject).await?;
    }
    // Sent at once: they wait for the database together.
    try_join5(
        try_join3(
            save_debts(transaction, changes),
            delete_deadlines(transaction, &changes.deadlines_gone),
            save_deadlines(transaction, &changes.deadlines_new),
        ),
        save_payments(transaction, changes),
        save_runs(transaction, &changes.runs),
        save_flips(transaction, &changes.flips),
        try_join(
            outbox::append(transaction, &changes.events),
            outbox::append_counts(transaction, &changes.counts),
        ),
    )
    .await
    .map(drop)
}

async fn delete_deadlines(transaction: &Transaction, all: &[Deadline]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let overdue: Vec<Timestamp> = all.iter().map(|one| one.overdue).collect();
    let debts: Vec<Uuid> = all.iter().map(|one| one.debt).collect();
    let sql = include_str!("delete_deadlines.sql");
    transaction.write("delete deadlines", sql, &[&overdue, &debts]).await.map(drop)
}

pub(super) async fn save_deadlines(transaction: &Transaction, all: &[Deadline]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let overdue: Vec<Timestamp> = all.iter().map(|one| one.overdue).collect();
    let debts: Vec<Uuid> = all.iter().map(|one| one.debt).collect();
    let namespaces: Vec<i64> = all.iter().map(|one| one.namespace.0).collect();
    let late: Vec<Option<Timestamp>> = all.iter().map(|one| one.late).collect();
    let values: [&(dyn ToSql + Sync); 4] = [&overdue, &debts, &namespaces, &late];
    let sql = include_str!("insert_deadlines.sql");
    transaction.write("store deadlines", sql, &values).await.map(drop)
}

async fn save_flips(transaction: &Transaction, flips: &[KeptFlip]) -> Result<()> {
    if flips.is_empty() {
        return Ok(());
    }
    let debts: Vec<Uuid> = flips.iter().map(|flip| flip.debt).collect();
    let numbers: Vec<i64> = flips.iter().map(|flip| flip.number).collect();
    let at: Vec<Timestamp> = flips.iter().map(|flip| flip.at).collect();
    let noticed: Vec<Timestamp> = flips.iter().map(|flip| flip.noticed).collect();
    let causes: Vec<&str> = flips.iter().map(|flip| &*flip.cause).collect();
    let values: [&(dyn ToSql + Sync); 5] = [&debts, &numbers, &at, &noticed, &causes];
    transaction.write("store flips", include_str!("insert_flips.sql"), &values).await.map(drop)
}

/// The columns of a debt that change, in their order; of several debts, as lists.
#[derive(Default)]
pub(super) struct Columns {
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
    pub(super) fn of(debt: &Debt) -> Self {
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

    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 14] {
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
    let sql = include_str!("update.sql");
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
    let sql = include_str!("insert_payments.sql");
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
    let stages: Vec<String> = all.iter().map(|one| stages_text(&one.run.stages)).collect();
    let overdue: Vec<Option<Timestamp>> = all.iter().map(|one| one.run.deadline).collect();
    let outcomes: Vec<i64> = all.iter().map(|one| outcome_number(one.run.outcome)).collect();
    let ended: Vec<Option<Timestamp>> = all.iter().map(|one| one.run.ended).collect();
    let values: [&(dyn ToSql + Sync); 9] =
        [&debts, &numbers, &runs, &started, &heard, &stages, &overdue, &outcomes, &ended];
    let sql = include_str!("put_runs.sql");
    transaction.write("store runs", sql, &values).await.map(drop)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
