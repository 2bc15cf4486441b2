//! `tally-torture`: kills, cuts and starves Tally while it counts, and checks every count.
//!
//! `cargo xtask torture` builds it together with a `tally` that has the feature `faults`.
//! docs/torture.md says what it does and what it proves.
//!
//! | file | what it owns |
//! |---|---|
//! | `account.rs` | what a client's journal means |
//! | `arguments.rs` | the command line |
//! | `client/` | the client processes |
//! | `goes_back.rs` | the ways in which a database goes back to an earlier state |
//! | `journal.rs` | what a client writes down about itself |
//! | `lanes.rs` | the threads that bring about what the schedule says |
//! | `losses.rs` | what may be missing after that |
//! | `oracle.rs` | what must hold in the end |
//! | `random.rs` | numbers that a seed decides |
//! | `report.rs` | what a run prints |
//! | `run.rs` | one run, from the seed to the verdict |
//! | `scenes.rs` | fixed scenes, in which a broken server is certain to be found |
//! | `schedule.rs` | what goes wrong and when |
//! | `sessions.rs` | ending the sessions of Postgres, and using them up |
//! | `stop.rs` | telling all threads to stop |
//! | `stored.rs` | reading what is stored |
//! | `watch.rs` | queries and roll-ups all the while |
//! | `world/` | the database, the servers, the clients, and the network between them |

mod account;
mod arguments;
mod client;
mod goes_back;
mod journal;
mod lanes;
mod losses;
mod oracle;
mod random;
mod report;
mod run;
mod scenes;
mod schedule;
mod sessions;
mod stop;
mod stored;
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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A script's background job ignores Ctrl-C's signal unless somebody handles it. What the run has
/// started ends with this process.
async fn end_on_signal() {
    if let Ok(mut signals) = Signals::install() {
        let signal = signals.recv().await;
        eprintln!("ended by {signal}");
        std::process::exit(1);
    }
}
