//! Timelines from the command line, through a real server.

use crate::support::{Home, assert_fails};

/// jenkinsci/opentelemetry-plugin#9, #16: a restart between start and end loses the pairing.
/// equinix-labs/otel-cli#152, #344, tobert/otel-cli#10: start and end in two calls need a background process.
#[test]
fn two_commands_start_and_end_an_event_over_a_killed_server() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let started = server.ok(&["timelines", "start", "deploy", "db.migrate", "--host", "web-1"]);
    assert!(started.stderr.contains("told: deploy, timeline 1, open, 1 event\n"), "{started:?}");
    server.kill();
    let server = server.again(&home);
    let open = server.ok(&["timelines", "show", "deploy"]).stdout;
    assert!(open.contains("migrate (web-1)") && open.contains(" open\n"), "{open}");
    let end = ["timelines", "e", "deploy", "db.migrate", "--host", "web-1"];
    server.ok(&[&end[..], &["--status", "failed", "--attribute", "why=lock"]].concat());
    let at = ["--time", "2030-01-31T12:00:00.000000001Z"];
    for told in ["told: ", "was told already: "] {
        let point = server.ok(&[&["timelines", "event", "deploy", "switched"][..], &at].concat());
        assert!(point.stderr.contains(told), "{point:?}");
    }
    let ended = server.ok(&["timelines", "show", "deploy"]).stdout;
    assert!(ended.contains("deploy, timeline 1, failed, 2 events\n"), "{ended}");
    assert!(ended.contains(" failed\n") && !ended.contains(" open\n"), "{ended}");
    let events = server.ok(&["timelines", "show", "deploy", "1", "--format", "csv"]).stdout;
    let [header, migrate, switched] = &events.lines().collect::<Vec<_>>()[..] else {
        panic!("{events}")
    };
    assert_eq!(*header, "number,name,host,span,attempt,state,start,end,took,waited");
    assert!(migrate.starts_with("1,db.migrate,web-1,,1,failed,20"), "{events}");
    assert_eq!(*switched, "2,switched,,,1,point,2030-01-31T12:00:00.000000001Z,,,0.000000");
    server.ok(&["timelines", "n", "deploy", "--timeline", "build 7"]);
    server.ok(&["timelines", "start", "deploy", "a", "--waiting"]);
    server.ok(&["timelines", "phase", "deploy", "a", "working"]);
    let listed = server.ok(&["timelines", "list", "deploy", "--format", "csv"]).stdout;
    let rows: Vec<_> = listed.lines().map(|line| line.split(",20").next()).collect();
    assert_eq!(rows[1..], [Some("2,build 7,open"), Some("1,,failed")], "{listed}");
    let changed = server.ok(&["timelines", "change", "deploy", "--retention-days", "7"]);
    assert!(changed.stderr.contains("deploy: timelines are kept for 7 days, "), "{changed:?}");
    let contexts = server.ok(&["timelines", "list", "--format", "csv"]).stdout;
    assert!(contexts.contains("\ndeploy,2,open,"), "{contexts}");
    for (words, why) in [
        (&["show", "nothing"][..], "there is no context nothing"),
        (&["show", "deploy", "9"], "the context has no timeline 9"),
        (&["start", "deploy", "a..b"], "name: a part is empty"),
    ] {
        assert_fails(&server.run(&[&["timelines"], words].concat()), 1, &[why]);
    }
    assert_fails(&server.run(&["timelines", "phase", "deploy", "a", "idle"]), 2, &["idle"]);
    server.stop();
}

/// A timeline is imported twice, through the program, and comes out in every format.
#[test]
fn jobs_are_imported_and_timelines_exported() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let job = |id: u32, more: &str| {
        format!(
            "{{\"id\": {id}, \"run_id\": 7012, \"workflow_name\": \"CI\", \"name\": \"build {id}\", {more}, \
             \"created_at\": \"2030-01-01T10:00:00Z\", \"steps\": [{{\"number\": 1, \"name\": \"make\", \
             \"conclusion\": \"success\", \"started_at\": \"2030-01-01T10:00:20Z\", \
             \"completed_at\": \"2030-01-01T10:00:22Z\"}}]}}"
        )
    };
    let ended = "\"started_at\": \"2030-01-01T10:00:20Z\", \"completed_at\": \"2030-01-01T10:01:00Z\", \
                 \"conclusion\": \"failure\"";
    let open = "\"started_at\": null, \"completed_at\": null, \"conclusion\": null";
    let jobs = format!("{{\"jobs\": [{}, {}]}}", job(1, ended), job(2, open));
    let file = home.path("jobs.json");
    std::fs::write(&file, jobs).expect("it is written");
    let file = file.to_str().expect("UTF-8");
    for new in ["11 messages new", "0 messages new"] {
        let imported = server.ok(&["timelines", "import", file]);
        let line = format!("2 jobs read, {new}, 0 refused");
        assert!(imported.stderr.contains(&line), "{imported:?}");
    }
    let chart = server.ok(&["timelines", "show", "CI", "7012"]).stdout;
    assert!(chart.contains("CI, timeline 1 (7012), open, 6 events\n"), "{chart}");
    assert!(chart.contains("\nwaited ") && chart.contains("1 min 0 s failed"), "{chart}");
    let export = |more: &[&str]| server.ok(&[&["timelines", "export", "CI"], more].concat()).stdout;
    for (format, begins) in [
        ("chrome", "{\"displayTimeUnit\""),
        ("otlp", "{\"resourceSpans\":["),
        ("jaeger", "{\"data\":[{"),
        ("mermaid", "gantt\n    title CI"),
        ("markdown", "```mermaid\ngantt\n"),
        ("csv", "abandoned_at,attempt,"),
        ("svg", "<?xml version=\"1.0\""),
    ] {
        let text = export(&["--format", format]);
        assert!(text.starts_with(begins), "{format}: {text}");
    }
    let picture = home.path("ci.svg");
    let picture = picture.to_str().expect("UTF-8");
    assert_eq!(export(&["newest", "--format", "svg", "--output", picture]), "");
    assert!(
        std::fs::read_to_string(picture).expect("a file").contains("6 events, 2 open, 1 failed")
    );
    let refused = server.run(&["timelines", "export", "CI", "--format", "mermaid", "--part", "9"]);
    assert_fails(&refused, 1, &["part: it is 9, and may be 1 to 1"]);
    std::fs::write(file, "{\"message\": \"Not Found\"}").expect("it is written");
    let wrong = server.run(&["timelines", "import", file]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("job 1: missing field"), "{wrong:?}");
    server.stop();
}
