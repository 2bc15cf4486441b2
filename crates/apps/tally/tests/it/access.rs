//! Keys: who may do what at every door, from the first start to a revocation under load.

use std::collections::BTreeSet;

use serde_json::{Value, json};
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

/// What each method of gRPC needs.
const METHODS: &[(&str, Needs)] = &[
    ("/count.v1.CountService/Add", Needs::Ingest),
    ("/count.v1.CountService/CountDailyTotals", Needs::Operator),
    ("/count.v1.CountService/ListDailyTotals", Needs::Read),
    ("/count.v1.CountService/GetPeriodTotals", Needs::Read),
    ("/tally.requests.v1.RequestService/Record", Needs::Ingest),
    ("/tally.requests.v1.RequestService/ListProducers", Needs::Read),
    ("/tally.requests.v1.RequestService/ClearSetbacks", Needs::Admin),
    ("/tally.requests.v1.RequestService/ForgetProducer", Needs::Admin),
    ("/tally.requests.v1.RequestService/Fold", Needs::Operator),
    ("/tally.requests.v1.RequestService/QueryTotals", Needs::Read),
    ("/tally.requests.v1.BookService/Correct", Needs::Admin),
    ("/tally.requests.v1.BookService/ListCorrections", Needs::Read),
    ("/tally.requests.v1.BookService/StrikeDrops", Needs::Admin),
    ("/tally.requests.v1.BookService/Forget", Needs::Admin),
    ("/tally.requests.v1.BookService/Merge", Needs::Admin),
    ("/tally.requests.v1.RuleService/AddRule", Needs::Admin),
    ("/tally.requests.v1.RuleService/ListRules", Needs::Read),
    ("/tally.requests.v1.RuleService/ShowRule", Needs::Read),
    ("/tally.requests.v1.RuleService/RemoveRule", Needs::Admin),
    ("/tally.requests.v1.RuleService/TestRule", Needs::Admin),
    ("/tally.debts.v1.DebtService/AddDebt", Needs::Admin),
    ("/tally.debts.v1.DebtService/UpdateDebt", Needs::Admin),
    ("/tally.debts.v1.DebtService/ListDebts", Needs::Read),
    ("/tally.debts.v1.DebtService/ShowDebt", Needs::Read),
    ("/tally.debts.v1.DebtService/PauseDebt", Needs::Admin),
    ("/tally.debts.v1.DebtService/ResumeDebt", Needs::Admin),
    ("/tally.debts.v1.DebtService/ForgetDebt", Needs::Admin),
    ("/tally.debts.v1.DebtService/Pay", Needs::Ingest),
    ("/tally.debts.v1.DebtService/PayAll", Needs::Ingest),
    ("/tally.debts.v1.DebtService/ListPayments", Needs::Read),
    ("/tally.debts.v1.DebtService/ListRuns", Needs::Read),
    ("/tally.debts.v1.DebtService/ListFlips", Needs::Read),
    ("/tally.timelines.v1.TimelineService/Record", Needs::Ingest),
    ("/tally.timelines.v1.TimelineService/RecordAll", Needs::Ingest),
    ("/tally.timelines.v1.TimelineService/ListContexts", Needs::Read),
    ("/tally.timelines.v1.TimelineService/ConfigureContext", Needs::Admin),
    ("/tally.timelines.v1.TimelineService/ListTimelines", Needs::Read),
    ("/tally.timelines.v1.TimelineService/ListEvents", Needs::Read),
    ("/tally.timelines.v1.TimelineService/ShowTimeline", Needs::Read),
    ("/tally.timelines.v1.TimelineService/ExportTimeline", Needs::Read),
    ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", Needs::Ingest),
    ("/tally.server.v1.ServerService/GetStatus", Needs::OperatorRead),
    ("/grpc.health.v1.Health/Check", Needs::Nothing),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Needs::Key),
    ("/no.such.Service/Method", Needs::Key),
];

/// What each route of HTTP needs.
const ROUTES: &[(&str, Needs)] = &[
    ("GET /livez", Needs::Nothing),
    ("GET /readyz", Needs::Nothing),
    ("GET /healthz", Needs::Nothing),
    ("GET /login", Needs::Nothing),
    ("POST /logout", Needs::Nothing),
    ("GET /", Needs::Read),
    ("HEAD /", Needs::Read),
    ("GET /requests", Needs::Read),
    ("GET /requests/endpoint", Needs::Read),
    ("GET /requests/producers", Needs::Read),
    ("GET /requests/rules", Needs::Read),
    ("GET /about", Needs::OperatorRead),
    ("GET /api", Needs::Read),
    ("GET /metrics", Needs::OperatorRead),
    ("GET /api/v1/openapi.json", Needs::Key),
    ("GET /api/v1/requests/totals", Needs::Read),
    ("GET /api/v1/requests/endpoints", Needs::Read),
    ("GET /api/v1/requests/services", Needs::Read),
    ("GET /api/v1/requests/customers", Needs::Read),
    ("GET /api/v1/requests/producers", Needs::Read),
    ("POST /api/v1/requests", Needs::Ingest),
    ("POST /api/v1/requests/roll-up", Needs::Operator),
    ("POST /api/v1/requests/fold", Needs::Operator),
    ("GET /debts", Needs::Read),
    ("GET /debts/{debt}", Needs::Read),
    ("GET /debts/new/form", Needs::Read),
    ("POST /debts/new/form", Needs::Admin),
    ("GET /debts/{debt}/edit", Needs::Read),
    ("POST /debts/{debt}/edit", Needs::Admin),
    ("GET /debts/{debt}/forget", Needs::Read),
    ("POST /debts/{debt}/forget", Needs::Admin),
    ("GET /debts/{debt}/pause", Needs::Read),
    ("POST /debts/{debt}/pause", Needs::Admin),
    ("GET /debts/{debt}/resume", Needs::Read),
    ("POST /debts/{debt}/resume", Needs::Admin),
    ("PUT /debts", Needs::Ingest),
    ("POST /debts/{debt}", Needs::Ingest),
    ("GET /api/v1/debts", Needs::Read),
    ("POST /api/v1/debts", Needs::Admin),
    ("GET /api/v1/debts/{debt}", Needs::Read),
    ("PUT /api/v1/debts/{debt}", Needs::Admin),
    ("DELETE /api/v1/debts/{debt}", Needs::Admin),
    ("POST /api/v1/debts/{debt}/pause", Needs::Admin),
    ("POST /api/v1/debts/{debt}/resume", Needs::Admin),
    ("GET /api/v1/debts/{debt}/payments", Needs::Read),
    ("POST /api/v1/debts/{debt}/payments", Needs::Ingest),
    ("GET /api/v1/debts/{debt}/runs", Needs::Read),
    ("GET /api/v1/debts/{debt}/flips", Needs::Read),
    ("GET /timelines", Needs::Read),
    ("GET /timelines/{context}", Needs::Read),
    ("GET /timelines/{context}/{timeline}", Needs::Read),
    ("GET /timelines/{context}/durations/{name}", Needs::Read),
    ("POST /api/v1/timelines", Needs::Ingest),
    ("POST /api/v1/timelines/batch", Needs::Ingest),
    ("GET /api/v1/timelines/contexts", Needs::Read),
    ("GET /api/v1/timelines/contexts/{context}", Needs::Read),
    ("PUT /api/v1/timelines/contexts/{context}", Needs::Admin),
    ("GET /api/v1/timelines/contexts/{context}/{timeline}", Needs::Read),
    ("GET /api/v1/timelines/contexts/{context}/{timeline}/events", Needs::Read),
    ("GET /api/v1/timelines/contexts/{context}/{timeline}/export", Needs::Read),
    ("POST /v1/traces", Needs::Ingest),
    ("GET /1/auth", Needs::Ingest),
    ("POST /1/batch/{dataset}", Needs::Ingest),
    ("POST /1/events/{dataset}", Needs::Ingest),
    ("DELETE /api/v1/requests", Needs::Key),
    ("GET /no/such/path", Needs::Key),
    ("GET /count.v1.CountService/Add", Needs::Ingest),
    ("POST /count.v1.CountService/Add", Needs::Ingest),
];

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

/// What there is, is in the tables above.
#[track_caller]
fn all_are_listed(server: &Server, operator: &str) {
    let listed: BTreeSet<_> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
    for file in tally_proto::all_descriptors().file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                assert!(listed.contains(&path), "{path} is not in the table");
            }
        }
    }
    let header = format!("authorization: Bearer {operator}");
    let listed: BTreeSet<_> = ROUTES.iter().map(|(line, _)| (*line).to_owned()).collect();
    // What a login is answered is not by what it needs.
    let others = ["POST /login", "GET /static/"];
    // Nor what other products are, which are refused in their own words: the tests of debts ask them.
    let foreign = ["/ping/", "/api/{project}/", "/api/push/", "/p/", "/badges/"];
    let of_checks = ["/checks", "/channels/", "/badges/", "/status/"];
    let is_foreign = |route: &str| {
        let unversioned = ["v1", "v2", "v3"].iter().find_map(|version| {
            route.strip_prefix("/api/").and_then(|rest| rest.strip_prefix(version))
        });
        let is_of = |all: &[&str], route: &str| all.iter().any(|of| route.starts_with(of));
        is_of(&foreign, route) || unversioned.is_some_and(|rest| is_of(&of_checks, rest))
    };
    let metrics = ask(server, "GET /metrics", &[&header], "").body;
    let of_routes = "tally_http_requests_total{";
    for labels in metrics.lines().filter_map(|line| line.strip_prefix(of_routes)) {
        let label = |name: &str| {
            let value = labels.split(&format!("{name}=\"")).nth(1);
            value.and_then(|rest| rest.split('"').next()).expect("a label")
        };
        let line = format!("{} {}", label("method"), label("route"));
        let is_known = listed.contains(&line) || others.iter().any(|other| line.starts_with(other));
        // Asked for above, and by no route.
        let is_none = is_foreign(label("route"))
            || label("route") == "unknown"
            || label("route").ends_with("{*rest}");
        assert!(is_known || is_none, "{line} is not in the table");
    }
    let document = ask(server, "GET /api/v1/openapi.json", &[&header], "").body;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let line = format!("{} {path}", method.to_uppercase());
            let listed = ROUTES.iter().find(|(listed, _)| *listed == line);
            let (_, needs) = listed.unwrap_or_else(|| panic!("{line} is not in the table"));
            let scope = match needs {
                Needs::Nothing | Needs::Key => panic!("{line} says no scope"),
                Needs::Ingest => "ingest",
                Needs::Read | Needs::OperatorRead => "read",
                Needs::Admin | Needs::Operator => "admin",
            };
            let mut security = vec![json!({"bearer": [scope]}), json!({"basic": [scope]})];
            security.extend((method == "get").then(|| json!({"session": [scope]})));
            assert_eq!(operation["security"], Value::Array(security), "{line}");
        }
    }
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
fn a_revoked_key_ends_streams_and_calls_on_every_server() {
    let home = Home::postgres("access_revoked");
    let servers = [home.serve(KEYS), home.serve(KEYS)];
    let key = create(&home, &["agent", "--scope", "ingest"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut streams = Vec::new();
    let mut senders = Vec::new();
    for server in &servers {
        let (sender, requests) = tokio::sync::mpsc::channel(16);
        let (url, key) = (server.url.clone(), key.clone());
        streams.push(runtime.spawn(async move {
            let mut client = CountServiceClient::connect(url).await.expect("it listens");
            let mut call = Request::new(ReceiverStream::new(requests));
            let value = format!("Bearer {key}").parse().expect("letters and digits");
            call.metadata_mut().insert("authorization", value);
            client.add(call).await
        }));
        runtime.block_on(sender.send(request("/a"))).expect("it is read");
        senders.push(sender);
    }
    let counted = eventually_blocking(LIMIT, || home.stored() == 2);
    assert_eq!(counted, Ok(()), "both streams count");
    revoke(&home, "agent");
    for stream in streams {
        let ended = runtime.block_on(async { timeout(LIMIT, stream).await });
        let ended = ended.expect("it ends").expect("no panic").expect_err("it is revoked");
        assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
        assert_eq!(trailer(&ended, REASON_TRAILER), Some(reason::KEY_REVOKED), "{ended:?}");
        assert_eq!(number(&ended, COUNTED_TRAILER), Some(1), "{ended:?}");
    }
    // Each server has read the keys since, so no call succeeds any more.
    for server in &servers {
        let mut command = server.command(&["add", "GET", "/a"]);
        let refused = run_with(command.env("TALLY_KEY", &key), b"", LIMIT, None);
        let why = format!(
            "error: the server at {} does not accept the key: the key agent is revoked: give another \
             one with",
            server.url
        );
        assert!(refused.stderr.contains(&why), "{refused:?}");
        server.stop();
    }
    assert_eq!(home.stored(), 2);
}

/// Calls again and again until one is refused, and then some more. Tells `first` of the first that
/// goes well.
async fn call_until_refused(
    channel: Channel,
    key: String,
    first: oneshot::Sender<()>,
) -> Result<(), String> {
    let mut first = Some(first);
    let mut passed = 0;
    let mut refused = 0;
    while refused < 20 {
        let called = call(&channel, "/count.v1.CountService/Add", Some(&key)).await;
        let why = called.as_ref().err().and_then(|status| trailer(status, REASON_TRAILER));
        match fate_of_call(&called) {
            Fate::Unknown if why == Some(reason::KEY_REVOKED) => refused += 1,
            Fate::Passed if refused == 0 => {
                passed += 1;
                if let Some(first) = first.take() {
                    first.send(()).expect("it is awaited");
                }
            }
            _ => return Err(format!("after {passed} and {refused} refusals: {called:?}")),
        }
    }
    Ok(())
}

/// Opens a producer, and returns how its stream ends.
async fn record(url: String, key: String, opened: oneshot::Sender<()>) -> Status {
    let mut client = RequestServiceClient::connect(url).await.expect("it listens");
    let open = producers::Open {
        producer_id: vec![7; 16],
        claims: vec![5],
        name: "agent".into(),
        ..Default::default()
    };
    let open = RecordRequest { kind: Some(Kind::Open(open)) };
    let messages = tokio_stream::iter([open]).chain(tokio_stream::pending());
    let mut call = Request::new(messages);
    let value = format!("Bearer {key}").parse().expect("letters and digits");
    call.metadata_mut().insert("authorization", value);
    let mut answers = client.record(call).await.expect("it is valid").into_inner();
    answers.message().await.expect("it is valid").expect("it is opened");
    opened.send(()).expect("it is awaited");
    answers.message().await.expect_err("it is revoked")
}

#[test]
fn a_key_that_is_revoked_under_load_is_accepted_nowhere_again() {
    let home = Home::postgres("access_load");
    let servers = [home.serve(KEYS), home.serve(KEYS)];
    let key = create(&home, &["agent", "--scope", "ingest"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut loads = Vec::new();
    for server in &servers {
        let endpoint = Channel::from_shared(server.url.clone()).expect("a URL");
        let channel = runtime.block_on(endpoint.connect()).expect("it listens");
        for _ in 0..4 {
            let (first, passes) = oneshot::channel();
            let load = call_until_refused(channel.clone(), key.clone(), first);
            loads.push((runtime.spawn(load), passes));
        }
    }
    let mut ends = Vec::new();
    for (load, passes) in loads {
        let passed = runtime.block_on(async { timeout(LIMIT, passes).await });
        passed.expect("a call goes well").expect("no panic");
        ends.push(load);
    }
    let (opened, is_open) = oneshot::channel();
    let recorded = runtime.spawn(record(servers[0].url.clone(), key.clone(), opened));
    let opened = runtime.block_on(async { timeout(LIMIT, is_open).await });
    opened.expect("it opens").expect("no panic");
    revoke(&home, "agent");
    for load in ends {
        let ended = runtime.block_on(async { timeout(LIMIT, load).await });
        ended.expect("it ends").expect("no panic").expect("no call after a refusal");
    }
    let ended = runtime.block_on(async { timeout(LIMIT, recorded).await });
    let ended = ended.expect("it ends").expect("no panic");
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    assert_eq!(trailer(&ended, REASON_TRAILER), Some(reason::KEY_REVOKED), "{ended:?}");
    for server in &servers {
        server.stop();
    }
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
