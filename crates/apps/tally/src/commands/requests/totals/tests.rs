//! What `tally totals` asks for, and what it says of the answer.

use clap::FromArgMatches as _;
use tally_proto::tally::requests::v1::GroupBy;

use super::*;

fn parsed(given: &[&str]) -> Result<TotalsArgs, clap::Error> {
    let given = ["totals"].iter().chain(given);
    let matches =
        TotalsArgs::augment_args(clap::Command::new("totals")).try_get_matches_from(given)?;
    TotalsArgs::from_arg_matches(&matches)
}

fn request(given: &[&str]) -> QueryTotalsRequest {
    parsed(given).expect("they are right").request(None, None)
}

#[test]
fn groups_are_columns_each_once_and_in_order() {
    let columns = |given: &[&str]| {
        let columns = parsed(given).expect("they are right").columns();
        columns.into_iter().map(Part::name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(columns(&[]), "method path");
    assert_eq!(columns(&["--group-by", "status-class,service"]), "status_class service");
    let many = ["--group-by", "path,path,customer", "--group-by", "status,path"];
    assert_eq!(columns(&many), "path customer status");
    assert_eq!(columns(&["--sum"]), "");
    assert!(parsed(&["--sum", "--group-by", "path"]).is_err());
    assert!(parsed(&["--group-by", "colour"]).is_err());
    let groups = request(&["--group-by", "status-class,service"]).group_by;
    assert_eq!(groups, [GroupBy::StatusClass, GroupBy::Service].map(i32::from));
}

#[test]
fn filters_are_asked_for() {
    let request = request(&[
        "--status",
        "404",
        "--status",
        "5xx",
        "--service",
        "shop",
        "--service",
        "",
        "--customer",
        "acme",
        "--method",
        "get",
        "--method",
        "0",
        "--path",
        "/a",
        "--path-prefix",
        "/",
    ]);
    assert_eq!((request.statuses, request.status_classes), (vec![404], vec![5]));
    assert_eq!(request.services, ["shop", ""]);
    assert_eq!(request.customers, ["acme"]);
    assert_eq!(request.methods, ["GET", ""]);
    assert_eq!((request.paths, &*request.path_prefix), (vec!["/a".to_owned()], "/"));
    assert!(parsed(&[]).expect("right").filters.is_empty());
    for flag in ["--status", "--service", "--customer", "--method", "--path", "--path-prefix"] {
        let value = if flag == "--status" { "5xx" } else { "a" };
        assert!(!parsed(&[flag, value]).expect("right").filters.is_empty(), "{flag}");
    }
}

#[test]
fn a_zone_is_asked_for_by_its_own_name() {
    assert_eq!(request(&[]).time_zone, "");
    assert_eq!(request(&["--tz", "asia/kolkata"]).time_zone, "Asia/Kolkata");
    let error = parsed(&["--tz", "Asia/Calcuta"]).expect_err("no zone").to_string();
    assert!(error.contains("did you mean Asia/Calcutta?"), "{error}");
    for (by, granularity) in [
        ("quarter", Granularity::Quarter),
        ("hour", Granularity::Hour),
        ("week", Granularity::Week),
    ] {
        assert_eq!(request(&["--by", by]).granularity(), granularity);
    }
}

#[test]
fn the_line_below_a_table_names_the_zone_unless_it_is_utc() {
    let printed = Printed { requests: 3, totals: 2, groups: 2, ..Printed::default() };
    let line = |given: &[&str], zone: &str| {
        let (time_zone, tzdb_version) = (zone.to_owned(), "2026c".to_owned());
        let resolved = Resolved { time_zone, tzdb_version, ..Default::default() };
        let about = About { resolved, ..Default::default() };
        parsed(given).expect("they are right").how_much(printed, &about)
    };
    assert_eq!(line(&[], "UTC"), "3 requests to 2 endpoints");
    let zone = "in Asia/Kolkata (tz database 2026c)";
    assert_eq!(line(&[], "Asia/Kolkata"), format!("3 requests to 2 endpoints, {zone}"));
    assert_eq!(line(&["--sum"], "Asia/Kolkata"), format!("3 requests, {zone}"));
    assert_eq!(line(&["--group-by", "status"], "UTC"), "3 requests in 2 groups");
}

#[test]
fn corrections_are_summed_apart_from_the_counts() {
    let printed = Printed { requests: 3, corrections: -1_200, totals: 1, groups: 1, dropped: 0 };
    let line = |omitted| {
        let about = About { omitted, ..Default::default() };
        parsed(&["--with-corrections"]).expect("they are right").how_much(printed, &about)
    };
    assert_eq!(line(None), "3 requests to 1 endpoint, corrections -1,200");
    assert_eq!(
        line(Some(Omitted { totals: 1, requests: 4 })),
        "1 of 2 lines, with 3 of 7 requests, corrections of these lines -1,200"
    );
}

#[test]
fn help_fits_80_columns() {
    let mut command = TotalsArgs::augment_args(clap::Command::new("totals")).term_width(80);
    let help = command.render_long_help().to_string();
    assert!(help.contains("--group-by"));
    let long = help.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None);
}

#[test]
fn the_top_is_an_order_and_a_limit() {
    let top = request(&["--top", "10"]);
    assert_eq!((top.limit, top.limit_order), (10, LimitOrder::Count.into()));
    assert!(
        parsed(&["--top", "10"]).expect("they are right").how(OutputFormat::Csv).is_largest_first
    );
    for others in [["--sort", "path"], ["--limit", "3"]] {
        assert!(parsed(&[&["--top", "10"][..], &others[..]].concat()).is_err());
    }
    assert!(parsed(&["--top", "0"]).is_err());
}

#[test]
fn a_trend_limits_its_groups_itself() {
    let args = parsed(&["--top", "3", "--trend"]).expect("they are right");
    assert_eq!(args.request(None, None).limit, 0);
    assert_eq!(args.how(args.format()).trend.and_then(|trend| trend.limit), Some(3));
    assert_eq!(args.format(), OutputFormat::Table, "also in a pipe");
    assert!(args.check().is_ok());
    for wrong in [&["--trend", "--by", "whole"][..], &["--trend", "--format", "csv"]] {
        assert!(parsed(wrong).expect("clap knows no better").check().is_err(), "{wrong:?}");
    }
}

#[test]
fn what_is_watched_needs_a_terminal() {
    let interval = |given: &[&str]| parsed(given).expect("they are right").watch;
    assert_eq!(interval(&["--watch"]), Some(2));
    assert_eq!(interval(&["--watch=10"]), Some(10));
    assert_eq!(interval(&["--watch", "today"]), Some(2), "the day is the range");
    assert!(parsed(&["--watch=0"]).is_err());
    let wrong = parsed(&["--watch", "--format", "csv"]).expect("clap knows no better").check();
    assert!(wrong.expect_err("wrong").contains("terminal"));
}
