//! What listing a domain gives, and what leaving it out does.

use std::collections::BTreeSet;

use serde_json::Value;
use tally_testkit::exposition::families;
use tally_testkit::{Described, eventually_blocking, run};
use tonic::Code;

use crate::support::{Client, Home, LIMIT, wait_for};

#[test]
fn each_batch_is_stored_once_in_sqlite() {
    stored_once(&Home::sqlite());
}

#[test]
fn each_batch_is_stored_once_in_postgres() {
    stored_once(&Home::postgres("marks_once"));
}

fn stored_once(home: &Home) {
    let server = home.serve(&[]);
    let mut client = Client::new();
    wait_for(async {
        let mut one = client.open(&server.address).await.expect("it opens");
        let mut two = client.open(&server.address).await.expect("it opens again");
        for stream in [&mut one, &mut two] {
            for (sequence, marks) in [(1, vec![10, 11]), (2, vec![20]), (1, vec![10, 11])] {
                stream.send(sequence, marks);
            }
            stream.acknowledged(2).await.expect("it is stored");
        }
    });
    assert_eq!(server.number("count"), 3);
    server.kill();
    let server = home.serve(&[]);
    wait_for(async {
        let mut again = client.again().open(&server.address).await.expect("it is known");
        assert_eq!(again.committed, 2);
        for (sequence, marks) in [(1, vec![10, 11]), (2, vec![20]), (3, vec![30])] {
            again.send(sequence, marks);
        }
        again.acknowledged(3).await.expect("it is stored");
        again.send(4, vec![0; 1_001]);
        let status = again.acknowledged(4).await.expect_err("it is too large");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().starts_with("batch 4: it has 1001 marks"), "{status}");
    });
    let answer = server.get("/api/v1/marks/count", &[]);
    let described = Described::of(&server.address);
    assert_eq!(described.check("GET /api/v1/marks/count", &answer), Ok(()));
    assert_eq!((answer.status, &*answer.body), (200, "{\"count\":4,\"rounds\":0}\n"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    server.stop();
    assert_eq!(home.column::<i64>("SELECT mark FROM tally_marks ORDER BY mark"), [10, 11, 20, 30]);
}

/// Two domains of one server have no path, no id, no schema and no metric in common.
#[test]
fn every_door_has_both_domains() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let document = server.get("/api/v1/openapi.json", &[]).body;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|path| path.as_object().expect("methods").values());
    let ids: Vec<_> = operations.filter_map(|one| one["operationId"].as_str()).collect();
    for id in ["countMarks", "listRequestEndpoints"] {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    let page = |path| server.get(path, &["accept: text/html"]).body;
    for (path, texts) in [
        ("/", ["href=\"/requests\"", "marks are stored"]),
        ("/marks", ["href=\"/requests\"", "marks are stored"]),
        ("/about", ["<h2>Requests</h2>", "<dt>Rounds</dt>"]),
    ] {
        let page = page(path);
        assert!(texts.iter().all(|text| page.contains(text)), "{path}: {page}");
    }
    let scraped = families(&server.get("/metrics", &[]).body).expect("the format is right");
    assert!(scraped.contains_key("tally_requests_series"), "{scraped:?}");
    assert_eq!(scraped["tally_marks_rounds_total"].sum(), 0.0);
    for domain in ["requests", "marks"] {
        let queue = scraped["tally_queue_rows"].value(&[("domain", domain)]);
        assert_eq!(queue, Some(0.0), "{domain}");
    }
    server.stop();
}

#[test]
fn the_background_task_runs_and_ends_with_the_drain() {
    let home = Home::sqlite();
    let server = home.serve(&["--marks-round-ms", "5"]);
    let rounds = eventually_blocking(LIMIT, || server.number("rounds") > 1);
    assert_eq!(rounds, Ok(()));
    let log = server.stop();
    let ended = log.find("housekeeping of marks has ended").expect("the task ended");
    assert!(ended < log.find("stopped: everything").expect("the server ended"), "{log}");
}

#[test]
fn a_domain_that_is_left_out_is_not_in_sqlite() {
    left_out(Home::sqlite);
}

#[test]
fn a_domain_that_is_left_out_is_not_in_postgres() {
    left_out(|| Home::postgres("marks_left_out"));
}

fn left_out(home: impl Fn() -> Home) {
    let own = |table: &String| table.starts_with("tally_request");
    for (domains, marks, requests) in
        [("requests", false, true), ("marks", true, false), ("marks,requests", true, true)]
    {
        let home = home();
        let server = home.serve(&["--domains", domains]);
        let about = server.get("/", &[]).body;
        assert_eq!(about.contains("tally.marks.v1.MarkService"), marks, "{about}");
        assert_eq!(about.contains("tally.requests.v1.RequestService"), requests, "{about}");
        let status = if marks { 200 } else { 404 };
        for path in ["/api/v1/marks/count", "/marks"] {
            assert_eq!(server.get(path, &[]).status, status, "{domains}: {path}");
        }
        server.stop();
        let tables = home.tables();
        for table in ["tally_marks", "tally_migrations_marks"] {
            assert_eq!(tables.contains(&table.to_owned()), marks, "{domains}: {tables:?}");
        }
        assert_eq!(tables.iter().any(own), requests, "{domains}: {tables:?}");
        assert!(tables.contains(&"tally_producers".to_owned()), "{tables:?}");
    }
}

#[test]
fn an_unknown_domain_is_one_clear_error() {
    let home = Home::sqlite();
    let output = run(&home.command(&["--domains", "marks,debts"]), b"", LIMIT);
    assert_ne!(output.status.code(), Some(0));
    let errors: Vec<_> = output.stderr.lines().filter(|line| line.contains("error")).collect();
    assert_eq!(errors.len(), 1, "{}", output.stderr);
    for words in ["debts", "requests", "marks"] {
        assert!(errors[0].contains(words), "{words} is not in {}", errors[0]);
    }
}
