//! The client's layer under load: for each status and code, Tally has what the service itself has
//! noted, although clients hang up, the service panics, and Tally is killed.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::{AddRequest, ListDailyTotalsRequest};
use tally_testkit::{Process, Proxy, Stream};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::examples::program;
use crate::support::{Home, LIMIT, Server};

/// How many clients there are of each kind, and the requests of each.
const CLIENTS: usize = 4;
const REQUESTS: usize = 200;

/// How often Tally is killed meanwhile.
const KILLS: usize = 3;

/// How many requests ended with a status, by method and status.
type Outcomes = BTreeMap<(String, String), u64>;

/// Sends requests, of which a tenth is given up before the answer or during its body.
fn http_load(address: &str) {
    let send = |path: &str| -> std::io::Result<TcpStream> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(LIMIT))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).map(|()| connection)
    };
    for at in 0..REQUESTS {
        // A stopping service accepts no more connections.
        let _ = match at % 20 {
            5 => send("/reports").map(|_| 0),
            15 => send("/events").and_then(|mut connection| {
                connection.read_exact(&mut [0; 50_000])?;
                connection.shutdown(Shutdown::Both).map(|()| 0)
            }),
            0 | 10 => send("/events").and_then(|mut open| open.read_to_end(&mut Vec::new())),
            _ => send("/orders/7").and_then(|mut open| open.read_to_end(&mut Vec::new())),
        };
    }
}

/// Makes calls, of which a tenth is given up, and a connection of them once in a while.
async fn grpc_load(url: String) {
    let mut channel = None;
    for at in 0..REQUESTS {
        if at % 50 == 0 {
            let endpoint = Channel::from_shared(url.clone()).expect("a URL");
            channel = endpoint.connect().await.ok().or(channel);
        }
        let Some(channel) = channel.clone() else { return };
        let mut count = CountServiceClient::new(channel.clone());
        let patience = Duration::from_millis(if at % 10 == 3 { 2 } else { 60_000 });
        let call = async {
            match at % 4 {
                0 => {
                    let sent = tokio_stream::iter((0..5).map(|_| AddRequest::default()));
                    drop(count.add(sent).await);
                }
                1 if at % 20 == 13 => {
                    let mut health = HealthClient::new(channel);
                    let Ok(watched) = health.watch(HealthCheckRequest::default()).await else {
                        return;
                    };
                    // It never ends.
                    let mut watched = watched.into_inner();
                    while let Some(Ok(_)) = watched.next().await {}
                }
                _ => drop(count.list_daily_totals(ListDailyTotalsRequest::default()).await),
            }
        };
        let _ = tokio::time::timeout(patience, call).await;
    }
}

/// What Tally has.
fn counted(server: &Server) -> Outcomes {
    let by =
        ["totals", "--live", "--by", "whole", "--group-by", "method,status", "--format", "csv"];
    let output = server.ok(&by);
    let mut lines = output.stdout.lines();
    assert_eq!(lines.next(), Some("date,method,status,count"));
    // The totals are whole: their dates are empty.
    lines.map(|line| outcome(line.strip_prefix(',').expect("no date"), ',')).collect()
}

/// What the service has noted.
fn noted(stdout: &str) -> Outcomes {
    let noted = stdout.lines().filter_map(|line| line.strip_prefix("noted "));
    noted.map(|line| outcome(line, ' ')).collect()
}

fn outcome(line: &str, separator: char) -> ((String, String), u64) {
    match line.split(separator).collect::<Vec<_>>()[..] {
        [method, status, count] => {
            ((method.to_owned(), status.to_owned()), count.parse().expect("a count"))
        }
        _ => panic!("{line}"),
    }
}

/// The address in a line of the service's.
fn address(service: &Process, before: &str) -> String {
    let line = service.wait_for_line(Stream::Stdout, before, LIMIT);
    line.rsplit('/').next().expect("an address").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tally_has_each_status_as_often_as_the_service() {
    let home = Home::sqlite();
    let mut server = tokio::task::block_in_place(|| home.serve(&[]));
    let proxy = Proxy::start(server.url.trim_start_matches("http://")).await;
    let mut command = std::process::Command::new(program("outcomes"));
    command.args(["127.0.0.1:0", "127.0.0.1:0"]);
    command.env("TALLY_SERVER", format!("http://{}", proxy.addr()));
    command.env("TALLY_SERVICE", "shop");
    let service = Process::spawn(&command);
    let (http, grpc) = tokio::task::block_in_place(|| {
        (address(&service, "listens on"), address(&service, "speaks gRPC on"))
    });

    let grpc = format!("http://{grpc}");
    let mut calls: JoinSet<()> = (0..CLIENTS).map(|_| grpc_load(grpc.clone())).collect();
    let requests: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let http = http.clone();
            std::thread::spawn(move || http_load(&http))
        })
        .collect();
    for _ in 0..KILLS {
        tokio::task::block_in_place(|| {
            server.kill();
            server = home.serve(&[]);
        });
        proxy.redirect(server.url.trim_start_matches("http://"));
    }
    // The first that are done end the service under the others.
    calls.join_next().await.expect("a client").expect("no panic");
    service.signal("TERM");
    for request in requests {
        tokio::task::block_in_place(|| request.join()).expect("no panic");
    }
    let output = tokio::task::block_in_place(|| service.wait(LIMIT));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    while let Some(called) = calls.join_next().await {
        called.expect("no panic");
    }

    let noted = noted(&output.stdout);
    assert_eq!(tokio::task::block_in_place(|| counted(&server)), noted, "{output:?}");
    assert!(output.stdout.contains("counted, 0 lost"), "{output:?}");
    for known in [
        ("GET", "200"),
        ("GET", "499"),
        ("GET", "500"),
        ("GRPC", "200"),
        ("GRPC", "14"),
        ("GRPC", "499"),
    ] {
        let known = (known.0.to_owned(), known.1.to_owned());
        assert!(noted.contains_key(&known), "{known:?} did not happen: {noted:?}");
    }
}
