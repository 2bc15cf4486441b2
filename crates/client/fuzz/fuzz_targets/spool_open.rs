//! Files that nobody has checked: any bytes, and records whose checksums are right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally_client::spool::fuzz;

fuzz_target!(|bytes: &[u8]| {
    fuzz::read(bytes);
    let segment = fuzz::segment(bytes);
    fuzz::read(&segment);
    // One directory for each process, so that several can run.
    let directory = std::env::temp_dir().join(format!("spool-{}", std::process::id()));
    fuzz::open(&directory, &segment, bytes.len() % 2 == 0);
});
