//! `tally-torture`: kills, cuts and starves Tally while it counts, and checks every count.
//!
//! `cargo xtask torture` builds it together with a `tally` that has the feature `faults`.
//! See docs/torture.md for what it does and what it proves.
//!
//! | file | what it owns |
//! |---|---|
//! | `account.rs` | what a client's journal means |
//! | `arguments.rs` | the command line |
//! | `changes.rs` | what a person merges and forgets |
//! | `client/` | the client processes |
//! | `debts.rs`, `debts/` | those who pay debts, and what must hold of these |
//! | `door.rs` | a server as somebody with a key reaches it |
//! | `journal.rs` | a client's record of what it sent and what was acknowledged |
//! | `lanes.rs` | the threads that carry out the schedule |
//! | `losses.rs` | how much a rewound database may have lost |
//! | `oracle.rs` | what must hold at the end |
//! | `random.rs` | seeded random numbers |
//! | `report.rs` | what a run prints |
//! | `rewind.rs` | setting a database back to an earlier state |
//! | `run.rs` | one run, from the seed to the verdict |
//! | `scenes.rs` | fixed scenes that are certain to expose a broken server |
//! | `schedule.rs` | what goes wrong and when |
//! | `sessions.rs` | ending and exhausting Postgres's sessions |
//! | `state.rs` | what a run that ended early leaves behind |
//! | `stop.rs` | stopping all threads |
//! | `stored.rs` | reading what is stored, from servers |
//! | `tables.rs` | reading the database, and whether its books are balanced |
//! | `timelines.rs`, `timelines/` | those who tell timelines, and what must hold of these |
//! | `views.rs` | what answers tell apart |
//! | `watch.rs` | queries and roll-ups during the run |
//! | `world/` | the database, the servers, the clients, and the network between them |

mod account;
mod arguments;
mod changes;
mod client;
mod debts;
mod door;
mod journal;
mod lanes;
mod losses;
mod oracle;
mod random;
mod report;
mod rewind;
mod run;
mod scenes;
mod schedule;
mod sessions;
mod state;
mod stop;
mod stored;
mod tables;
mod timelines;
mod views;
mod watch;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Verb};
use tally_runtime::{Signals, Tasks};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let passed = match &arguments.verb {
        Some(Verb::Client(client)) => runtime.block_on(client::run(client)).map(|()| true),
        None => {
            Tasks::detach("signals", end_on_signal());
            run::run(&arguments.run, runtime.handle())
        }
    };
    match passed {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A script's background job ignores SIGINT unless it installs a handler. Everything the run
/// started ends with this process.
async fn end_on_signal() {
    if let Ok(mut signals) = Signals::install() {
        let signal = signals.recv().await;
        eprintln!("ended by {signal}");
        std::process::exit(1);
    }
}
