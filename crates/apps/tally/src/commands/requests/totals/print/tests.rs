//! Printing totals in each format.

use tally_proto::google::r#type::Date;

use super::*;

fn endpoint(method: &str, path: &str) -> Group {
    Group { method: method.to_owned(), path: path.to_owned(), ..Default::default() }
}

fn period(month: i32, day: i32, groups: &[u32], count: &[i64]) -> PeriodTotals {
    let period = (month > 0).then_some(Date { year: 2015, month, day });
    PeriodTotals { period, number: groups.to_vec(), count: count.to_vec(), ..Default::default() }
}

fn parts() -> [QueryTotalsResponse; 3] {
    [
        QueryTotalsResponse {
            groups: vec![endpoint("GET", "/a,b"), endpoint("", "/\x1b")],
            periods: vec![period(5, 17, &[0, 1], &[1_000, 2])],
            ..Default::default()
        },
        QueryTotalsResponse {
            groups: vec![endpoint("42", "/\"c\"")],
            periods: vec![period(5, 17, &[2], &[3]), period(5, 0, &[0], &[4])],
            ..Default::default()
        },
        QueryTotalsResponse {
            groups: vec![],
            periods: vec![period(0, 0, &[1], &[5])],
            ..Default::default()
        },
    ]
}

fn usual(format: OutputFormat) -> How {
    let columns = Part::USUAL.to_vec();
    How {
        format,
        terminal_columns: None,
        columns,
        is_sum: false,
        has_corrections: false,
        is_largest_first: false,
        trend: None,
    }
}

fn printed(format: OutputFormat, parts: &[QueryTotalsResponse]) -> String {
    printed_so(usual(format), parts)
}

fn printed_so(how: How, parts: &[QueryTotalsResponse]) -> String {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, how);
    for part in parts {
        printer.take(part.clone()).expect("sense").expect("written");
    }
    printer.finish().expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn csv_is_for_scripts() {
    let expected = "date,method,path,count\n\
                    2015-05-17,GET,\"/a,b\",1000\n\
                    2015-05-17,UNSPECIFIED,/\x1b,2\n\
                    2015-05-17,42,\"/\"\"c\"\"\",3\n\
                    2015-05,GET,\"/a,b\",4\n\
                    ,UNSPECIFIED,/\x1b,5\n";
    assert_eq!(printed(OutputFormat::Csv, &parts()), expected);
    assert_eq!(printed(OutputFormat::Csv, &[]), "date,method,path,count\n");
    let on_terminal = How { terminal_columns: Some(80), ..usual(OutputFormat::Csv) };
    assert_eq!(printed_so(on_terminal, &parts()), expected.replace('\x1b', "\\u{1b}"));
}

#[test]
fn json_is_an_array() {
    let text = printed(OutputFormat::Json, &parts());
    assert_eq!(text.lines().count(), 7, "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let total = serde_json::json!({
        "date": "2015-05-17", "method": "42", "path": "/\"c\"", "count": 3
    });
    assert_eq!(value[2], total);
    assert_eq!(value[4]["date"], "");
    assert_eq!(printed(OutputFormat::Json, &[]), "[]\n");
}

#[test]
fn a_table_lines_up_and_steers_nothing() {
    let expected = "date        method       path     count\n\
                    2015-05-17  GET          /a,b     1,000\n\
                    2015-05-17  UNSPECIFIED  /\\u{1b}      2\n\
                    2015-05-17  42           /\"c\"         3\n\
                    2015-05     GET          /a,b         4\n\
    \u{20}           UNSPECIFIED  /\\u{1b}      5\n";
    assert_eq!(printed(OutputFormat::Table, &parts()), expected);
    assert_eq!(printed(OutputFormat::Table, &[]), "");
}

#[test]
fn the_largest_come_first_in_every_format() {
    let printed = |format| printed_so(How { is_largest_first: true, ..usual(format) }, &parts());
    let counts = [1_000, 5, 4, 3, 2];
    let csv = printed(OutputFormat::Csv);
    let ends: Vec<_> = csv.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
    assert_eq!(ends, counts.map(|count| count.to_string()));
    let json: serde_json::Value = serde_json::from_str(&printed(OutputFormat::Json)).expect("JSON");
    let values = json.as_array().expect("an array").iter();
    assert_eq!(values.filter_map(|one| one["count"].as_i64()).collect::<Vec<_>>(), counts);
    assert_eq!(json[1]["date"], "");
    let table = printed(OutputFormat::Table);
    assert!(table.lines().nth(1).is_some_and(|line| line.ends_with("1,000")), "{table}");
}

#[test]
fn a_sum_has_no_group() {
    let sum = |month, day, count| period(month, day, &[], &[count]);
    let part = QueryTotalsResponse {
        periods: vec![sum(5, 17, 1_000), sum(0, 0, 7)],
        ..Default::default()
    };
    let how = |format| How { is_sum: true, columns: Vec::new(), ..usual(format) };
    let printed = |format| printed_so(how(format), std::slice::from_ref(&part));
    assert_eq!(printed(OutputFormat::Csv), "date,count\n2015-05-17,1000\n,7\n");
    let json = "[\n{\"date\":\"2015-05-17\",\"count\":1000},\n{\"date\":\"\",\"count\":7}\n]\n";
    assert_eq!(printed(OutputFormat::Json), json);
    let table = "date        count\n2015-05-17  1,000\n                7\n";
    assert_eq!(printed(OutputFormat::Table), table);
    let mut printer = Printer::new(Vec::new(), how(OutputFormat::Csv));
    let of_endpoints = QueryTotalsResponse {
        groups: vec![endpoint("GET", "/")],
        periods: vec![period(5, 1, &[0], &[1])],
        ..Default::default()
    };
    assert!(matches!(printer.take(of_endpoints), Err(Nonsense::Sums { .. })));
}

#[test]
fn groups_are_columns_in_the_order_that_was_asked_for() {
    let group = |service: &str, status, status_class| Group {
        service: service.to_owned(),
        status,
        status_class,
        ..Default::default()
    };
    let part = QueryTotalsResponse {
        groups: vec![group("shop, big", 503, 5), group("", 0, 0)],
        periods: vec![period(5, 17, &[0, 1], &[1_000, 2])],
        ..Default::default()
    };
    let columns = [Part::StatusClass, Part::Service, Part::Status];
    let printed = |format| {
        let how = How { columns: columns.to_vec(), ..usual(format) };
        printed_so(how, std::slice::from_ref(&part))
    };
    let csv = "date,status_class,service,status,count\n\
               2015-05-17,5xx,\"shop, big\",503,1000\n\
               2015-05-17,,,,2\n";
    assert_eq!(printed(OutputFormat::Csv), csv);
    let json = "[\n{\"date\":\"2015-05-17\",\"status_class\":\"5xx\",\"service\":\"shop, big\",\
                \"status\":503,\"count\":1000},\n\
                {\"date\":\"2015-05-17\",\"status_class\":\"\",\"service\":\"\",\
                \"status\":null,\"count\":2}\n]\n";
    assert_eq!(printed(OutputFormat::Json), json);
    let table = "date        status_class  service    status  count\n\
                 2015-05-17  5xx           shop, big     503  1,000\n\
                 2015-05-17                                       2\n";
    assert_eq!(printed(OutputFormat::Table), table);
}

#[test]
fn an_hour_is_what_the_clock_shows_with_its_offset() {
    let hour = |start: &str, utc_offset_seconds: i32, day| {
        let start: jiff::Timestamp = start.parse().expect("a time");
        let start = Some(prost_types::Timestamp { seconds: start.as_second(), nanos: 0 });
        PeriodTotals { start, utc_offset_seconds, ..period(5, day, &[], &[1]) }
    };
    let part = QueryTotalsResponse {
        periods: vec![
            hour("2015-05-17T04:30:00Z", 19_800, 17),
            hour("2015-05-17T20:00:00Z", 19_800, 18),
            hour("2015-05-17T00:00:00Z", 0, 17),
            hour("2015-05-17T01:00:00Z", -9_000, 16),
        ],
        ..Default::default()
    };
    let how = How { is_sum: true, columns: Vec::new(), ..usual(OutputFormat::Csv) };
    let expected = "date,count\n\
                    2015-05-17T10:00:00+05:30,1\n\
                    2015-05-18T01:30:00+05:30,1\n\
                    2015-05-17T00:00:00+00:00,1\n\
                    2015-05-16T22:30:00-02:30,1\n";
    assert_eq!(printed_so(how, &[part]), expected);
}

#[test]
fn an_answer_that_breaks_its_rules_is_no_answer() {
    let take = |periods| {
        let groups = vec![endpoint("GET", "/")];
        let part = QueryTotalsResponse { groups, periods: vec![periods], ..Default::default() };
        Printer::new(Vec::new(), usual(OutputFormat::Csv)).take(part).map(|_| ())
    };
    assert_eq!(take(period(5, 1, &[0], &[1])), Ok(()));
    assert!(matches!(take(period(5, 1, &[0], &[])), Err(Nonsense::Lengths { .. })));
    assert!(matches!(take(period(5, 1, &[1], &[1])), Err(Nonsense::Group { .. })));
}

#[test]
fn corrections_have_a_column_of_their_own() {
    let [mut part, ..] = parts();
    part.periods[0].correction = vec![-3, 0];
    let printed = |format, parts: &[QueryTotalsResponse]| {
        printed_so(How { has_corrections: true, ..usual(format) }, parts)
    };
    let csv = printed(OutputFormat::Csv, std::slice::from_ref(&part));
    assert!(
        csv.starts_with("date,method,path,count,correction\n2015-05-17,GET,\"/a,b\",1000,-3\n")
    );
    let table = printed(OutputFormat::Table, std::slice::from_ref(&part));
    assert!(table.contains("correction") && table.contains("-3"), "{table}");
    let json = printed(OutputFormat::Json, std::slice::from_ref(&part));
    assert!(json.contains("\"count\":1000,\"correction\":-3}"), "{json}");
    // Where none is, they are 0.
    part.periods[0].correction.clear();
    assert!(printed(OutputFormat::Csv, &[part]).contains(",1000,0\n"));
}

#[test]
fn lines_of_json_have_no_array() {
    let text = printed(OutputFormat::Jsonl, &parts());
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let array: serde_json::Value =
        serde_json::from_str(&printed(OutputFormat::Json, &parts())).expect("JSON");
    assert_eq!(serde_json::Value::Array(lines), array);
    assert_eq!(printed(OutputFormat::Jsonl, &[]), "");
}

#[test]
fn a_trend_is_a_line_for_each_group() {
    let of_day = |day, counts: &[i64]| QueryTotalsResponse {
        groups: if day == 1 { vec![endpoint("GET", "/b"), endpoint("GET", "/a")] } else { vec![] },
        periods: vec![period(5, day, &[0, 1], counts)],
        ..Default::default()
    };
    let parts = [of_day(1, &[10, 1_000]), of_day(3, &[30, 500])];
    let printed = |is_largest_first, limit, is_shown| {
        let trend =
            Some(TrendHow { by: crate::commands::requests::totals::By::Day, limit, is_shown });
        let mut out = Vec::new();
        let how = How { is_largest_first, trend, ..usual(OutputFormat::Table) };
        let mut printer = Printer::new(&mut out, how);
        for part in &parts {
            printer.take(part.clone()).expect("sense").expect("written");
        }
        let said = printer.finish().expect("written");
        (String::from_utf8(out).expect("text"), said)
    };
    let (table, (said, omitted)) = printed(false, None, true);
    let expected = "\
method  path  count  trend
GET     /a    1,500  \u{2588} \u{2584}
GET     /b       40  \u{2583} \u{2588}
";
    assert_eq!(table, expected);
    assert_eq!((said.requests, said.totals, said.groups, omitted), (1_540, 2, 2, None));
    let (table, (said, omitted)) = printed(true, Some(1), false);
    assert_eq!(table, "method  path  count\nGET     /a    1,500\n");
    assert_eq!((said.requests, said.totals), (1_500, 1));
    assert_eq!(omitted, Some(Omitted { totals: 1, requests: 40 }));
}
