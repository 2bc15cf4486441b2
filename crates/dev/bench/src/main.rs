//! `tally-bench`: fills Tally with requests and books, and prints how long it takes.
//!
//! `cargo xtask bench` builds it and `tally` with optimizations, and runs it.
//!
//! | file | what it owns |
//! |---|---|
//! | `arguments.rs` | the command line, and the sizes that a verb has by default |
//! | `day.rs` | `day`: a day of requests, queries of it, and the wait that folds and roll-ups cause |
//! | `message.rs` | the messages that a server gets |
//! | `mix.rs` | which series requests are of, and pseudo-random numbers |
//! | `place.rs` | a database for one run |
//! | `record.rs` | streams of batches: as fast as they go, and at a given rate |
//! | `roll_up.rs` | `roll-up`: a day's roll-up against the bare aggregate |
//! | `samples.rs` | times, and what is printed of them |
//! | `server.rs` | a `tally serve`, and calls to it |
//! | `wild.rs` | `wild`: requests of all years |
//! | `years.rs`, `years/` | `years`: three years of books, and each form of query |

mod arguments;
mod day;
mod message;
mod mix;
mod place;
mod record;
mod roll_up;
mod samples;
mod server;
mod wild;
mod years;

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use tally_runtime::{Clock as _, Signals, SystemClock, Tasks};

use arguments::{Arguments, Verb};
use place::Place;

/// Environment of the build that is printed with the figures.
const VERSION: &str = env!("CARGO_PKG_VERSION");

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

/// Runs the verb on each database; says whether every total was right.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    Tasks::detach("signals", end_on_signal());
    print_circumstances();
    let mut is_right = true;
    for backend in arguments.backends() {
        let place = Place::create(backend, arguments)?;
        println!("\n== {place}");
        is_right &= match &arguments.verb {
            Verb::Day(day) => day::run(arguments, day, &place).await,
            Verb::RollUp(roll_up) => roll_up::run(arguments, roll_up, &place).await,
            Verb::Years(years) => years::run(arguments, years, &place).await,
            Verb::Wild(wild) => wild::run(arguments, wild, &place).await,
        }
        .with_context(|| format!("on {place}"))?;
    }
    Ok(is_right)
}

/// What the figures depend on besides the code.
fn print_circumstances() {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let output = output.filter(|output| output.status.success());
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_else(|| "unknown".into())
    };
    let line: Vec<String> = std::env::args().skip(1).collect();
    println!("tally-bench {}", line.join(" "));
    let commit = said("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    println!("version {VERSION}, commit {commit}, at {:.0}", SystemClock.now());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default().replace("MemTotal:", "");
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    println!("{cores} cores ({model}), {} memory, {}", memory.trim(), said("uname", &["-sr"]));
    if cfg!(debug_assertions) {
        println!("built WITHOUT optimizations: these times mean nothing");
    }
}

/// Everything that was started ends with this process.
async fn end_on_signal() {
    if let Ok(mut signals) = Signals::install() {
        let signal = signals.recv().await;
        eprintln!("ended by {signal}");
        std::process::exit(1);
    }
}
