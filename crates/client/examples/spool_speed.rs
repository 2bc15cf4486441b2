//! How fast a disk takes batches: `cargo run --release --features spool --example spool_speed DIR`

use std::path::PathBuf;
use std::time::Instant;

use tally_client::spool::{Fsync, Options, Spool, Stored};

/// About what 10,000 requests take.
const PAYLOAD_BYTES: usize = 30_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("name a directory that does not exist yet")?;
    let directory = PathBuf::from(directory);
    if directory.exists() {
        return Err(format!("{} exists: name another", directory.display()).into());
    }
    let payload: Vec<u8> = (0..PAYLOAD_BYTES).map(|at| ((at * at) >> 3) as u8).collect();
    for (fsync, batches) in [(Fsync::OsOnly, 8_000), (Fsync::EachBatch, 2_000)] {
        let options = Options { bytes_max: 1 << 30, fsync, ..Options::default() };
        let (mut spool, _) = Spool::open(&directory, options, [1; 16])?;
        let start = Instant::now();
        for sequence in 1..=batches {
            spool.append(sequence, 10_000, &payload)?;
        }
        report(&format!("append, {fsync:?}"), batches, start);
        drop(spool);

        let start = Instant::now();
        let (mut spool, _) = Spool::open(&directory, options, [1; 16])?;
        report("open, with every checksum", batches, start);
        let start = Instant::now();
        for sequence in 1..=batches {
            assert!(matches!(spool.read(sequence)?, Stored::Batch { .. }), "a batch is damaged");
        }
        report("read", batches, start);
        let start = Instant::now();
        for sequence in 1..=batches {
            spool.acknowledge(sequence)?;
        }
        report("acknowledge", batches, start);
        drop(spool);
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

fn report(what: &str, batches: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let each = seconds * 1e6 / batches as f64;
    let rate = (batches as usize * PAYLOAD_BYTES) as f64 / 1e6 / seconds;
    println!("{what}: {batches} batches, {each:.1} µs each, {rate:.0} MB/s");
}
