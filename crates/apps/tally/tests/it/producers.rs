//! `tally producers`, and reports of incomplete totals.

use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::tally::producers::v1::{Drops, Open};
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{Batch, RecordRequest, Series};

use tally_runtime::{Clock as _, SystemClock};
use tonic::Code;

use crate::support::{Home, OLD_DAY, Server, assert_fails, request, totals, wait_for};

/// Days since 1970 of [`OLD_DAY`].
const OLD_DAY_NUMBER: i32 = 16_572;

/// A line of an access log.
const LINE: &str = "- - - [17/May/2015:10:05:03 +0000] \"GET /b HTTP/1.1\" 200 1\n";

/// Counts one request on the old day and reports 12 drops.
fn count_and_drop(server: &Server) {
    let open = Open {
        producer_id: (1..=16).collect(),
        claims: vec![7],
        name: "shop".to_owned(),
        ..Open::default()
    };
    let batch = Batch {
        sequence: 1,
        series: vec![Series {
            method: "GET".to_owned(),
            path: "/a".to_owned(),
            ..Series::default()
        }],
        number: vec![0],
        time_delta: vec![i64::from(OLD_DAY_NUMBER) * 86_400_000_000],
        count: 1,
        drops: vec![Drops { day: OLD_DAY_NUMBER, count: 12 }],
        checkpoint: Vec::new(),
        requests: Vec::new(),
    };
    let messages = [Kind::Open(open), Kind::Batch(batch)];
    let messages = messages.map(|kind| RecordRequest { kind: Some(kind) });
    wait_for(async {
        let mut client =
            RequestServiceClient::connect(server.url.clone()).await.expect("it listens");
        let answers = client.record(tokio_stream::iter(messages)).await.expect("it records");
        let mut answers = answers.into_inner();
        while answers.message().await.expect("a good end").is_some() {}
    });
}

#[test]
fn a_client_is_forgotten_on_request() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    count_and_drop(&server);
    assert_fails(&server.run(&["producers", "--forget", "all"]), 1, &["8 hex digits"]);
    assert_fails(&server.run(&["producers", "--forget", "00000000"]), 1, &["no producer has it"]);
    let forgotten = server.ok(&["producers", "--forget", "0D0E0F10"]);
    assert!(forgotten.stderr.contains("0d0e0f10 (shop), after batch 1"), "{forgotten:?}");
    assert_eq!(server.ok(&["producers"]).stdout.lines().count(), 1);
    let totals = server.ok(&["totals", "--live", "--format", "table"]);
    assert!(totals.stderr.contains("short by 12 known drops"), "{totals:?}");
}

#[test]
fn totals_say_whether_they_are_complete() {
    for home in [Home::sqlite(), Home::postgres("complete")] {
        let server = home.serve(&[]);
        let none = server.ok(&["producers"]);
        assert_eq!(none.stdout.lines().count(), 1, "{none:?}");
        assert!(none.stderr.contains("clients that use count.v1 are not listed"), "{none:?}");
        count_and_drop(&server);
        server.ok(&["add", "GET", "/b"]);
        for _ in 0..2 {
            let short = server.ok(&["totals", "--live", "--format", "table"]);
            assert!(short.stderr.contains("short by 12 known drops:"), "{short:?}");
            assert!(!short.stderr.contains("complete"), "{short:?}");
            let month = server.ok(&["totals", "--live", "--from", "2015-05", "--to", "2015-05"]);
            assert!(month.stderr.contains("short by 12 known drops:"), "{month:?}");
            let one = server.ok(&["totals", "--live", "--path-prefix", "/a"]);
            assert!(one.stderr.contains("short by 12 known drops, over all"), "{one:?}");
            let today = ["totals", "--live", "--format", "table", "--from", "yesterday"];
            let complete = server.ok(&today);
            assert!(complete.stderr.contains("complete: no drops are known"), "{complete:?}");
            let before = server.ok(&["totals", "--live", "--to", "2015-05-16"]);
            assert!(!before.stderr.contains("drops"), "{before:?}");
            server.ok(&["roll-up", OLD_DAY]);
        }
        let list = server.ok(&["producers", "--format", "csv"]);
        let id = "0d0e0f10,shop,client,1,";
        let line = list.stdout.lines().find(|line| line.starts_with(id));
        assert!(line.is_some_and(|line| line.ends_with(",1,12,,")), "{list:?}");
        assert!(!list.stdout.contains("tally add"), "it said that it is done: {list:?}");
        assert!(!list.stdout.contains(",worker,"), "{list:?}");
        let all = server.ok(&["producers", "--workers", "--format", "csv"]);
        assert!(all.stdout.contains(",worker,"), "{all:?}");
        let table = server.ok(&["producers", "--format", "table"]);
        assert!(table.stderr.contains("1 producer, 12 known drops"), "{table:?}");
    }
}

/// A backup is restored under a running server.
#[test]
fn totals_report_a_restored_database() {
    let home = Home::postgres("went_back");
    let server = home.serve(&[]);
    for _ in 0..3 {
        wait_for(count_by_add(&server));
    }
    let before = server.ok(&["totals", "--live", "--format", "table"]);
    assert!(before.stderr.contains("complete: no drops are known"), "{before:?}");
    home.sql("DELETE FROM tally_producers");
    wait_for(count_by_add(&server));
    let after = server.ok(&["totals", "--live", "--format", "table"]);
    let words = "incomplete: the database went back to an earlier state on ";
    assert!(after.stderr.contains(words), "{after:?}");
    assert!(after.stderr.contains(": at least ") || after.stderr.contains("; at least "));
    assert!(!after.stderr.contains("; complete"), "{after:?}");
    let script = server.ok(&["totals", "--live", "--format", "csv"]);
    assert!(script.stderr.contains(words), "{script:?}");
    let other = server.ok(&["totals", "--live", "--to", "2015-12"]);
    assert!(!other.stderr.contains("incomplete"), "{other:?}");
    let whose = server.ok(&["producers"]);
    assert!(whose.stderr.contains("the database went back on "), "{whose:?}");
    assert!(whose.stderr.contains("tally serve)"), "{whose:?}");
    assert!(!whose.stderr.contains("no producers are known"), "{whose:?}");
    assert!(server.log().contains("acknowledged batches are missing"), "{}", server.log());
}

/// Any client may claim acknowledged batches; an operator can clear the claim.
#[test]
fn a_setback_can_be_cleared() {
    for home in [Home::sqlite(), Home::postgres("clear")] {
        let server = home.serve(&[]);
        server.ok(&["add", "GET", "/"]);
        for last in [16, 32] {
            wait_for(forge_setback(&server, last));
        }
        let today = ["totals", "--live", "--format", "table"];
        let summary = |server: &Server| server.ok(&today).stderr;
        assert!(summary(&server).contains("24 acknowledged batches of 2 producers"));
        let listed = server.ok(&["producers"]);
        assert!(listed.stderr.contains("--clear-setback ID"), "{listed:?}");

        let cleared = server.ok(&["producers", "--clear-setback", "0D0E0F10"]);
        assert!(cleared.stderr.contains("cleared: the database went back"), "{cleared:?}");
        assert!(cleared.stderr.contains("(0d0e0f10, stranger)"), "{cleared:?}");
        assert!(summary(&server).contains("12 acknowledged batches of 1 producer"));
        let again = server.run(&["producers", "--clear-setback", "0d0e0f10"]);
        assert_fails(&again, 1, &["no producer 0d0e0f10 with a setback"]);
        let empty = server.run(&["producers", "--clear-setback", ""]);
        assert_fails(&empty, 1, &["short_id is empty", "or all"]);
        assert!(summary(&server).contains("12 acknowledged batches of 1 producer"));
        server.ok(&["producers", "--clear-setback", "all"]);
        assert!(summary(&server).contains("complete: no drops are known"));
        let log = server.log();
        assert_eq!(log.matches("a setback was cleared").count(), 2, "{log}");
    }
}

/// A client claims 12 acknowledged batches of a producer that never existed.
async fn forge_setback(server: &Server, last: u8) {
    let now = SystemClock.now().as_second();
    let open = Open {
        producer_id: (last - 15..=last).collect(),
        epoch: 5,
        claims: vec![7],
        name: "stranger".to_owned(),
        acknowledged_sequence: Some(12),
        acknowledged_at: Some(prost_types::Timestamp { seconds: now, nanos: 0 }),
        ..Open::default()
    };
    let message = RecordRequest { kind: Some(Kind::Open(open)) };
    let mut client = RequestServiceClient::connect(server.url.clone()).await.expect("it listens");
    let answers = client.record(tokio_stream::iter([message])).await;
    let status = match answers {
        Ok(answers) => answers.into_inner().message().await.expect_err("it is not there"),
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
}

/// Counts one request through the server's own insert worker.
async fn count_by_add(server: &Server) {
    let mut client = CountServiceClient::connect(server.url.clone()).await.expect("it listens");
    client.add(tokio_stream::iter([request("/a")])).await.expect("it is counted");
}

/// As from cron: each producer is done when its command ends, so it does not count for the next. A file
/// has one that stays.
#[test]
fn counting_by_hand_never_reaches_the_limit_of_producers() {
    for home in [Home::sqlite(), Home::postgres("by_hand")] {
        let server = home.serve(&["--producers-max", "4"]);
        let log = home.file("access.log", LINE);
        for _ in 0..10 {
            server.ok(&["add", "GET", "/a", "-n", "2"]);
            server.ok(&["import", "--again", &log]);
            let listed = server.ok(&["producers", "--format", "csv"]).stdout;
            assert_eq!(listed.lines().count(), 2, "{listed}");
            assert!(listed.contains("tally import ") && listed.contains("import1 "), "{listed}");
        }
        assert_eq!(server.live(), totals([("GET /a", 20), ("GET /b", 10)]));
    }
}
