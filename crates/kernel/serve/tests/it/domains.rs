//! A made-up domain behind the port: its doors, its health, its drain.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use futures_util::stream;
use tally_runtime::{Chore, Clock as _, Drain, SystemClock, Tasks};
use tally_serve::pages::Pages;
use tally_serve::{Datagram, Datagrams, Doors, Error, Listener, Server, Started};
use tally_testkit::exposition::families;
use tally_testkit::{eventually, free_port};
use tokio::sync::{Notify, Semaphore};
use tonic::async_trait;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::admission::{ask, call};
use crate::handover::busily;
use crate::support::{GATE, Gate, LIMIT, METHOD, Running};

/// Notes the order in which things happen.
#[derive(Clone)]
struct MadeUp(Arc<Inner>);

struct Inner {
    is_ready: AtomicBool,
    /// A place for each datagram that may be taken.
    places: Semaphore,
    is_finished: Notify,
    sweep: Chore,
    events: Mutex<Vec<String>>,
}

// === impl MadeUp ===

impl MadeUp {
    fn new() -> Self {
        let (is_ready, places) = (AtomicBool::new(true), Semaphore::new(0));
        let is_finished = Notify::new();
        let sweep = Chore::new("sweep", Duration::ZERO, SystemClock.now());
        sweep.is_here(false);
        Self(Arc::new(Inner { is_ready, places, is_finished, sweep, events: Mutex::default() }))
    }

    fn started(&self, doors: Doors) -> Started {
        Started { name: "made-up", running: Arc::new(self.clone()), doors, tasks: Tasks::new() }
    }

    fn note(&self, event: &str) {
        self.0.events.lock().expect("no panic").push(event.to_owned());
    }

    fn events(&self) -> Vec<String> {
        self.0.events.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl tally_serve::Running for MadeUp {
    async fn ready(&self) -> Result<(), String> {
        let is_ready = self.0.is_ready.load(Ordering::SeqCst);
        is_ready.then_some(()).ok_or_else(|| "not today".to_owned())
    }

    fn queued_rows(&self) -> usize {
        3
    }

    fn chores(&self) -> Vec<Chore> {
        vec![self.0.sweep.clone()]
    }

    async fn finished(&self) {
        self.note("finished");
        self.0.is_finished.notify_one();
    }
}

#[async_trait]
impl Datagrams for MadeUp {
    async fn take(&self, datagrams: Vec<Datagram>) {
        for Datagram { bytes, from, .. } in datagrams {
            self.0.places.acquire().await.expect("it is never closed").forget();
            assert!(from.ip().is_loopback());
            self.note(&format!("{} bytes", bytes.len()));
        }
    }
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("it listens")
}

async fn listener() -> Listener {
    Listener::bind("127.0.0.1:0").await.expect("a free port")
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_the_routes_of_two_domains_are_on_one_port() {
    let (gate, made_up) = (Gate::new(true), MadeUp::new());
    let page = get(async || "made up");
    let domains = vec![
        made_up.started(Doors::new().grpc(gate.clone(), GATE)),
        made_up.started(Doors::new().pages(Pages::new().page("/made-up", page))),
    ];
    let server = Running::with(domains, Drain::new(), listener().await).await;
    assert_eq!(server.domains.queued_rows(), 6);
    let address = server.address;
    let own = format!("http://{address}");
    let grpc = &[("content-type", "application/grpc")];
    let passed = call(address, &own, "POST", METHOD, grpc).await;
    assert_eq!((passed, gate.calls()), ((200, Some("0".to_owned())), 1));
    // The same over both protocols: there is a route, or there is none.
    for (path, status) in [("/made-up", 200), ("/", 200), ("/nothing", 404)] {
        assert_eq!(call(address, &own, "GET", path, &[]).await, (status, None), "{path}");
        let answer = ask(address, &format!("GET {path}"), &["host: localhost"]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let absent = ask(address, "GET /nothing", &["host: localhost"]);
    assert!(absent.contains("not found: /nothing; GET / lists what is served"), "{absent}");
    let unknown = call(address, &own, "POST", "/test.Gate/Another", grpc).await;
    assert_eq!(unknown, (200, Some("0".to_owned())), "a service has all of its methods");
    let unknown = call(address, &own, "POST", "/test.Nothing/Pass", grpc).await;
    assert_eq!(unknown, (200, Some("12".to_owned())), "unimplemented");
    let about = ask(address, "GET /", &["host: localhost"]);
    for words in [
        "\r\n\r\na title\n",
        "test.Gate\n",
        "ServerService\n",
        "reflection\n",
        " /api ",
        "\na hint\n",
    ] {
        assert!(about.contains(words), "{words:?} is not in {about}");
    }
    server.stop().await;
}

/// A `FileDescriptorSet` with the service `test.Gate`.
const DESCRIBED: &[u8] = b"\x0a\x17\x0a\x07t.proto\x12\x04test\x32\x06\x0a\x04Gate";

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_of_every_domain() {
    let made_up = MadeUp::new();
    let domains =
        vec![made_up.started(Doors::new()), made_up.started(Doors::new().descriptors(DESCRIBED))];
    let server = Running::with(domains, Drain::new(), listener().await).await;
    let mut client = ServerReflectionClient::new(channel(server.address).await);
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let answers = client.server_reflection_info(stream::iter([request])).await;
    let answer = answers.expect("it is served").into_inner().message().await.expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) =
        answer.expect("one answer").message_response
    else {
        panic!("another answer");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["test.Gate", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_the_domains_say() {
    let (gate, made_up) = (Gate::new(true), MadeUp::new());
    let ready = Started { name: "ready", ..MadeUp::new().started(Doors::new()) };
    let domains = vec![ready, made_up.started(Doors::new().grpc(gate.clone(), GATE))];
    let server = Running::with(domains, Drain::new(), listener().await).await;
    let address = server.address;
    let client = HealthClient::new(channel(address).await);
    for is_ready in [true, false, true] {
        made_up.0.is_ready.store(is_ready, Ordering::SeqCst);
        let expected = if is_ready { "HTTP/1.1 200 " } else { "HTTP/1.1 503 " };
        for path in ["/healthz", "/readyz"] {
            let line = format!("GET {path}");
            let is_so = async || ask(address, &line, &["host: localhost"]).starts_with(expected);
            eventually(expected, LIMIT, is_so).await;
        }
        let alive = ask(address, "GET /livez", &["host: localhost"]);
        assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
        for service in ["", "test.Gate"] {
            let mut client = client.clone();
            let is_so = async || {
                let request = HealthCheckRequest { service: service.to_owned() };
                let status =
                    client.check(request).await.expect("it is known").into_inner().status();
                (status == ServingStatus::Serving) == is_ready
            };
            eventually("gRPC says the same", LIMIT, is_so).await;
        }
    }
    // Something that it does by itself is overdue from the first moment on, unless another server does it.
    let asked = async |status: &str, words: &str| {
        let is_so = async || {
            let answer = ask(address, "GET /readyz", &["host: localhost"]);
            answer.starts_with(status) && answer.contains(words)
        };
        eventually(words, LIMIT, is_so).await;
    };
    let overdue = || {
        let answer = ask(address, "GET /metrics", &["host: localhost"]);
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let scraped = families(body).expect("the format is right");
        let labels = [("domain", "made-up"), ("chore", "sweep")];
        let value = |name: &str| scraped[name].value(&labels).expect("it is there");
        assert!(value("tally_chore_last_success_timestamp_seconds") > 0.0);
        (value("tally_chore_overdue"), scraped["tally_ready"].sum())
    };
    made_up.0.sweep.is_here(true);
    asked("HTTP/1.1 503 ", "\r\nnot serving: made-up: the sweep is overdue: not done for ").await;
    assert_eq!(overdue(), (1.0, 0.0));
    made_up.0.sweep.is_here(false);
    asked("HTTP/1.1 200 ", "\r\nserving\n").await;
    assert_eq!(overdue(), (0.0, 1.0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_bounded_and_what_has_arrived_is_drained() {
    let (made_up, drain) = (MadeUp::new(), Drain::new());
    let address = format!("127.0.0.1:{}", free_port());
    let started = made_up.started(Doors::new().udp(&address, Arc::new(made_up.clone())));
    let (background, begun) = (made_up.clone(), drain.clone());
    started.tasks.spawn("background", async move {
        begun.begun().await;
        background.0.is_finished.notified().await;
        background.note("background");
    });
    let server = Running::with(vec![started], drain, listener().await).await;
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let send = |bytes: usize| client.send_to(&vec![0; bytes], &address).expect("it is sent");
    for bytes in [1, 8_192, 8_193, 2] {
        send(bytes);
    }
    server.drain.begin();
    let domains = server.domains.clone();
    let finished = Tasks::new();
    finished.spawn("finished", async move { domains.finished().await });
    let is_closed = async || UdpSocket::bind(&address).is_ok();
    eventually("the socket is closed", LIMIT, is_closed).await;
    assert_eq!(made_up.events(), [""; 0], "nothing has a place");
    made_up.0.places.add_permits(3);
    finished.finished().await;
    let expected = ["1 bytes", "8192 bytes", "2 bytes", "finished", "background"];
    assert_eq!(made_up.events(), expected);
    server.stop().await;
}

/// Whatever comes is taken, or counted as lost: by the queue, whose domain is slow, or by the system.
#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_are_lost_are_counted() {
    /// So many come at once, and so often, before there is no room: 16 MiB are fewer than 2,048 of them.
    const ROUND: usize = 256;
    const ROUNDS: usize = 40;
    let (made_up, drain) = (MadeUp::new(), Drain::new());
    let to = format!("127.0.0.1:{}", free_port());
    let started = made_up.started(Doors::new().udp(&to, Arc::new(made_up.clone())));
    let server = Running::with(vec![started], drain, listener().await).await;
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let counted = || {
        let answer = ask(server.address, "GET /metrics", &["host: localhost"]);
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let scraped = families(body).expect("the format is right");
        let lost = |reason| {
            let labels = [("domain", "made-up"), ("reason", reason)];
            scraped["tally_udp_datagrams_lost_total"].value(&labels).expect("it is there")
        };
        let read = scraped["tally_udp_datagrams_total"].sum();
        ["unread", "queue", "size"].map(lost).into_iter().chain([read]).collect::<Vec<_>>()
    };
    let mut sent = 0;
    let [unread, queue, read] = loop {
        for _ in 0..ROUND {
            client.send_to(&[0; 8_192], &to).expect("it is sent");
        }
        sent += ROUND;
        let all = async || {
            let [unread, queue, size, read] = counted()[..] else { return None };
            (unread + read == sent as f64 && size == 0.0).then_some([unread, queue, read])
        };
        let seen = eventually("all that is not lost is read", LIMIT, all).await;
        if seen[1] > 0.0 {
            break seen;
        }
        assert!(sent < ROUND * ROUNDS, "the queue is bounded: {seen:?}");
    };
    made_up.0.places.add_permits(sent);
    let taken = (read - queue) as usize;
    let is_taken = async || made_up.events().len() == taken;
    eventually("the rest is taken", LIMIT, is_taken).await;
    assert_eq!(sent, taken + (unread + queue) as usize);
    server.stop().await;
}

#[tokio::test]
async fn a_udp_address_in_use_is_an_error_that_names_it() {
    let other = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("it is bound").to_string();
    let made_up = MadeUp::new();
    let doors = Doors::new().udp(&address, Arc::new(made_up.clone()));
    let opened = Server::open("", "", vec![made_up.started(doors)], &Drain::new()).await;
    let error = opened.err().expect("it is taken");
    assert!(matches!(error, Error::BindUdp { .. }), "{error:?}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_a_request_are_bounded() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let own = format!("http://{}", server.address);
    let long = "x".repeat(8 << 10);
    let headers = &[("content-type", "application/grpc"), ("x-long", long.as_str())];
    let answer = call(server.address, &own, "POST", METHOD, headers).await;
    assert_eq!((answer, gate.calls()), ((431, None), 0));
    server.stop().await;
}

/// If the server closed the socket at its own end, what still comes would reset the connection, and
/// with it the answer. The clock stands still while this test is busy.
#[tokio::test(start_paused = true)]
async fn a_client_that_still_sends_at_the_end_is_not_reset() {
    let server = Running::start(&Gate::new(true)).await;
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    stream.set_nonblocking(true).expect("a socket");
    let mut answer = [0; 4_096];
    busily(|| matches!(stream.read(&mut answer), Ok(0))).await;
    for _ in 0..100 {
        stream.write_all(&[0; 16]).expect("it still reads");
        tokio::task::yield_now().await;
    }
    assert!(matches!(stream.read(&mut answer), Ok(0)), "the end, and no reset");
    drop(stream);
    server.stop().await;
}
