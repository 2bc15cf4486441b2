//! TCP ports that stay free while nothing listens on them.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below the ports that Linux (from 32768) and macOS (from 49152) assign for port 0 and for
/// outgoing connections, so that a port stays free while its server is down.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port of 127.0.0.1 that nothing listens on.
///
/// For a server that must restart on the same port. Otherwise, let the server listen on port 0.
pub fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    let start = (random() % u64::from(count)) as u16;
    (0..count)
        .map(|step| PORTS.start + (start + step) % count)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("no free TCP port on 127.0.0.1 in {PORTS:?}"))
}

/// A random number that differs between processes.
pub(crate) fn random() -> u64 {
    // The keys of the standard library's hasher come from the operating system.
    RandomState::new().hash_one(std::process::id())
}
