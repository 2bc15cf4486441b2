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
