//! `tally totals`: selection, order, limits and messages.

use tally_testkit::Output;

use crate::support::{Home, LOG_LINE, Server, assert_fails, totals};

/// A server with counts: yesterday and a day long ago are rolled up, today is not.
fn counted(home: &Home) -> Server {
    let server = home.serve(&[]);
    let line =
        |path: &str| format!("h - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 1\n");
    let old: String = ["/a", "/b", "/b"].map(line).concat();
    server.ok(&["import", &home.file("access.log", old)]);
    server.ok(&["roll-up", "2015-05-17"]);
    for (method, path, count) in [("GET", "/a", "3"), ("POST", "/a", "4"), ("GET", "/c", "12")] {
        server.ok(&["add", method, path, "-n", count]);
    }
    server
}

/// A command's stdout without today's dates.
fn rows(output: &Output) -> Vec<String> {
    let rows = output.stdout.lines().skip(1);
    rows.map(|row| row.split_once(',').expect("a date").1.to_owned()).collect()
}

#[test]
fn one_command_shows_todays_top_endpoints() {
    for home in [Home::sqlite(), Home::postgres("totals_top")] {
        let server = counted(&home);
        let top = ["totals", "today", "--live", "--sort", "count", "--limit", "2"];
        assert_eq!(rows(&server.ok(&top)), ["GET,/c,12", "POST,/a,4"]);
        let table = server.ok(&[&top[..], &["--format", "table"]].concat());
        assert!(
            table.stderr.contains("2 of 3 lines, with 16 of 19 requests; complete"),
            "{table:?}"
        );
        let first = server.ok(&["totals", "today", "--live", "--limit", "2"]);
        assert_eq!(rows(&first), ["GET,/a,3", "POST,/a,4"], "by path, unless told otherwise");
        let all = server.ok(&["totals", "--live", "--by", "whole", "--sort", "count"]);
        assert_eq!(rows(&all), ["GET,/c,12", "GET,/a,4", "POST,/a,4", "GET,/b,2"]);
    }
}

#[test]
fn paths_and_sums() {
    for home in [Home::sqlite(), Home::postgres("totals_sum")] {
        let server = counted(&home);
        let paths = ["--live", "--by", "whole", "--path", "/c", "--path", "/b", "--path", "/"];
        assert_eq!(server.totals(&paths), totals([("GET /b", 2), ("GET /c", 12)]));
        let sum = server.ok(&["totals", "--live", "--sum"]).stdout;
        let lines: Vec<_> = sum.lines().collect();
        assert_eq!(lines[..2], ["date,count", "2015-05-17,3"], "{sum}");
        assert!(lines.len() == 3 && lines[2].ends_with(",19"), "{sum}");
        let one = ["totals", "--live", "--sum", "--by", "whole", "--path", "/a", "--format"];
        assert_eq!(server.ok(&[&one[..], &["csv"]].concat()).stdout, "date,count\n,8\n");
        let table = server.ok(&[&one[..], &["table"]].concat());
        assert_eq!(table.stdout, "date  count\n          8\n");
        assert_eq!(table.stderr, "8 requests; complete: no drops are known\n");
        // Requests counted after the roll-up are missing, so the totals are not called complete.
        let rolled_up = server.ok(&["totals", "--format", "table"]);
        let words = "3 requests to 2 endpoints, rolled up; --live adds later ones\n";
        assert_eq!(rolled_up.stderr, words);
        let largest = ["totals", "--live", "--sum", "--sort", "count", "--limit", "1"];
        assert!(server.ok(&largest).stdout.ends_with(",19\n"));
    }
}

#[test]
fn the_whole_range_has_an_empty_date_in_every_format() {
    let home = Home::sqlite();
    let server = counted(&home);
    let whole =
        |format| server.ok(&["totals", "--by", "whole", "--path", "/a", "--format", format]).stdout;
    assert_eq!(whole("csv"), "date,method,path,count\n,GET,/a,1\n");
    let json = "[\n{\"date\":\"\",\"method\":\"GET\",\"path\":\"/a\",\"count\":1}\n]\n";
    assert_eq!(whole("json"), json);
    assert_eq!(whole("table"), "date  method  path  count\n      GET     /a        1\n");
}

#[test]
fn words_name_a_range() {
    let home = Home::sqlite();
    let server = counted(&home);
    for words in ["today", "7d", "1d", "this-month", "this-month..today", "2015-05-18..today"] {
        let sum = server.ok(&["totals", words, "--live", "--sum", "--by", "whole"]);
        assert_eq!(sum.stdout, "date,count\n,19\n", "{words}");
    }
    let from = server.ok(&["totals", "--from", "7d", "--live", "--sum", "--by", "whole"]);
    assert_eq!(from.stdout, "date,count\n,19\n");
    let may = server.ok(&["totals", "2015-05", "--sum", "--by", "month"]);
    assert_eq!(may.stdout, "date,count\n2015-05,3\n");
    for (range, when) in
        [("2015-01-01", "on 2015-01-01"), ("2014", "from 2014-01-01 to 2014-12-31")]
    {
        let nothing = server.ok(&["roll-up", range]).stderr;
        assert!(nothing.contains(&format!("no requests {when} (UTC)")), "{nothing}");
    }
    assert_fails(&server.run(&["totals", "today..2015"]), 2, &["ends with 2015, before it begins"]);
    assert_fails(&server.run(&["totals", "today", "--from", "2015"]), 2, &["cannot be used with"]);
    assert_fails(&server.run(&["totals", "next-week"]), 2, &["last-year and 7d (the last 7 days)"]);
    for (limit, words) in [("0", "must be between 1"), ("ten", "not a whole number")] {
        let output = server.run(&["totals", "--limit", limit]);
        assert_fails(&output, 2, &["--limit <N>", words]);
    }
}

#[test]
fn quiet_suppresses_messages() {
    let home = Home::sqlite();
    let server = counted(&home);
    for arguments in [&["--format", "table"][..], &["1999"], &["--live", "--limit", "1"]] {
        let output = server.ok(&[&["totals", "--quiet"], arguments].concat());
        assert_eq!(output.stderr, "", "{arguments:?}");
    }
    let good = LOG_LINE.replace("10:05:03", "10:05:04");
    let log = home.file("a.log", format!("{good}no log line\n"));
    for arguments in [&["roll-up", "--quiet", "2015"][..], &["import", "--quiet", &log]] {
        for _ in 0..2 {
            let output = server.ok(arguments);
            assert_eq!((&*output.stdout, &*output.stderr), ("", ""), "{arguments:?}");
        }
    }
    let output = server.run(&["import", "--quiet", "--strict", "--again", &log]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("a.log:2: no time in brackets"), "{output:?}");
    for command in [&["totals"][..], &["roll-up"], &["import", &log]] {
        let quiet = ["--quiet", "--server", "http://127.0.0.1:1"];
        assert_fails(&server.run(&[command, &quiet].concat()), 1, &["cannot reach"]);
    }
}
