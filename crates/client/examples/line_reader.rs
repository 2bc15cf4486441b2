//! Counts each line of a file once, even if it is killed at any point, or started twice.
//!
//! `cargo run -p tally-client --example line_reader -- paths.txt 0b5e6c1d2f3a49788796a5b4c3d2e1f0`
//! counts the paths in a file, one a line. The second argument is an id that was drawn at random once,
//! for this file: all who know it can take over from this process.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::time::UNIX_EPOCH;
use std::{env, io};

use tally_client::{Method, Producer, Row};

/// Lines in a batch. They are stored together with the position behind them.
const LINES: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tally = env::var("TALLY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7777".to_owned());
    let mut arguments = env::args().skip(1);
    let (Some(path), Some(id)) = (arguments.next(), arguments.next()) else {
        return Err("usage: line_reader FILE ID".into());
    };
    let id = u128::from_str_radix(&id, 16)?.to_be_bytes();

    // From the answer on, nothing more is stored of a process that had the producer before.
    let mut producer = Producer::builder(tally).name("line_reader").take_over(id).connect().await?;
    let mut position = match producer.opened().await?.checkpoint() {
        [] => 0,
        checkpoint => std::str::from_utf8(checkpoint)?.parse::<u64>()?,
    };
    println!("begins at byte {position}");
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(position))?;
    loop {
        let (rows, bytes) = read(&mut file, &producer)?;
        if bytes == 0 {
            break;
        }
        position += bytes;
        // One transaction. After a crash, the next process begins at its position or before its lines.
        producer.send_batch(rows, position.to_string()).await?;
        println!("sent up to byte {position}");
    }

    // This leaves the producer to the next process, which counts what is added to the file.
    let progress = producer.close().await;
    if let Some(stop) = progress.stopped {
        return Err(stop.to_string().into());
    }
    println!("{} counted, {} lost", progress.acknowledged, progress.lost());
    Ok(())
}

/// Some lines, and how many bytes they are. The requests have the time of the file. A line without an end is still being written.
fn read(file: &mut BufReader<File>, producer: &Producer) -> io::Result<(Vec<Row>, u64)> {
    let modified = file.get_ref().metadata()?.modified()?;
    let modified = modified.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let time_us = i64::try_from(modified.as_micros()).map_err(io::Error::other)?;
    let (mut rows, mut bytes, mut line) = (Vec::new(), 0, String::new());
    while rows.len() < LINES {
        line.clear();
        let length = file.read_line(&mut line)?;
        if !line.ends_with('\n') {
            break;
        }
        bytes += length as u64;
        let series = producer.endpoint(Method::GET, line.trim_end());
        rows.push(Row::one(series, time_us));
    }
    Ok((rows, bytes))
}
