//! JSON and CSV over HTTP: the same numbers as at every other door, the documented examples, and the
//! description of the API.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_testkit::{Response, has_programs, http, run_with};

use crate::support::{Home, LIMIT, Server, wait_for};

const TOTALS: &str = "GET /api/v1/requests/totals";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// A question of the command line as the query of a URL.
pub(crate) fn query_of(question: &str, live: bool) -> String {
    let mut query = format!("?live={live}");
    let mut add = |name: &str, value: &str| {
        let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        query.push_str(&format!("&{name}={value}"));
    };
    let mut words = question.split_whitespace();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--");
        match flag.map(|flag| flag.split_once('=').unwrap_or((flag, ""))) {
            Some(("sum", _)) => add("group_by", "none"),
            Some((flag, value)) => {
                let value = if word.contains('=') { value } else { words.next().expect("a value") };
                let name = flag.replace('-', "_");
                let is_groups = name == "group_by";
                add(&name, &if is_groups { value.replace('-', "_") } else { value.to_owned() });
            }
            None => {
                let (from, to) = word.split_once("..").unwrap_or((word, word));
                add("from", from);
                add("to", to);
            }
        }
    }
    query
}

/// What HTTP answers to a question of the command line, as lines of its CSV: from CSV, and from JSON.
#[track_caller]
pub(crate) fn answers(server: &Server, question: &str, live: bool) -> [String; 2] {
    let query = query_of(question, live);
    let csv = ask(server, &format!("{TOTALS}{query}"), &["accept: text/csv"]);
    let json = ask(server, &format!("{TOTALS}{query}"), &[]);
    let json: Value = serde_json::from_str(&json.body).expect("JSON");
    let columns = json["query"]["group_by"].as_array().expect("a list").iter();
    let columns: Vec<_> = columns.map(|column| column.as_str().expect("a name")).collect();
    let by = json["query"]["by"].as_str().expect("a name");
    let header = [&["date"], &columns[..], &["count"]].concat().join(",");
    let line = |total: &Value| {
        let cell = |column: &&str| match &total[*column] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let cells = columns.iter().map(cell);
        let date = date(total["time"].as_str().unwrap_or_default(), by);
        let cells: Vec<_> = [date].into_iter().chain(cells).chain([cell(&"count")]).collect();
        cells.join(",")
    };
    let lines = json["totals"].as_array().expect("a list").iter().map(line);
    let lines: Vec<_> = [header].into_iter().chain(lines).collect();
    [csv.body.replace("\r\n", "\n"), lines.join("\n") + "\n"]
}

/// What the command line calls a period that begins then.
fn date(time: &str, by: &str) -> String {
    let length = match by {
        "hour" | "quarter" => return time.replace('Z', "+00:00"),
        "month" => 7,
        "year" => 4,
        "whole" => 0,
        _ => 10,
    };
    time[..length.min(time.len())].to_owned()
}

#[track_caller]
fn ask(server: &Server, line: &str, headers: &[&str]) -> Response {
    let reply = http(&server.url, line, headers, "");
    assert_eq!(reply.status, 200, "{line}: {reply:?}");
    assert!(reply.is_whole, "{line}");
    reply
}

/// The days that nothing is counted in while the test asks.
const FROZEN: &str = "--from 2015-05-01 --to 2015-06-30";

#[test]
fn every_door_has_the_same_numbers_while_counting_goes_on() {
    let home = Home::postgres("every_door");
    let server = home.serve(&[]);
    for (at, path, status, count) in [
        ("2015-05-17T18:29:59Z", "/a", "200", "3"),
        ("2015-05-17T18:30:00Z", "/b", "503", "4"),
        ("2015-05-18T02:30:00Z", "/a", "200", "5"),
        ("2015-06-30T12:00:00Z", "/b", "404", "9007199254740993"),
    ] {
        let mut left: u64 = count.parse().expect("a number");
        // `add` takes less at once; the largest number is beyond what a float holds.
        let most = left.min(1_000);
        server.ok(&["add", "GET", path, "--at", at, "--status", status, "-n", &most.to_string()]);
        left -= most;
        if left > 0 {
            raise(&home, &server, left);
        }
    }
    let more = || server.ok(&["add", "GET", "/now", "--status", "200", "-n", "7"]);
    more();
    thread::scope(|scope| {
        // It is dropped when the test fails, too.
        let (going_on, ended) = mpsc::channel::<()>();
        let more = &more;
        scope.spawn(move || {
            while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
                more();
            }
        });
        let sums = thread::scope(|_| {
            let zones = ["UTC", "Asia/Kolkata", "America/St_Johns"];
            let bys = ["hour", "day", "week", "month", "whole"];
            let all = zones.iter().flat_map(|zone| bys.map(|by| (*zone, by)));
            all.map(|(zone, by)| agreed(&server, zone, by)).collect::<Vec<_>>()
        });
        // Of what is being counted a page shows one moment.
        Seen::at(&server, "range=7d&by=day").total();
        let view = view(&home);
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
        assert_eq!(view.iter().map(|(_, count)| count).sum::<i64>(), sums[0]);
        let of_days = server.ok(&arguments(&format!("{FROZEN} --sum"))).stdout;
        let expected: String = view.iter().map(|(day, count)| format!("{day},{count}\n")).collect();
        assert_eq!(of_days, format!("date,count\n{expected}"));
        drop(going_on);
    });
    let counted = server.totals(&["today", "--live", "--by", "whole"]);
    assert!(counted.values().sum::<i64>() >= 7, "counting went on: {counted:?}");
}

/// Makes a day of the books that large, as years of counting would.
fn raise(home: &Home, server: &Server, more: u64) {
    server.ok(&["fold"]);
    home.sql(&format!(
        "UPDATE tally_request_days SET total = total + {more},
             quarters = '[48,' || (substring(quarters from ',([0-9]+)')::INT8 + {more}) || ']'
         WHERE day = '2015-06-30';
         UPDATE tally_request_calendar SET stamp = gen_random_uuid() WHERE day = '2015-06-30'"
    ));
}

/// Asks gRPC, `tally totals`, CSV, JSON and the page, and returns the sum.
#[track_caller]
fn agreed(server: &Server, zone: &str, by: &str) -> i64 {
    let question = format!("{FROZEN} --tz {zone} --by {by} --group-by path,status");
    let line = server.ok(&arguments(&question)).stdout;
    let [csv, json] = answers(server, &question, true);
    assert_eq!(csv, line, "{question}");
    assert_eq!(json, line, "{question}");
    let (sum, lines) = over_grpc(server, zone, by);
    assert_eq!(lines, line.lines().count() - 1, "{question}");
    let counts = line.lines().skip(1).map(|line| line.rsplit_once(',').expect("a count").1);
    let line_sum: i64 = counts.map(|count| count.parse::<i64>().expect("a count")).sum();
    assert_eq!(sum, line_sum, "{question}");
    on_the_page(server, zone, by, sum);
    sum
}

/// Compares a page with `tally totals`: its number, the table of its chart, its endpoints and its statuses.
#[track_caller]
fn on_the_page(server: &Server, zone: &str, by: &str, sum: i64) {
    // A chart has so many hours of a few days only.
    let days = if by == "hour" { "--from 2015-05-16 --to 2015-05-19" } else { FROZEN };
    let totals = |more: &str| {
        let question = format!("{days} --tz {zone} {more}");
        let lines = server.ok(&arguments(&question)).stdout;
        let line = |line: &str| {
            let cells: Vec<_> = line.split(',').collect();
            let [first, .., count] = *cells else { panic!("{line}") };
            let name = if first.is_empty() { cells[1] } else { first };
            (name.to_owned(), count.parse::<i64>().expect("a count"))
        };
        lines.lines().skip(1).map(line).collect::<Vec<_>>()
    };
    let words: Vec<_> = days.split_whitespace().collect();
    let chart = if by == "whole" { "month" } else { by };
    let query = format!("from={}&to={}&tz={zone}&by={chart}", words[1], words[3]);
    let seen = Seen::at(server, &query);
    let total = seen.total();
    assert_eq!(total, totals("--by whole --sum")[0].1, "{query}");
    if by != "hour" {
        assert_eq!(total, sum, "{query}");
    }
    // The page names periods as people do, and shows those without requests.
    let name = |date: &str| match chart {
        "hour" => {
            let at: jiff::civil::DateTime = date[..19].parse().expect("a time");
            at.strftime("%a %-d %b %Y, %H:%M").to_string()
        }
        "month" => {
            let first: jiff::civil::Date = format!("{date}-01").parse().expect("a month");
            first.strftime("%B %Y").to_string()
        }
        _ => {
            let format = if chart == "week" { "Week of %-d %b %Y" } else { "%a %-d %b %Y" };
            date.parse::<jiff::civil::Date>().expect("a day").strftime(format).to_string()
        }
    };
    let expected = totals(&format!("--by {chart} --sum"));
    let expected: Vec<_> = expected.iter().map(|(date, count)| (name(date), *count)).collect();
    assert_eq!(seen.periods, expected, "{query}");
    let sorted = |mut all: Vec<(String, i64)>| {
        all.sort_unstable();
        all
    };
    let paths = totals("--by whole --group-by path");
    assert_eq!(sorted(seen.endpoints), sorted(paths), "{query}");
    let statuses = totals("--by whole --group-by status");
    assert_eq!(sorted(seen.statuses), sorted(statuses), "{query}");
}

/// What a page shows, as its HTML has it.
#[derive(Debug)]
struct Seen {
    number: i64,
    /// Those with requests, in order.
    periods: Vec<(String, i64)>,
    endpoints: Vec<(String, i64)>,
    statuses: Vec<(String, i64)>,
}

impl Seen {
    #[track_caller]
    fn at(server: &Server, query: &str) -> Self {
        let html = ask(server, &format!("GET /requests?{query}"), &["accept: text/html"]).body;
        let part = |after: &str| {
            let (_, rest) = html.split_once(after).unwrap_or_else(|| panic!("{after}: {html}"));
            rest.split("</section>").next().unwrap_or_default()
        };
        // Each entry's name and number.
        let entries = |part: &str, entry: &str, name: &str, number: &str| {
            let entries = part.split(entry).skip(1);
            let read = |text: &str| (text_of(text, name), number_of(&text_of(text, number)));
            entries.map(read).filter(|(_, count)| *count > 0).collect::<Vec<_>>()
        };
        let number = number_of(&text_of(&html, "<strong id=\"total\""));
        let numbers = part("<details class=\"numbers\">").split("</details>").next();
        let row = "<th scope=\"row\"";
        let mut periods = entries(numbers.unwrap_or_default(), row, "", "<td class=\"number\"");
        periods.reverse();
        let endpoints = part("<section class=\"endpoints\"");
        let statuses = part("aria-labelledby=\"statuses\"");
        Self {
            number,
            periods,
            endpoints: entries(
                endpoints,
                "<tr><th class=\"name\" scope=\"row\"",
                "<span class=\"path\"",
                "<td class=\"number\"",
            ),
            statuses: entries(statuses, "<li>", "<span class=\"name\"", "<span class=\"number\""),
        }
    }

    /// The number, which is that of every part.
    #[track_caller]
    fn total(&self) -> i64 {
        for part in [&self.periods, &self.endpoints, &self.statuses] {
            assert_eq!(part.iter().map(|(_, count)| count).sum::<i64>(), self.number, "{self:?}");
        }
        self.number
    }
}

/// The text of the first element that begins with this, without the elements within it that have none.
fn text_of(html: &str, element: &str) -> String {
    let (_, rest) = html.split_once(element).unwrap_or_else(|| panic!("{element}: {html}"));
    let texts = rest.split('>').skip(1).map(|rest| rest.split('<').next().unwrap_or_default());
    texts.map(str::trim).find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}

/// A number as people read it.
#[track_caller]
fn number_of(text: &str) -> i64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{text} is a number"))
}

fn over_grpc(server: &Server, zone: &str, by: &str) -> (i64, usize) {
    let granularity = match by {
        "hour" => proto::Granularity::Hour,
        "week" => proto::Granularity::Week,
        "month" => proto::Granularity::Month,
        "whole" => proto::Granularity::Whole,
        _ => proto::Granularity::Day,
    };
    let request = proto::QueryTotalsRequest {
        from: Some(Date { year: 2015, month: 5, day: 1 }),
        to: Some(Date { year: 2015, month: 6, day: 30 }),
        granularity: granularity.into(),
        time_zone: zone.to_owned(),
        group_by: vec![proto::GroupBy::Path.into(), proto::GroupBy::Status.into()],
        live: true,
        ..Default::default()
    };
    wait_for(async {
        let client = RequestServiceClient::connect(server.url.clone()).await;
        let mut client = client.expect("the server listens");
        let mut answers = client.query_totals(request).await.expect("totals").into_inner();
        let (mut sum, mut count) = (0, 0);
        while let Some(answer) = answers.message().await.expect("totals") {
            let counts = answer.periods.iter().flat_map(|period| &period.count);
            counts.for_each(|one| (sum, count) = (sum + one, count + 1));
        }
        (sum, count)
    })
}

/// The days of the view, and how many requests each has.
fn view(home: &Home) -> Vec<(String, i64)> {
    let sql = "SELECT CAST(day AS TEXT), sum(total)::INT8 FROM tally_totals_by_day
               WHERE day BETWEEN '2015-05-01' AND '2015-06-30' GROUP BY day ORDER BY day";
    let rows = wait_for(async { home.database().connect().await.query(sql, &[]).await });
    rows.expect("the view is there").iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn arguments(question: &str) -> Vec<&str> {
    let words = ["totals", "--live", "--format", "csv"].into_iter();
    words.chain(question.split_whitespace()).collect()
}

#[test]
fn the_documented_examples_print_what_is_documented() {
    if !has_programs(&["curl", "jq"]) {
        return;
    }
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let page = fs::read_to_string(Path::new(ROOT).join("docs/http.md")).expect("the page");
    for line in page.lines().filter(|line| line.starts_with("tally add ")) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        server.ok(&words);
    }
    let mut asked = 0;
    for (command, expected) in examples(&page) {
        let command = command.replace("http://127.0.0.1:7777", &server.url);
        let mut shell = Command::new("sh");
        let output = run_with(shell.args(["-c", &command]), b"", LIMIT, None);
        assert!(output.status.success(), "{command}: {output:?}");
        assert_eq!(output.stdout, expected, "{command}");
        asked += 1;
    }
    assert!(asked >= 15, "{asked} examples");
}

/// The commands with curl of a page's consoles, and what they print.
fn examples(page: &str) -> Vec<(String, String)> {
    let consoles = page.split("```console\n").skip(1);
    let consoles = consoles.map(|rest| rest.split("```").next().expect("an end"));
    let mut all: Vec<(String, String)> = Vec::new();
    for console in consoles.filter(|console| console.starts_with("$ curl ")) {
        for line in console.lines() {
            match (line.strip_prefix("$ "), all.last_mut()) {
                (Some(command), _) => all.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => output.push_str(&format!("{line}\n")),
                (None, None) => {}
            }
        }
    }
    all
}

#[test]
fn the_description_of_the_api_is_the_committed_one() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let served = ask(&server, "GET /api/v1/openapi.json", &[]).body;
    let committed =
        fs::read_to_string(Path::new(ROOT).join("docs/openapi.json")).unwrap_or_default();
    assert_eq!(
        committed, served,
        "docs/openapi.json is stale: curl -s http://127.0.0.1:7777/api/v1/openapi.json > docs/openapi.json"
    );
}
