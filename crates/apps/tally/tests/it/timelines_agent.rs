//! `tally timelines agent`: what it has acknowledged comes to the server once, whatever is killed.

use std::net::UdpSocket;
use std::process::Command;

use serde_json::{Value, json};
use tally_testkit::{Process, Response, Stream, eventually_blocking, free_port, http, run_with};

use crate::support::{Home, LIMIT, Server, assert_fails};

const JSON: &str = "content-type: application/json";

/// The start of db.migrate in web, as upto-client sends it.
const START: &[u8] = b"\x86\xa7context\xa3web\xa4name\xaadb.migrate\xa4type\x00\xa4time\xc7\x0c\x05\0\0\0\0\x69\x68\x51\x28\
                       \x0e\xe6\xb2\x80\xa4host\xa0\xa6autoIP\xc2";

/// An agent of one test.
struct Agent {
    process: Process,
    url: String,
}

// === impl Agent ===

impl Agent {
    fn command(home: &Home, server: &str, more: &[&str]) -> Command {
        let spool = home.path("agent").display().to_string();
        let words = [
            "timelines",
            "agent",
            "--listen",
            "127.0.0.1:0",
            "--spool",
            &spool,
            "--server",
            server,
        ];
        home.command(&[&words[..], more].concat())
    }

    fn start(home: &Home, server: &str, more: &[&str]) -> Self {
        let process = Process::spawn(&Self::command(home, server, more));
        let line = process.wait_for_line(Stream::Stderr, "taking messages at http://", LIMIT);
        let (_, url) = line.split_once("taking messages at ").expect("an address");
        let url = url.split([' ', ',']).next().expect("an address").to_owned();
        Self { process, url }
    }

    fn kill(self) {
        self.process.signal("KILL");
        self.process.wait(LIMIT);
    }

    #[track_caller]
    fn post(&self, path: &str, headers: &[&str], body: &Value) -> Response {
        let headers = [&[JSON][..], headers].concat();
        http(&self.url, &format!("POST /api/v1/timelines{path}"), &headers, body.to_string())
    }

    #[track_caller]
    fn kept(&self, headers: &[&str], body: &Value) {
        let answer = self.post("", headers, body);
        assert_eq!((answer.status, &*answer.body), (202, "{\"kept\":true}\n"), "{answer:?}");
    }
}

/// Names, attempts and states of the events of a context, in their order.
fn events(server: &Server, context: &str) -> Vec<String> {
    let shown = server.run(&["timelines", "show", context, "--format", "csv"]).stdout;
    let event = |line: &str| {
        line.split(",20").next().unwrap_or(line).split_once(',').map(|(_, rest)| rest.to_owned())
    };
    let mut events: Vec<String> = shown.lines().skip(1).filter_map(event).collect();
    events.sort();
    events
}

#[track_caller]
fn await_events(server: &Server, context: &str, expected: &[&str]) {
    let is_so = || events(server, context) == expected;
    let seen = eventually_blocking(LIMIT, is_so);
    assert_eq!(seen, Ok(()), "{:?}", events(server, context));
}

/// The agent is killed, and the server comes only later: nothing is lost, and nothing is there twice.
#[test]
fn what_an_agent_has_acknowledged_is_stored_once() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.kill();
    let udp = format!("127.0.0.1:{}", free_port());
    let agent = Agent::start(&home, &server.url, &["--udp", &udp]);
    let of = |kind: &str, name: &str| json!({"kind": kind, "context": "ci", "name": name});
    agent.kept(&[], &of("start", "build"));
    let keyed = ["idempotency-key: k"];
    for _ in 0..2 {
        agent.kept(&keyed, &of("point", "tagged"));
    }
    let batch = json!([of("end", "build"), of("end", ""), of("point", "switched")]);
    let answer = agent.post("/batch", &[], &batch);
    assert_eq!(answer.status, 202, "{answer:?}");
    let results: Value = serde_json::from_str(&answer.body).expect("JSON");
    let kept = |at: usize| results["results"][at]["kept"].clone();
    assert_eq!([kept(0), kept(1), kept(2)], [json!(true), json!(false), json!(true)], "{results}");
    assert_eq!(results["results"][1]["refusal"]["status"], 400, "{results}");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for _ in 0..2 {
        sender.send_to(START, &udp).expect("it is sent");
    }
    let has_both = || {
        let scraped = http(&agent.url, "GET /metrics", &[], "").body;
        scraped.contains("tally_timelines_agent_messages_total{outcome=\"kept\"} 7\n")
    };
    assert_eq!(eventually_blocking(LIMIT, has_both), Ok(()));
    agent.kill();
    let server = server.again(&home);
    let agent = Agent::start(&home, &server.url, &[]);
    let expected = ["build,,,1,ok", "switched,,,1,point", "tagged,,,1,point"];
    await_events(&server, "ci", &expected);
    await_events(&server, "web", &["db.migrate,,,1,open"]);
    // The server is killed while it is handed more, and the agent goes on by itself.
    agent.kept(&[], &of("point", "before"));
    server.kill();
    agent.kept(&[], &of("point", "meanwhile"));
    let server = server.again(&home);
    agent.kept(&[], &of("point", "after"));
    let mut all =
        [&expected[..], &["after,,,1,point", "before,,,1,point", "meanwhile,,,1,point"]].concat();
    all.sort_unstable();
    await_events(&server, "ci", &all);
    let is_empty = || {
        let scraped = http(&agent.url, "GET /metrics", &[], "").body;
        let none = "tally_timelines_agent_messages_total{outcome=\"given_up\"} 0\n";
        scraped.contains("tally_timelines_agent_spool_bytes 0\n") && scraped.contains(none)
    };
    assert_eq!(eventually_blocking(LIMIT, is_empty), Ok(()));
    agent.process.signal("TERM");
    let ended = agent.process.wait(LIMIT);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(events(&server, "ci"), all);
    server.stop();
}

/// Names of 10 kB, 1,000 levels, no room, an address that others reach, a folder that another agent has.
#[test]
fn what_an_agent_does_not_take_is_told() {
    let home = Home::sqlite();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let agent = Agent::start(&home, &nowhere, &["--spool-mib-max", "1"]);
    let point = |name: &str| json!({"kind": "point", "context": "ci", "name": name});
    for name in ["x".repeat(10_000), vec!["a"; 1_000].join("."), String::new()] {
        let refused = agent.post("", &[], &point(&name));
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.body.contains("name") && refused.body.len() < 2_000, "{refused:?}");
    }
    assert_eq!(http(&agent.url, "POST /api/v1/timelines", &[], "{}").status, 415);
    // A file takes a block of 4 KiB at least.
    for _ in 0..256 {
        agent.kept(&[], &point("a"));
    }
    let full = agent.post("", &[], &point("a"));
    assert!(
        full.status == 503 && full.body.contains("as many messages as it may keep"),
        "{full:?}"
    );
    let other = Agent::command(&home, &nowhere, &[]);
    assert_fails(&run_with(&other, b"", LIMIT, None), 1, &["another agent has this folder"]);
    for flags in [&["--listen", "0.0.0.0:7778"][..], &["--udp", "0.0.0.0:7778"]] {
        let spool = home.path("other").display().to_string();
        let words = ["timelines", "agent", "--spool", &spool, "--server", &nowhere];
        let open = home.command(&[&words[..], flags].concat());
        assert_fails(&run_with(&open, b"", LIMIT, None), 2, &["other machines reach it"]);
    }
    agent.kill();
}
