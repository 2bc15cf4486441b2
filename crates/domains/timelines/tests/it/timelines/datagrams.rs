//! upto's datagrams, through a real socket: what its clients send is stored, and everything else is counted.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use tally_runtime::metrics::Scrape;
use tally_runtime::{Drain, Tasks};
use tally_serve::{Domains, Doors, Started};
use tally_testkit::exposition::families;
use tally_testkit::{eventually, free_port};

use super::*;

on_every_backend!(
    datagrams_start_and_end_events,
    datagrams_that_come_twice_or_out_of_order_change_nothing,
);

mod once {
    crate::timelines::on!(
        sqlite: datagrams_of_any_length_and_content_are_counted,
        bad_messages_in_datagrams_are_counted,
        datagrams_whose_clocks_are_wrong_are_kept_and_told,
        what_cannot_be_stored_is_counted
    );
}

const LIMIT: Duration = Duration::from_secs(30);

/// A socket of a server, and one that sends to it.
struct Door {
    sender: UdpSocket,
    address: String,
    drain: Drain,
    domains: Domains,
}

// === impl Door ===

impl Door {
    async fn open(server: &Server, namespace: Namespace) -> Self {
        let (drain, address) = (Drain::new(), format!("127.0.0.1:{}", free_port()));
        let doors = Doors::new().udp(&address, server.service.datagrams(namespace));
        let running = Arc::new(server.service.clone());
        let started = Started { name: "timelines", running, doors, tasks: Tasks::new() };
        let opened = tally_serve::Server::open("a test", "", vec![started], &drain).await;
        let domains = opened.expect("a socket").domains();
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Self { sender, address, drain, domains }
    }

    fn send(&self, datagram: &[u8]) {
        let sent = self.sender.send_to(datagram, &self.address).expect("it is sent");
        assert_eq!(sent, datagram.len());
    }

    /// The service ends with it: everything that has come is stored.
    async fn close(self) {
        self.drain.begin();
        self.domains.finished().await;
    }
}

/// A message as upto's clients send it.
fn datagram(kind: u8, name: &str, host: &str, second: i64, is_by_address: bool) -> Vec<u8> {
    datagram_of(
        "deploy",
        kind,
        name,
        host,
        time("2030-06-15T06:00:00Z").as_second() + second,
        is_by_address,
    )
}

fn datagram_of(
    context: &str,
    kind: u8,
    name: &str,
    host: &str,
    second: i64,
    is_by_address: bool,
) -> Vec<u8> {
    let mut bytes = vec![0x86];
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(0xda);
        bytes.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, "context");
    text(&mut bytes, context);
    text(&mut bytes, "name");
    text(&mut bytes, name);
    text(&mut bytes, "type");
    bytes.push(kind);
    text(&mut bytes, "time");
    bytes.extend([0xc7, 12, 5]);
    bytes.extend(second.to_be_bytes());
    bytes.extend([0; 4]);
    text(&mut bytes, "host");
    text(&mut bytes, host);
    text(&mut bytes, "autoIP");
    bytes.push(0xc2 + u8::from(is_by_address));
    bytes
}

/// A new timeline has Go's zero time.
fn new_datagram() -> Vec<u8> {
    datagram_of("deploy", 3, "", "", -62_135_596_800, false)
}

impl Server {
    /// How many messages were stored, repeated and refused, and how many datagrams were refused, by why.
    fn counted(&self) -> (Vec<u64>, std::collections::BTreeMap<String, u64>) {
        let mut scrape = Scrape::new();
        self.service.measure(&mut scrape);
        let scraped = families(&scrape.finish()).expect("the format is right");
        let of = |outcome| {
            let outcome = [("outcome", outcome)];
            scraped["tally_timelines_messages_total"].value(&outcome).expect("it is there") as u64
        };
        let refused = &scraped["tally_timelines_datagrams_refused_total"].samples;
        let refused = refused.iter().filter(|one| one.value > 0.0);
        let refused = refused.map(|one| (one.labels["reason"].clone(), one.value as u64));
        (["stored", "repeated", "refused"].map(of).to_vec(), refused.collect())
    }

    /// Waits until so many messages and datagrams have become something.
    async fn has_taken(&self, count: u64) {
        let all = async || {
            let (messages, refused) = self.counted();
            // What the ledger refuses is in both.
            messages[..2].iter().sum::<u64>() + refused.values().sum::<u64>() == count
        };
        eventually("all datagrams are taken", LIMIT, all).await;
    }
}

/// equinix-labs/otel-cli#152, #344, tobert/otel-cli#10: start and end in two calls need a background process; here
/// two processes on two hosts need nothing but context, name and host. open-telemetry/opentelemetry-specification#373:
/// what runs is seen at once.
async fn datagrams_start_and_end_events(backend: Backend) {
    let one = Door::open(&backend.one, Namespace::DEFAULT).await;
    let other = Door::open(&backend.other, Namespace::DEFAULT).await;
    one.send(&new_datagram());
    one.send(&datagram(0, "db.migrate", "web-1", 1, false));
    backend.one.has_taken(2).await;
    assert_eq!(backend.other.seen("").await, [seen("db.migrate", "open", 1, 1, NEVER)]);
    other.send(&datagram(1, "db.migrate", "web-1", 4, false));
    other.send(&datagram(2, "switched", "ignored", 5, true));
    backend.other.has_taken(2).await;
    let ended = [seen("db.migrate", "ok", 1, 1, 4), seen("switched", "point", 1, 5, NEVER)];
    assert_eq!(backend.one.seen("1").await, ended);
    let hosts: Vec<_> = backend.one.events("1").await.into_iter().map(|event| event.host).collect();
    assert_eq!(hosts, ["web-1", "127.0.0.1"]);
    let elsewhere = Door::open(&backend.one, Namespace(7)).await;
    elsewhere.send(&datagram(0, "db.migrate", "web-1", 1, false));
    elsewhere.close().await;
    assert_eq!(backend.one.seen("1").await, ended);
    one.drain.begin();
    other.close().await;
}

/// upto: an end that arrives before its start pairs with it, a datagram received twice changes nothing, and `new`
/// leaves open events in their old timeline, where their ends find them.
async fn datagrams_that_come_twice_or_out_of_order_change_nothing(backend: Backend) {
    let door = Door::open(&backend.one, Namespace::DEFAULT).await;
    for one in [
        new_datagram(),
        datagram(1, "early", "", 5, false),
        datagram(0, "early", "", 4, false),
        datagram(0, "long", "", 6, false),
        new_datagram(),
        new_datagram(),
        datagram(0, "early", "", 4, false),
    ] {
        door.send(&one);
    }
    door.send(&datagram(1, "long", "", 9, false));
    door.send(&datagram(1, "long", "", 9, false));
    door.send(&datagram(0, "long", "", 10, false));
    door.close().await;
    assert_eq!(backend.one.counted(), (vec![7, 3, 0], Default::default()));
    let first = [seen("early", "ok", 1, 4, 5), seen("long", "ok", 1, 6, 9)];
    assert_eq!(backend.other.seen("1").await, first);
    assert_eq!(backend.other.seen("2").await, [seen("long", "open", 1, 10, NEVER)]);
}

/// A datagram of every length up to 1,024, with random bytes, and every one that is cut short.
async fn datagrams_of_any_length_and_content_are_counted(backend: Backend) {
    let door = Door::open(&backend.one, Namespace::DEFAULT).await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut sent = 0;
    for length in 0..=1_024 {
        let bytes = (0..length).map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as u8
        });
        door.send(&bytes.collect::<Vec<_>>());
        sent += 1;
        // What the system's buffer has no room for would be counted elsewhere.
        if sent % 64 == 0 {
            backend.one.has_taken(sent).await;
        }
    }
    let whole = datagram(0, "a", "", 1, false);
    for end in 0..whole.len() {
        door.send(&whole[..end]);
    }
    sent += whole.len() as u64;
    door.send(&whole);
    backend.one.has_taken(sent + 1).await;
    let (messages, refused) = backend.one.counted();
    assert_eq!((messages, refused.values().sum()), (vec![1, 0, 0], sent));
    assert!(refused["cut_short"] > whole.len() as u64 && refused["no_map"] > 700, "{refused:?}");
    door.close().await;
    assert_eq!(backend.one.seen("").await, [seen("a", "open", 1, 1, NEVER)]);
}

/// dash0hq/otel-cicd-action#19, ahrefs/ocannl#918: reversed times. jaegertracing/jaeger#1459, grafana/tempo#3930,
/// grafana/grafana#93060: clocks differ. Ends years before starts, and a clock that is a day ahead.
async fn datagrams_whose_clocks_are_wrong_are_kept_and_told(backend: Backend) {
    let door = Door::open(&backend.one, Namespace::DEFAULT).await;
    let (day, years) = (86_400, 4 * 365 * 86_400);
    door.send(&datagram(0, "a", "ahead", day, false));
    door.send(&datagram(1, "a", "ahead", day - years, false));
    door.close().await;
    assert_eq!(backend.one.counted().0, [2, 0, 0]);
    assert_eq!(backend.one.seen("").await, [seen("a", "ok", 1, day, day - years)]);
    let [event] = &backend.one.events("").await[..] else { panic!("one event") };
    assert_eq!(event.took, Some(prost_types::Duration::default()));
    assert_eq!(event.reversed.map(|reversed| reversed.seconds), Some(years));
    let shown = backend.one.shown("").await.expect("it is there");
    assert_eq!(shown.clocks.len(), 1, "{:?}", shown.clocks);
    assert_eq!(shown.clocks[0].host, "ahead");
}

/// Names of 10 kB, 1,000 levels, times that nobody can have, more contexts than there may be.
async fn bad_messages_in_datagrams_are_counted(backend: Backend) {
    let door = Door::open(&backend.one, Namespace::DEFAULT).await;
    let wrong = [
        datagram(0, &"x".repeat(600), "", 1, false),
        datagram(0, &["a"; 1_000].join("."), "", 1, false),
        datagram(0, "", "", 1, false),
        datagram(0, "a..b", "", 1, false),
        datagram(0, "a\nb", "", 1, false),
        datagram(0, "a", &"h".repeat(256), 1, false),
        datagram(3, "a new timeline has no name", "", 1, false),
        datagram(0, "a", "", i64::from(u32::MAX) * 4, false),
        datagram_of("", 0, "a", "", 1, false),
    ];
    for one in &wrong {
        door.send(one);
    }
    // It has more bytes than the server reads.
    door.send(&datagram(0, &"x".repeat(10_000), "", 1, false));
    for context in 0..7 {
        door.send(&datagram_of(&format!("c{context}"), 2, "a", "", 1, false));
    }
    let refused = [("limit".to_owned(), 2), ("wrong".to_owned(), wrong.len() as u64)];
    backend.one.has_taken(5 + 2 + wrong.len() as u64).await;
    assert_eq!(backend.one.counted(), (vec![5, 0, 2], refused.into()));
    door.close().await;
}

/// The database is gone, or the server stops: what was read is lost, and counted.
async fn what_cannot_be_stored_is_counted(backend: Backend) {
    let door = Door::open(&backend.one, Namespace::DEFAULT).await;
    backend.one.service.finished().await;
    door.send(&datagram(0, "a", "", 1, false));
    door.send(b"garbage");
    backend.one.has_taken(2).await;
    let refused = [("no_map".to_owned(), 1), ("unstored".to_owned(), 1)];
    assert_eq!(backend.one.counted(), (vec![0, 0, 0], refused.into()));
}
