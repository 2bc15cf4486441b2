//! One who pays debts, several at once. What no server has answered yet is paid again, by the same process or the
//! next one, until a server says that it is paid.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use tally_proto::tally::debts::v1::PaymentKind;

use super::notes::Notes;
use super::{Session, now_micros};
use crate::arguments::namespace_of;
use crate::debts::pay::{self, Told};
use crate::debts::payment::{EACH, Payment};
use crate::journal::Line;
use crate::random::Random;

/// How many debts are paid at once.
const LANES: u64 = 3;

/// For this long in three, nobody pays a beat.
const SILENCE_MS: i64 = 7_000;

struct Payer<'a> {
    arguments: &'a super::Arguments,
    notes: Notes,
    namespace: i64,
    /// How many processes there were before.
    process: usize,
    /// What was paid is numbered.
    paid: AtomicU64,
}

/// What an earlier process announced, and no server has answered.
fn open(past: &[Line]) -> anyhow::Result<Vec<Payment>> {
    let mut open = BTreeMap::new();
    for line in past {
        let Line::Note(what) = line else { continue };
        match what.split_once(' ') {
            Some(("pay", payment)) => {
                let payment = Payment::read(payment)?;
                open.insert(payment.token.clone(), payment);
            }
            Some(("paid", rest)) => {
                open.remove(rest.split(' ').next().unwrap_or_default());
            }
            _ => {}
        }
    }
    // Whoever pays without a key or a run never knows.
    Ok(open.into_values().filter(Payment::can_be_repeated).collect())
}

/// Pays until a signal comes, then until everything is answered.
pub(super) async fn run(session: Session<'_>) -> anyhow::Result<()> {
    let open = open(&session.past)?;
    let is_start = |line: &&Line| matches!(line, Line::Start { .. });
    let payer = Payer {
        arguments: session.arguments,
        notes: Notes::new(session.journal),
        namespace: namespace_of(&session.arguments.name),
        process: session.past.iter().filter(is_start).count(),
        paid: AtomicU64::new(0),
    };
    let lanes = (0..LANES).map(|lane| {
        let of_lane = open.iter().skip(lane as usize).step_by(LANES as usize);
        payer.lane(lane, of_lane.cloned().collect())
    });
    let work = async { try_join_all(lanes).await.map(drop) };
    payer.notes.until_done(session.signals, work).await
}

// === impl Payer ===

impl Payer<'_> {
    async fn lane(&self, lane: u64, open: Vec<Payment>) -> anyhow::Result<()> {
        let (seed, name) = (self.arguments.seed, &self.arguments.name);
        let number = LANES * self.process as u64 + lane;
        let mut random = Random::derived(seed, name, number);
        for payment in open {
            self.settle(payment, &mut random).await?;
        }
        while self.notes.pause(random.within(10, 120)).await {
            let number = self.paid.fetch_add(1, Ordering::Relaxed);
            let token = format!("{name}-{}-{number}", self.process);
            let which = random.within(0, EACH - 1);
            match random.within(0, 9) {
                0..=4 if is_silent(which) => {}
                0..=3 => {
                    let has_key = random.percent(80);
                    let payment = Payment::beat(self.namespace, which, token, has_key);
                    self.pay(payment.at(time(&mut random)), &mut random).await?;
                }
                4 => {
                    let payment = Payment::made(self.namespace, which, token);
                    self.pay(payment.at(time(&mut random)), &mut random).await?;
                }
                5..=7 => self.run(format!("job-{which}"), &token, &mut random).await?,
                _ => self.run(format!("staged-{which}"), &token, &mut random).await?,
            }
        }
        Ok(())
    }

    /// Goes through a run, which may hang.
    async fn run(&self, debt: String, token: &str, random: &mut Random) -> anyhow::Result<()> {
        let run = format!("run-{token}");
        let of_run = |kind, what: &str| {
            let token = format!("{token}-{what}");
            Payment::of_run(self.namespace, debt.clone(), &run, kind, token)
        };
        let begun = of_run(PaymentKind::Start, "start").at(time(random));
        self.pay(begun, random).await?;
        let is_staged = debt.starts_with("staged-");
        for (kind, what, percent) in [
            (PaymentKind::Heartbeat, "beat", 50),
            (PaymentKind::Stage, "stage", if is_staged { 90 } else { 0 }),
            (PaymentKind::Heartbeat, "again", 50),
            (PaymentKind::Log, "log", 20),
        ] {
            if random.percent(percent) {
                if !self.notes.pause(random.within(0, 400)).await {
                    return Ok(());
                }
                self.pay(of_run(kind, what).at(time(random)), random).await?;
            }
        }
        if !self.notes.pause(random.within(0, 600)).await {
            return Ok(());
        }
        let (kind, what) = match random.within(0, 9) {
            // It hangs.
            0 => return Ok(()),
            1 => (PaymentKind::Fail, "fail"),
            _ => (PaymentKind::Success, "end"),
        };
        self.pay(of_run(kind, what).at(time(random)), random).await
    }

    /// Announces a payment, and makes it: once, or until it is answered.
    async fn pay(&self, payment: Payment, random: &mut Random) -> anyhow::Result<()> {
        self.notes.write(&Line::Note(format!("pay {}", payment.written())))?;
        if !payment.can_be_repeated() {
            return self.attempt(&payment, pay::PATIENCE, 0).await.map(drop);
        }
        self.settle(payment, random).await
    }

    async fn settle(&self, payment: Payment, random: &mut Random) -> anyhow::Result<()> {
        loop {
            // Some do not wait for the answer.
            let patience = match random.within(0, 9) {
                0..=2 => Duration::from_millis(random.within(1, 60)),
                _ => pay::PATIENCE,
            };
            let way = random.within(0, pay::WAYS - 1);
            if self.attempt(&payment, patience, way).await? {
                // And some ask again what they know.
                if random.percent(15) {
                    self.attempt(&payment, pay::PATIENCE, way + 1).await?;
                }
                return Ok(());
            }
            super::back_off(random).await;
        }
    }

    /// Whether a server says that it is paid.
    async fn attempt(
        &self,
        payment: &Payment,
        patience: Duration,
        way: u64,
    ) -> anyhow::Result<bool> {
        let door = self.arguments.door()?;
        match pay::attempt(&door, payment, patience, way).await {
            Told::Paid(number) => {
                self.notes.write(&Line::Note(format!("paid {} {number}", payment.token)))?;
                Ok(true)
            }
            Told::Unknown => Ok(false),
            Told::Broken(what) => {
                self.notes.write(&Line::Broken(format!("{}: {what}", payment.token)))?;
                Ok(false)
            }
        }
    }
}

/// What a client's clock says: mostly nothing, or a moment ago; some clocks are a day ahead, or an hour behind.
fn time(random: &mut Random) -> Option<Timestamp> {
    let ms = match random.within(0, 19) {
        0..=9 => return None,
        10..=15 => -i64::try_from(random.within(0, 2_000)).ok()?,
        16 | 17 => i64::try_from(random.within(0, 8_000)).ok()?,
        18 => 20 * 3_600_000,
        _ => -3_600_000,
    };
    let now = Timestamp::from_microsecond(now_micros()).ok()?;
    now.checked_add(SignedDuration::from_millis(ms)).ok()
}

/// All payers are silent at the same time.
fn is_silent(which: u64) -> bool {
    (now_micros() / 1_000 / SILENCE_MS + which as i64) % 3 == 0
}
