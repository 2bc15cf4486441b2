//! Files that nothing has checked: any bytes, and records whose checksums are right.
#![no_main]
#![allow(dead_code, unreachable_pub, reason = "the target uses a part of the modules")]

/// The client keeps these to itself.
#[path = "../../src"]
mod client {
    pub mod random;
    pub mod spool;
}
#[path = "../entry.rs"]
mod entry;

use client::{random, spool};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let segment = entry::segment(bytes);
    // One directory for each process, so that several can run.
    let directory = std::env::temp_dir().join(format!("spool-{}", std::process::id()));
    for bytes in [bytes, &segment] {
        entry::open(&directory, bytes, bytes.len() % 2 == 0);
    }
});
