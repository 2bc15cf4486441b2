//! What each method and each route needs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Needs, ask};
use crate::support::Server;

/// What each method of gRPC needs.
pub(super) const METHODS: &[(&str, Needs)] = &[
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
    ("/tally.debts.v1.DebtService/RenewBadges", Needs::Admin),
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
pub(super) const ROUTES: &[(&str, Needs)] = &[
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
    ("POST /api/v1/debts/badges/renew", Needs::Admin),
    ("GET /timelines", Needs::Read),
    ("GET /timelines/{context}", Needs::Read),
    ("GET /timelines/{context}/{timeline}", Needs::Read),
    ("GET /timelines/{context}/durations/{name}", Needs::Read),
    ("GET /api/", Needs::Read),
    ("GET /api/contexts", Needs::Read),
    ("GET /api/contexts/{context}", Needs::Read),
    ("GET /api/contexts/{context}/{timeline}", Needs::Read),
    ("POST /api/v1/timelines", Needs::Ingest),
    ("POST /api/v1/timelines/batch", Needs::Ingest),
    ("GET /api/v1/timelines/contexts", Needs::Read),
    ("GET /api/v1/timelines/contexts/{context}", Needs::Read),
    ("PUT /api/v1/timelines/contexts/{context}", Needs::Admin),
    ("GET /api/v1/timelines/contexts/{context}/{timeline}", Needs::Read),
    ("GET /api/v1/timelines/contexts/{context}/{timeline}/events", Needs::Read),
    ("POST /v1/traces", Needs::Ingest),
    ("GET /1/auth", Needs::Ingest),
    ("POST /1/batch/{dataset}", Needs::Ingest),
    ("POST /1/events/{dataset}", Needs::Ingest),
    ("GET /api/v1/timelines/contexts/{context}/{timeline}/export", Needs::Read),
    ("DELETE /api/v1/requests", Needs::Key),
    ("GET /no/such/path", Needs::Key),
    ("GET /count.v1.CountService/Add", Needs::Ingest),
    ("POST /count.v1.CountService/Add", Needs::Ingest),
];

/// What there is, is in the tables above.
#[track_caller]
pub(super) fn all_are_listed(server: &Server, operator: &str) {
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
