//! Rules about counts, from the command line to the webhook and back.

use std::process::Command;

use serde_json::Value;
use tally_testkit::{Hook, Posted, eventually_blocking};

use crate::support::{Home, LIMIT, Server, assert_fails};

/// The secret that the tests sign with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// `serve` for this receiver, where rules are judged each second, and stops at these points.
fn command(home: &Home, hook: &Hook, faults: &str) -> Command {
    let mut command = home.serve_command(&["--webhooks-allow", &hook.url("/tally")]);
    command.env("TALLY_WEBHOOKS_SECRET", SECRET);
    command.env("TALLY_FAULT", format!("duties.eager,outbox.eager,{faults}"));
    command
}

fn serve(home: &Home, hook: &Hook) -> Server {
    Server::start(&command(home, hook, ""))
}

/// Adds a rule that fires at the first request.
#[track_caller]
fn add_busy(server: &Server, hook: &Hook) {
    let url = hook.url("/tally/busy");
    let rule = ["rules", "add", "busy", "--path", "/a", "--above", "0", "--in", "15m"];
    server.ok(&[&rule[..], &["--webhook", &url]].concat());
}

/// Waits for this many requests at the receiver.
#[track_caller]
fn wait_for(hook: &Hook, count: usize) -> Vec<Posted> {
    let posted = eventually_blocking(LIMIT, || {
        let posted = hook.posted();
        if posted.len() >= count { Ok(posted) } else { Err(posted.len()) }
    });
    posted.unwrap_or_else(|seen| panic!("{count} requests: {seen}"))
}

fn body(posted: &Posted) -> Value {
    serde_json::from_str(&posted.body).expect("the body is JSON")
}

/// From a count to a webhook, on a real clock.
fn fires_and_is_told(home: &Home) {
    let hook = Hook::start();
    let server = serve(home, &hook);
    add_busy(&server, &hook);
    let again = server.ok(&["rules", "list", "--format", "csv"]);
    assert!(again.stdout.contains("busy,ok,,more than 0 requests in 15 minutes"), "{again:?}");
    server.ok(&["add", "GET", "/b"]);
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    let posted = wait_for(&hook, 1).remove(0);
    assert_eq!(posted.line, "POST /tally/busy HTTP/1.1");
    assert_eq!(posted.header("content-type"), "application/json");
    let told = body(&posted);
    assert_eq!(told["type"], "requests.rule.firing");
    assert_eq!(told["id"], posted.header("webhook-id"));
    assert_eq!(told["data"]["rule"]["name"], "busy");
    assert_eq!(told["data"]["rule"]["limit"]["above"], 0);
    assert_eq!(told["data"]["window"]["requests"], 3);
    assert_eq!(told["data"]["number"], 1);
    let seen = eventually_blocking(LIMIT, || {
        let shown = server.ok(&["rules", "show", "busy"]).stdout;
        let words = ["firing since", "3 requests from", "firing ", "delivered ", "204"];
        if words.iter().all(|word| shown.contains(word)) { Ok(()) } else { Err(shown) }
    });
    assert_eq!(seen, Ok(()));
    // A test is an event like others, and tells nothing.
    let tested = server.ok(&["rules", "test", "busy"]);
    assert!(tested.stderr.contains("delivered: 204"), "{tested:?}");
    let told = body(&wait_for(&hook, 2)[1]);
    assert_eq!(
        (told["type"].as_str(), told["data"]["number"].as_i64()),
        (Some("requests.rule.test"), Some(2))
    );
    server.ok(&["rules", "remove", "busy"]);
    assert_fails(&server.run(&["rules", "show", "busy"]), 1, &["there is none of this name"]);
    server.stop();
    assert_eq!(hook.posted().len(), 2, "the rule was told once");
}

#[test]
fn a_rule_fires_and_is_told_on_sqlite() {
    fires_and_is_told(&Home::sqlite());
}

#[test]
fn a_rule_fires_and_is_told_on_postgres() {
    fires_and_is_told(&Home::postgres("rules"));
}
