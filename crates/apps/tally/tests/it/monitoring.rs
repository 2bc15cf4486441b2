//! The dashboards and alerts in `deploy/`, against a real server and a real database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use regex_lite::Regex;
use serde_json::Value;
use tally_testkit::{has_programs, http, run_with};
use tokio_postgres::types::Type;

use crate::metrics::{Scraped, complete};
use crate::support::{Home, LIMIT, Server, wait_for};

const POSTGRES: &str = "grafana-postgresql-datasource";
const INFINITY: &str = "yesoreyeram-infinity-datasource";
const PROMETHEUS: &str = "prometheus";

/// What a scrape tells that no dashboard and no alert shows.
const UNSHOWN: [&str; 14] = [
    "process_max_fds",
    "process_open_fds",
    "process_start_time_seconds",
    "tally_chore_overdue",
    "tally_client_connections_max",
    "tally_debt_down",
    "tally_debt_paused",
    "tally_debt_payments_total",
    "tally_debt_status_since_timestamp_seconds",
    "tally_debts_payments",
    "tally_requests_roll_up_last_success_timestamp_seconds",
    "tally_requests_rolled_up_total",
    "tally_tls_handshake_failures_total",
    "tally_tls_reload_failures_total",
];

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../deploy").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The dashboards by file name.
fn dashboards() -> BTreeMap<String, Value> {
    let files = fs::read_dir(deploy("grafana/dashboards")).expect("the folder is there");
    let dashboard = |file: std::io::Result<fs::DirEntry>| {
        let name = file.expect("it can be listed").file_name().into_string().expect("a plain name");
        let text = read(&format!("grafana/dashboards/{name}"));
        let dashboard =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, dashboard)
    };
    files.map(dashboard).collect()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The queries of panels for this kind of data source, each with the title of its panel.
fn queries<'a>(dashboard: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let panels = list(dashboard, "/panels").iter();
    let of_panel = |panel: &'a Value| {
        list(panel, "/targets").iter().map(|target| (text(panel, "/title"), target))
    };
    panels.flat_map(of_panel).filter(|(_, one)| text(one, "/datasource/type") == kind).collect()
}

#[test]
fn dashboards_have_fixed_ids_and_a_data_source_that_can_be_chosen() {
    let sources = read("grafana/provisioning/datasources/tally.yaml");
    let mut uids = BTreeSet::new();
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 3);
    for (name, dashboard) in &dashboards {
        assert!(uids.insert(text(dashboard, "/uid")), "{name}");
        assert_eq!(dashboard["id"], Value::Null, "{name}");
        let variables = list(dashboard, "/templating/list");
        let source = &variables[0];
        assert_eq!((text(source, "/name"), text(source, "/type")), ("datasource", "datasource"));
        let (kind, uid) = (text(source, "/query"), text(source, "/current/value"));
        let provisioned = format!("uid: {uid}\n    type: {kind}\n");
        assert!(sources.contains(&provisioned), "{name}: {provisioned:?} is not in {sources}");
        let mut ids = BTreeSet::new();
        for panel in list(dashboard, "/panels") {
            assert!(ids.insert(panel["id"].as_u64()), "{name}: {panel}");
            let used = list(panel, "/targets").iter().chain([panel]).chain(&variables[1..]);
            for source in used.filter_map(|one| one.get("datasource")) {
                let source = (text(source, "/type"), text(source, "/uid"));
                assert_eq!(source, (kind, "${datasource}"), "{name}");
            }
            let edges = ["x", "w"].map(|edge| panel["gridPos"][edge].as_u64().expect("a place"));
            assert!(edges.iter().sum::<u64>() <= 24, "{name}: {panel}");
        }
    }
}

/// The metrics that an expression names, as they are called in a scrape.
fn metrics_of(expression: &str, scraped: &Scraped) -> BTreeSet<String> {
    let names = Regex::new(r"\b(tally|process)_[a-z0-9_]+").expect("a pattern");
    let family = |name: &str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        let is_part = |name: &&str| scraped.get(*name).is_some_and(|of| of.kind == "histogram");
        family.filter(is_part).unwrap_or(name).to_owned()
    };
    names.find_iter(expression).map(|name| family(name.as_str())).collect()
}

/// The labels that an expression groups by, or a legend shows.
fn labels_of(text: &str) -> BTreeSet<String> {
    let lists = Regex::new(r"\b(?:by|on) ?\(([a-z_, ]+)\)|\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}");
    let lists = lists.expect("a pattern");
    let found = lists.captures_iter(text).filter_map(|found| found.get(1).or(found.get(2)));
    let labels = found.flat_map(|list| list.as_str().split(", ").map(str::to_owned));
    labels.collect()
}

#[track_caller]
fn assert_right(what: &str, expression: &str, legend: &str, scraped: &Scraped) -> BTreeSet<String> {
    let metrics = metrics_of(expression, scraped);
    let mut known: BTreeSet<String> = ["job", "instance"].map(str::to_owned).into();
    for metric in &metrics {
        let family = scraped.get(metric).unwrap_or_else(|| panic!("{what}: there is no {metric}"));
        known.extend(family.samples.iter().flat_map(|sample| sample.labels.keys().cloned()));
    }
    let labels = &labels_of(expression) | &labels_of(legend);
    assert!(labels.is_subset(&known), "{what}: {labels:?} of {known:?}");
    metrics
}

#[test]
fn dashboards_and_alerts_name_metrics_that_there_are_and_show_nearly_all() {
    let (_home, _server, scraped) = complete("monitoring_metrics");
    let mut shown = BTreeSet::new();
    for (name, dashboard) in &dashboards() {
        for (title, query) in queries(dashboard, PROMETHEUS) {
            let (expression, legend) = (text(query, "/expr"), text(query, "/legendFormat"));
            assert!(!expression.is_empty(), "{title}");
            shown.extend(assert_right(&format!("{name}, {title}"), expression, legend, &scraped));
        }
        for variable in list(dashboard, "/templating/list") {
            if text(variable, "/datasource/type") == PROMETHEUS {
                shown.extend(assert_right(name, text(variable, "/query"), "", &scraped));
            }
        }
    }
    let alerts = alerts();
    assert!(!alerts.is_empty());
    for Alert { name, expression, rest } in &alerts {
        shown.extend(assert_right(name, expression, rest, &scraped));
    }
    let unshown: BTreeSet<_> = scraped.into_keys().filter(|name| !shown.contains(name)).collect();
    let but: BTreeSet<_> = UNSHOWN.map(str::to_owned).into();
    // An alert asks whether a day was ever rolled up.
    assert_eq!(unshown, &but - &shown);
}

struct Alert {
    name: String,
    expression: String,
    rest: String,
}

/// The alerts as the file has them, without a reader of YAML.
fn alerts() -> Vec<Alert> {
    let file = read("prometheus/alerts.yml");
    let alerts = file.split("      - alert: ").skip(1);
    let alert = |text: &str| {
        let (name, rest) = text.split_once('\n').expect("a name");
        let (expression, rest) = rest.split_once("        for: ").expect("it waits");
        let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        Alert { name: name.to_owned(), expression, rest: rest.to_owned() }
    };
    alerts.map(alert).collect()
}

#[test]
fn every_alert_is_explained_and_tested() {
    let page = include_str!("../../../../../docs/alerts.md");
    let tests = read("prometheus/alerts_test.yml");
    let mut explained = BTreeSet::new();
    for Alert { name, rest, .. } in alerts() {
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rest.contains(part), "{name}: {part}");
        }
        let anchor = format!("runbook_url: docs/alerts.md#{}\n", name.to_lowercase());
        assert!(rest.contains(&anchor), "{name}: {anchor}");
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
        assert!(tests.contains(&format!("alertname: {name}}}")), "{name} has no negative test");
        explained.insert(name);
    }
    let parts = page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned);
    assert_eq!(parts.collect::<BTreeSet<_>>(), explained);
}

/// Prometheus' own word on it, where it is installed.
#[test]
fn promtool_accepts_the_rules_and_the_configuration() {
    if !has_programs(&["promtool"]) {
        return;
    }
    for (command, file) in [
        (["check", "rules"], "prometheus/alerts.yml"),
        (["test", "rules"], "prometheus/alerts_test.yml"),
        (["check", "config"], "prometheus/prometheus.yml"),
    ] {
        let mut promtool = Command::new("promtool");
        promtool.args(command).arg(deploy(file));
        let output = run_with(&promtool, b"", LIMIT, None);
        assert!(output.status.success(), "{file}: {output:?}");
    }
}

/// Counts requests at the end of 17 May 2015. Those of a service have a customer.
fn add(server: &Server, path: &str, service: &str, status: &str, requests: &str) {
    let at = ["add", "GET", path, "-n", requests, "--at", "2015-05-17T23:59:59Z"];
    let service =
        if service.is_empty() { vec![] } else { vec!["--service", service, "--customer", "acme"] };
    server.ok(&[&at[..], &service, &["--status", status]].concat());
}

/// A query as Grafana sends it, for May and June of 2015.
fn as_sent(sql: &str) -> String {
    let replaced = sql
        .replace("$__timeFrom()", "'2015-05-01T00:00:00Z'")
        .replace("$__timeTo()", "'2015-06-30T23:59:59Z'")
        .replace("${service:sqlstring}", "'','shop'");
    assert!(!replaced.contains('$'), "{replaced}");
    replaced
}

#[test]
fn every_query_of_the_sql_dashboard_is_answered_by_postgres() {
    let home = Home::postgres("dashboard_sql");
    let server = home.serve(&[]);
    for (path, service, status, requests) in
        [("/a", "shop", "200", "5"), ("/a", "shop", "503", "2"), ("/b", "", "0", "1")]
    {
        add(&server, path, service, status, requests);
    }
    let dashboard = &dashboards()["requests-sql.json"];
    let variables = list(dashboard, "/templating/list").iter();
    let variables = variables.filter(|one| text(one, "/type") == "query");
    let variables = variables.map(|one| (text(one, "/name"), text(one, "/query"), "variable"));
    let panels = queries(dashboard, POSTGRES).into_iter();
    let panels = panels.map(|(title, one)| (title, text(one, "/rawSql"), text(one, "/format")));
    let mut answers = BTreeMap::new();
    for (title, sql, format) in variables.chain(panels) {
        let asked = async { home.database().connect().await.query(&as_sent(sql), &[]).await };
        let rows = wait_for(asked).unwrap_or_else(|error| panic!("{title}: {error:?}\n{sql}"));
        let columns = rows.first().unwrap_or_else(|| panic!("{title}: no rows")).columns();
        let columns: Vec<_> = columns.iter().map(|one| (one.name(), one.type_().clone())).collect();
        let known = [Type::TEXT, Type::INT8, Type::FLOAT8, Type::TIMESTAMPTZ];
        assert!(columns.iter().all(|(_, of)| known.contains(of)), "{title}: {columns:?}");
        if format == "time_series" {
            assert_eq!(columns[0], ("time", Type::TIMESTAMPTZ), "{title}");
            let time: jiff::Timestamp = rows[0].get(0);
            assert_eq!(time.to_string(), "2015-05-17T00:00:00Z", "{title}");
        }
        let is_number = |of: &Type| [Type::INT8, Type::FLOAT8].contains(of);
        let number = columns.iter().position(|(_, of)| is_number(of));
        let sum = number.filter(|at| columns[*at].1 == Type::INT8);
        let sum = sum.map(|at| rows.iter().map(|row| row.get::<_, i64>(at)).sum::<i64>());
        answers.insert((title, format), (rows.len(), sum));
    }
    assert_eq!(answers[&("service", "variable")].0, 2);
    assert_eq!(answers[&("Requests", "table")], (1, Some(8)));
    assert_eq!(answers[&("Requests by day and service", "time_series")], (2, Some(8)));
    assert_eq!(answers[&("Requests by day and status", "time_series")], (3, Some(8)));
    assert_eq!(answers[&("Endpoints", "table")].0, 2);
}

/// A URL as Grafana sends it, for May and June of 2015.
fn url_as_sent(url: &str, by: &str) -> String {
    let replaced = url
        .replace("${__from:date:iso}", "2015-05-01T00:00:00.000Z")
        .replace("${__to:date:iso}", "2015-06-30T21:59:59.999Z")
        .replace("${zone:percentencode}", "Europe%2FBerlin")
        .replace("${by}", by);
    assert!(!replaced.contains('$'), "{replaced}");
    replaced
}

#[test]
fn every_url_of_the_http_dashboard_is_answered_by_a_server() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    add(&server, "/a", "shop", "200", "5");
    add(&server, "/a", "shop", "503", "2");
    add(&server, "/b", "", "0", "1");
    let dashboard = &dashboards()["requests-http.json"];
    let variables = list(dashboard, "/templating/list");
    let by = variables.iter().find(|one| text(one, "/name") == "by").expect("a variable");
    let mut answers = BTreeMap::new();
    for by in text(by, "/query").split(',') {
        for (title, query) in queries(dashboard, INFINITY) {
            let target = url_as_sent(text(query, "/url"), by);
            let answer = http(&server.url, &format!("GET {target}"), &[], "");
            assert_eq!(answer.status, 200, "{title}, {target}: {answer:?}");
            let answer: Value = serde_json::from_str(&answer.body)
                .unwrap_or_else(|error| panic!("{title}: {error}\n{answer:?}"));
            let totals = list(&answer, &format!("/{}", text(query, "/root_selector")));
            assert!(!totals.is_empty(), "{title}: {answer}");
            let mut sum = 0;
            for total in totals {
                for column in list(query, "/columns") {
                    let value = &total[text(column, "/selector")];
                    let is_right = match text(column, "/type") {
                        "timestamp" => value.as_str().is_some_and(|time| time.contains("+02:00")),
                        "number" => value.is_u64(),
                        _ => value.is_string() || value.is_number(),
                    };
                    assert!(is_right, "{title}: {column} of {total}");
                }
                sum += total["count"].as_u64().expect("a number");
            }
            answers.insert((title.to_owned(), by.to_owned()), (totals.len(), sum));
        }
    }
    for by in ["hour", "day", "week", "month"] {
        let answer = |title: &str| answers[&(title.to_owned(), by.to_owned())];
        assert_eq!(answer("Requests"), (1, 8));
        assert_eq!(answer("Requests by service"), (2, 8));
        assert_eq!(answer("Requests by status"), (3, 8));
        assert_eq!(answer("Endpoints"), (2, 8));
        assert_eq!(answer("Errors"), (1, 2));
    }
}
