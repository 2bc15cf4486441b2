//! Timelines beside the counting: two clients tell what starts and ends, each of them half of every event, through
//! all servers, out of order and again.
//!
//! | file | what it owns |
//! |---|---|
//! | `judge.rs` | what must hold at the end |
//! | `script.rs` | what happens, which a seed decides, and who tells what of it |
//! | `stored.rs` | reading what is stored |
//! | `tell.rs` | one attempt to tell something, and what its answer means |

mod judge;
pub(crate) mod script;
mod stored;
pub(crate) mod tell;

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::eventually_blocking;

use crate::arguments::Run;
use crate::client::Kind;
use crate::journal::Journal;
use crate::oracle::Verdict;
use crate::world::World;
use crate::world::client::Client;
use script::Script;

/// The file that says up to which window clients tell events, and how many more than they have begun.
pub(crate) const LAST: &str = "timelines.last";
const MORE: u64 = 3;

/// How many windows are told before the faults begin: some in each context.
const WINDOWS: u64 = 12;

/// How long it may take to read all timelines.
const LIMIT: Duration = Duration::from_secs(120);

/// Those who tell, and what they were told.
pub(crate) struct Timelines<'a> {
    world: &'a World,
    seed: u64,
    is_set_back: bool,
}

/// What clients have told: windows that they have begun, and those that servers have answered all of.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    begun: u64,
    answered: u64,
}

// === impl Timelines ===

impl<'a> Timelines<'a> {
    pub(crate) fn new(world: &'a World, run: &Run) -> Self {
        Self { world, seed: run.seed, is_set_back: run.rewinds() }
    }

    fn tellers(&self) -> impl Iterator<Item = &'a Client> {
        let clients = self.world.clients.iter();
        clients.filter(|client| client.arguments.kind == Kind::Teller)
    }

    /// Waits until each has told enough that each of them has told some of it again.
    pub(crate) fn scene(&self) -> anyhow::Result<()> {
        for teller in self.tellers() {
            let is_enough = || told(teller).is_ok_and(|told| told.answered >= WINDOWS);
            eventually_blocking(LIMIT, is_enough)
                .map_err(|_| anyhow::anyhow!("{} tells nothing", teller.process.name))?;
            self.world.log.done("scene: timelines told");
        }
        Ok(())
    }

    /// Lets all tell the same events from now on.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        let mut last = 0;
        for teller in self.tellers() {
            last = last.max(told(teller)?.begun);
        }
        let (new, file) = (self.world.file("timelines.new"), self.world.file(LAST));
        fs::write(&new, (last + MORE).to_string())?;
        fs::rename(new, file).context("how far timelines go")
    }

    /// When all who tell have ended: judges all of it.
    pub(crate) fn finish(&self) -> anyhow::Result<Verdict> {
        let mut verdict = Verdict::default();
        if self.tellers().next().is_none() {
            return Ok(verdict);
        }
        let told: Vec<Told> = self.tellers().map(told).collect::<anyhow::Result<_>>()?;
        let stored = stored::read(self.world)?;
        let judge = judge::Judge {
            script: Script { seed: self.seed },
            told: [told[0], told[1]],
            stored: &stored,
            is_set_back: self.is_set_back,
        };
        judge.judge(&mut verdict);
        Ok(verdict)
    }
}

/// What a client has noted.
fn told(client: &Client) -> anyhow::Result<Told> {
    let mut told = Told::default();
    for note in Journal::notes(&client.arguments.journal())? {
        match note.split_once(' ') {
            Some(("tell", window)) => told.begun = window.parse()?,
            Some(("told", window)) => told.answered = window.parse()?,
            _ => anyhow::bail!("{note:?} is not a note of a teller"),
        }
    }
    Ok(told)
}
