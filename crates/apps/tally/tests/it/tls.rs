//! A server with TLS: what it says, how commands reach it, and a certificate that is replaced.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tally_proto::wire::{REASON_TRAILER, reason, trailer};
use tally_testkit::exposition::families;
use tally_testkit::{Authority, Secure, Stream, Tls, eventually_blocking};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::access::{call, create, revoke};
use crate::metrics::Scraped;
use crate::service_manager;
use crate::support::{Home, LIMIT, Server, assert_fails, totals, wait_for};

/// A home with a certificate, and the flags that use it.
struct Secured {
    home: Home,
    authority: Authority,
    flags: Vec<String>,
}

// === impl Secured ===

impl Secured {
    fn new() -> Secured {
        let (home, authority) = (Home::sqlite(), Authority::generate());
        let secured = Secured { home, authority, flags: Vec::new() };
        let [cert, key] =
            secured.write("tls", &secured.authority.sign(&["127.0.0.1", "localhost"]));
        secured.home.file("ca.pem", secured.authority.ca_pem());
        Secured { flags: vec!["--tls-cert".into(), cert, "--tls-key".into(), key], ..secured }
    }

    /// The two files.
    fn write(&self, name: &str, pem: &Tls) -> [String; 2] {
        let cert = self.home.file(&format!("{name}.crt"), &pem.certificate_pem);
        [cert, self.home.file(&format!("{name}.key"), &pem.key_pem)]
    }

    fn serve_command(&self, more: &[&str]) -> Command {
        let flags = self.flags.iter().map(String::as_str).chain(more.iter().copied());
        self.home.serve_command(&flags.collect::<Vec<_>>())
    }

    /// Commands trust its authority by the file `.env`.
    fn serve(&self, more: &[&str]) -> Server {
        self.home.file(".env", "TALLY_TLS_CA=ca.pem\n");
        Server::start(&self.serve_command(more))
    }

    fn get(&self, server: &Server, path: &str) -> String {
        let client = Secure::trusting(&self.authority.ca_pem(), None);
        wait_for(client.get(address(server), path)).expect("it answers")
    }

    fn scrape(&self, server: &Server) -> Scraped {
        let answer = self.get(server, "/metrics");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        families(body).expect("the format is right")
    }
}

fn address(server: &Server) -> SocketAddr {
    server.url.rsplit('/').next().expect("an address").parse().expect("an address")
}

/// What a server with TLS tells.
pub(crate) fn scrape() -> Scraped {
    let secured = Secured::new();
    let server = secured.serve(&[]);
    let scraped = secured.scrape(&server);
    server.stop();
    scraped
}

#[test]
fn commands_reach_a_server_with_tls_until_its_certificate_is_replaced_and_after() {
    let secured = Secured::new();
    let server = secured.serve(&[]);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let line = "certificate: expires 4096-01-01T00:00:00Z";
    for line in [line, &format!(" --server {}", server.url), &format!(" {}", server.url)] {
        server.process.wait_for_line(Stream::Stderr, line, LIMIT);
    }
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    assert!(server.is_serving());
    let status = server.ok(&["status"]).stdout;
    for words in ["certificate expires", "4096-01-01T00:00:00Z", "client certificates"] {
        assert!(status.contains(words), "{words:?} is not in {status}");
    }
    assert!(secured.get(&server, "/").contains(&server.url), "hints");
    let plain = server.url.replace("https://", "http://");
    let refused = server.run(&["totals", "--server", &plain]);
    assert_fails(&refused, 1, &["it wants TLS: write https:// instead of http://"]);
    let log = "a client did not get through the TLS handshake";
    server.process.wait_for_line(Stream::Stderr, log, LIMIT);

    // Wrong, then right, at once each time, because the server is told.
    let expiry = || {
        let scraped = secured.scrape(&server);
        let of = |name: &str| scraped[name].sum();
        (
            of("tally_tls_certificate_expiry_timestamp_seconds"),
            of("tally_tls_reload_failures_total"),
        )
    };
    let (before, none) = expiry();
    assert_eq!(none, 0.0);
    let next = secured.authority.sign_for(&["127.0.0.1", "localhost"], &[], "", 2020..4000);
    let other = Tls::generate();
    secured.write("tls", &Tls { key_pem: other.key_pem, ..next.clone() });
    server.process.signal("HUP");
    server.process.wait_for_line(Stream::Stderr, "the old one stays in force", LIMIT);
    assert_eq!(expiry(), (before, 1.0));
    secured.write("tls", &next);
    server.process.signal("HUP");
    let is_replaced = || expiry().0 < before;
    assert_eq!(eventually_blocking(LIMIT, is_replaced), Ok(()), "{}", server.log());
    assert_eq!(server.live(), totals([("GET /a", 3)]));

    // Another server takes the port over.
    let (at, database) = (address(&server).to_string(), secured.home.database_url());
    let flags = ["serve", "--listen", &at, "--database-url", &database];
    let flags = flags.into_iter().chain(secured.flags.iter().map(String::as_str));
    let successor = Server::start(&secured.home.command(&flags.collect::<Vec<_>>()));
    assert_eq!(server.process.wait(LIMIT).status.code(), Some(0));
    assert_eq!((&successor.url, successor.live()), (&server.url, totals([("GET /a", 3)])));
    successor.stop();
}

/// Connects and asks, again and again, while `goes_on`. Returns what did not go well.
async fn load(
    secure: Secure,
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    goes_on: Arc<AtomicBool>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    while goes_on.load(Ordering::Relaxed) {
        match secure.get(address, "/livez").await {
            Ok(answer) if answer.contains("alive") => {
                asked.fetch_add(1, Ordering::Relaxed);
            }
            other => wrong.push(format!("{other:?}")),
        }
    }
    wrong
}

/// Ten times, and once wrongly: nobody notices, and the wrong one alone is told.
#[test]
fn certificates_are_replaced_under_load() {
    let secured = Secured::new();
    let server = secured.serve(&[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (asked, goes_on) = (Arc::<AtomicUsize>::default(), Arc::new(AtomicBool::new(true)));
    let loads: Vec<_> = (0..3)
        .map(|_| {
            let secure = Secure::trusting(&secured.authority.ca_pem(), None);
            let (asked, goes_on) = (Arc::clone(&asked), Arc::clone(&goes_on));
            runtime.spawn(load(secure, address(&server), asked, goes_on))
        })
        .collect();
    // One connection goes on all the while.
    let config =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(secured.authority.ca_pem()));
    let endpoint = Channel::from_shared(server.url.clone()).expect("a URL").tls_config(config);
    let channel = runtime.block_on(endpoint.expect("TLS").connect()).expect("a connection");
    let told = || {
        let scraped = secured.scrape(&server);
        let of = |name: &str| scraped[name].sum();
        let expires = of("tally_tls_certificate_expiry_timestamp_seconds");
        (expires, of("tally_tls_reload_failures_total"))
    };
    for n in 0..10 {
        let (expires, failures) = told();
        let next = secured.authority.sign_for(&["127.0.0.1", "localhost"], &[], "", 2020..4000 - n);
        let is_wrong = n == 4;
        let key_pem = if is_wrong { Tls::generate().key_pem } else { next.key_pem.clone() };
        secured.write("tls", &Tls { key_pem, ..next });
        server.process.signal("HUP");
        let is_seen = || if is_wrong { told().1 > failures } else { told().0 < expires };
        assert_eq!(eventually_blocking(LIMIT, is_seen), Ok(()), "{n}: {}", server.log());
        let before = asked.load(Ordering::Relaxed);
        let is_asked = || asked.load(Ordering::Relaxed) > before + 3;
        assert_eq!(eventually_blocking(LIMIT, is_asked), Ok(()), "{n}: {}", server.log());
        let called = runtime.block_on(call(&channel, "/grpc.health.v1.Health/Check", None));
        called.expect("an open connection stays open");
    }
    goes_on.store(false, Ordering::Relaxed);
    for load in loads {
        assert_eq!(runtime.block_on(load).expect("no panic"), Vec::<String>::new());
    }
    assert_eq!(told().1, 1.0, "only the wrong one is told: {}", server.log());
    server.stop();
}

#[test]
fn a_client_certificate_can_be_required() {
    let secured = Secured::new();
    let clients = Authority::generate();
    let ca = secured.home.file("clients.pem", clients.ca_pem());
    secured.write("client", &clients.sign(&["client"]));
    secured.write("stranger", &Authority::generate().sign(&["client"]));
    let server = secured.serve(&["--tls-client-ca", &ca, "--tls-client-auth", "required"]);
    let health = |name: &str| {
        let files = [format!("{name}.crt"), format!("{name}.key")];
        server.run(&["health", "--tls-client-cert", &files[0], "--tls-client-key", &files[1]])
    };
    let good = health("client");
    assert_eq!(&*good.stdout, "SERVING\n", "{good:?}");
    let words = ["give one that it accepts with --tls-client-cert and --tls-client-key"];
    assert_fails(&health("stranger"), 1, &words);
    assert_fails(&server.run(&["health"]), 1, &words);
    server.stop();
}

#[test]
fn a_client_certificate_is_the_key_that_it_names() {
    const ADD: &str = "/count.v1.CountService/Add";
    const TOTALS: &str = "/count.v1.CountService/GetPeriodTotals";
    let secured = Secured::new();
    let clients = Authority::generate();
    let ca = secured.home.file("clients.pem", clients.ca_pem());
    let agent = clients.sign_for(&["agent.example"], &["spiffe://example/a"], "agent", 1975..4096);
    secured.write("agent", &agent);
    secured.write("nobody", &clients.sign(&["nobody"]));
    let server = secured.serve(&["--auth", "keys", "--tls-client-ca", &ca]);
    create(&secured.home, &["agent", "--scope", "ingest", "--namespace", "shop"]);
    let reader = create(&secured.home, &["reader", "--scope", "read", "--namespace", "shop"]);
    let run = |name: &str, arguments: &[&str]| {
        let [cert, key] = [format!("{name}.crt"), format!("{name}.key")];
        let shown = ["--tls-client-cert", &cert, "--tls-client-key", &key];
        server.run(&[arguments, &shown].concat())
    };
    let added = run("agent", &["add", "GET", "/a", "-n", "3"]);
    assert!(added.status.success(), "{added:?}");
    let totals = ["totals", "--live", "--by", "whole", "--format", "csv"];
    let keyed = run("agent", &[&totals[..], &["--key", &reader]].concat());
    assert_eq!(keyed.stdout, "date,method,path,count\n,GET,/a,3\n", "its namespace: {keyed:?}");
    let words = ["does not accept the client certificate: no key has a name of the client"];
    assert_fails(&run("nobody", &["add", "GET", "/a"]), 1, &words);
    assert_fails(
        &server.run(&["add", "GET", "/a"]),
        1,
        &["wants a key: give one with TALLY_KEY or --key-file"],
    );

    // On one connection, each call is of the key that it sends, or else of the certificate.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(secured.authority.ca_pem()))
        .identity(Identity::from_pem(&agent.certificate_pem, &agent.key_pem));
    let endpoint = Channel::from_shared(server.url.clone()).expect("a URL").tls_config(config);
    let channel = runtime.block_on(endpoint.expect("TLS").connect()).expect("a connection");
    let called = |path, key| {
        let called = runtime.block_on(call(&channel, path, key));
        let reason = |status: Status| trailer(&status, REASON_TRAILER).map(str::to_owned);
        called.map_err(|status| reason(status).unwrap_or_default())
    };
    let refused = |reason: &str| Err(reason.to_owned());
    let key = Some(&*reader);
    assert_ne!(called(ADD, None), refused(reason::SCOPE));
    assert_eq!(called(TOTALS, None), refused(reason::SCOPE));
    assert_eq!(called(ADD, key), refused(reason::SCOPE));
    assert_ne!(called(TOTALS, key), refused(reason::SCOPE));
    assert_eq!(called(ADD, Some("tally_ingest_guess")), refused(reason::KEY_UNKNOWN));
    revoke(&secured.home, "agent");
    let is_refused = || called(ADD, None) == refused(reason::KEY_REVOKED);
    assert_eq!(eventually_blocking(LIMIT, is_refused), Ok(()), "{}", server.log());
    assert_ne!(called(TOTALS, key), refused(reason::KEY_REVOKED));
    let client = Secure::trusting(&secured.authority.ca_pem(), Some(&agent));
    let answer = wait_for(client.get(address(&server), "/api/v1/requests/totals"));
    let answer = answer.expect("it answers");
    assert!(answer.contains("401") && answer.contains("the key agent is revoked"), "{answer}");
    server.stop();
}

#[test]
fn a_socket_that_is_passed_on_speaks_tls() {
    let secured = Secured::new();
    secured.home.file(".env", "TALLY_TLS_CA=ca.pem\n");
    let server = service_manager::start(&secured.serve_command(&[]));
    assert!(server.url.starts_with("https://") && server.is_serving(), "{}", server.log());
    server.stop();
}

#[test]
fn a_port_without_tls_says_who_wanted_it() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let secured = server.url.replace("http://", "https://");
    let refused = server.run(&["totals", "--server", &secured]);
    assert_fails(&refused, 1, &["it does not speak TLS: write http:// instead of https://"]);
    let line = "a client speaks TLS, and this port does not";
    server.process.wait_for_line(Stream::Stderr, line, LIMIT);
    server.stop();
}

#[test]
fn a_certificate_that_cannot_be_used_is_said_before_the_start() {
    let secured = Secured::new();
    let [_, key] = secured.write("other", &Tls::generate());
    let mut command = secured.home.serve_command(&[]);
    command.args(["--tls-cert", &secured.flags[1], "--tls-key", &key]);
    let output = tally_testkit::run(&command, b"", LIMIT);
    assert_fails(&output, 1, &["--tls-key", "it is not the key of the first certificate in"]);
    let is_there = secured.home.path("tally.db").exists();
    assert!(!is_there, "it touches no database");
}
