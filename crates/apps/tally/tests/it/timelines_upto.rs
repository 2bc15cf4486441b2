//! What upto's clients send, through a real server.

use std::net::UdpSocket;

use serde_json::{Value, json};
use tally_testkit::{eventually_blocking, free_port, http, run_with};

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

/// equinix-labs/otel-cli#152, #344, tobert/otel-cli#10: start and end in two calls need a background process, a
/// socket, files. Here they are two processes that wait for nothing.
#[test]
fn the_flags_of_upto_client_send_datagrams() {
    let home = Home::sqlite();
    let port = free_port().to_string();
    let server = home.serve(&["--timelines-udp", &format!("127.0.0.1:{port}")]);
    let tell = |words: &str| {
        let words: Vec<_> = words.split(' ').map(|word| word.replace("PORT", &port)).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        home.run(&[&["timelines"][..], &words].concat())
    };
    for words in [
        "--rh 127.0.0.1 -rp PORT -n web-1 start web db.migrate",
        "-rp=PORT -hostname web-1 end web db.migrate",
        "event web switched --rh 127.0.0.1 --rp PORT -i",
        "--remoteport PORT -autohost v web counted",
        "-rp PORT n web",
    ] {
        let told = tell(words);
        assert!(told.status.success() && told.stderr.contains("sent to "), "{words}: {told:?}");
    }
    let shown = || server.run(&["timelines", "show", "web", "1", "--format", "csv"]).stdout;
    let is_shown = || {
        let shown = shown();
        let has = ["db.migrate,web-1,,1,ok,", "switched,127.0.0.1,,1,point,", "counted,"];
        has.iter().all(|event| shown.contains(event)) && !shown.contains("counted,,")
    };
    assert_eq!(eventually_blocking(LIMIT, is_shown), Ok(()), "{}", shown());
    let newest = || {
        let listed = server.run(&["timelines", "list", "web", "--format", "csv"]).stdout;
        listed.contains("\n2,")
    };
    assert_eq!(eventually_blocking(LIMIT, newest), Ok(()));
    server.stop();
    // Nobody is there, and that is fine.
    assert!(tell("-rp PORT start web late").status.success());
    for (words, code, why) in [
        ("--rh host.invalid start web a", 1, "cannot find host.invalid:8123"),
        ("-i end web a --status failed", 1, "no room for --status"),
        ("-i phase web a working", 1, "no room for a phase"),
        ("-i list", 1, "they come with new, start"),
        ("--rp many start web a", 2, "many"),
    ] {
        assert_fails(&tell(words), code, &[why]);
    }
}

/// What upto's page reads: HAL, whose links are names.
#[test]
fn contexts_and_timelines_are_read_as_upto_has_them() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let at = |second: u32| format!("2030-06-15T06:00:{second:02}.25Z");
    for words in [
        ["start", "deploy/eu", "db.migrate", "--host", "web-1", "--time", &at(1)],
        ["end", "deploy/eu", "db.migrate", "--host", "web-1", "--time", &at(3)],
        ["start", "deploy/eu", "runs", "--host", "", "--time", &at(2)],
    ] {
        server.ok(&[&["timelines"][..], &words].concat());
    }
    let get = |path: &str, status: u16| {
        let answer = http(&server.url, &format!("GET {path}"), &[], "");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let kind =
            if status == 200 { "application/hal+json" } else { "application/json; charset=utf-8" };
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        let value: Value = serde_json::from_str(&answer.body).expect("JSON");
        (answer.body, value)
    };
    let (text, root) = get("/api/", 200);
    let expected = json!({"_links": {"contexts": {"href": "contexts"}, "self": {"href": "/api/"}}});
    assert_eq!(root, expected);
    assert!(text.starts_with("{\n  \"_links\": {\n    \"contexts\""), "{text}");
    let (_, contexts) = get("/api/contexts", 200);
    let links = json!({"items": [{"href": "deploy%2Feu"}], "self": {"href": "/api/contexts"}});
    assert_eq!(contexts, json!({ "_links": links }));
    let (_, context) = get("/api/contexts/deploy%2Feu", 200);
    assert_eq!((&context["Name"], &context["Description"]), (&json!("deploy/eu"), &json!("")));
    let latest = &context["_links"]["latest"];
    assert_eq!(context["_links"]["items"], json!([latest]));
    assert_eq!(context["_links"]["self"]["href"], "/api/contexts/deploy%2Feu");
    let path = format!("/api/contexts/deploy%2Feu/{}", latest["href"].as_str().expect("a name"));
    // open-telemetry/opentelemetry-specification#373, #4993: what runs is there, with a start and without an end;
    // inception-health/otel-export-trace-action#9: it is no event of length zero.
    let expected = json!({
        "_links": {"self": {"href": path}},
        "First": at(1),
        "Last": at(3),
        "Events": [{"Name": "db.migrate", "Host": "web-1", "Start": at(1), "End": at(3)}],
        "Unfinished": [{"Name": "runs", "Start": at(2)}],
    });
    assert_eq!(get(&path, 200).1, expected);
    server.ok(&["timelines", "new", "deploy/eu"]);
    let (_, context) = get("/api/contexts/deploy%2Feu", 200);
    assert_ne!(&context["_links"]["latest"], latest);
    assert_eq!(context["_links"]["items"], json!([latest]), "nothing has ended in the new one");
    let (_, unknown) = get("/api/contexts/nothing", 200);
    let links = json!({"items": [], "self": {"href": "/api/contexts/nothing"}});
    assert_eq!(unknown, json!({"_links": links, "Name": "nothing", "Description": ""}));
    let never = "0001-01-01T00:00:00Z";
    let path = "/api/contexts/deploy%2Feu/no";
    let empty = json!({"_links": {"self": {"href": path}}, "First": never, "Last": never});
    assert_eq!(get(path, 200).1, empty);
    assert_eq!(get("/api/contexts/nothing/no", 404).1, json!({"Error": "Resource not found"}));
    let posted = http(&server.url, "POST /api/contexts", &[], "");
    assert_eq!((posted.status, &*posted.body), (405, r#"{"Error":"Method not allowed"}"#));
    server.stop();
}
