//! TLS on the port: both protocols, certificates that change, clients with and without one, and those
//! that speak no TLS or nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::routing::get;
use tally_runtime::{Drain, ManualClock, Tasks};
use tally_serve::pages::Pages;
use tally_serve::{Doors, Listener, Peer, Reload, Started, Tls, TlsFiles};
use tally_testkit::{Authority, Secure, Tls as Pem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::admission::ask;
use crate::support::{Idle, LIMIT, Running};

type Io = std::io::Error;

/// More handshakes than there may be at once, and how long none of them has to go.
const HANDSHAKES: usize = 520;
const UNDISTURBED: Duration = Duration::from_millis(500);

/// A folder with the files of a server's certificate.
struct Folder(tempfile::TempDir);

/// A server with TLS, and its files.
struct Server {
    running: Running,
    tls: Arc<Tls>,
    clock: Arc<ManualClock>,
    folder: Folder,
    authority: Authority,
}

// === impl Folder ===

impl Folder {
    fn files(&self) -> TlsFiles {
        let (cert, key) = (self.0.path().join("tls.crt"), self.0.path().join("tls.key"));
        TlsFiles { cert, key, client_ca: None, are_clients_asked_only: true }
    }

    fn write(&self, pem: &Pem) {
        self.write_certificate(pem);
        self.write_key(pem);
    }

    fn write_certificate(&self, pem: &Pem) {
        fs::write(self.files().cert, &pem.certificate_pem).expect("room");
    }

    fn write_key(&self, pem: &Pem) {
        fs::write(self.files().key, &pem.key_pem).expect("room");
    }
}

// === impl Server ===

impl Server {
    async fn start() -> Server {
        Self::with(|_, files| files, LIMIT).await
    }

    /// A server with other settings, which may take more files of this folder.
    async fn with(settings: impl Fn(&Path, TlsFiles) -> TlsFiles, handshake: Duration) -> Server {
        let authority = Authority::generate();
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write(&authority.sign(&["localhost"]));
        let clock = Arc::new(ManualClock::new("2030-06-15T12:00:00Z".parse().expect("a time")));
        let files = settings(folder.0.path(), folder.files());
        let tls = Tls::open(files, clock.clone()).await.expect("they fit").within(handshake);
        let tls = Arc::new(tls);
        let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
        let said = async |Extension(peer): Extension<Peer>| {
            format!("{} {}\n", peer.has_tls(), peer.names().join(" "))
        };
        let doors = Doors::new().pages(Pages::new().page("/peer", get(said)));
        let started = Started { name: "idle", running: Arc::new(Idle), doors, tasks: Tasks::new() };
        let listener = listener.secured(Some(Arc::clone(&tls)));
        let running = Running::with(vec![started], Drain::new(), listener).await;
        Server { running, tls, clock, folder, authority }
    }

    fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// A client that trusts the authority.
    fn client(&self, shown: Option<&Pem>) -> Client {
        let secure = Secure::trusting(&self.authority.ca_pem(), shown);
        Client { address: self.address(), secure }
    }

    /// A certificate of the server's authority.
    fn signed(&self) -> Pem {
        self.authority.sign(&["localhost"])
    }

    /// What a scrape says.
    async fn measured(&self, metric: &str) -> String {
        let metrics = self.client(None).get("/metrics").await.expect("it answers");
        let line = metrics.lines().find(|line| line.starts_with(metric)).expect(metric);
        line.rsplit(' ').next().expect("a value").to_owned()
    }

    async fn failures(&self) -> String {
        self.measured("tally_tls_reload_failures_total").await
    }
}

/// Speaks HTTP/1.1 with TLS.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    secure: Secure,
}

// === impl Client ===

impl Client {
    async fn connect(&self) -> Result<TlsStream<tokio::net::TcpStream>, Io> {
        self.secure.connect(self.address).await
    }

    /// The answer on a new connection.
    async fn get(&self, path: &str) -> Result<String, Io> {
        self.secure.get(self.address, path).await
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Vec<u8> {
        self.secure.shown(self.address).await.expect("a connection")
    }
}

fn health(server: &Server) -> Endpoint {
    let ca = Certificate::from_pem(server.authority.ca_pem());
    let config = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address()));
    endpoint.expect("an address").tls_config(config).expect("TLS")
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_http_1_share_a_port_with_tls() {
    let server = Server::start().await;
    let mut grpc = HealthClient::new(health(&server).connect().await.expect("a connection"));
    // The whole server, which may not have asked its domains yet.
    let answer = grpc.check(HealthCheckRequest::default()).await;
    answer.expect("it answers");
    let client = server.client(None);
    let answer = client.get("/peer").await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("true \n"), "{answer}");
    let stream = client.connect().await.expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let of = |secure| Client { secure, ..client.clone() };
    let answer = of(client.secure.clone().offering(&[])).get("/livez").await;
    assert!(answer.expect("it answers").ends_with("alive\n"));
    let refused = of(client.secure.clone().offering(&["h3"])).connect().await;
    assert!(refused.expect_err("no common protocol").to_string().contains("NoApplicationProtocol"));
    let stranger = Pem::for_names(&["localhost"]);
    let stranger = of(Secure::trusting(&stranger.ca_pem, None));
    let refused = stranger.connect().await.expect_err("not trusted");
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_swapped_under_load() {
    let server = Server::start().await;
    let tasks = Tasks::new();
    let (calls, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let client = server.client(None);
    let (counted, over) = (Arc::clone(&calls), Arc::clone(&is_over));
    let anew = tasks.spawn("connect anew", async move {
        while !over.load(Ordering::SeqCst) {
            let answer = client.get("/livez").await.expect("no call fails");
            assert!(answer.ends_with("alive\n"), "{answer}");
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut grpc = HealthClient::new(health(&server).connect().await.expect("a connection"));
    let (counted, over) = (Arc::clone(&calls), Arc::clone(&is_over));
    let kept = tasks.spawn("keep a connection", async move {
        while !over.load(Ordering::SeqCst) {
            grpc.check(HealthCheckRequest::default()).await.expect("no call fails");
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut reload = Reload::new(Arc::clone(&server.tls));
    let client = server.client(None);
    for swap in 0..10 {
        let before = (client.shown().await, calls.load(Ordering::SeqCst));
        let (new, other) = (server.signed(), server.signed());
        server.folder.write_certificate(&new);
        server.folder.write_key(if swap == 4 { &other } else { &new });
        reload.look().await;
        assert_eq!(client.shown().await, before.0, "it may not be complete");
        reload.look().await;
        let expected = if swap == 4 { before.0 } else { new.der() };
        assert!(client.shown().await == expected, "swap {swap}");
        // Of each client at least one.
        tally_testkit::eventually("calls go on", LIMIT, async || {
            calls.load(Ordering::SeqCst) >= before.1 + 2
        })
        .await;
        assert_eq!(server.failures().await, if swap < 4 { "0" } else { "1" });
    }
    is_over.store(true, Ordering::SeqCst);
    anew.await.expect("no call failed");
    kept.await.expect("no call failed");
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_swap_changes_nothing() {
    let server = Server::start().await;
    let mut reload = Reload::new(Arc::clone(&server.tls));
    let client = server.client(None);
    let (old, new) = (client.shown().await, server.signed());
    server.folder.write_certificate(&new);
    reload.look().await;
    server.folder.write_key(&new);
    reload.look().await;
    assert_eq!(client.shown().await, old);
    reload.look().await;
    assert_eq!((client.shown().await, &*server.failures().await), (new.der(), "0"));
    // If the key takes longer, that is an alarm, and ends well.
    let newer = server.signed();
    server.folder.write_certificate(&newer);
    for _ in 0..5 {
        reload.look().await;
    }
    assert_eq!((client.shown().await, &*server.failures().await), (new.der(), "1"));
    server.folder.write_key(&newer);
    // As someone says who knows that it is complete.
    reload.look_now().await;
    assert_eq!((client.shown().await, &*server.failures().await), (newer.der(), "1"));
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_brings_both_files() {
    let server = Server::start().await;
    let folder = server.folder.0.path();
    // As Kubernetes has it.
    let new = server.signed();
    let version = folder.join("..2030_06_15");
    fs::create_dir(&version).expect("a folder");
    fs::write(version.join("tls.crt"), &new.certificate_pem).expect("room");
    fs::write(version.join("tls.key"), &new.key_pem).expect("room");
    for name in ["tls.crt", "tls.key"] {
        fs::remove_file(folder.join(name)).expect("it is there");
        symlink(Path::new("..data").join(name), folder.join(name)).expect("a link");
    }
    let mut reload = Reload::new(Arc::clone(&server.tls));
    let client = server.client(None);
    let old = client.shown().await;
    for _ in 0..3 {
        reload.look().await;
    }
    assert_eq!((client.shown().await, &*server.failures().await), (old, "1"), "there is no file");
    symlink(&version, folder.join("..data_tmp")).expect("a link");
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("a link");
    reload.look().await;
    reload.look().await;
    assert_eq!((client.shown().await, &*server.failures().await), (new.der(), "1"));
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_while_it_is_valid() {
    let server = Server::start().await;
    let mut reload = Reload::new(Arc::clone(&server.tls));
    let client = server.client(None);
    let old = client.shown().await;
    let signed = |years| server.authority.sign_for(&["localhost"], &[], "", years);
    server.folder.write(&signed(2020..2030));
    reload.look_now().await;
    assert_eq!((client.shown().await, &*server.failures().await), (old.clone(), "1"), "expired");
    server.folder.write(&signed(2031..2033));
    for _ in 0..3 {
        reload.look().await;
    }
    assert_eq!((client.shown().await, &*server.failures().await), (old, "2"), "not yet valid");
    server.clock.set("2031-01-01T00:00:00Z".parse().expect("a time"));
    reload.look().await;
    assert_eq!(server.tls.expires_at(), "2033-01-01T00:00:00Z".parse().expect("a time"));
    let wrong = client.connect().await.expect_err("it is not 2031 yet");
    assert!(wrong.to_string().contains("not valid yet"), "{wrong}");
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_called_what_their_certificates_say() {
    let clients = Authority::generate();
    let ca_pem = clients.ca_pem();
    let ann = clients.sign_for(&["ann.example"], &["spiffe://example/ann"], "ann", 1975..4096);
    let late = clients.sign_for(&["ann.example"], &[], "ann", 1975..2000);
    let stranger = Authority::generate().sign_for(&["ann.example"], &[], "ann", 1975..4096);
    for is_required in [false, true] {
        let settings = |folder: &Path, files: TlsFiles| {
            fs::write(folder.join("ca.crt"), &ca_pem).expect("room");
            let client_ca = Some(folder.join("ca.crt"));
            TlsFiles { client_ca, are_clients_asked_only: !is_required, ..files }
        };
        let server = Server::with(settings, LIMIT).await;
        let known = server.client(Some(&ann)).get("/peer").await.expect("it answers");
        assert!(known.ends_with("\r\n\r\ntrue ann.example spiffe://example/ann ann\n"), "{known}");
        for refused in [&stranger, &late] {
            server.client(Some(refused)).get("/peer").await.expect_err("it is refused");
        }
        let without = server.client(None).get("/peer").await;
        if is_required {
            let why = without.expect_err("it is refused").to_string();
            assert!(why.contains("CertificateRequired"), "{why}");
        } else {
            assert!(without.expect("it answers").ends_with("\r\n\r\ntrue \n"));
            // Other clients are known from the next handshake on.
            let mut reload = Reload::new(Arc::clone(&server.tls));
            let ca = server.folder.0.path().join("ca.crt");
            fs::write(ca, &stranger.ca_pem).expect("room");
            reload.look_now().await;
            server.client(Some(&ann)).get("/peer").await.expect_err("it is refused");
            let known = server.client(Some(&stranger)).get("/peer").await.expect("it answers");
            assert!(known.ends_with("true ann.example ann\n"), "{known}");
        }
        server.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_takes_only_so_long() {
    let server = Server::with(|_, files| files, Duration::from_millis(200)).await;
    // A record of 512 bytes, of which few come.
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let ended = tokio::task::block_in_place(|| {
            let mut stream = TcpStream::connect(server.address()).expect("it listens");
            stream.set_read_timeout(Some(LIMIT)).expect("a limit");
            stream.write_all(sent).expect("it is accepted");
            stream.read(&mut [0; 64])
        });
        assert!(!ended.is_ok_and(|bytes| bytes > 0), "{sent:?}");
    }
    assert_eq!(server.measured("tally_tls_handshake_failures_total").await, "2");
    // Once it is done, a client may be silent.
    let mut stream = server.client(None).connect().await.expect("a connection");
    let idle = tokio::time::timeout(Duration::from_millis(400), stream.read_u8()).await;
    assert!(idle.is_err(), "{idle:?}");
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_told_to_use_tls() {
    let server = Server::start().await;
    let told = |answer: &str| {
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.ends_with("this port speaks TLS: use https:// instead of http://\r\n"));
    };
    told(&ask(server.address(), "GET /livez", &["host: localhost"]));
    let body = "x".repeat(1 << 20);
    for request in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &format!("POST / HTTP/1.1\r\n\r\n{body}")] {
        let answer = tokio::task::block_in_place(|| {
            let mut stream = TcpStream::connect(server.address()).expect("it listens");
            stream.set_read_timeout(Some(LIMIT)).expect("a limit");
            stream.write_all(request.as_bytes()).expect("it is accepted");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        told(&answer.expect("it is not cut off"));
    }
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_refused_where_there_is_none() {
    let running = Running::start(&crate::support::Gate::new(true)).await;
    let any = Pem::generate();
    let client = Secure::trusting(&any.ca_pem, None);
    let why = client.connect(running.address).await.expect_err("no TLS").to_string();
    assert!(why.contains("InvalidContentType"), "{why}");
    running.stop().await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let folder = Folder(tempfile::tempdir().expect("a folder"));
    let (pem, other) = (Pem::generate(), Pem::generate());
    let path = |name: &str| folder.0.path().join(name);
    let clock = || Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    fs::create_dir(path("folder")).expect("room");
    fs::write(path("empty"), "").expect("room");
    fs::write(
        path("locked"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .expect("room");
    fs::write(path("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("room");
    fs::write(path("other"), &other.key_pem).expect("room");
    fs::write(path("large"), vec![b'\n'; 2 << 20]).expect("room");
    folder.write(&pem);
    let good = folder.files();
    Tls::open(good.clone(), clock()).await.expect("they fit");
    let ca = |name| TlsFiles { client_ca: Some(path(name)), ..good.clone() };
    let cert = |name| TlsFiles { cert: path(name), ..good.clone() };
    let key = |name| TlsFiles { key: path(name), ..good.clone() };
    for (files, words) in [
        (cert("none"), ["--tls-cert", "none: No such file"]),
        (cert("folder"), ["--tls-cert", "folder: it is not a regular file"]),
        (cert("large"), ["--tls-cert", "large: it is larger than 1 MiB"]),
        (cert("other"), ["--tls-cert", "other: it has no certificate in PEM form"]),
        (cert("broken"), ["--tls-cert", "broken: its first certificate cannot be read"]),
        (key("empty"), ["--tls-key", "empty: it has no private key in PEM form"]),
        (key("locked"), ["--tls-key", "one with a password cannot be used"]),
        (key("other"), ["--tls-key", "other: it is not the key of the first certificate in"]),
        (ca("empty"), ["--tls-client-ca", "empty: it has no certificate in PEM form"]),
        (ca("broken"), ["--tls-client-ca", "broken: its certificate 1 cannot be used"]),
    ] {
        let said = Tls::open(files, clock()).await.expect_err(words[1]).to_string();
        assert!(words.iter().all(|words| said.contains(words)), "{said}");
        assert!(!said.contains("PRIVATE") && !said.contains('\n'), "{said}");
    }
}

/// Its clock stands still: whoever waits for others to have had their time fails.
#[tokio::test(start_paused = true)]
async fn nobody_waits_to_be_accepted_because_others_do_not_go_on() {
    let _ = tally_serve::allow_open_files();
    let server = Server::start().await;
    let mut begun = Vec::new();
    for _ in 0..HANDSHAKES {
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.expect("a port");
        stream.write_all(&[0x16]).await.expect("it is read");
        begun.push(stream);
    }
    let since = tokio::time::Instant::now();
    let mut other = tokio::net::TcpStream::connect(server.address()).await.expect("a port");
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("it is read");
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("this port speaks TLS"), "{answer}");
    assert!(since.elapsed() < UNDISTURBED, "{:?}", since.elapsed());
    // A handshake has its turn when the oldest had their time.
    server.client(None).get("/livez").await.expect("an answer");
    assert!(since.elapsed() >= UNDISTURBED, "{:?}", since.elapsed());
    drop(begun);
    server.running.stop().await;
}
