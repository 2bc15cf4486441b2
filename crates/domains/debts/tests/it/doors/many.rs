//! More debts than are read at once.

use serde_json::Value;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_server::DebtService as _;

use super::Port;
use crate::backend::asked;

on_both!(with_room: [lists_have_all_debts_in_the_order_in_which_they_were_made]);

/// One more than are read at once.
const DEBTS: usize = 1_001;

async fn lists_have_all_debts_in_the_order_in_which_they_were_made(port: Port) {
    // The last one by its slug is the first one by its number.
    for first in (0..DEBTS).step_by(500) {
        let pay = |number: usize| proto::PayRequest {
            debt: format!("debt-{:04}", DEBTS - number),
            create: Some(proto::Definition::default()),
            ..proto::PayRequest::default()
        };
        let payments = (first..DEBTS.min(first + 500)).map(pay).collect();
        let paid = port.server.service.pay_all(asked(proto::PayAllRequest { payments })).await;
        let results = paid.expect("paid").into_inner().results;
        let is_paid =
            |one: &proto::PayResult| matches!(one.result, Some(proto::pay_result::Result::Paid(_)));
        assert!(results.iter().all(is_paid), "{:?}", results.iter().find(|one| !is_paid(one)));
    }
    let list = |line: &str| -> Value {
        let answer = port.ask(line);
        // Nothing had all of it when it began.
        assert_eq!(answer.header("content-length"), None, "{line}");
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let all = list("GET /debts");
    let numbers: Vec<_> = all.as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert_eq!(numbers, (1..=DEBTS).collect::<Vec<_>>());
    let all = list("GET /api/v3/checks/");
    let slugs: Vec<_> = all["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["slug"].as_str().expect("a text"))
        .collect();
    let right: Vec<_> = (1..=DEBTS).map(|number| format!("debt-{number:04}")).collect();
    assert_eq!(slugs, right);
    let one = list("GET /api/v3/checks/?slug=debt-1001");
    assert_eq!(one["checks"].as_array().map(Vec::len), Some(1), "{one}");
}
