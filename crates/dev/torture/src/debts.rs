//! Debts beside the counting: clients pay at once by all doors, through all servers, and a receiver is told of
//! alarms and recoveries.
//!
//! | file | what it owns |
//! |---|---|
//! | `judge.rs` | what must hold at the end |
//! | `pay.rs` | one attempt to pay, and what its answer means |
//! | `payment.rs` | a payment, as it is sent and as a journal has it |
//! | `replay.rs` | whether the payments come to the state that is stored |
//! | `stored.rs` | reading what is stored |

mod judge;
pub(crate) mod pay;
pub(crate) mod payment;
mod replay;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::{AddDebtRequest, Definition, PaymentKind};
use tally_testkit::eventually_blocking;

use crate::arguments::{Broken, OF_DEBTS, Run};
use crate::client::Kind;
use crate::journal::Journal;
use crate::oracle::Verdict;
use crate::random::Random;
use crate::stop::Stop;
use crate::stored::Totals;
use crate::world::World;
use crate::world::server::StartOptions;
use pay::Told;
use payment::{EACH, Payment, definition};

/// The namespaces that have debts.
const NAMESPACES: [i64; 2] = [0, OF_DEBTS];

/// How long it may take until each payment is answered, and each alarm told.
const LIMIT: Duration = Duration::from_secs(180);
const BROKEN_LIMIT: Duration = Duration::from_secs(12);

/// The pause between two looks at all debts, which take the machine from those who are waited for.
const LOOK_PAUSE_MS: u64 = 200;

/// Fault points before and after the commit of payments, and when what they count as is counted.
const POINTS: [&str; 3] = ["debts.before_commit", "debts.committed", "outbox.counts.counted"];

/// Who pays, and what they were told.
pub(crate) struct Debts<'a> {
    world: &'a World,
    broken: Option<Broken>,
    /// Payments may be lost then.
    is_set_back: bool,
    payments: Known,
    verdict: Verdict,
}

/// What is known of payments, by what their bodies say, which is unique: the payment, and its number, as servers have
/// said it.
type Known = BTreeMap<String, (Payment, BTreeSet<i64>)>;

// === impl Debts ===

impl<'a> Debts<'a> {
    pub(crate) fn new(world: &'a World, run: &Run) -> Self {
        let (broken, is_set_back) = (run.broken, run.rewinds());
        let (payments, verdict) = (Known::new(), Verdict::default());
        Self { world, broken, is_set_back, payments, verdict }
    }

    /// Whether nothing is broken but what concerns debts.
    fn is_asked(&self) -> bool {
        self.broken.is_none_or(Broken::is_of_debts)
    }

    /// Makes the debts that there are from the beginning.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        if !self.is_asked() {
            return Ok(());
        }
        let world = self.world;
        for namespace in NAMESPACES {
            for definition in definitions(namespace, &world.hook.url("/debts")) {
                let request = AddDebtRequest { definition: Some(definition) };
                let door = world.door(&world.servers[0], namespace);
                let add = || world.runtime.block_on(pay::within(LIMIT, add(&door, &request)));
                eventually_blocking(LIMIT, add).map_err(anyhow::Error::msg)?;
            }
        }
        Ok(())
    }

    /// Pays each kind in every way, twice and again, and a server is killed at both sides of a commit, and before
    /// it knows that it has counted what debts count as.
    pub(crate) fn scene(&mut self) -> anyhow::Result<()> {
        if !self.is_asked() {
            return Ok(());
        }
        let (world, stop) = (self.world, Stop::default());
        world.log.say(|| "scene: debts are paid".to_owned());
        let mut random = Random::derived(0, "debts", 0);
        for (number, point) in POINTS.into_iter().enumerate() {
            let server = &world.servers[0];
            server.process.kill();
            let how = StartOptions { fault: Some(point.to_owned()), ..StartOptions::default() };
            server.bring_up(&how, &stop)?;
            let payment = Payment::beat(OF_DEBTS, 0, format!("scene-{number}"), true);
            self.announce(&payment);
            // It does not answer, or what it counts as comes later.
            self.attempt(&payment, 0, Duration::from_millis(1_500), 0)?;
            let stopped = format!("stopped at {point}");
            eventually_blocking(LIMIT, || server.process.has_logged(&stopped))
                .map_err(|_| anyhow::anyhow!("{point} is not reached"))?;
            server.process.kill();
            server.bring_up(&StartOptions::default(), &stop)?;
            self.settle(&payment, &mut random, &stop)?;
            world.log.done("scene: server killed in a payment");
        }
        for way in 0..pay::WAYS {
            let name = |what: &str| format!("scene-{what}-{way}");
            let run = name("run");
            let namespace = NAMESPACES[way as usize % 2];
            let of_run = |kind, what: &str| {
                Payment::of_run(namespace, "staged-0".to_owned(), &run, kind, name(what))
            };
            for payment in [
                Payment::beat(namespace, 1, name("beat"), true),
                of_run(PaymentKind::Start, "start"),
                of_run(PaymentKind::Heartbeat, "heartbeat"),
                of_run(PaymentKind::Stage, "stage"),
                of_run(PaymentKind::Success, "success"),
                Payment::made(OF_DEBTS, way, name("made")),
            ] {
                self.announce(&payment);
                for _ in 0..2 {
                    self.attempt(&payment, world.servers.len() - 1, LIMIT, way)?;
                }
                self.settle(&payment, &mut random, &stop)?;
            }
        }
        Ok(())
    }

    /// When all who pay have ended: waits until nothing more can be overdue, the receiver has been told of
    /// everything, and all is counted; and judges all of it. Returns what debts must have counted as, too.
    pub(crate) fn finish(mut self) -> anyhow::Result<(Verdict, Option<Totals>)> {
        if !self.is_asked() {
            return Ok((Verdict::default(), None));
        }
        self.read_journals()?;
        let is_set_back = self.is_set_back;
        let look = || -> anyhow::Result<Vec<stored::Debt>> {
            let all = self.read()?;
            let waits = all.iter().filter(|debt| !debt.is_settled()).count();
            anyhow::ensure!(waits == 0, "{waits} debts are still to be overdue");
            let untold = if is_set_back { 0 } else { judge::untold(&all, &self.world.hook) };
            anyhow::ensure!(untold == 0, "{untold} alarms and recoveries are not told");
            let uncounted = self.number(include_str!("sql/uncounted.sql"))?;
            anyhow::ensure!(uncounted == 0, "{uncounted} requests are not counted");
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
        // How often no server looked for too long.
        let gaps = self.number(include_str!("sql/debt_gaps.sql"))?;
        let judge = judge::Judge { all: &all, hook: &self.world.hook, gaps, is_set_back };
        judge.judge(&self.payments, &mut self.verdict);
        Ok((self.verdict, Some(judge::counted(&all))))
    }

    /// Takes what the clients have noted.
    fn read_journals(&mut self) -> anyhow::Result<()> {
        let payers = |kind: Kind| kind == Kind::Payer;
        for client in self.world.clients.iter().filter(|one| payers(one.arguments.kind)) {
            for note in Journal::notes(&client.arguments.journal())? {
                match note.split_once(' ') {
                    Some(("pay", payment)) => self.announce(&Payment::read(payment)?),
                    Some(("paid", rest)) => {
                        let (token, number) = rest.split_once(' ').context("a number")?;
                        self.hear(token, number.parse()?)?;
                    }
                    _ => anyhow::bail!("{note:?} is not a note of a payer"),
                }
            }
        }
        Ok(())
    }

    fn announce(&mut self, payment: &Payment) {
        self.payments.insert(payment.token.clone(), (payment.clone(), BTreeSet::new()));
    }

    /// A server has said that a payment has this number.
    fn hear(&mut self, token: &str, number: i64) -> anyhow::Result<()> {
        let (_, numbers) = self.payments.get_mut(token).context("it was announced")?;
        numbers.insert(number);
        let is_same = numbers.len() == 1 || self.is_set_back;
        self.verdict.check("debts: answers", is_same, || format!("{token}: numbers {numbers:?}"));
        self.world.log.done("debts: paid");
        Ok(())
    }

    /// Tries until a server says that it is paid.
    fn settle(
        &mut self,
        payment: &Payment,
        random: &mut Random,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let server = random.index(self.world.servers.len());
            let way = random.within(0, pay::WAYS - 1);
            if self.attempt(payment, server, pay::PATIENCE, way)? {
                return Ok(());
            }
            let token = &payment.token;
            anyhow::ensure!(begun.elapsed() < LIMIT, "{token}: no answer within {LIMIT:?}");
            stop.pause(random.within(20, 200));
        }
    }

    /// Whether a server says that it is paid.
    fn attempt(
        &mut self,
        payment: &Payment,
        server: usize,
        patience: Duration,
        way: u64,
    ) -> anyhow::Result<bool> {
        let server = &self.world.servers[server];
        let door = self.world.door(server, payment.namespace);
        match self.world.runtime.block_on(pay::attempt(&door, payment, patience, way)) {
            Told::Paid(number) => self.hear(&payment.token, number).map(|()| true),
            Told::Unknown => Ok(false),
            Told::Broken(what) => {
                let name = &server.process.name;
                self.verdict.check("debts: answers", false, || {
                    format!("{name}: {}: {what}", payment.token)
                });
                Ok(false)
            }
        }
    }
}

async fn add(door: &crate::door::Door, request: &AddDebtRequest) -> anyhow::Result<()> {
    let channel = door.endpoint()?.connect().await?;
    let mut client = DebtServiceClient::new(door.link(channel));
    Ok(client.add_debt(request.clone()).await.map(drop)?)
}

/// The debts of a namespace that are there from the beginning.
fn definitions(namespace: i64, hook: &str) -> Vec<Definition> {
    let of_kind = |kind| (0..EACH).map(move |which| format!("{kind}-{which}"));
    let slugs = ["beat", "job", "staged"].into_iter().flat_map(of_kind);
    slugs.map(|slug| definition(namespace, &slug, hook)).collect()
}
