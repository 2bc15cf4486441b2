//! TCP ports that stay ours while nothing listens on them.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below what Linux (from 32768) and macOS (from 49152) hand out for port 0 and for outgoing
/// connections, so that a port is not taken while its server is down.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port of 127.0.0.1 that nothing listens on.
///
/// For a server that must come back on the same port after it was down. Where that does not
/// matter, let the server listen on port 0.
///
/// # Panics
/// When no port of the range is free.
pub fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    let start = (random() % u64::from(count)) as u16;
    (0..count)
        .map(|step| PORTS.start + (start + step) % count)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("no free TCP port of 127.0.0.1 in {PORTS:?}"))
}

/// A number that no other process comes up with at the same moment.
pub(crate) fn random() -> u64 {
    // The keys of the standard library's hasher come from the operating system.
    RandomState::new().hash_one(std::process::id())
}
