//! How many wrong keys each address has sent lately.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many wrong keys an address may send in [`WINDOW`]. Its further ones are refused without being
/// looked up; right ones are accepted, because others may have the same address.
pub(crate) const ATTEMPTS_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are told apart; more are forgotten together.
const ADDRESSES_MAX: usize = 4_096;

/// How many wrong keys each address has sent lately.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    wrong: u32,
}

// === impl Attempts ===

impl Attempts {
    pub(crate) fn are_too_many(&self, from: IpAddr) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = all.get(&block(from));
        window.is_some_and(|one| one.wrong >= ATTEMPTS_MAX && one.since.elapsed() < WINDOW)
    }

    pub(crate) fn note(&self, from: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES_MAX {
            all.retain(|_, window| window.since.elapsed() < WINDOW);
        }
        if all.len() >= ADDRESSES_MAX {
            all.clear();
        }
        let window =
            all.entry(block(from)).or_insert_with(|| Window { since: Instant::now(), wrong: 0 });
        if window.since.elapsed() >= WINDOW {
            *window = Window { since: Instant::now(), wrong: 0 };
        }
        window.wrong = window.wrong.saturating_add(1);
    }
}

/// What one subscriber has: an address of IPv4, or 64 bits of IPv6.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_slowed_for_a_minute_and_no_other_one() {
        let attempts = Attempts::default();
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().expect("IP"));
        for _ in 0..ATTEMPTS_MAX {
            assert!(!attempts.are_too_many(one));
            attempts.note(one);
        }
        assert!(attempts.are_too_many(one) && attempts.are_too_many(same));
        assert!(!attempts.are_too_many(other));
        tokio::time::advance(WINDOW).await;
        assert!(!attempts.are_too_many(one));
        attempts.note(one);
        assert!(!attempts.are_too_many(one), "it begins anew");
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let attempts = Attempts::default();
        for n in 0..3 * ADDRESSES_MAX {
            attempts.note(IpAddr::V4(u32::try_from(n).expect("small").into()));
        }
        assert!(attempts.0.lock().expect("whole").len() <= ADDRESSES_MAX);
    }
}
