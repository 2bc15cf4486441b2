//! How many datagrams a socket has had, and how many of them were lost.

use std::sync::atomic::{AtomicU64, Ordering};

use tally_runtime::metrics::{Counter, Metric, Scrape};
use tokio::net::UdpSocket;

const DATAGRAMS: Metric = Metric::counter(
    "tally_udp_datagrams_total",
    "Datagrams that this server has read from the UDP socket of a domain.",
);
const LOST: Metric = Metric::counter(
    "tally_udp_datagrams_lost_total",
    "Datagrams that came to the UDP socket of a domain and not to the domain, by why.",
);

/// Where Linux lists the UDP sockets that this process can have.
const LISTS: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];
/// Which of a line's fields are the number of the socket, and how many datagrams the system has dropped.
const NUMBER: usize = 9;
const DROPS: usize = 12;

/// How many datagrams a socket has had.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Those that were read.
    pub(crate) taken: Counter,
    /// Those of them that were too large, and those for which the queue had no room.
    pub(crate) too_large: Counter,
    pub(crate) without_room: Counter,
    /// Those that the system has dropped, because nobody read them in time.
    unread: AtomicU64,
    /// What the system calls the socket.
    number: Option<u64>,
}

// === impl Received ===

impl Received {
    pub(crate) fn of(socket: &UdpSocket) -> Self {
        Self { number: number(socket), ..Self::default() }
    }

    /// Asks the system what it has dropped. Where it does not say it, that is not known.
    pub(crate) fn look(&self) {
        let drops = self.number.and_then(|number| {
            LISTS.iter().find_map(|list| drops(&std::fs::read_to_string(list).ok()?, number))
        });
        self.unread.fetch_max(drops.unwrap_or(0), Ordering::Relaxed);
    }

    /// How many did not come to the domain.
    pub(crate) fn lost(&self) -> u64 {
        self.look();
        self.losses().iter().map(|(_, lost)| lost).sum()
    }

    pub(crate) fn measure(&self, domain: &str, scrape: &mut Scrape) {
        self.look();
        scrape.put(DATAGRAMS, &[("domain", domain)], self.taken.get());
        for (reason, lost) in self.losses() {
            scrape.put(LOST, &[("domain", domain), ("reason", reason)], lost);
        }
    }

    fn losses(&self) -> [(&'static str, u64); 3] {
        let unread = self.unread.load(Ordering::Relaxed);
        [("unread", unread), ("queue", self.without_room.get()), ("size", self.too_large.get())]
    }
}

fn number(socket: &UdpSocket) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::MetadataExt as _;

        let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
        std::fs::metadata(path).ok().map(|socket| socket.ino())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        None
    }
}

/// What a list says of the socket of this number.
fn drops(list: &str, number: u64) -> Option<u64> {
    list.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_its = fields.get(NUMBER)?.parse() == Ok(number);
        is_its.then(|| fields.get(DROPS)?.parse().ok())?
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_system_drops_is_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has IPv6.
            let Ok(socket) = UdpSocket::bind(address).await else { continue };
            let received = Received::of(&socket);
            let to = socket.local_addr().expect("it is bound");
            let sender = std::net::UdpSocket::bind(address).expect("a port");
            let sent = 4_000;
            for _ in 0..sent {
                sender.send_to(&[0; 1_024], to).expect("it is sent");
            }
            let socket = socket.into_std().expect("a socket");
            let mut read = 0;
            while socket.recv(&mut [0; 1_024]).is_ok() {
                read += 1;
            }
            assert!((1..sent).contains(&read), "{read}");
            assert_eq!(received.lost(), sent - read, "{address}");
            drop(socket);
            assert_eq!(received.lost(), sent - read, "what is known stays so");
        }
    }

    #[test]
    fn other_sockets_and_other_texts_say_nothing() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout \
                    inode ref pointer drops\n  \
                    69: 0100007F:1FBB 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 \
                    0000000000000000 31\n";
        assert_eq!(drops(list, 4_711), Some(31));
        for (list, number) in [(list, 31), (list, 2), ("", 4_711), ("a b", 0)] {
            assert_eq!(drops(list, number), None, "{number}");
        }
    }
}
