//! A job that counts the lines it reads.
//!
//! `seq 1000 | cargo run -p tally-client --example batch_job`, then `tally totals --live`.

use std::io::BufRead as _;
use std::{env, error, io, thread};

use tally_client::{Method, Queue};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let tally = env::var("TALLY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7777".to_owned());

    let queue = Queue::connect(tally).await?;
    // Made once; copies are free.
    let even = queue.endpoint(Method::POST, "/numbers/even");
    let odd = queue.endpoint(Method::POST, "/numbers/odd");
    let other = queue.endpoint(Method::POST, "/numbers/other");

    let mut stopped = std::pin::pin!(stopped()?);
    let mut lines = lines_of_stdin();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = &mut stopped => break,
        };
        let Some(line) = line else { break };
        let series = match line?.trim().parse::<u64>() {
            Ok(number) if number % 2 == 0 => even,
            Ok(_) => odd,
            Err(_) => other,
        };
        // A job may wait for room. A service must not, and uses `record_or_drop`.
        queue.record(series).await?;
    }

    let report = queue.close().await;
    println!("{} counted, {} lost", report.acknowledged, report.lost());
    Ok(())
}

/// The lines of standard input, from their own thread because reading blocks.
fn lines_of_stdin() -> mpsc::Receiver<io::Result<String>> {
    let (sender, lines) = mpsc::channel(1_024);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Waits for the first SIGTERM or ctrl-c.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
