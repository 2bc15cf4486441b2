//! Uptime Kuma's push monitors and Cronitor's telemetry.

use serde_json::Value;
use tally_access::Scope;

use super::Port;

on_both!(
    with_keys: [a_push_monitor_of_uptime_kuma_is_a_payment, telemetry_of_cronitor_is_a_payment],
);

async fn a_push_monitor_of_uptime_kuma_is_a_payment(port: Port) {
    let id = port.add(r#"{"slug":"probe","every":"1m"}"#);
    let ok = (200, "{\"ok\":true}\n".to_owned());
    assert_eq!(port.says(&format!("GET /api/push/{id}?status=up&msg=OK&ping=12.5")), ok);
    assert_eq!(port.says(&format!("POST /api/push/{id}?status=down&msg=refused&ping=")), ok);
    let ingest = port.key(Scope::Ingest);
    assert_eq!(port.says(&format!("GET /api/push/{ingest}/probe")), ok);
    assert_eq!(port.says(&format!("GET /api/push/{ingest}/new?create=1&every=1m&status=up")), ok);
    let payments = port.own("GET /api/v1/debts/probe/payments", "")["payments"].clone();
    assert_eq!(port.kinds("probe"), ["success", "fail", "success"]);
    assert_eq!(
        (&payments[2]["took"], &payments[1]["body"]),
        (&Value::from(0.0125), &Value::from("refused"))
    );
    for line in [
        "GET /api/push/token".to_owned(),
        "GET /api/push/any-key/probe".to_owned(),
        format!("GET /api/push/{ingest}"),
        format!("GET /api/push/{ingest}/unknown"),
        "GET /api/push/00000000-0000-4000-8000-000000000000".to_owned(),
    ] {
        let (status, text) = port.says(&line);
        assert!(status == 404 && text.contains("Monitor not found"), "{line}: {text}");
    }
    let (status, text) = port.says(&format!("GET /api/push/{id}?ping=-1"));
    assert!(status == 400 && text.contains("ping: write a number"), "{text}");
}

async fn telemetry_of_cronitor_is_a_payment(port: Port) {
    port.add(r#"{"slug":"job","every":"1h","run_limit":"1h"}"#);
    let ingest = port.key(Scope::Ingest);
    let tell = |rest: &str| port.says(&format!("GET /p/{ingest}/{rest}"));
    for rest in
        ["job?state=run&series=1&host=a", "job?state=complete&series=1&metric=count:3", "job"]
    {
        assert_eq!(tell(rest), (200, "OK".into()), "{rest}");
    }
    assert_eq!(tell("job?state=fail&status_code=2&message=no+room").0, 200);
    assert_eq!(tell("job?state=ok&env=staging&create=1&every=1h"), (201, "Created".into()));
    assert_eq!(port.kinds("job"), ["start", "success", "success", "fail"]);
    assert_eq!(port.kinds("job--staging"), ["success"]);
    let last = port.own("GET /api/v1/debts/job/payments", "")["payments"][0].clone();
    assert_eq!((&last["body"], &last["exit_status"]), (&"no room".into(), &2.into()));
    for (rest, status, told) in [
        ("job?series=a%00b", 400, "series: it has at most 100"),
        ("unknown", 404, "there is no debt unknown"),
        ("job?state=running", 400, "state: it is none of"),
        ("job?status_code=256", 400, "status_code: write 0 to 255"),
        (&*format!("job?series={}", "x".repeat(101)), 400, "series: it has at most 100"),
    ] {
        let answer = tell(rest);
        assert!(answer.0 == status && answer.1.contains(told), "{rest}: {answer:?}");
    }
    assert_eq!(port.says("GET /p/any-key/job").0, 401);
}
