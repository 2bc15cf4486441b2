//! `tally correct`, `tally merge` and `tally forget` as people use them.

use tally_testkit::{Process, Stream, run};

use crate::support::{Home, LIMIT, OLD_DAY, assert_fails, totals};

#[test]
fn what_was_counted_is_corrected_merged_and_forgotten() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/u/1", "-n", "5", "--at", OLD_DAY]);
    server.ok(&["add", "GET", "/u/2", "-n", "3", "--at", OLD_DAY, "--customer", "ann"]);

    let correct = ["correct", OLD_DAY, "GET", "/u/1", "--requests", "-2", "--reason", "sent twice"];
    let id = ["--id", "8c5b0a1e-6e0f-4c52-9f5d-0c6a51a4b7d1", "--author", "bob"];
    let said = server.ok(&[&correct[..], &["--dry-run"]].concat()).stderr;
    assert!(said.contains("would be corrected") && said.contains("together 3"), "{said}");
    for words in ["corrected: GET /u/1", "was corrected before"] {
        let said = server.ok(&[&correct[..], &id].concat()).stderr;
        assert!(said.contains(words) && said.contains("5 counted, corrections -2"), "{said}");
    }
    let too_much = ["correct", OLD_DAY, "GET", "/u/1", "--requests=-4", "--reason", "no"];
    assert_fails(&server.run(&too_much), 1, &["not corrected", "would leave -1"]);
    assert_eq!(server.live(), totals([("GET /u/1", 5), ("GET /u/2", 3)]));
    let live = ["totals", "--live", "--by", "whole", "--format", "csv", "--with-corrections"];
    let lines = server.ok(&live).stdout;
    assert_eq!(lines, "date,method,path,count,correction\n,GET,/u/1,5,-2\n,GET,/u/2,3,0\n");
    let lines = server.ok(&["correct", "--list", "all", "--format", "csv"]).stdout;
    assert!(lines.contains(",GET,/u/1,,,,-2,sent twice,bob,"), "{lines}");

    let merge = ["merge", "--path-prefix", "/u/", "--into-path", "/u/{id}", "--everything"];
    let output = server.ok(&[&merge[..], &["--dry-run", "--format", "csv"]].concat());
    assert!(output.stdout.contains("GET,/u/1,,,,5\nGET,/u/2,,,ann,3\n"), "{output:?}");
    assert!(output.stderr.contains("would be merged: 2 series with 8 requests"), "{output:?}");
    assert!(server.ok(&merge).stderr.contains("merged: 2 series with 8 requests"));
    let said = server.ok(&["forget", "--customer", "ann"]).stderr;
    assert!(said.contains("forgotten: 1 series with 3 requests"), "{said}");
    let said = server.ok(&["forget", "--customer", "ann"]).stderr;
    assert!(said.contains("no series matches now"), "{said}");
    let later = "will not be forgotten, because a forget keeps no regex";
    let said = server.ok(&["forget", "--path-regex", "^/none$"]).stderr;
    assert!(said.contains(later) && said.contains("--path-prefix"), "{said}");
    let by =
        ["totals", "--live", "--by", "whole", "--format", "csv", "--group-by", "path,customer"];
    let lines = server.ok(&by).stdout;
    assert_eq!(lines, "date,path,customer,count\n,/u/{id},,5\n,/u/{id},_forgotten,3\n");

    assert_fails(&server.run(&["forget"]), 2, &["required"]);
    assert_fails(&server.run(&["merge", "--path", "/a"]), 2, &["required"]);
    assert_fails(
        &server.run(&["forget", "--path-regex", "("]),
        1,
        &["--path-regex: cannot use this regex"],
    );
    assert_fails(
        &server.run(&["correct", "2015", "GET", "/", "--requests", "1", "--reason", "x"]),
        2,
        &["one day"],
    );
}

/// A user who presses Ctrl-C and repeats the command must be able not to correct twice.
#[test]
fn an_interrupted_correction_names_its_id() {
    let home = Home::sqlite();
    let server = home.serve_until("fold.committed");
    server.ok(&["add", "GET", "/a", "--at", OLD_DAY]);
    let correct = ["correct", OLD_DAY, "GET", "/a", "--requests", "1", "--reason", "lost"];
    let client = Process::spawn(&server.command(&correct));
    server.process.wait_for_line(Stream::Stderr, "stopped at fold.committed", LIMIT);
    client.signal("INT");
    let output = client.wait(LIMIT);
    assert_fails(&output, 1, &["it is not known whether GET /a", "SIGINT came before the answer"]);
    let id = output.stderr.split("--id ").nth(1).and_then(|rest| rest.split(' ').next());
    server.kill();

    let server = home.serve(&[]);
    let again = [&correct[..], &["--id", id.expect("an id")]].concat();
    for words in ["corrected: GET /a", "was corrected before: GET /a"] {
        let said = server.ok(&again).stderr;
        assert!(said.contains(words) && said.contains("corrections +1, together 2"), "{said}");
    }
}

/// A user who presses Ctrl-C must be told that the same command may count twice.
#[test]
fn an_interrupted_add_says_what_is_not_known() {
    let home = Home::sqlite();
    let server = home.serve_until("append.committed");
    let client = Process::spawn(&server.command(&["add", "GET", "/a"]));
    server.process.wait_for_line(Stream::Stderr, "stopped at append.committed", LIMIT);
    client.signal("INT");
    let words =
        ["it is not known whether the request was counted", "SIGINT came before the answer"];
    assert_fails(&client.wait(LIMIT), 1, &words);
    server.kill();
}

#[test]
fn an_interrupted_merge_says_what_is_not_known() {
    let home = Home::sqlite();
    let server = home.serve_until("moves.noted");
    server.ok(&["add", "GET", "/a"]);
    let client = Process::spawn(&server.command(&["merge", "--path", "/a", "--into-path", "/b"]));
    server.process.wait_for_line(Stream::Stderr, "stopped at moves.noted", LIMIT);
    client.signal("INT");
    let words = [
        "it is not known whether anything is merged",
        "SIGINT came before the answer",
        "run the same command again",
    ];
    assert_fails(&client.wait(LIMIT), 1, &words);
    server.kill();
}

/// A name may come later, so a forget of one that nothing has is stored.
#[test]
fn a_forget_that_matches_nothing_says_what_it_means() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let forget = ["forget", "--customer", "ann"];
    let said = server.ok(&[&forget[..], &["--dry-run"]].concat()).stderr;
    assert!(
        said.contains("no series matches now; what comes later and does would count"),
        "{said}"
    );
    let said = server.ok(&forget).stderr;
    assert!(said.contains("no series matches now; what comes later and does counts"), "{said}");
    server.ok(&["add", "GET", "/a", "--customer", "ann"]);
    let totals = server.ok(&["totals", "today", "--live", "--group-by", "customer"]).stdout;
    assert!(totals.contains("_forgotten") && !totals.contains("ann"), "{totals}");
}

#[test]
fn a_record_needs_an_author() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/a", "--at", OLD_DAY]);
    let correct = ["correct", OLD_DAY, "GET", "/a", "--requests", "1", "--reason", "lost"];
    let merge = ["merge", "--path", "/a", "--into-path", "/b"];
    let forget = ["forget", "--path", "/b"];
    for arguments in [&correct[..], &merge, &forget] {
        let mut nameless = server.command(arguments);
        nameless.env("USER", "").env_remove("LOGNAME").env_remove("USERNAME");
        assert_fails(&run(&nameless, b"", LIMIT), 2, &["--author"]);
        server.ok(arguments);
    }
    let listed = server.ok(&["correct", "--list", "all", "--format", "csv"]).stdout;
    assert!(listed.contains(",lost,tester,"), "{listed}");
}

#[test]
fn what_is_refused_names_flags_and_other_series() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/a", "--at", OLD_DAY]);
    let shop = ["--service", "shop", "--status", "200"];
    server.ok(&[&["add", "GET", "/a", "-n", "3", "--at", OLD_DAY], &shop[..]].concat());
    let correct = |requests, more: &[&str]| {
        let start = ["correct", OLD_DAY, "GET", "/a", "--requests", requests, "--reason", "x"];
        server.run(&[&start, more].concat())
    };
    let other = "GET /a --service shop --status 200: 3 requests\n";
    let whole = "GET /a (no status, no service, no customer) on 2015-05-17 is not corrected";
    let too_much = correct("-2", &[]);
    assert_fails(&too_much, 1, &[whole, "less than 0"]);
    let unknown = correct("-2", &["--service", "ghost"]);
    assert_fails(&unknown, 1, &["service ghost", "nothing was ever"]);
    // The series of the path are on lines of their own.
    for output in [&too_much, &unknown] {
        assert!(output.stderr.contains(other), "{output:?}");
        assert!(output.stderr.contains("GET /a: 1 request"), "{output:?}");
    }
    assert_fails(&correct("0", &[]), 1, &["--requests is 0"]);
    let most = i64::MAX.to_string();
    assert_fails(&correct(&most, &[]), 1, &["is beyond 1000000000000000"]);
    let said = {
        let output = correct("-2", &shop);
        assert!(output.status.success(), "{output:?}");
        output.stderr
    };
    let done = "GET /a (status 200, service shop, no customer) on 2015-05-17: 3 counted";
    assert!(said.contains(done), "{said}");
    let table = server.ok(&["totals", "--live", "--with-corrections", "--format", "table"]);
    assert!(table.stderr.contains("4 requests to 1 endpoint, corrections -2;"), "{table:?}");
    let hours = ["totals", "--live", "--with-corrections", "--by", "hour"];
    assert_fails(&server.run(&hours), 1, &["--with-corrections: the corrections of 2015-05-17"]);

    server.ok(&["add", "GET", "/b", "--at", OLD_DAY]);
    let merge = |more: &[&str]| server.run(&[&["merge", "--path-regex", "^/"], more].concat());
    assert_fails(&merge(&["--into-path", "/c/$1"]), 2, &["$1 stands for nothing"]);
    let all = merge(&["--into-path", "/c"]);
    assert_fails(&all, 1, &["every path", "--everything"]);
    assert!(!all.stderr.contains("selection:"), "{all:?}");
    server.ok(&["merge", "--path", "/b", "--into-path", "/c"]);
    let tomorrow = ["correct", "tomorrow", "GET", "/a", "--requests", "1", "--reason", "x"];
    assert_fails(&server.run(&tomorrow), 2, &["one day", "today or yesterday"]);
}
