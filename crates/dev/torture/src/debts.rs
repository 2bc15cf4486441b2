//! Debts beside the counting: several pay at once by all doors, through all servers, and a receiver is told of
//! alarms and recoveries.
//!
//! | file | what it owns |
//! |---|---|
//! | `judge.rs` | what must hold at the end |
//! | `pay.rs` | one attempt to pay, and what its answer means |
//! | `replay.rs` | whether the payments come to the state that is stored |
//! | `stored.rs` | reading what is stored |

mod judge;
mod pay;
mod replay;
mod stored;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::definition::Schedule;
use tally_proto::tally::debts::v1::{AddDebtRequest, Definition, PaymentKind};
use tally_testkit::eventually_blocking;

use crate::arguments::{Broken, Run};
use crate::oracle::Verdict;
use crate::random::Random;
use crate::stop::Stop;
use crate::world::World;
use crate::world::server::StartOptions;
use pay::{Payment, Told};

/// How many pay at the same time: half of them in each namespace.
pub(crate) const PAYERS: usize = 4;

/// Of each kind, how many debts a namespace has.
const EACH: u64 = 4;

/// How long after the last payment a beat is due, and how long a run may take.
const EVERY: Duration = Duration::from_secs(3);
const RUN_LIMIT: Duration = Duration::from_secs(3);

/// For this long in three, nobody pays a beat.
const SILENCE_MS: u64 = 7_000;

/// How long it may take until each payment is answered, and each alarm told.
const LIMIT: Duration = Duration::from_secs(180);
const BROKEN_LIMIT: Duration = Duration::from_secs(12);

/// The pause between two looks at all debts, which take the machine from those who are waited for.
const LOOK_PAUSE_MS: u64 = 200;

/// Fault points before and after the commit of payments.
const POINTS: [&str; 2] = ["debts.before_commit", "debts.committed"];

/// Who pays, and what they were told.
pub(crate) struct Debts<'a> {
    world: &'a World,
    broken: Option<Broken>,
    /// Payments may be lost then.
    is_set_back: bool,
    began: Instant,
    books: Mutex<Books>,
}

/// What payers know.
#[derive(Default)]
struct Books {
    /// By what their bodies say, which is unique.
    payments: BTreeMap<String, Known>,
    /// What no server has answered yet.
    open: Vec<Payment>,
    verdict: Verdict,
}

/// What is known of a payment.
#[derive(Clone, Debug)]
struct Known {
    namespace: i64,
    debt: String,
    /// Its number, as soon as a server has said so.
    number: Option<i64>,
}

// === impl Debts ===

impl<'a> Debts<'a> {
    pub(crate) fn new(world: &'a World, run: &Run) -> Self {
        let (broken, is_set_back) = (run.broken, run.rewinds());
        Self { world, broken, is_set_back, began: Instant::now(), books: Mutex::default() }
    }

    /// Whether nothing is broken but what concerns debts.
    fn is_asked(&self) -> bool {
        self.broken.is_none_or(Broken::is_of_debts)
    }

    /// Makes debts, and pays each kind in every way, twice and again, while a server is killed at both sides of
    /// a commit.
    pub(crate) fn scene(&self) -> anyhow::Result<()> {
        if !self.is_asked() {
            return Ok(());
        }
        let (world, stop) = (self.world, Stop::default());
        world.log.say(|| "scene: debts are made and paid".to_owned());
        for namespace in [0, 1] {
            for definition in definitions(&world.hook.url("/debts")) {
                let request = AddDebtRequest { definition: Some(definition) };
                let door = world.door(&world.servers[0], namespace);
                let add = || world.runtime.block_on(pay::within(LIMIT, add(&door, &request)));
                eventually_blocking(LIMIT, add).map_err(anyhow::Error::msg)?;
            }
        }
        let mut random = Random::derived(0, "debts", 0);
        for (number, point) in POINTS.into_iter().enumerate() {
            let server = &world.servers[0];
            server.process.kill();
            let how = StartOptions { fault: Some(point.to_owned()), ..StartOptions::default() };
            server.bring_up(&how, &stop)?;
            let payment = Payment::beat(0, 0, format!("scene-{number}"), true);
            self.announce(&payment);
            // It does not answer.
            self.attempt(&payment, 0, Duration::from_millis(1_500), 0)?;
            let stopped = format!("stopped at {point}");
            eventually_blocking(LIMIT, || server.process.has_logged(&stopped))
                .map_err(|_| anyhow::anyhow!("{point} is not reached"))?;
            server.process.kill();
            server.bring_up(&StartOptions::default(), &stop)?;
            self.settle(payment, &mut random, &stop)?;
            world.log.done("scene: server killed in a payment");
        }
        for way in 0..pay::WAYS {
            let name = |what: &str| format!("scene-{what}-{way}");
            let run = name("run");
            for payment in [
                Payment::beat(way as i64 % 2, 1, name("beat"), true),
                Payment::of_run(0, 0, &run, PaymentKind::Start, name("start")),
                Payment::of_run(0, 0, &run, PaymentKind::Success, name("success")),
                Payment::made(1, way, name("made")),
            ] {
                self.announce(&payment);
                for _ in 0..2 {
                    self.attempt(&payment, world.servers.len() - 1, LIMIT, way)?;
                }
                self.settle(payment, &mut random, &stop)?;
            }
        }
        Ok(())
    }

    /// Pays until the run stops.
    pub(crate) fn pay(&self, payer: usize, seed: u64, stop: &Stop) -> anyhow::Result<()> {
        let mut random = Random::derived(seed, "payer", payer as u64);
        let namespace = (payer % 2) as i64;
        for number in 0_u64.. {
            if !stop.pause(random.within(10, 120)) {
                break;
            }
            // Whoever ends, ends the run.
            if !self.is_asked() {
                continue;
            }
            let (token, which) = (format!("{payer}-{number}"), random.within(0, EACH - 1));
            match random.within(0, 9) {
                0..=4 if self.is_silent(which) => {}
                0..=3 => {
                    let is_known = random.percent(80);
                    self.paid(Payment::beat(namespace, which, token, is_known), &mut random, stop)?;
                }
                4 => self.paid(Payment::made(namespace, which, token), &mut random, stop)?,
                _ => {
                    let run = format!("run-{token}");
                    let of_run = |kind, what| {
                        Payment::of_run(namespace, which, &run, kind, format!("{token}-{what}"))
                    };
                    self.paid(of_run(PaymentKind::Start, "start"), &mut random, stop)?;
                    if !stop.pause(random.within(0, 600)) {
                        break;
                    }
                    match random.within(0, 9) {
                        // It hangs.
                        0 => {}
                        1 => self.paid(of_run(PaymentKind::Fail, "fail"), &mut random, stop)?,
                        _ => self.paid(of_run(PaymentKind::Success, "end"), &mut random, stop)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what is open until it is answered, waits until nothing more can be overdue and the receiver has
    /// been told of everything, and judges all of it.
    pub(crate) fn finish(&self) -> anyhow::Result<Verdict> {
        if !self.is_asked() {
            return Ok(Verdict::default());
        }
        let is_set_back = self.is_set_back;
        let mut random = Random::derived(0, "debts", 1);
        let open = std::mem::take(&mut self.lock().open);
        let begun = Instant::now();
        for payment in open {
            self.settle(payment, &mut random, &Stop::default())?;
            anyhow::ensure!(begun.elapsed() < LIMIT, "payments are not answered");
        }
        let look = || -> anyhow::Result<Vec<stored::Debt>> {
            let all = self.read()?;
            let waits = all.iter().filter(|debt| !debt.is_settled()).count();
            anyhow::ensure!(waits == 0, "{waits} debts are still to be overdue");
            let untold = if is_set_back { 0 } else { judge::untold(&all, &self.world.hook) };
            anyhow::ensure!(untold == 0, "{untold} alarms and recoveries are not told");
            Ok(all)
        };
        let stop = Stop::default();
        let settled = || {
            look().inspect_err(|_| {
                stop.pause(LOOK_PAUSE_MS);
            })
        };
        // What is broken never comes.
        let limit = if self.broken.is_some() { BROKEN_LIMIT } else { LIMIT };
        let all = match eventually_blocking(limit, settled) {
            Ok(all) => all,
            // The judge says what is missing.
            Err(_) => self.read().context("read the debts")?,
        };
        let gaps = self.gaps()?;
        let books = &mut *self.lock();
        let judge = judge::Judge { all: &all, hook: &self.world.hook, gaps, is_set_back };
        judge.judge(&books.payments, &mut books.verdict);
        Ok(books.verdict.clone())
    }

    fn is_silent(&self, which: u64) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (now / SILENCE_MS + which).is_multiple_of(3)
    }

    /// Pays, and repeats it as its way allows.
    fn paid(&self, payment: Payment, random: &mut Random, stop: &Stop) -> anyhow::Result<()> {
        self.announce(&payment);
        if !payment.can_be_repeated() {
            let server = random.index(self.world.servers.len());
            return self.attempt(&payment, server, pay::PATIENCE, 0).map(drop);
        }
        self.settle(payment, random, stop)
    }

    fn announce(&self, payment: &Payment) {
        let known =
            Known { namespace: payment.namespace, debt: payment.debt.clone(), number: None };
        self.lock().payments.insert(payment.token.clone(), known);
    }

    /// Tries until a server says that it is paid, or the run stops: then it stays open.
    fn settle(&self, payment: Payment, random: &mut Random, stop: &Stop) -> anyhow::Result<()> {
        loop {
            // Some do not wait for the answer.
            let patience = match random.within(0, 9) {
                0..=2 => Duration::from_millis(random.within(1, 60)),
                _ => pay::PATIENCE,
            };
            let server = random.index(self.world.servers.len());
            let way = random.within(0, pay::WAYS - 1);
            if self.attempt(&payment, server, patience, way)? {
                // And some ask again what they know.
                if random.percent(15) {
                    let server = random.index(self.world.servers.len());
                    self.attempt(&payment, server, pay::PATIENCE, way + 1)?;
                }
                return Ok(());
            }
            if !stop.pause(random.within(20, 200)) {
                self.lock().open.push(payment);
                return Ok(());
            }
        }
    }

    /// Whether a server says that it is paid.
    fn attempt(
        &self,
        payment: &Payment,
        server: usize,
        patience: Duration,
        way: u64,
    ) -> anyhow::Result<bool> {
        let server = &self.world.servers[server];
        let door = self.world.door(server, payment.namespace);
        let told = self.world.runtime.block_on(pay::attempt(&door, payment, patience, way));
        let books = &mut *self.lock();
        let known = books.payments.get_mut(&payment.token).context("it was announced")?;
        let verdict = &mut books.verdict;
        match told {
            Told::Paid(number) => {
                let before = *known.number.get_or_insert(number);
                let is_same = before == number || self.is_set_back;
                verdict.check("debts: answers", is_same, || {
                    format!("{}: number {number}, and before {before}", payment.token)
                });
                self.world.log.done("debts: paid");
                Ok(true)
            }
            Told::Unknown => {
                self.world.log.done("debts: no answer");
                Ok(false)
            }
            Told::Broken(what) => {
                let name = &server.process.name;
                verdict.check("debts: answers", false, || {
                    format!("{name}: {}: {what}", payment.token)
                });
                Ok(false)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn add(door: &crate::door::Door, request: &AddDebtRequest) -> anyhow::Result<()> {
    let channel = door.endpoint()?.connect().await?;
    let mut client = DebtServiceClient::new(door.link(channel));
    Ok(client.add_debt(request.clone()).await.map(drop)?)
}

/// The debts of a namespace that are there from the beginning.
fn definitions(hook: &str) -> Vec<Definition> {
    let beats = (0..EACH).map(|which| beat(format!("beat-{which}"), hook));
    let jobs = (0..EACH).map(|which| Definition {
        slug: format!("job-{which}"),
        run_limit: RUN_LIMIT.try_into().ok(),
        notify: vec![hook.to_owned()],
        ..Definition::default()
    });
    beats.chain(jobs).collect()
}

fn beat(slug: String, hook: &str) -> Definition {
    let every = EVERY.try_into().expect("a few seconds");
    let notify = if hook.is_empty() { Vec::new() } else { vec![hook.to_owned()] };
    Definition { slug, schedule: Some(Schedule::Every(every)), notify, ..Definition::default() }
}
