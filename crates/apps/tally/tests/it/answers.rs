//! What the program answers about the same requests before a fold, after it, after a roll-up, and
//! after the quarters are pruned: by every period, in several zones, by every group and filter.

use tally_testkit::{Output, eventually_blocking};

use crate::http::answers;
use crate::support::{Home, LIMIT, Server, assert_fails, wait_for};

/// Service, status, customer, method, path, time and how many.
type Counted = (&'static str, u16, &'static str, &'static str, &'static str, &'static str, i64);

/// Midnights of Kolkata and of St John's lie between them, and a new year of UTC.
const REQUESTS: [Counted; 7] = [
    ("shop", 200, "acme", "GET", "/a", "2015-05-17T10:05:03Z", 3),
    ("shop", 404, "acme", "GET", "/a", "2015-05-17T18:29:59Z", 2),
    ("shop", 503, "", "POST", "/api/x", "2015-05-17T18:30:00Z", 4),
    ("", 0, "", "GET", "/b", "2015-05-18T02:29:59Z", 5),
    ("pay", 5, "acme", "GRPC", "/pay.Pay/Do", "2015-05-18T02:30:00Z", 7),
    ("pay", 13, "", "GRPC", "/pay.Pay/Do", "2015-12-31T23:59:59Z", 1),
    ("shop", 200, "zeta", "GET", "/api/y", "2016-01-01T00:00:00Z", 6),
];

/// Questions about whole days of UTC, and their answers: they need no quarters.
const OF_DAYS: [(&str, &str); 25] = [
    (
        "",
        "date,method,path,count\n2015-05-17,GET,/a,5\n2015-05-17,POST,/api/x,4\n2015-05-18,GET,/b,5\n\
         2015-05-18,GRPC,/pay.Pay/Do,7\n2015-12-31,GRPC,/pay.Pay/Do,1\n2016-01-01,GET,/api/y,6\n",
    ),
    ("--sum", "date,count\n2015-05-17,9\n2015-05-18,12\n2015-12-31,1\n2016-01-01,6\n"),
    ("--sum --by week", "date,count\n2015-05-11,9\n2015-05-18,12\n2015-12-28,7\n"),
    ("--sum --by month", "date,count\n2015-05,21\n2015-12,1\n2016-01,6\n"),
    ("--sum --by year", "date,count\n2015,22\n2016,6\n"),
    ("--sum --by whole", "date,count\n,28\n"),
    ("--sum --by whole 2015-05-18..2015-12", "date,count\n,13\n"),
    (
        "--by whole --group-by service,status",
        "date,service,status,count\n,,,5\n,pay,5,7\n,pay,13,1\n,shop,200,9\n,shop,404,2\n\
         ,shop,503,4\n",
    ),
    (
        "--by whole --group-by status-class",
        "date,status_class,count\n,,5\n,2xx,9\n,4xx,9\n,5xx,5\n",
    ),
    ("--by whole --group-by customer", "date,customer,count\n,,10\n,acme,12\n,zeta,6\n"),
    (
        "--by year --group-by service",
        "date,service,count\n2015,,5\n2015,pay,8\n2015,shop,9\n2016,shop,6\n",
    ),
    (
        "--by whole --group-by service,status --format json --service pay",
        "[\n{\"date\":\"\",\"service\":\"pay\",\"status\":5,\"count\":7},\n\
         {\"date\":\"\",\"service\":\"pay\",\"status\":13,\"count\":1}\n]\n",
    ),
    (
        "--by whole --group-by service,status --format table --path-prefix /a",
        "date  service  status  count\n      shop        200      9\n      shop        404      2\n      \
         shop        503      4\n",
    ),
    ("--by whole --sum --service shop", "date,count\n,15\n"),
    ("--by whole --sum --service=", "date,count\n,5\n"),
    ("--by whole --sum --status 5xx", "date,count\n,5\n"),
    ("--by whole --sum --status 404", "date,count\n,2\n"),
    ("--by whole --sum --status 404 --status 5xx", "date,count\n,7\n"),
    ("--by whole --sum --status 0", "date,count\n,5\n"),
    ("--by whole --sum --customer acme", "date,count\n,12\n"),
    ("--by whole --sum --path-prefix /api/", "date,count\n,10\n"),
    ("--by whole --sum --method grpc --path /pay.Pay/Do", "date,count\n,8\n"),
    ("--by whole --sum --customer acme --status 4xx --service pay", "date,count\n,7\n"),
    (
        "--by whole --limit 2 --sort count",
        "date,method,path,count\n,GRPC,/pay.Pay/Do,8\n,GET,/api/y,6\n",
    ),
    // Its weeks cut days, but none of those has one of these counts.
    (
        "--by week --tz America/St_Johns --group-by status-class --status 5xx",
        "date,status_class,count\n2015-05-11,5xx,4\n2015-12-28,5xx,1\n",
    ),
];

/// Questions whose periods cut days of UTC, their answers, and the first date that is answered once the
/// quarters are pruned.
const OF_QUARTERS: [(&str, &str, &str); 10] = [
    (
        "--sum --by quarter",
        "date,count\n2015-05-17T10:00:00+00:00,3\n2015-05-17T18:15:00+00:00,2\n\
         2015-05-17T18:30:00+00:00,4\n2015-05-18T02:15:00+00:00,5\n2015-05-18T02:30:00+00:00,7\n\
         2015-12-31T23:45:00+00:00,1\n2016-01-01T00:00:00+00:00,6\n",
        "2016-01-02",
    ),
    (
        "--sum --by quarter --tz America/St_Johns 2015-05-17",
        "date,count\n2015-05-17T07:30:00-02:30,3\n2015-05-17T15:45:00-02:30,2\n\
         2015-05-17T16:00:00-02:30,4\n2015-05-17T23:45:00-02:30,5\n",
        "2016-01-02",
    ),
    (
        "--sum --by hour",
        "date,count\n2015-05-17T10:00:00+00:00,3\n2015-05-17T18:00:00+00:00,6\n\
         2015-05-18T02:00:00+00:00,12\n2015-12-31T23:00:00+00:00,1\n2016-01-01T00:00:00+00:00,6\n",
        "2016-01-02",
    ),
    (
        "--sum --tz Asia/Kolkata",
        "date,count\n2015-05-17,5\n2015-05-18,16\n2016-01-01,7\n",
        "2016-01-03",
    ),
    ("--sum --tz +05:30 --by year", "date,count\n2015,21\n2016,7\n", "2016-01-03"),
    ("--sum --tz -02:30 2015-05", "date,count\n2015-05-17,14\n2015-05-18,7\n", "2016-01-02"),
    ("--sum --tz Asia/Kolkata --by year", "date,count\n2015,21\n2016,7\n", "2016-01-03"),
    (
        "--sum --tz Asia/Kolkata --by hour 2015-05-17..2015-05-18",
        "date,count\n2015-05-17T15:00:00+05:30,3\n2015-05-17T23:00:00+05:30,2\n\
         2015-05-18T00:00:00+05:30,4\n2015-05-18T07:00:00+05:30,5\n2015-05-18T08:00:00+05:30,7\n",
        "2016-01-03",
    ),
    (
        "--sum --tz America/St_Johns",
        "date,count\n2015-05-17,14\n2015-05-18,7\n2015-12-31,7\n",
        "2016-01-02",
    ),
    (
        "--sum --tz America/St_Johns --by week",
        "date,count\n2015-05-11,14\n2015-05-18,7\n2015-12-28,7\n",
        "2016-01-02",
    ),
];

/// Every period and many groups, for sums.
const PERIODS: [&str; 7] = ["quarter", "hour", "day", "week", "month", "year", "whole"];
const GROUPS: [&str; 5] = [
    "service",
    "status",
    "status-class,customer",
    "customer,service,path",
    "service,method,path,status,status-class,customer",
];

#[test]
fn answers_on_sqlite_are_the_same_at_every_stage() {
    stages(&Home::sqlite());
}

#[test]
fn answers_on_postgres_are_the_same_at_every_stage() {
    stages(&Home::postgres("answers"));
}

fn stages(home: &Home) {
    let server = counted(home);
    check(&server, true);
    check_sums(&server);
    check_view(home, None);
    let folded = server.ok(&["fold"]);
    assert!(folded.stderr.contains("folded "), "{folded:?}");
    check(&server, true);
    check_sums(&server);
    check_view(home, None);
    let early = server.ok(&["totals"]);
    assert_eq!(early.stdout, "date,method,path,count\n");
    assert!(early.stderr.contains("add --live"), "{early:?}");
    server.ok(&["roll-up", "2015-05..2016-01"]);
    check(&server, true);
    check(&server, false);
    check_view(home, None);

    // A server prunes as soon as it starts what was rolled up a day ago.
    server.stop();
    let earlier = "UPDATE tally_request_calendar SET rolled_up_at = rolled_up_at - ";
    if home.is_postgres() {
        home.sql(&format!("{earlier} INTERVAL '2 days'"));
    } else {
        let file = rusqlite::Connection::open(home.path("tally.db")).expect("the file");
        let micros = 2 * 86_400_000_000_i64;
        file.execute_batch(&format!("{earlier} {micros}")).expect("an update");
    }
    let server = home.serve(&["--requests-quarter-retention-days", "2"]);
    let hours = ["totals", "--by", "hour"];
    let pruned = eventually_blocking(LIMIT, || !server.run(&hours).status.success());
    assert_eq!(pruned, Ok(()), "{}", server.log());
    for live in [true, false] {
        for (question, answer) in OF_DAYS {
            assert_eq!(ask(&server, question, live).stdout, answer, "pruned: {question}");
        }
        for (question, _, first) in OF_QUARTERS {
            let refused = server.run(&arguments(question, live));
            assert_fails(&refused, 1, &[&format!("ask for {first} and later")]);
        }
    }
    check_view(home, Some(server));
}

/// A server that has the requests, none of them rolled up.
fn counted(home: &Home) -> Server {
    let server = home.serve(&[]);
    for (service, status, customer, method, path, at, count) in REQUESTS {
        let (status, count) = (status.to_string(), count.to_string());
        let mut add = vec!["add", method, path, "--at", at, "-n", &count];
        for (flag, value) in
            [("--service", service), ("--status", &*status), ("--customer", customer)]
        {
            if !value.is_empty() {
                add.extend([flag, value]);
            }
        }
        server.ok(&add);
    }
    server
}

fn arguments(question: &str, live: bool) -> Vec<&str> {
    let live = live.then_some("--live");
    ["totals"].into_iter().chain(question.split_whitespace()).chain(live).collect()
}

fn ask(server: &Server, question: &str, live: bool) -> Output {
    server.ok(&arguments(question, live))
}

/// By the command line, which asks over gRPC, and over HTTP.
fn check(server: &Server, live: bool) {
    let of_quarters = OF_QUARTERS.map(|(question, answer, _)| (question, answer));
    for (question, answer) in OF_DAYS.into_iter().chain(of_quarters) {
        assert_eq!(ask(server, question, live).stdout, answer, "live {live}: {question}");
        if !question.contains("--format") {
            assert_eq!(answers(server, question, live), [answer; 2], "live {live}: {question}");
        }
    }
}

/// Whatever totals are grouped by, they have the same sum.
fn check_sums(server: &Server) {
    for by in PERIODS {
        for groups in GROUPS {
            let question = format!("--by {by} --group-by {groups} --tz Asia/Kathmandu");
            let answer = ask(server, &question, true).stdout;
            let (header, lines) = answer.split_once('\n').expect("a header");
            let columns = groups.replace('-', "_");
            assert_eq!(header, format!("date,{columns},count"));
            let counts = lines.lines().map(|line| line.rsplit_once(',').expect("a count").1);
            let sum: i64 = counts.map(|count| count.parse::<i64>().expect("a count")).sum();
            assert_eq!(sum, 28, "{question}");
        }
    }
}

/// The view has every request under all its names. A program that reads SQLite's file waits until the
/// server has stopped.
fn check_view(home: &Home, last: Option<Server>) {
    let sql = "SELECT CAST(day AS TEXT), service, CAST(status AS TEXT), customer, method, path, total \
               FROM tally_totals_by_day WHERE namespace = 'default'";
    let mut found: Vec<(Vec<String>, i64)> = if home.is_postgres() {
        let client = wait_for(async { home.database().connect().await.query(sql, &[]).await });
        let rows = client.expect("the view is there");
        rows.iter().map(|row| ((0..6).map(|n| row.get(n)).collect(), row.get(6))).collect()
    } else {
        let Some(server) = last else { return };
        server.stop();
        let file = rusqlite::Connection::open(home.path("tally.db")).expect("the file");
        let mut statement = file.prepare(sql).expect("the view is there");
        let names = |row: &rusqlite::Row<'_>| {
            (0..6).map(|n| row.get(n)).collect::<rusqlite::Result<Vec<String>>>()
        };
        let rows = statement.query_map([], |row| Ok((names(row)?, row.get(6)?)));
        rows.expect("rows").collect::<rusqlite::Result<_>>().expect("rows")
    };
    found.sort_unstable();
    let mut expected: Vec<(Vec<String>, i64)> = REQUESTS
        .iter()
        .map(|(service, status, customer, method, path, at, count)| {
            let status = status.to_string();
            let names = [&at[..10], service, &status, customer, method, path];
            (names.map(str::to_owned).to_vec(), *count)
        })
        .collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_wrong_question_has_one_clear_error() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/old", "--at", "1971-06-01T00:00:00Z"]);
    for (arguments, code, words) in [
        (&["totals", "--tz", "Asia/Calcuta"][..], 2, &["Asia/Calcuta", "did you mean Asia/"][..]),
        (&["totals", "--tz", ""], 2, &["--tz"]),
        (&["totals", "--tz", "+5:30"], 2, &["+5:30", "offsets such as +05:30"]),
        (&["totals", "--tz", "+05:10"], 2, &["+05:10", "kept by quarter-hour"]),
        (&["totals", "2016..2015"], 2, &["ends with 2015, before it begins with 2016"]),
        (&["totals", "--from", "2016", "--to", "2015"], 2, &["--to 2015 is before --from 2016"]),
        (
            &["totals", "1971", "--live", "--tz", "Africa/Monrovia"],
            1,
            &["Africa/Monrovia: 1971-01-01", "all days from 1972-01-08 on", "in UTC"],
        ),
        (
            &["totals", "--live", "--tz", "Africa/Monrovia"],
            1,
            &["Africa/Monrovia: 1971-06-01", "all days from 1972-01-08 on"],
        ),
        (&["totals", "--group-by", "nonsense"], 2, &["nonsense", "--group-by"]),
        (&["totals", "--group-by", "service", "--sum"], 2, &["--group-by", "--sum"]),
        (&["totals", "--status", "999x"], 2, &["999x", "404", "5xx"]),
        (&["totals", "--by", "minute"], 2, &["minute", "--by"]),
        (
            &["roll-up", "2099-01-01"],
            1,
            &["cannot roll up 2099-01-01: 2099-01-01 is in the future"],
        ),
        (&["roll-up", "0000-01-01"], 2, &["0000-01-01"]),
        (&["roll-up", "0000"], 2, &["0000"]),
        (&["add", "GET", "/", "--at", "2099-01-01"], 1, &["24 h ahead of the clock"]),
        (&["add", "GET", "/", "--status", "1000"], 2, &["--status", "between 0 and 999"]),
    ] {
        let output = server.run(arguments);
        assert_fails(&output, code, words);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let serve = home.run(&["serve", "--requests-quarter-retention-days", "1"]);
    assert_fails(&serve, 2, &["--requests-quarter-retention-days"]);
}

#[test]
fn a_range_that_goes_on_after_tomorrow_is_rolled_up_until_then() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/"]);
    let output = server.ok(&["roll-up", "yesterday..2099"]);
    assert!(output.stdout.ends_with(",1,1\n"), "{output:?}");
    assert!(output.stderr.contains("1 day rolled up, with 1 request in all"), "{output:?}");
}
