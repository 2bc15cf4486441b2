//! Keys: who may do what at every door, from the first start to a revocation under load.

mod revoked;
mod tables;

use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1::RecordRequest;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::wire::{COUNTED_TRAILER, REASON_TRAILER, number, reason, trailer};
use tally_testkit::{Response, Stream, eventually_blocking, http, run_with};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use self::tables::{METHODS, ROUTES, all_are_listed};
use crate::support::{Home, LIMIT, Server, request};

const KEYS: &[&str] = &["--auth", "keys"];

/// What a call needs, as the documentation has it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    Key,
    Ingest,
    Read,
    Admin,
    OperatorRead,
    Operator,
}

/// Who calls, and what is right then.
struct Caller {
    name: &'static str,
    key: Option<String>,
    scope: &'static str,
    is_operator: bool,
    /// Whether there is such a key, and it is valid.
    is_known: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Passed,
    Unknown,
    Forbidden,
}

// === impl Caller ===

impl Caller {
    fn fate(&self, needs: Needs) -> Fate {
        let needed = match needs {
            Needs::Nothing => return Fate::Passed,
            _ if !self.is_known => return Fate::Unknown,
            Needs::Key => return Fate::Passed,
            Needs::Ingest => "ingest",
            Needs::Read | Needs::OperatorRead => "read",
            Needs::Admin | Needs::Operator => "admin",
        };
        let is_whole = matches!(needs, Needs::OperatorRead | Needs::Operator);
        let has_scope = self.scope == needed || self.scope == "admin";
        if has_scope && (self.is_operator || !is_whole) { Fate::Passed } else { Fate::Forbidden }
    }
}

/// Makes a key.
#[track_caller]
pub(crate) fn create(home: &Home, arguments: &[&str]) -> String {
    let url = home.database_url();
    let common = ["key", "create", "--database-url", &url];
    let output = home.run(&[&common, arguments].concat());
    assert!(output.status.success(), "{output:?}");
    assert!(!output.stderr.contains(output.stdout.trim()), "{}", output.stderr);
    output.stdout.trim().to_owned()
}

#[track_caller]
pub(crate) fn revoke(home: &Home, name: &str) {
    let output = home.run(&["key", "revoke", name, "--database-url", &home.database_url()]);
    assert!(output.status.success(), "{output:?}");
}

fn callers(home: &Home) -> Vec<Caller> {
    let caller = |name, key: Option<String>, scope, is_operator, is_known| Caller {
        name,
        key,
        scope,
        is_operator,
        is_known,
    };
    let make = |name: &str, scope: &str, more: &[&str]| {
        Some(create(home, &[&[name, "--scope", scope], more].concat()))
    };
    let shop = ["--namespace", "shop"];
    let revoked = make("revoked", "admin", &[]);
    revoke(home, "revoked");
    vec![
        caller("nobody", None, "", false, false),
        caller("ingest", make("ingest", "ingest", &[]), "ingest", true, true),
        caller("read", make("read", "read", &[]), "read", true, true),
        caller("read of shop", make("shop-read", "read", &shop), "read", false, true),
        caller("admin of shop", make("shop-admin", "admin", &shop), "admin", false, true),
        caller("operator", make("operator", "admin", &[]), "admin", true, true),
        caller("revoked", revoked, "", false, false),
        caller("expired", make("expired", "admin", &["--expires", "0s"]), "", false, false),
        // The last, because an address with many wrong keys is slowed down.
        caller("garbage", Some("tally_admin_guess".into()), "", false, false),
    ]
}

/// Calls a method of gRPC with an empty message, and looks at the head of the answer.
pub(crate) async fn call(
    channel: &Channel,
    path: &'static str,
    key: Option<&str>,
) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.expect("it is connected");
    let mut request = Request::new(());
    if let Some(key) = key {
        let value = MetadataValue::try_from(format!("Bearer {key}")).expect("letters and digits");
        request.metadata_mut().insert("authorization", value);
    }
    let codec = ProstCodec::<(), ()>::default();
    grpc.server_streaming(request, path.parse().expect("a path"), codec).await.map(drop)
}

fn fate_of_call(called: &Result<(), Status>) -> Fate {
    match called.as_ref().map_err(Status::code) {
        // Wrong keys of one address are slowed down.
        Err(Code::Unauthenticated | Code::ResourceExhausted) => Fate::Unknown,
        Err(Code::PermissionDenied) => Fate::Forbidden,
        _ => Fate::Passed,
    }
}

fn ask(server: &Server, line: &str, headers: &[&str], body: &str) -> Response {
    http(&server.url, line, headers, body)
}

#[test]
fn every_method_and_every_route_asks_for_what_is_declared() {
    let home = Home::sqlite();
    let server = home.serve(KEYS);
    let callers = callers(&home);
    let channel = wait_for_channel(&server);
    for caller in &callers {
        for (path, needs) in METHODS.iter().copied() {
            let called = channel.0.block_on(call(&channel.1, path, caller.key.as_deref()));
            let (is, right) = (fate_of_call(&called), caller.fate(needs));
            assert_eq!(is, right, "{} calls {path}: {called:?}", caller.name);
        }
        for (line, needs) in ROUTES.iter().copied() {
            let header = caller.key.as_ref().map(|key| format!("authorization: Bearer {key}"));
            let headers: Vec<_> = header.iter().map(String::as_str).collect();
            let answer = ask(&server, line, &headers, "");
            let is = match answer.status {
                401 | 429 => Fate::Unknown,
                403 => Fate::Forbidden,
                _ => Fate::Passed,
            };
            assert_eq!(is, caller.fate(needs), "{} asks {line}: {answer:?}", caller.name);
        }
    }
    let operator = callers.iter().find(|caller| caller.name == "operator");
    let operator = operator.and_then(|caller| caller.key.as_deref()).expect("a key");
    all_are_listed(&server, operator);
    let (log, keys) = (server.log(), callers.iter().filter_map(|caller| caller.key.as_deref()));
    for key in keys {
        assert!(!log.contains(key), "a key is in the log: {log}");
    }
    for (action, result) in [
        ("/tally.requests.v1.RequestService/Fold", "gRPC status 0"),
        ("/tally.requests.v1.RuleService/RemoveRule", "gRPC status 5"),
        ("POST /api/v1/requests/fold", "415"),
    ] {
        let line = format!(
            "administration key=\"operator\" namespace=0 action=\"{action}\" result=\"{result}\" peer="
        );
        assert!(log.contains(&line), "{line} is not in {log}");
    }
    let header = format!("authorization: Bearer {operator}");
    let metrics = ask(&server, "GET /metrics", &[&header], "").body;
    for reason in ["key_missing", "key_unknown", "key_revoked", "key_expired", "scope"] {
        let none = format!("tally_access_refused_total{{reason=\"{reason}\"}} 0\n");
        assert!(!metrics.contains(&none) && metrics.contains(&none[..none.len() - 2]), "{metrics}");
    }
    server.stop();
}

fn wait_for_channel(server: &Server) -> (tokio::runtime::Runtime, Channel) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let endpoint = Channel::from_shared(server.url.clone()).expect("a URL");
    let channel = runtime.block_on(endpoint.connect()).expect("it listens");
    (runtime, channel)
}

#[test]
fn a_new_server_says_how_the_first_key_is_made_and_commands_use_it() {
    let home = Home::sqlite();
    let server = home.serve(KEYS);
    let greeting = eventually_blocking(LIMIT, || server.log().contains("in a browser"));
    assert_eq!(greeting, Ok(()), "{}", server.log());
    assert!(server.log().contains("tally key create NAME --scope admin"), "{}", server.log());
    assert!(server.is_serving(), "a health check needs no key");
    let refused = server.run(&["totals"]);
    let wants = format!(
        "error: the server at {} wants a key: give one with TALLY_KEY or --key-file",
        server.url
    );
    assert!(refused.stderr.contains(&wants), "{refused:?}");
    let admin = create(&home, &["first", "--scope", "admin"]);
    assert!(admin.starts_with("tally_admin_"), "{admin}");
    let with = |key: &str, arguments: &[&str]| {
        run_with(server.command(arguments).env("TALLY_KEY", key), b"", LIMIT, None)
    };
    let added = with(&admin, &["add", "GET", "/a"]);
    assert!(added.status.success(), "{added:?}");
    let file = home.file("key", format!("{}\n", create(&home, &["look", "--scope", "read"])));
    let totals = ["totals", "--live", "--format", "csv", "--by", "whole", "--key-file", &file];
    let read = server.run(&totals);
    assert_eq!(read.stdout, "date,method,path,count\n,GET,/a,1\n", "{read:?}");
    let refused = server.run(&["add", "GET", "/a", "--key-file", &file]);
    assert!(refused.stderr.contains("needs a key with the scope ingest"), "{refused:?}");
    let again = home.run(&[
        "key",
        "create",
        "look",
        "--scope",
        "read",
        "--database-url",
        &home.database_url(),
    ]);
    assert!(again.stderr.contains("tally key rotate look"), "{again:?}");
    let rotated = home.run(&["key", "rotate", "first", "--database-url", &home.database_url()]);
    for key in [&admin, rotated.stdout.trim()] {
        let added = with(key, &["add", "GET", "/a"]);
        assert!(added.status.success(), "both are valid: {added:?}");
    }
    let url = home.database_url();
    let listed = home.run(&["key", "list", "--format", "csv", "--database-url", &url]);
    assert_eq!(listed.stdout.matches("first,valid,admin,default").count(), 2, "{listed:?}");
    assert!(!listed.stdout.contains(&admin[12..]), "{listed:?}");
    server.stop();
}

#[test]
fn a_browser_logs_in_looks_and_logs_out() {
    let home = Home::sqlite();
    let server = home.serve(KEYS);
    let key = create(&home, &["people", "--scope", "admin"]);
    let html = "accept: text/html";
    let sent = ask(&server, "GET /requests?range=7d", &[html], "");
    assert_eq!(sent.header("location"), Some("/login?to=/requests%3Frange%3D7d"), "{sent:?}");
    let form = ["content-type: application/x-www-form-urlencoded"];
    let wrong = ask(&server, "POST /login", &form, "key=tally_read_x&to=/");
    assert_eq!(wrong.status, 401, "{wrong:?}");
    assert!(wrong.body.contains("Not logged in") && !wrong.body.contains("tally_read_x"));
    let logged_in = ask(&server, "POST /login", &form, &format!("key={key}&to=/requests"));
    assert_eq!((logged_in.status, logged_in.header("location")), (303, Some("/requests")));
    let cookie = logged_in.header("set-cookie").expect("a cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains(&key) && !cookie.contains("Secure"), "{cookie}");
    let cookie = format!("cookie: {}", cookie.split(';').next().expect("a pair"));
    let page = ask(&server, "GET /requests", &[html, &cookie], "");
    assert!(page.status == 200 && page.body.contains("Log out"), "{page:?}");
    let json = "content-type: application/json";
    let changed = ask(&server, "POST /api/v1/requests", &[&cookie, json], "[]");
    assert_eq!(changed.status, 403, "a cookie changes nothing: {changed:?}");
    assert!(changed.body.contains("for looking only"), "{changed:?}");
    let logged_out = ask(&server, "POST /logout", &[&cookie], "");
    assert_eq!(logged_out.header("location"), Some("/login"), "{logged_out:?}");
    assert_eq!(ask(&server, "GET /requests", &[html, &cookie], "").status, 303);
    // The session ends with the key.
    let again = ask(&server, "POST /login", &form, &format!("key={key}"));
    let cookie = again.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let cookie = format!("cookie: {}", cookie.expect("a pair"));
    assert_eq!(ask(&server, "GET /", &[html, &cookie], "").status, 200);
    revoke(&home, "people");
    let over = || ask(&server, "GET /", &[html, &cookie], "").status == 303;
    assert_eq!(eventually_blocking(LIMIT, over), Ok(()));
    let log = server.log();
    let secret = cookie.split('=').nth(1).expect("a token");
    assert!(!log.contains(secret) && !log.contains(&key), "{log}");
    server.stop();
}

#[test]
fn an_open_server_is_for_this_machine_only() {
    let home = Home::sqlite();
    let url = home.database_url();
    let refused = home.run(&["serve", "--listen", "0.0.0.0:0", "--database-url", &url]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for way in ["--auth keys", "--listen 127.0.0.1:7777", "--insecure-allow-anyone"] {
        assert!(refused.stderr.contains(way), "{refused:?}");
    }
    assert!(!home.path("tally.db").exists(), "nothing was begun");
    let server = home.serve(&[]);
    assert_eq!(ask(&server, "GET /", &[], "").status, 200);
    for header in ["forwarded: for=192.0.2.1", "x-forwarded-for: 192.0.2.1", "via: 1.1 a"] {
        let answer = ask(&server, "GET /", &[header], "");
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains("PROXIED"), "{answer:?}");
        assert_eq!(ask(&server, "GET /livez", &[header], "").status, 200);
    }
    server.stop();
    let open = home.serve(&["--insecure-allow-anyone"]);
    open.process.wait_for_line(Stream::Stderr, "ANYONE", LIMIT);
    assert_eq!(ask(&open, "GET /", &["via: 1.1 a"], "").status, 200);
    open.stop();
}

#[test]
fn keys_come_from_a_file_as_well() {
    let home = Home::sqlite();
    let key = create(&home, &["unused", "--scope", "ingest"]);
    revoke(&home, "unused");
    let other = create(&home, &["template", "--scope", "read"]);
    let file = home.file(
        "keys",
        format!("# machines\nrobot read {other} namespace=shop\nghost ingest {key}\n"),
    );
    let wrong = home.run(&[
        "serve",
        "--auth",
        "keys",
        "--keys-file",
        &home.file("wrong", format!("a write {key}\n")),
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &home.database_url(),
    ]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("line 1: the scope is ingest, read or admin"), "{wrong:?}");
    assert!(!wrong.stderr.contains("stay"), "no key was read before: {wrong:?}");
    assert!(!wrong.stderr.contains(&key), "{wrong:?}");
    let server = home.serve(&["--auth", "keys", "--keys-file", &file]);
    let header = format!("authorization: Bearer {other}");
    // Of shop, as the file says: /about is for the operator.
    assert_eq!(ask(&server, "GET /", &[&header], "").status, 200);
    assert_eq!(ask(&server, "GET /about", &[&header], "").status, 403);
    let page = ask(&server, "GET /about", &[&header, "accept: text/html"], "");
    let is_page = page.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    assert!(page.status == 403 && is_page, "{page:?}");
    let why = "Refused: this concerns the whole database: it needs a key of the namespace default";
    assert!(
        page.body.contains(why) && page.header("content-security-policy").is_some(),
        "{page:?}"
    );
    let ghost = format!("authorization: Bearer {key}");
    let refused = ask(&server, "GET /", &[&ghost], "");
    assert!(refused.body.contains("KEY_REVOKED"), "a file brings none back: {refused:?}");
    let basic = "authorization: Basic YTpi";
    assert_eq!(ask(&server, "GET /", &[basic], "").status, 401);
    home.file("keys", "");
    let gone = || ask(&server, "GET /about", &[&header], "").status == 200;
    assert_eq!(eventually_blocking(LIMIT, gone), Ok(()), "the key of the database is what stays");
    revoke(&home, "template");
    let is_told = |words: [&str; 3]| {
        let log = server.log();
        log.lines().any(|line| words.iter().all(|one| line.contains(one)))
    };
    let all = || {
        is_told(["administration key=\"(the database)\"", "a key is changed", "of=\"template\""])
            && is_told([
                "administration key=\"(the database)\"",
                "a key is revoked",
                "of=\"template\"",
            ])
    };
    assert_eq!(eventually_blocking(LIMIT, all), Ok(()), "{}", server.log());
    server.stop();
}
