//! `attack`: each attack runs for a while beside an honest client, whose waits and the server's memory are
//! held against their bounds.
//!
//! The server may open 1,024 files and take 256 MiB of memory. (A cgroup needs rights that developers may lack:
//! the peak of its memory is measured, and the kernel ends it when it asks for four times as much.) Attacks
//! come from another address of this machine, because connections have their limits by address.
//!
//! | file | what it owns |
//! |---|---|
//! | `calls.rs` | attacks by calls that are right, but too many |
//! | `raw.rs` | attacks by bytes |

mod calls;
mod raw;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_runtime::{Drain, Tasks};
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::Endpoint;

use crate::arguments::{self, Arguments};
use crate::place::Place;
use crate::samples::{Samples, ms};
use crate::server::Server;
use crate::usage;

/// What the server may have.
const LIMITS: &str = "ulimit -n 1024 && ulimit -d 1048576";
/// Where attacks come from.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Few enough series that there are too many soon.
const FLAGS: [&str; 2] = ["--requests-series-max", "2000"];

/// Of 100 honest calls, 95 must be answered within this time.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// How much memory the server may take.
const MEMORY_KIB_MAX: u64 = 256 << 10;
/// How often the honest client calls, and how long a call may take.
const PACE: Duration = Duration::from_millis(50);
const CALL_MAX: Duration = Duration::from_secs(10);
/// How long the honest client calls at a time after an attack, and how long the server has until it is as
/// before. It may have this many more files open then: connections to the database; and this much more memory,
/// which the next attack takes again: what the allocator keeps.
const AFTERWARDS: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
const MORE_FILES: usize = 20;
const MORE_KIB: u64 = 64 << 10;

/// What an attack works on.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    url: String,
    over: Drain,
    tasks: Tasks,
}

/// An attack: it starts tasks, which end with the drain.
#[derive(Clone, Copy)]
struct Attack {
    name: &'static str,
    begin: fn(&Target),
}

/// What the honest client has seen.
#[derive(Default)]
struct Seen {
    waits: Samples,
    failed: u64,
    error: Option<String>,
}

pub(crate) async fn run(
    arguments: &Arguments,
    asked: &arguments::Attack,
    place: &Place,
) -> anyhow::Result<bool> {
    let lasts = Duration::from_secs(arguments.size(asked.seconds, 20, 1));
    let server = Server::start_within(arguments, place, &FLAGS, Some(LIMITS))?;
    let (pid, url) = (server.pid(), server.url().to_owned());
    let address: SocketAddr = url.trim_start_matches("http://").parse().context("an address")?;
    calls::fill(&url).await.with_context(|| server.log())?;
    honest(&url, Duration::from_secs(2)).await;
    println!(
        "{:<26} {:>8} {:>8} {:>7} {:>9} {:>9} {:>6}",
        "attack", "p95 ms", "max ms", "failed", "peak MiB", "then MiB", "files"
    );
    let (mut is_right, files) = (true, open_files(pid));
    let before = server.memory().context("the server has ended")?.now;
    let chosen = |attack: &&Attack| {
        asked
            .only
            .as_ref()
            .is_none_or(|only| attack.name.to_lowercase().contains(&only.to_lowercase()))
    };
    let none = Attack { name: "(none)", begin: |_| {} };
    for attack in
        std::iter::once(&none).chain(raw::ATTACKS.iter().chain(calls::ATTACKS).filter(chosen))
    {
        let target = Target { address, url: url.clone(), over: Drain::new(), tasks: Tasks::new() };
        usage::forget_peak(pid);
        (attack.begin)(&target);
        let seen = honest(&url, lasts).await;
        let peak = server.memory().context("the server has ended").with_context(|| server.log())?;
        target.over.begin();
        target.tasks.finished().await;
        let is_as_before = || {
            let memory = server.memory().map_or(0, |memory| memory.now);
            open_files(pid) <= files + MORE_FILES && memory <= before + MORE_KIB
        };
        let after = rest(&url, is_as_before).await;
        let then = server.memory().context("the server has ended").with_context(|| server.log())?;
        let more_files = open_files(pid).saturating_sub(files);
        let is_fine = seen.waits.at(950) <= WAIT_MAX
            && after.waits.at(950) <= WAIT_MAX
            && seen.failed + after.failed == 0
            && peak.peak <= MEMORY_KIB_MAX
            && is_as_before();
        // With small numbers, no time means anything.
        is_right &= is_fine || arguments.quick && seen.failed + after.failed == 0;
        println!(
            "{:<26} {:>8} {:>8} {:>7} {:>9} {:>9} {:>6}  {}",
            attack.name,
            ms(seen.waits.at(950)),
            ms(seen.waits.at(1_000)),
            seen.failed + after.failed,
            peak.peak >> 10,
            then.now >> 10,
            more_files,
            if is_fine { "PASS" } else { "FAIL" }
        );
        if let Some(error) = seen.error.or(after.error) {
            println!("    {error}");
        }
    }
    server.stop()?;
    Ok(is_right)
}

/// Counts a request every now and then, by one connection that stays and by new ones in turns.
async fn honest(url: &str, lasts: Duration) -> Seen {
    let (mut seen, began) = (Seen::default(), Instant::now());
    let endpoint = Endpoint::new(url.to_owned()).expect("it is a URL");
    let kept = endpoint.connect_lazy();
    let mut number = 0_u64;
    while began.elapsed() < lasts {
        let start = Instant::now();
        let channel = if number.is_multiple_of(2) { kept.clone() } else { endpoint.connect_lazy() };
        let mut client = CountServiceClient::new(channel);
        let request = AddRequest { method: 1, path: "/honest".into(), request_timestamp: None };
        let called = client.add(tokio_stream::iter([request]));
        match tokio::time::timeout(CALL_MAX, called).await {
            Ok(Ok(_)) => {}
            failed => {
                seen.failed += 1;
                let why = failed.map(|answer| answer.map(drop));
                seen.error = Some(format!("call {number}: {why:?}"));
            }
        }
        seen.waits.add(start.elapsed());
        number += 1;
        tokio::time::sleep(PACE.saturating_sub(start.elapsed())).await;
    }
    seen
}

/// Calls until the server is as before, for a while: an allocator gives memory back when it is used. Returns
/// what the last calls have seen.
async fn rest(url: &str, is_as_before: impl Fn() -> bool) -> Seen {
    let began = Instant::now();
    loop {
        let seen = honest(url, AFTERWARDS).await;
        if is_as_before() || began.elapsed() > REST_MAX {
            return seen;
        }
    }
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

// === impl Target ===

impl Target {
    /// Starts a task of the attack, which is dropped at its end.
    fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        self.tasks.spawn("attack", async move {
            tokio::select! {
                () = work => {}
                () = over.begun() => {}
            }
        });
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        self.connect_with(None).await
    }

    /// With a buffer of this size for what comes.
    async fn connect_with(&self, buffer: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((FROM, 0).into())?;
        socket.connect(self.address).await
    }

    /// Many of the same.
    fn start_many<F>(&self, count: usize, work: impl Fn(Self, usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        (0..count).for_each(|number| self.start(work(self.clone(), number)));
    }
}
