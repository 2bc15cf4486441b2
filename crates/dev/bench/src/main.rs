//! `tally-bench`: measures Tally against the database's own limit and what people do now, fills it with
//! requests and books, and prints how long that takes.
//!
//! `cargo xtask bench` builds it and `tally` with optimizations, and runs it.
//!
//! | file | what it owns |
//! |---|---|
//! | `arguments.rs` | the command line, and the sizes that a verb has by default |
//! | `attack.rs`, `attack/` | `attack`: what floods, slow and silent clients do to an honest one |
//! | `circumstances.rs` | what the figures depend on besides the code |
//! | `day.rs` | `day`: a day of requests, queries of it, and the wait that folds and roll-ups cause |
//! | `debts.rs`, `debts/` | `debts`: payments and sweeps, with few and with many debts |
//! | `message.rs` | the messages that a server gets |
//! | `mix.rs` | which series requests are of, and pseudo-random numbers |
//! | `place.rs` | a database for one run |
//! | `record.rs` | streams of batches: as fast as they go, and at a given rate |
//! | `roll_up.rs` | `roll-up`: a day's roll-up against the bare aggregate |
//! | `samples.rs` | times, and what is printed of them |
//! | `server.rs` | a `tally serve`, and calls to it |
//! | `table.rs`, `table/` | `table`: Tally against the database's own limit and what people do now |
//! | `usage.rs` | the memory and the CPU time of processes |
//! | `wild.rs` | `wild`: requests of all years |
//! | `years.rs`, `years/` | `years`: three years of books, and each form of query |

mod arguments;
mod attack;
mod circumstances;
mod day;
mod debts;
mod message;
mod mix;
mod place;
mod record;
mod roll_up;
mod samples;
mod server;
mod table;
mod usage;
mod wild;
mod years;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tally_runtime::{Signals, Tasks};

use arguments::{Arguments, Verb};
use circumstances::Circumstances;
use place::Place;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.expect("a runtime").block_on(run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the verb; says whether every total was right.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    Tasks::detach("signals", end_on_signal());
    let verb = arguments.verb()?;
    if let Verb::Queue(queue) = &verb {
        return table::queue::run(queue).await;
    }
    let circumstances = Circumstances::find();
    println!("{circumstances}");
    if let Verb::Table(table) = &verb {
        return table::run(arguments, table, &circumstances).await;
    }
    if let Verb::Debts(debts) = &verb {
        return debts::run(arguments, debts).await;
    }
    let mut is_right = true;
    for backend in arguments.backends() {
        let place = Place::create(backend, arguments).await?;
        println!("\n== {place}");
        is_right &= match &verb {
            Verb::Attack(attack) => attack::run(arguments, attack, &place).await,
            Verb::Day(day) => day::run(arguments, day, &place).await,
            Verb::RollUp(roll_up) => roll_up::run(arguments, roll_up, &place).await,
            Verb::Years(years) => years::run(arguments, years, &place).await,
            Verb::Wild(wild) => wild::run(arguments, wild, &place).await,
            Verb::Memory(memory) => table::memory::run(arguments, memory, &place).await,
            Verb::Table(_) | Verb::Debts(_) | Verb::Queue(_) => unreachable!("they have been run"),
        }
        .with_context(|| format!("on {place}"))?;
    }
    Ok(is_right)
}

/// Everything that was started ends with this process.
async fn end_on_signal() {
    if let Ok(mut signals) = Signals::install() {
        let signal = signals.recv().await;
        eprintln!("ended by {signal}");
        std::process::exit(1);
    }
}
