//! Messages of a `Record` stream: any bytes are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The beginning of 2030, in microseconds since 1970-01-01 UTC.
const NOW: i64 = 1_893_456_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rows) = tally_requests::decode_batch(bytes, NOW) {
        // Whatever was read can be stored, and is not in the future.
        let latest = NOW + 86_400_000_000;
        assert!(rows.iter().all(|row| row.micros <= latest));
    }
});
