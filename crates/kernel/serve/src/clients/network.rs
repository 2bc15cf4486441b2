//! Which addresses are one client's.

use std::net::{IpAddr, Ipv6Addr};

/// The addresses that one client can have are one.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(of) => {
            let [a, b, c, d, ..] = of.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        of @ IpAddr::V4(_) => of,
    }
}
