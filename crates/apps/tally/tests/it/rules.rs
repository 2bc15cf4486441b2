//! Rules about counts, from the command line to the webhook and back.

use std::process::Command;

use serde_json::Value;
use tally_testkit::{
    Hook, Output, Posted, Reply, Stream, eventually_blocking, has_programs, run_with,
};

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
    assert_eq!(told["type"], "requests.rule.test");
    assert!(told["data"].get("number").is_none(), "{told}");
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

/// Kills a server at a point between a verdict and the end of its delivery. The event arrives all the same,
/// and if it arrives twice, it is the same one.
fn killed_between(home: &Home, point: &str) {
    let hook = Hook::start();
    let server = serve(home, &hook);
    add_busy(&server, &hook);
    server.stop();
    let server = Server::start(&command(home, &hook, point));
    server.ok(&["add", "GET", "/a"]);
    server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    let was_sent = point == "outbox.sent";
    assert_eq!(hook.posted().len(), usize::from(was_sent), "{point}");
    server.kill();
    let server = serve(home, &hook);
    let posted = wait_for(&hook, 1 + usize::from(was_sent));
    let told: Vec<_> = posted.iter().map(body).collect();
    for one in &told {
        assert_eq!(
            (&one["type"], &one["data"]["number"]),
            (&"requests.rule.firing".into(), &1.into())
        );
        assert_eq!(one, &told[0], "the same one");
    }
    let seen = eventually_blocking(LIMIT, || {
        let shown = server.ok(&["rules", "show", "busy"]).stdout;
        if shown.matches("delivered").count() == 1 { Ok(()) } else { Err(shown) }
    });
    assert_eq!(seen, Ok(()));
    server.stop();
    assert_eq!(hook.posted().len(), told.len(), "nothing else is told");
}

/// Defines one test for each point on one database.
macro_rules! killed_at {
    ($database:ident = $home:expr) => {
        mod $database {
            use super::*;

            #[test]
            fn before_the_verdict() {
                killed_between(&$home, "rules.before_commit");
            }

            #[test]
            fn after_the_verdict() {
                killed_between(&$home, "rules.committed");
            }

            #[test]
            fn before_an_attempt() {
                killed_between(&$home, "outbox.taken");
            }

            #[test]
            fn after_an_attempt() {
                killed_between(&$home, "outbox.sent");
            }
        }
    };
}

killed_at!(killed_on_sqlite = Home::sqlite());
killed_at!(killed_on_postgres = Home::postgres("rules_killed"));

/// Each has the lease or not, and each of them sends what is due.
#[test]
fn two_servers_tell_it_once() {
    let (home, hook) = (Home::postgres("rules_two"), Hook::start());
    let servers = [serve(&home, &hook), serve(&home, &hook)];
    add_busy(&servers[0], &hook);
    servers[1].ok(&["add", "GET", "/a"]);
    wait_for(&hook, 1);
    for server in &servers {
        let tested = server.ok(&["rules", "test", "busy"]);
        assert!(tested.stderr.contains("delivered"), "{tested:?}");
    }
    servers.iter().for_each(Server::stop);
    let kinds: Vec<_> = hook.posted().iter().map(|one| body(one)["type"].clone()).collect();
    assert_eq!(kinds, ["requests.rule.firing", "requests.rule.test", "requests.rule.test"]);
}

#[test]
fn what_is_wrong_is_said() {
    let (home, hook) = (Home::sqlite(), Hook::start());
    // With the usual pauses between attempts.
    let server = Server::start(command(&home, &hook, "").env("TALLY_FAULT", "duties.eager"));
    let add = |rest: &[&str]| {
        let first = ["rules", "add", "a", "--webhook", "http://192.0.2.1/s3cret"];
        server.run(&[&first[..], rest].concat())
    };
    let output = add(&["--above", "5%", "--in", "20m"]);
    let words = ["--in is 20 minutes, ", "; --webhook is not allowed", "TALLY_WEBHOOKS_ALLOW"];
    assert_fails(&output, 1, &words);
    for wrong in [
        &["--in", "15m"][..],
        &["--above", "1"],
        &["--above", "1", "--below", "1", "--in", "15m"],
        &["--above", "1.5", "--in", "15m"],
        &["--above", "1", "--in", "15"],
    ] {
        assert_eq!(add(wrong).status.code(), Some(2), "{wrong:?}");
    }
    // What a receiver answers is said at once.
    hook.reply([Reply::status("404 Not Found")]);
    add_busy(&server, &hook);
    assert_fails(&server.run(&["rules", "test", "busy"]), 1, &["404 Not Found", "tries it again"]);
    // A new one takes its place, and it holds up nothing else.
    server.ok(&["rules", "test", "busy"]);
    server.ok(&["add", "GET", "/a"]);
    assert_eq!(body(&wait_for(&hook, 3)[2])["type"], "requests.rule.firing");
    let again = ["rules", "add", "busy", "--above", "1", "--in", "15m"];
    assert_fails(&server.run(&again), 1, &["another rule has it"]);
    let wrong = ["rules", "add", "x", "--status", "5xx", "--above", "500%", "--in", "15m"];
    assert_fails(&server.run(&wrong), 1, &["--above is 500% ("]);
    server.stop();
    // A server without the settings keeps its rules, and shows no secret.
    let output = home.run(&["config"]);
    assert!(output.stdout.contains("TALLY_WEBHOOKS_SECRET="), "{output:?}");
    let mut config = home.command(&["config"]);
    config.env("TALLY_WEBHOOKS_SECRET", SECRET);
    config.env("TALLY_WEBHOOKS_ALLOW", "https://hooks.example.com/s3cret");
    let output = run_with(&config, b"", LIMIT, None);
    assert!(output.stdout.contains("TALLY_WEBHOOKS_SECRET=(secret)"), "{output:?}");
    let shown = "TALLY_WEBHOOKS_ALLOW=https://hooks.example.com  #";
    assert!(output.stdout.contains(shown), "{output:?}");
    assert!(!format!("{output:?}").contains(SECRET), "{output:?}");
    assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
    let mut serve = home.serve_command(&["--webhooks-allow", "https://a/"]);
    assert_fails_to_start(&run_with(&serve, b"", LIMIT, None), "--webhooks-secret");
    serve.env("TALLY_WEBHOOKS_SECRET", "whsec_c2hvcnQ=");
    assert_fails_to_start(&run_with(&serve, b"", LIMIT, None), "24 to 64 random bytes");
}

#[track_caller]
fn assert_fails_to_start(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains(words) && !output.stderr.contains("c2hvcnQ"), "{output:?}");
}

/// The example of the documentation, with an event as it came.
#[test]
fn a_receiver_checks_the_signature() {
    if !has_programs(&["python3"]) {
        return;
    }
    let (home, hook) = (Home::sqlite(), Hook::start());
    let server = serve(&home, &hook);
    add_busy(&server, &hook);
    server.ok(&["rules", "test", "busy"]);
    server.stop();
    let posted = wait_for(&hook, 1).remove(0);
    let text = include_str!("../../../../../docs/rules.md");
    let example = text.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let check = r#"
import json, sys
given = json.load(sys.stdin)
headers, body = given["headers"], given["body"].encode()
now = lambda: int(headers["webhook-timestamp"]) + 299
assert is_from_tally(given["secret"], headers, body, now)
assert not is_from_tally(given["secret"], headers, body + b" ", now)
assert not is_from_tally(given["secret"], {**headers, "webhook-id": "x"}, body, now)
assert not is_from_tally("whsec_" + "A" * 32, headers, body, now)
assert not is_from_tally(given["secret"], headers, body, lambda: now() + 2)
print("checked")
"#;
    let script = format!("{}{check}", example.expect("an example in Python"));
    let input = serde_json::json!({
        "headers": posted.headers, "body": posted.body, "secret": SECRET,
    });
    let mut python = Command::new("python3");
    python.args(["-c", &script]);
    let output = run_with(&python, input.to_string().as_bytes(), LIMIT, None);
    assert_eq!(output.stdout, "checked\n", "{output:?}");
}
