//! Writing what has become of debts.

use rusqlite::{Transaction, params};
use tally_outbox::sqlite as outbox;
use tally_store::error::Step as _;
use uuid::Uuid;

use super::super::codes::{definition_text, outcome_number, stages_text, status_number};
use super::super::{Changes, Result};
use super::micros;
use crate::domain::NAME;
use crate::model::{Deadline, KeptPayment, flags_of, kind_number, stage_of};

pub(super) fn save(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
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
        let mut update = transaction.prepare_cached(include_str!("update.sql")).step(step)?;
        update.execute(values).step(step)?;
    }
    for Deadline { overdue, debt, .. } in &changes.deadlines_gone {
        let mut gone =
            transaction.prepare_cached(include_str!("delete_deadline.sql")).step(step)?;
        gone.execute((overdue.as_microsecond(), debt.as_bytes())).step(step)?;
    }
    changes.deadlines_new.iter().try_for_each(|deadline| save_deadline(transaction, deadline))?;
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
        let mut put = transaction.prepare_cached(include_str!("put_run.sql")).step(step)?;
        put.execute(values).step(step)?;
    }
    for flip in &changes.flips {
        let (at, noticed) = (flip.at.as_microsecond(), flip.noticed.as_microsecond());
        let values = params![flip.debt.as_bytes(), flip.number, at, noticed, flip.cause];
        let sql = include_str!("insert_flip.sql");
        transaction.prepare_cached(sql).step(step)?.execute(values).step(step)?;
    }
    for subject in &changes.subjects_gone {
        outbox::remove(transaction, NAME, *subject)?;
    }
    outbox::append(transaction, &changes.events)?;
    outbox::append_counts(transaction, &changes.counts)
}

pub(super) fn save_deadline(transaction: &Transaction<'_>, deadline: &Deadline) -> Result<()> {
    let step = "store a deadline";
    let Deadline { overdue, debt, namespace, late } = deadline;
    let values = (overdue.as_microsecond(), debt.as_bytes(), namespace.0, micros(*late));
    let sql = include_str!("insert_deadline.sql");
    transaction.prepare_cached(sql).step(step)?.execute(values).step(step).map(drop)
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
    let sql = include_str!("insert_payment.sql");
    transaction.prepare_cached(sql).step(step)?.execute(values).step(step).map(drop)
}
