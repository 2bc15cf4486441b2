//! What Postgres can do without a server: the same rows changed and written, by one statement for each
//! payment and by one for many.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::Sizes;
use crate::mix::mixed;
use crate::place::Place;
use crate::samples::{Samples, ms, per_second};

/// A debt moves on, its deadline with it, and a payment is written.
const STATEMENT: &str = "\
    WITH had AS (SELECT id, namespace_id, overdue_at FROM tally_debts WHERE id = ANY($1) ORDER BY id FOR UPDATE), \
    gone AS (DELETE FROM tally_debt_deadlines AS d USING had \
        WHERE d.overdue_at = had.overdue_at AND d.debt_id = had.id), \
    new AS (INSERT INTO tally_debt_deadlines \
        SELECT now() + INTERVAL '12 hours', id, namespace_id, now() + INTERVAL '12 hours' FROM had), \
    paid AS (UPDATE tally_debts AS d SET payments = payments + 1, settled_at = now(), paid_at = now(), \
        due_at = now() + INTERVAL '12 hours', overdue_at = now() + INTERVAL '12 hours' \
        FROM had WHERE d.id = had.id RETURNING d.id, payments) \
    INSERT INTO tally_debt_payments (debt_id, number, once, fingerprint, kind, stage, received_at, flags, \
        key_name, source, body, body_bytes) \
    SELECT id, payments, gen_random_uuid(), 0, 3, '', now(), 0, '', 'bench', '', 0 FROM paid";

/// How many connections, and how many payments in a statement.
const FORMS: [(u64, usize); 2] = [(16, 1), (2, 256)];

/// How many debts it knows: enough that none is paid by two at once, or often.
const KNOWN: i64 = 100_000;

/// Prints lines, and returns the highest rate; nothing on SQLite, which has no server.
pub(super) async fn measure(place: &Place, sizes: Sizes) -> anyhow::Result<Option<f64>> {
    let Some(client) = place.postgres().await else { return Ok(None) };
    let mut best = 0.0_f64;
    let rows = client.query("SELECT id FROM tally_debts LIMIT $1", &[&KNOWN]).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    for (connections, at_once) in FORMS {
        // Each has its own, so that none waits for another.
        let share = ids.len() / connections as usize;
        if share == 0 {
            continue;
        }
        let start = Instant::now();
        let all = ids.chunks(share).take(connections as usize).enumerate();
        let all = all.map(|(n, ids)| pay(place, ids, at_once, n as u64, sizes));
        let (mut payments, mut waits) = (0, Samples::default());
        for (of_one, times) in try_join_all(all).await? {
            payments += of_one;
            waits.join(times);
        }
        let name = format!("bare SQL, {connections} x {at_once} a statement");
        let took = start.elapsed();
        best = best.max(payments as f64 / took.as_secs_f64());
        let rate = per_second(payments, took);
        println!("{name:<36} {rate:>9} {:>9} {:>9}", ms(waits.median()), ms(waits.at(990)));
    }
    Ok(Some(best))
}

async fn pay(
    place: &Place,
    ids: &[Uuid],
    at_once: usize,
    number: u64,
    Sizes { lasts, seed, .. }: Sizes,
) -> anyhow::Result<(u64, Samples)> {
    let client = place.postgres().await.expect("Postgres");
    let statement = client.prepare(STATEMENT).await?;
    let (mut payments, mut waits, start) = (0, Samples::default(), Instant::now());
    let lasts = lasts.min(Duration::from_secs(5));
    for round in 0.. {
        if start.elapsed() >= lasts {
            break;
        }
        let pick = |n| ids[(mixed(seed, number << 32 | round, n) % ids.len() as u64) as usize];
        let some: Vec<Uuid> = (0..at_once as u64).map(pick).collect();
        let began = Instant::now();
        payments += client.execute(&statement, &[&some]).await?;
        waits.add(began.elapsed());
    }
    Ok((payments, waits))
}
