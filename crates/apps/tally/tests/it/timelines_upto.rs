//! What upto's clients send, through a real server.

use std::net::UdpSocket;

use tally_testkit::{eventually_blocking, free_port, run_with};

use crate::support::{Home, LIMIT, assert_fails};

/// The start of db.migrate in web, as upto-client sends it.
const START: &[u8] = b"\x86\xa7context\xa3web\xa4name\xaadb.migrate\xa4type\x00\xa4time\xc7\x0c\x05\0\0\0\0\x69\x68\x51\x28\
                       \x0e\xe6\xb2\x80\xa4host\xa0\xa6autoIP\xc2";

#[test]
fn datagrams_are_stored_and_those_that_are_refused_are_told() {
    let home = Home::sqlite();
    let address = format!("127.0.0.1:{}", free_port());
    let server = home.serve(&["--timelines-udp", &address, "--timelines-udp-namespace", "ci"]);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for datagram in [START, b"garbage"] {
        sender.send_to(datagram, &address).expect("it is sent");
    }
    let is_told = || server.log().contains("a datagram is refused");
    assert_eq!(eventually_blocking(LIMIT, is_told), Ok(()), "{}", server.log());
    let listed = server.ok(&["timelines", "list", "--format", "csv"]);
    assert_eq!(listed.stdout.lines().count(), 1, "they are in another namespace: {listed:?}");
    let status = server.ok(&["status"]).stdout;
    assert!(status.contains("datagrams") && status.contains("lost datagrams"), "{status}");
    server.stop();
    let server = home.serve(&["--timelines-udp", &address]);
    sender.send_to(START, &address).expect("it is sent");
    let is_shown = || {
        let shown = server.run(&["timelines", "show", "web", "--format", "csv"]).stdout;
        shown.contains("db.migrate,,,1,open,2026-01-15T02:30:00.25Z")
    };
    assert_eq!(eventually_blocking(LIMIT, is_shown), Ok(()), "{}", server.log());
    server.stop();
}

#[test]
fn an_address_that_others_reach_takes_a_word() {
    let home = Home::sqlite();
    let port = free_port();
    let of = |address: &str, more: &[&str]| {
        let command = home.serve_command(&[&["--timelines-udp", address][..], more].concat());
        run_with(&command, b"", LIMIT, None)
    };
    let all = format!("0.0.0.0:{port}");
    let ways = ["other machines reach", "127.0.0.1", "--timelines-udp-insecure-allow-anyone"];
    assert_fails(&of(&all, &[]), 2, &ways);
    assert_fails(&of("localhost", &[]), 2, &["--timelines-udp", "localhost"]);
    let name = ["--timelines-udp-namespace", "a b"];
    assert_fails(&of("127.0.0.1:0", &name), 2, &["--timelines-udp-namespace", "a b"]);
    let server = home.serve(&["--timelines-udp", &all, "--timelines-udp-insecure-allow-anyone"]);
    server.stop();
}
