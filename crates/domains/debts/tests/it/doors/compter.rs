//! compter's four calls, and a POST that makes its debt.

use serde_json::Value;

use super::Port;

on_both!(
    open: [a_script_of_compters_four_calls_works, a_post_makes_its_debt_if_it_asks_for_that_once],
);

fn four(body: &str) -> (i64, Value) {
    let debt: Value = serde_json::from_str(body).expect("JSON");
    let names: Vec<_> = debt.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["created", "id", "payments", "updated"]);
    for time in ["created", "updated"] {
        let text = debt[time].as_str().expect("a text");
        assert!(text.parse::<jiff::Timestamp>().is_ok(), "{text}");
    }
    (debt["id"].as_i64().expect("64 bits"), debt)
}

async fn a_script_of_compters_four_calls_works(port: Port) {
    let made = port.ask("PUT /debts");
    assert_eq!(made.status, 201, "{made:?}");
    let (id, debt) = four(&made.body);
    assert_eq!((&debt["payments"], &debt["updated"]), (&Value::from(0), &debt["created"]));
    port.server.clock.set(crate::backend::time("06:00:30"));
    let paid = port.ask(&format!("POST /debts/{id}"));
    assert_eq!(paid.status, 200, "{paid:?}");
    let (again, debt) = four(&paid.body);
    assert_eq!((again, &debt["payments"]), (id, &Value::from(1)));
    assert_eq!(debt["updated"], "2030-06-15T06:00:30Z");
    let shown = port.ask(&format!("GET /debts/{id}"));
    assert_eq!((shown.status, four(&shown.body)), (200, (id, debt.clone())));
    let other = four(&port.ask("PUT /debts?every=1h&slug=named").body).0;
    let all: Value = serde_json::from_str(&port.ask("GET /debts").body).expect("JSON");
    let ids: Vec<_> = all.as_array().expect("an array").iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&Value::from(id), &Value::from(other)]);
    for line in ["GET /debts/77", "POST /debts/77", "POST /debts/unknown"] {
        assert_eq!(port.ask(line).status, 404, "{line}");
    }
    // The same again, and something else under its name.
    assert_eq!(port.ask("PUT /debts?every=1h&slug=named").status, 200);
    assert_eq!(port.ask("PUT /debts?every=2h&slug=named").status, 409);
    assert_eq!(port.ask("PUT /debts?every=never").status, 400);
}

/// healthchecks/healthchecks#849, #626, #352.
async fn a_post_makes_its_debt_if_it_asks_for_that_once(port: Port) {
    let line = "POST /debts/nightly?create=1&every=1h";
    let statuses: Vec<_> = (0..3).map(|_| port.ask(line).status).collect();
    assert_eq!(statuses, [201, 200, 200]);
    assert_eq!(four(&port.ask("GET /debts/nightly").body).1["payments"], 3);
    assert_eq!(port.own("GET /api/v1/debts/nightly", "")["definition"]["every"], "1h");
    // A number stands for the debt of that number.
    assert_eq!(port.ask("POST /debts/77?create=1").status, 400);
    // healthchecks/healthchecks#319.
    let headers = ["idempotency-key: 1"];
    let payments =
        |_| four(&port.send("POST /debts/nightly", &headers, "").body).1["payments"].clone();
    assert_eq!((0..6).map(payments).collect::<Vec<_>>(), vec![Value::from(4); 6]);
}
