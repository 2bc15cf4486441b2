//! Requests as clients have really sent them, byte for byte but for the ids of debts: sentry-cli 3.8.2, the SDKs of
//! Sentry for Python 2.75.0 and JavaScript 11.12.0, cronitor 4.9.0, healthchecks_io 0.4.4, Alertmanager 0.25.0,
//! curl 7.88.1 and Wget 1.21.3. What they need of the answers is asked for here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::Port;

on_both!(
    open: [
        sentry_cli_wraps_a_command,
        the_python_sdk_of_sentry_is_a_monitor,
        the_javascript_sdk_of_sentry_is_a_monitor,
        cronitor_wraps_a_function,
        healthchecks_io_makes_and_pings_a_check,
        alertmanager_tells_that_its_watchdog_fires_and_is_resolved,
        curl_and_wget_ping_and_push,
    ],
);

/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends bytes as they are. Returns the status and the body of the answer.
fn sent(port: &Port, request: &[u8]) -> (u16, String) {
    tokio::task::block_in_place(|| {
        let address = port.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("a timeout");
        stream.write_all(request).expect("it reads");
        let mut answer = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            answer.read_line(&mut line).expect("an answer");
            line.trim_end().to_ascii_lowercase()
        };
        let (mut status, mut length) = (None, 0);
        // That the body may come is answered first.
        while status.is_none_or(|status| status == 100) {
            status = line().split(' ').nth(1).and_then(|status| status.parse().ok());
            loop {
                let line = line();
                if line.is_empty() {
                    break;
                }
                if let Some(told) = line.strip_prefix("content-length: ") {
                    length = told.parse().expect("a number");
                }
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).expect("a whole answer");
        (status.expect("a status"), String::from_utf8(body).expect("text"))
    })
}

/// A head, which is told how long the body is, and the body.
fn with_length(head: &str, body: &[u8]) -> Vec<u8> {
    let head = head.replace('\n', "\r\n").replace("{}", &body.len().to_string());
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

impl Port {
    fn definition(&self, debt: &str) -> Value {
        self.own(&format!("GET /api/v1/debts/{debt}"), "")["definition"].clone()
    }

    /// The outcomes of the runs of a debt, the first one first.
    fn outcomes(&self, debt: &str) -> Vec<String> {
        let runs = self.own(&format!("GET /api/v1/debts/{debt}/runs"), "");
        let outcome = |run: &Value| run["outcome"].as_str().unwrap_or_default().to_owned();
        runs["runs"].as_array().expect("a list").iter().rev().map(outcome).collect()
    }
}

/// `sentry-cli monitors run -s '0 3 * * *' --timezone Europe/Riga … night -- COMMAND`, and again with
/// `-e staging`. It says only whether the answer was a success, and runs the command in any case.
async fn sentry_cli_wraps_a_command(port: Port) {
    let send = |body: &str| {
        let head = "POST /api/1/envelope/ HTTP/1.1\nHost: 127.0.0.1:7901\nAccept: */*\n\
            User-Agent: sentry-cli/3.8.2\nX-Sentry-Auth: Sentry sentry_key=anykey, sentry_version=7, \
            sentry_timestamp=1795843566.0632432, sentry_client=sentry-cli/x86_64\nContent-Length: {}";
        sent(&port, &with_length(head, body.as_bytes()))
    };
    let told = |id: &str| (200, format!("{{\"id\":\"{id}\"}}\n"));
    let (first, second) = ("bd9543763dcf4d4d976fc09819670c00", "1cdab1ef344f402ab095f22449767f90");
    let begun = "{}\n{\"type\":\"check_in\",\"length\":304}\n{\"check_in_id\":\"bd9543763dcf4d4d976fc09819670c00\",\
        \"monitor_slug\":\"night\",\"status\":\"in_progress\",\"environment\":\"production\",\"monitor_config\":\
        {\"schedule\":{\"type\":\"crontab\",\"value\":\"0 3 * * *\"},\"checkin_margin\":5,\"max_runtime\":10,\
        \"timezone\":\"Europe/Riga\",\"failure_issue_threshold\":2,\"recovery_threshold\":1}}\n";
    assert_eq!(send(begun), told(first));
    let ended = "{}\n{\"type\":\"check_in\",\"length\":137}\n{\"check_in_id\":\"bd9543763dcf4d4d976fc09819670c00\",\
        \"monitor_slug\":\"night\",\"status\":\"ok\",\"environment\":\"production\",\"duration\":0.007257607}\n";
    assert_eq!(send(ended), told(first));
    let begun = "{}\n{\"type\":\"check_in\",\"length\":189}\n{\"check_in_id\":\"1cdab1ef344f402ab095f22449767f90\",\
        \"monitor_slug\":\"night\",\"status\":\"in_progress\",\"environment\":\"staging\",\"monitor_config\":\
        {\"schedule\":{\"type\":\"crontab\",\"value\":\"0 3 * * *\"}}}\n";
    assert_eq!(send(begun), told(second));
    let ended = "{}\n{\"type\":\"check_in\",\"length\":137}\n{\"check_in_id\":\"1cdab1ef344f402ab095f22449767f90\",\
        \"monitor_slug\":\"night\",\"status\":\"error\",\"environment\":\"staging\",\"duration\":0.002998412}\n";
    assert_eq!(send(ended), told(second));
    let unknown = "{}\n{\"type\":\"check_in\",\"length\":125}\n{\"check_in_id\":\"fef2066d1d8a496d816891198bc0db69\",\
        \"monitor_slug\":\"unknown\",\"status\":\"in_progress\",\"environment\":\"production\"}\n";
    assert_eq!(send(unknown), (404, "{\"detail\":\"there is no debt unknown\"}\n".to_owned()));
    for (debt, outcome, cron, zone) in [
        ("night", "succeeded", "0 3 * * *", "Europe/Riga"),
        ("night--staging", "failed", "0 3 * * *", "UTC"),
    ] {
        let definition = port.definition(debt);
        assert_eq!((&definition["cron"], &definition["time_zone"]), (&json!(cron), &json!(zone)));
        assert_eq!(port.outcomes(debt), [outcome], "{debt}");
    }
    assert_eq!(port.definition("night")["failures_to_alarm"], 2);
}

/// `with monitor(monitor_slug="deco", monitor_config=…)`, once well and once with an exception: gzip, and more
/// in a check-in than matters, such as `"duration":null`.
async fn the_python_sdk_of_sentry_is_a_monitor(port: Port) {
    let send = |status: &str, id: &str, duration: &str| {
        let check_in = format!(
            "{{\"type\":\"check_in\",\"monitor_slug\":\"deco\",\"check_in_id\":\"{id}\",\"status\":\"{status}\",\
             \"duration\":{duration},\"environment\":\"production\",\"release\":null,\"monitor_config\":{{\"schedule\":\
             {{\"type\":\"crontab\",\"value\":\"0 3 * * *\"}},\"timezone\":\"Europe/Riga\",\"checkin_margin\":5,\
             \"max_runtime\":10,\"failure_issue_threshold\":2,\"recovery_threshold\":1}},\
             \"event_id\":\"7a28df8b02964ca5b31d07d0409fc2c7\",\"timestamp\":\"2026-11-28T05:26:17.235201Z\",\
             \"contexts\":{{\"trace\":{{\"trace_id\":\"e839c21013d84cf18f30d3abcda49363\",\
             \"span_id\":\"9168301c19341c43\",\"parent_span_id\":null}}}},\"server_name\":\"vm\",\"sdk\":\
             {{\"name\":\"sentry.python\",\"version\":\"2.75.0\",\"packages\":[{{\"name\":\"pypi:sentry-sdk\",\
             \"version\":\"2.75.0\"}}],\"integrations\":[\"argv\",\"atexit\",\"dedupe\",\"excepthook\",\"httpx\",\
             \"logging\",\"modules\",\"stdlib\",\"threading\"]}},\"platform\":\"python\"}}"
        );
        let envelope = format!(
            "{{\"event_id\":\"7a28df8b02964ca5b31d07d0409fc2c7\",\"sent_at\":\"2026-11-28T05:26:17.235647Z\",\
             \"trace\":{{\"trace_id\":\"e839c21013d84cf18f30d3abcda49363\",\"environment\":\"production\",\
             \"public_key\":\"anykey\"}}}}\n{{\"type\":\"check_in\",\"content_type\":\"application/json\",\
             \"length\":{}}}\n{check_in}\n",
            check_in.len()
        );
        let mut gzip = Vec::new();
        let fast = flate2::Compression::fast();
        let mut encoder = flate2::read::GzEncoder::new(envelope.as_bytes(), fast);
        encoder.read_to_end(&mut gzip).expect("it is coded");
        let head = "POST /api/1/envelope/ HTTP/1.1\nHost: 127.0.0.1:7901\nAccept-Encoding: identity\n\
            Content-Length: {}\nContent-Type: application/x-sentry-envelope\nContent-Encoding: gzip\n\
            User-Agent: sentry.python/2.75.0\nX-Sentry-Auth: Sentry sentry_key=anykey, sentry_version=7, \
            sentry_client=sentry.python/2.75.0";
        assert_eq!(sent(&port, &with_length(head, &gzip)), (200, format!("{{\"id\":\"{id}\"}}\n")));
    };
    let (first, second) = ("612a30398e20456893cfdbe3c0e85793", "b60d08b007564fd497afb2d82a2993d4");
    send("in_progress", first, "null");
    send("ok", first, "0.004196580997813726");
    send("in_progress", second, "null");
    send("error", second, "0.0002599809995444957");
    assert_eq!(port.outcomes("deco"), ["succeeded", "failed"]);
    assert_eq!(port.definition("deco")["start_limit"], "5m");
    let payments = port.own("GET /api/v1/debts/deco/payments", "")["payments"].clone();
    assert_eq!(payments[0]["took"], 0.000_259);
}

/// `Sentry.withMonitor('mon', …, { schedule: … })`: in chunks, the key in the query, without the length of an item,
/// and no config with the end.
async fn the_javascript_sdk_of_sentry_is_a_monitor(port: Port) {
    let send = |id: &str, rest: &str| {
        let envelope = format!(
            "{{\"sent_at\":\"2026-11-28T05:26:20.162Z\",\"sdk\":{{\"name\":\"sentry.javascript.node\",\
             \"version\":\"11.12.0\"}},\"trace\":{{\"environment\":\"production\",\"public_key\":\"anykey\",\
             \"trace_id\":\"9cc9d36d12cf4f789c0c50ba566fb325\"}}}}\n{{\"type\":\"check_in\"}}\n\
             {{\"check_in_id\":\"{id}\",\"monitor_slug\":\"mon\",{rest},\"contexts\":{{\"trace\":\
             {{\"trace_id\":\"9cc9d36d12cf4f789c0c50ba566fb325\",\"span_id\":\"bb47f4d7ed74865d\"}}}}}}"
        );
        let request = format!(
            "POST /api/1/envelope/?sentry_version=7&sentry_key=anykey&sentry_client=sentry.javascript.node%2F11.12.0 \
             HTTP/1.1\r\nuser-agent: sentry.javascript.node/11.12.0\r\nHost: 127.0.0.1:7901\r\n\
             Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{envelope}\r\n0\r\n\r\n",
            envelope.len()
        );
        let answer = sent(&port, request.as_bytes());
        assert_eq!(answer, (200, format!("{{\"id\":\"{id}\"}}\n")), "{rest}");
    };
    let config = "\"status\":\"in_progress\",\"monitor_config\":{\"schedule\":{\"type\":\"crontab\",\
        \"value\":\"*/10 * * * *\"},\"checkin_margin\":2,\"max_runtime\":10,\"timezone\":\"America/Los_Angeles\",\
        \"failure_issue_threshold\":3,\"recovery_threshold\":2}";
    let (first, second) = ("5162df8995144dd1aa59febf4c5ad31f", "a5a34f30113f42fca348578dc36eca48");
    send(first, config);
    send(first, "\"status\":\"ok\",\"duration\":0.00003981590270996094");
    // It waits for no answer: of a monitor that is there, the end may come before the beginning.
    send(second, "\"status\":\"error\",\"duration\":0.00004792213439941406");
    send(second, config);
    assert_eq!(port.outcomes("mon"), ["succeeded", "failed"]);
    let definition = port.definition("mon");
    assert_eq!(definition["time_zone"], "America/Los_Angeles");
    assert_eq!(definition["successes_to_recover"], 2);
}

/// `@cronitor.job("job")`, `Monitor.ping()` and `Monitor.ok()`: a run is named by the second at which it began.
async fn cronitor_wraps_a_function(port: Port) {
    let send = |query: &str| {
        let request = format!(
            "GET /p/anykey/job?{query}stamp=1795843655.1863077 HTTP/1.1\r\nHost: 127.0.0.1:7901\r\n\
             User-Agent: cronitor-python\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n\
             Connection: keep-alive\r\n\r\n"
        );
        sent(&port, request.as_bytes())
    };
    assert_eq!(send("state=complete&"), (404, "there is no debt job".to_owned()));
    port.add(r#"{"slug":"job","every":"1h","run_limit":"1h"}"#);
    for query in [
        "state=run&series=1795843655.20625&",
        "state=complete&message=some+output&series=1795843655.20625&metric=duration%3A0.005911111831665039&",
        "state=run&series=1795843655.238812&",
        "state=fail&message=boom&series=1795843655.238812&metric=duration%3A0.0050699710845947266&",
        "state=run&series=s1&host=h1&",
        "state=complete&series=s1&metric=count%3A5&metric=duration%3A1.25&",
        "",
        "state=ok&",
    ] {
        assert_eq!(send(query), (200, "OK".to_owned()), "{query}");
    }
    assert_eq!(port.outcomes("job"), ["succeeded", "failed", "succeeded"]);
    assert_eq!(port.kinds("job")[6..], ["success", "success"]);
    let payments = port.own("GET /api/v1/debts/job/payments", "")["payments"].clone();
    assert_eq!(
        (&payments[4]["body"], &payments[6]["body"]),
        (&json!("boom"), &json!("some output"))
    );
}

/// `Client(api_key=…, ping_key=…, api_url=…, ping_url=…)`: all that it can do but flips, which it wants as a bare
/// array.
async fn healthchecks_io_makes_and_pings_a_check(port: Port) {
    let send = |line: &str, body: &str| {
        let head = format!(
            "{line} HTTP/1.1\nHost: 127.0.0.1:7901\nAccept: */*\nAccept-Encoding: gzip, deflate\n\
             Connection: keep-alive\nuser-agent: py-healthchecks.io/0.4.4\nX-Api-Key: anykey\n\
             Content-type: application/json\nContent-Length: {{}}"
        );
        sent(&port, &with_length(&head, body.as_bytes()))
    };
    let asked = |line: &str, body: &str| -> Value {
        let (status, text) = send(line, body);
        assert!((200..300).contains(&status), "{line}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let check = r#"{"name": "hc py", "tags": "a b", "desc": "d", "timeout": 3600, "grace": 600, "tz": "UTC", "manual_resume": false, "methods": "", "unique": ["name"]}"#;
    let made = asked("POST /api/v1/checks/", check);
    let id = made["ping_url"].as_str().and_then(|url| url.rsplit('/').next()).expect("a URL");
    // What its model of a check cannot do without.
    for field in ["name", "slug", "tags", "desc", "grace", "n_pings", "status", "manual_resume"] {
        assert!(!made[field].is_null(), "{field}: {made}");
    }
    let cron = r#"{"name": "hc cron", "tags": "a", "desc": "", "timeout": 86400, "grace": 3600, "schedule": "0 3 * * *", "tz": "Europe/Riga", "manual_resume": false, "methods": "", "unique": ["name"]}"#;
    assert_eq!(asked("POST /api/v1/checks/", cron)["schedule"], "0 3 * * *");
    assert_eq!(asked("GET /api/v1/checks/?tag=a", "")["checks"].as_array().map(Vec::len), Some(2));
    for (path, body) in [
        (format!("{id}/start"), "x"),
        (id.to_owned(), "hello"),
        ("anykey/hc-py/fail".to_owned(), "bad"),
        (format!("{id}/3"), "bad"),
    ] {
        assert_eq!(send(&format!("POST /ping/{path}"), body), (200, "OK".to_owned()), "{path}");
    }
    assert_eq!(send("POST /ping/anykey/nope-x", "").0, 404);
    let pings = asked(&format!("GET /api/v1/checks/{id}/pings/"), "")["pings"].clone();
    for ping in pings.as_array().expect("a list") {
        for field in ["type", "date", "n", "scheme", "remote_addr", "method", "ua"] {
            assert!(!ping[field].is_null(), "{field}: {ping}");
        }
    }
    assert_eq!(asked("GET /api/v1/channels/", "")["channels"], json!([]));
    assert!(asked("GET /api/v1/badges/", "")["badges"]["a"]["svg"].is_string());
    let change = r#"{"name": "hc py", "timeout": 7200}"#;
    assert_eq!(asked(&format!("POST /api/v1/checks/{id}"), change)["timeout"], 7_200);
    assert_eq!(asked(&format!("POST /api/v1/checks/{id}/pause"), "{}")["status"], "paused");
    assert_eq!(asked(&format!("DELETE /api/v1/checks/{id}"), "")["n_pings"], 4);
}

/// A route with `repeat_interval`, and Prometheus stopped under it.
async fn alertmanager_tells_that_its_watchdog_fires_and_is_resolved(port: Port) {
    let id = port.add(r#"{"slug":"watchdog","every":"30s"}"#);
    let send = |status: &str, ends: &str| {
        let body = format!(
            "{{\"receiver\":\"tally\",\"status\":\"{status}\",\"alerts\":[{{\"status\":\"{status}\",\"labels\":\
             {{\"alertname\":\"Watchdog\"}},\"annotations\":{{}},\"startsAt\":\"2026-11-28T05:28:35.501Z\",\
             \"endsAt\":\"{ends}\",\"generatorURL\":\"http://vm:7910/graph?g0.expr=vector%281%29\\u0026g0.tab=1\",\
             \"fingerprint\":\"003b0a0f7d3fa569\"}}],\"groupLabels\":{{}},\"commonLabels\":{{\"alertname\":\
             \"Watchdog\"}},\"commonAnnotations\":{{}},\"externalURL\":\"http://vm:7911\",\"version\":\"4\",\
             \"groupKey\":\"{{}}/{{alertname=\\\"Watchdog\\\"}}:{{}}\",\"truncatedAlerts\":0}}\n"
        );
        let head = format!(
            "POST /ping/{id} HTTP/1.1\nHost: 127.0.0.1:7901\nUser-Agent: Alertmanager/0.25.0\n\
             Content-Length: {{}}\nContent-Type: application/json"
        );
        assert_eq!(sent(&port, &with_length(&head, body.as_bytes())), (200, "OK".to_owned()));
    };
    send("firing", "0001-01-01T00:00:00Z");
    send("firing", "0001-01-01T00:00:00Z");
    send("resolved", "2026-11-28T05:29:07.501Z");
    assert_eq!(port.kinds("watchdog"), ["success", "success", "log"]);
}

/// `curl -fsS -m 10 --retry 5`, with and without `--data-raw`, from a pipe by `-T -`, and `wget -q -O-`.
async fn curl_and_wget_ping_and_push(port: Port) {
    let id = port.add(r#"{"slug":"job","every":"1h","run_limit":"1h"}"#);
    let curl = |line: &str, more: &[u8]| {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:7901\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
        );
        sent(&port, &[head.as_bytes(), more].concat())
    };
    let ok = (200, "OK".to_owned());
    assert_eq!(curl(&format!("GET /ping/{id}/start"), b"\r\n"), ok);
    let form =
        b"Content-Length: 8\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nsome out";
    assert_eq!(curl(&format!("POST /ping/{id}"), form), ok);
    let piped =
        b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n4\r\nab\xff\n\r\n0\r\n\r\n";
    assert_eq!(curl(&format!("PUT /ping/{id}/log"), piped), ok);
    let (status, text) = curl(&format!("GET /ping/{id}/TERM"), b"\r\n");
    assert_eq!((status, &*text), (400, "invalid url format"), "curl -f repeats no 400");
    let pushed = (200, "{\"ok\":true}\n".to_owned());
    assert_eq!(curl(&format!("GET /api/push/{id}?status=up&msg=OK&ping="), b"\r\n"), pushed);
    let down = format!("GET /api/push/{id}?status=down&msg=no+room&ping=12");
    assert_eq!(curl(&down, b"\r\n"), pushed);
    let wget = format!(
        "GET /ping/{id} HTTP/1.1\r\nHost: 127.0.0.1:7901\r\nUser-Agent: Wget/1.21.3\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n"
    );
    assert_eq!(sent(&port, wget.as_bytes()), ok);
    assert_eq!(port.kinds("job"), ["start", "success", "log", "success", "fail", "success"]);
    let payments = port.own("GET /api/v1/debts/job/payments", "")["payments"].clone();
    let bodies: Vec<_> =
        payments.as_array().expect("a list").iter().map(|one| &one["body"]).collect();
    assert!(
        bodies.contains(&&json!("some out")) && bodies.contains(&&json!("no room")),
        "{bodies:?}"
    );
}
