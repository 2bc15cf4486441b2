//! The HTTP API says and takes what its description says.

use std::sync::Arc;

use serde_json::{Value, json};
use tally_runtime::{Drain, Tasks};
use tally_serve::{Access, Listener, Started};
use tally_testkit::{Response, http};

use crate::backend::{Backend, Server};
use crate::timelines::on;

mod sqlite {
    super::on!(sqlite: messages_and_charts_as_json, odd_requests_are_refused);
}

pub(crate) const JSON: &str = "content-type: application/json";

/// A server's own port, until its drain begins.
pub(crate) struct Door {
    pub(crate) address: String,
    drain: Drain,
    tasks: Tasks,
}

// === impl Door ===

impl Door {
    pub(crate) async fn open(server: &Server) -> Self {
        Self::guarded(server, Access::Anyone).await
    }

    /// With keys, if that is asked for.
    pub(crate) async fn guarded(server: &Server, access: Access) -> Self {
        let (drain, tasks) = (Drain::new(), Tasks::new());
        let started = Started {
            name: "timelines",
            running: Arc::new(server.service.clone()),
            doors: server.service.doors(),
            tasks: Tasks::new(),
        };
        let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.address().to_string();
        let opened = tally_serve::Server::open("a test", "", vec![started], &drain).await;
        let opened = opened.expect("no sockets").guarded(access, Arc::clone(&server.clock) as _);
        let until = drain.clone();
        tasks.spawn("server", async move {
            let probe = || async { Ok(()) };
            opened.run(listener, probe, &until).await.expect("it serves");
        });
        Self { address, drain, tasks }
    }

    /// Ends what serves; the service goes on.
    pub(crate) async fn close(self) {
        self.drain.begin();
        self.tasks.finished().await;
    }

    #[track_caller]
    pub(crate) fn ask(&self, line: &str, headers: &[&str], body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(&self.address, line, headers, &body)
    }

    #[track_caller]
    pub(crate) fn ok(&self, line: &str, body: &Value) -> Value {
        let answer = self.ask(line, &[JSON], body);
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
        serde_json::from_str(&answer.body).expect("JSON")
    }
}

async fn messages_and_charts_as_json(backend: Backend) {
    let server = &backend.one;
    let door = Door::open(server).await;
    let start = json!({"kind": "start", "context": "deploy/eu", "name": "db.migrate", "host": "web-1",
        "time": "2030-06-15T08:00:00.123456789+02:00", "phase": "waiting", "attributes": {"ref": "a1"}});
    let recorded = door.ok("POST /api/v1/timelines", &start);
    assert_eq!(recorded["timeline"]["state"], "open");
    assert_eq!(door.ok("POST /api/v1/timelines", &start)["is_repeated"], true);
    let keyed = ["idempotency-key: \"k 1\"", JSON];
    let end = json!({"kind": "end", "context": "deploy/eu", "name": "db.migrate", "host": "web-1",
        "time": "2030-06-15T06:00:02.123456789Z", "status": "failed"});
    for is_repeated in [false, true] {
        let answer = door.ask("POST /api/v1/timelines", &keyed, &end);
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(answer["is_repeated"], is_repeated, "{answer}");
    }
    let other = door.ask("POST /api/v1/timelines", &keyed, &start);
    assert_eq!((other.status, other.body.contains("KEY_CONTENT")), (422, true), "{other:?}");
    let batch = json!([
        {"kind": "point", "context": "deploy/eu", "name": "tag", "idempotency_key": "p"},
        {"kind": "point", "context": "deploy/eu", "name": "", "idempotency_key": "q"},
        {"kind": "point", "context": "deploy/eu", "name": "tag", "idempotency_key": "p"},
    ]);
    let results = door.ok("POST /api/v1/timelines/batch", &batch);
    assert_eq!(results["results"][0]["recorded"]["is_repeated"], false, "{results}");
    assert_eq!(results["results"][1]["refusal"]["status"], 400, "{results}");
    assert_eq!(results["results"][2]["recorded"]["is_repeated"], true, "{results}");
    let path = "/api/v1/timelines/contexts/deploy%2Feu";
    let chart = door.ok(&format!("GET {path}/newest"), &Value::Null);
    let names: Vec<_> =
        chart["rows"].as_array().expect("rows").iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["tag", "db", "db.migrate"]);
    let (row, event) = (&chart["rows"][2], &chart["rows"][2]["event"]);
    assert_eq!((&row["depth"], &row["is_critical"]), (&json!(1), &json!(true)));
    assert_eq!(event["start"], "2030-06-15T06:00:00.123456789Z");
    assert_eq!((&event["took_us"], &event["state"]), (&json!(2_000_000), &json!("failed")));
    assert_eq!(row["bars"][0]["phase"], "waiting");
    assert_eq!((&chart["waited_us"], &chart["worked_us"]), (&json!(2_000_000), &json!(0)));
    let events = door.ok(&format!("GET {path}/1/events?limit=1"), &Value::Null);
    assert_eq!(
        (&events["next_after"], &events["events"][0]["name"]),
        (&json!(1), &json!("db.migrate"))
    );
    let csv = door.ask(&format!("GET {path}/1/events?format=csv"), &[], &Value::Null);
    assert_eq!(csv.body.lines().count(), 3, "{csv:?}");
    assert!(csv.body.starts_with("abandoned_at,attempt,attributes,"), "{csv:?}");
    let terms = json!({"retention_days": 7, "abandon_after": "90m"});
    let context = door.ok(&format!("PUT {path}"), &terms);
    assert_eq!((&context["retention_days"], &context["abandon_after"]), (&json!(7), &json!("90m")));
    let listed = door.ok(&format!("GET {path}"), &Value::Null);
    assert_eq!(listed["timelines"][0]["failed"], 1, "{listed}");
    let contexts = door.ok("GET /api/v1/timelines/contexts", &Value::Null);
    assert_eq!(contexts["contexts"][0]["name"], "deploy/eu");
    assert_eq!(contexts["contexts"][0]["newest"]["number"], 1);
    let tag = door.ask(&format!("GET {path}/1"), &[], &Value::Null);
    let known = format!("if-none-match: {}", tag.header("etag").expect("a tag"));
    assert_eq!(door.ask(&format!("GET {path}/1"), &[&known], &Value::Null).status, 304);
    door.close().await;
}

async fn odd_requests_are_refused(backend: Backend) {
    let door = Door::open(&backend.one).await;
    let point = |more: Value| {
        let mut message = json!({"kind": "point", "context": "c", "name": "p"});
        let more = more.as_object().expect("members").clone();
        message.as_object_mut().expect("members").extend(more);
        message
    };
    let keyed = ["idempotency-key: k", JSON];
    for (headers, body, status, field) in [
        (&[JSON][..], json!({}), 400, "kind"),
        (&[JSON], json!("start"), 400, "body"),
        (&[JSON], point(json!({"name": null})), 400, "body"),
        (&[JSON], point(json!({"colour": "red"})), 400, "colour"),
        (&[JSON], point(json!({"time": "yesterday"})), 400, "time"),
        (&[JSON], point(json!({"time": "9999-01-01T00:00:00Z"})), 400, "time"),
        (&[JSON], point(json!({"status": "done"})), 400, "status"),
        (&[JSON], point(json!({"phase": "idle"})), 400, "phase"),
        (&[JSON], point(json!({"attributes": {"a": 1}})), 400, "body"),
        (&[JSON], point(json!({"idempotency_key": ""})), 400, "idempotency_key"),
        (&keyed, point(json!({"idempotency_key": "k"})), 400, "idempotency_key"),
        (&["idempotency-key: é", JSON], point(json!({})), 400, "Idempotency-Key"),
        (&[JSON], point(json!({"name": "x".repeat(70_000)})), 413, "bytes"),
        (&[], point(json!({})), 415, "application/json"),
    ] {
        let answer = door.ask("POST /api/v1/timelines", headers, &body);
        assert_eq!(answer.status, status, "{field}: {answer:?}");
        assert!(answer.body.contains(field) && answer.body.len() < 2_000, "{field}: {answer:?}");
    }
    for (line, status) in [
        ("GET /api/v1/timelines/contexts/c", 404),
        ("GET /api/v1/timelines/contexts/%00/1", 404),
        ("GET /api/v1/timelines/contexts?limit=0", 400),
        ("GET /api/v1/timelines/contexts?colour=red", 400),
        ("GET /api/v1/timelines", 405),
        ("DELETE /api/v1/timelines/contexts/c", 405),
    ] {
        assert_eq!(door.ask(line, &[], &Value::Null).status, status, "{line}");
    }
    let terms = json!({"abandon_after": "soon"});
    assert_eq!(door.ask("PUT /api/v1/timelines/contexts/c", &[JSON], &terms).status, 400);
    door.close().await;
}
