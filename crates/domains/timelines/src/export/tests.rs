//! The rules of the viewers, as their importers have them, and that nothing is lost.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chart::chart;
use crate::chart::tests::{at, event, timeline};
use crate::message::Status;
use crate::model::{Event, Standing};

fn shown(mut events: Vec<Event>, now: i64) -> Shown {
    for (event, number) in events.iter_mut().zip(1..) {
        event.number = number;
    }
    let chart = chart(&events, &HashMap::new(), at(now));
    Shown { timeline: timeline(&events), events, chart, now: at(now) }
}

fn text(shown: &Shown, format: Format) -> String {
    let exported = export("deploy", shown, format, None).expect("it is exported");
    String::from_utf8(exported.text).expect("UTF-8")
}

fn json_of(shown: &Shown, format: Format) -> Value {
    serde_json::from_str(&text(shown, format)).expect("JSON")
}

/// One that ended, one below it, one that failed and ended before its start, one that is open, and a point.
fn some() -> Shown {
    let mut failed = event("db.check", "web-1", 6, Some(5));
    failed.attempt.end.as_mut().expect("an end").status = Status::Failed;
    let mut point = event("tag", "", 7, Some(7));
    point.is_point = true;
    let mut whole = event("db", "web-1", 1, Some(9));
    whole.attempt.start.as_mut().expect("a start").attributes.insert("ref".into(), "a1".into());
    let inner = event("db.migrate.one", "web-1", 2, Some(4));
    shown(vec![whole, inner, failed, event("warm-up", "web-2", 8, None), point], 20)
}

/// inception-health/otel-export-trace-action#9: a running job is exported as one of length zero. Here it is a slice
/// that is not finished.
#[test]
fn perfetto_has_a_slice_for_each_event() {
    let document = json_of(&some(), Format::Chrome);
    let all = document["traceEvents"].as_array().expect("events");
    let base = 1_900_000_000_000_000_i64;
    let second = |seconds: i64| json!(base + seconds * 1_000_000);
    let slices: Vec<_> = all.iter().filter(|one| one["ph"] != "M").collect();
    let brief: Vec<_> = slices
        .iter()
        .map(|one| json!([one["ph"], one["name"], one["tid"], one["ts"], one["dur"]]))
        .collect();
    let expected = json!([
        ["i", "tag", 1, second(7), null],
        ["X", "db", 2, second(1), 8_000_000],
        ["X", "db.migrate.one", 2, second(2), 2_000_000],
        ["X", "db.check", 2, second(6), 0],
        ["B", "warm-up", 3, second(8), null],
    ]);
    assert_eq!(json!(brief), expected);
    assert_eq!(slices[1]["args"]["attributes"], json!({"ref": "a1"}));
    assert_eq!(slices[3]["args"]["reversed_us"], 1_000_000);
    assert_eq!(slices[3]["args"]["end"], "2030-03-17T17:46:45Z", "as it was sent");
    assert!(slices[4]["args"].get("end").is_none());
    let named: Vec<_> = all.iter().filter(|one| one["name"] == "thread_name").collect();
    let named: Vec<_> = named.iter().map(|one| json!([one["tid"], one["args"]["name"]])).collect();
    assert_eq!(json!(named), json!([[1, "no host"], [2, "web-1"], [3, "web-2"]]));
    assert_eq!(all[0]["args"]["name"], "deploy, timeline 7");
}

/// Neither has open spans: what is open is left out, and named.
#[test]
fn traces_have_what_is_over_and_name_what_is_not() {
    let document = json_of(&some(), Format::Otlp);
    let hosts = document["resourceSpans"].as_array().expect("hosts");
    let spans: Vec<_> = hosts
        .iter()
        .flat_map(|host| host["scopeSpans"][0]["spans"].as_array().expect("spans"))
        .map(|one| {
            json!([
                one["name"],
                one["spanId"],
                one["parentSpanId"],
                one["startTimeUnixNano"],
                one["endTimeUnixNano"],
                one["status"]
            ])
        })
        .collect();
    let nanos = |seconds: i64| json!(format!("{}000000000", 1_900_000_000 + seconds));
    let expected = json!([
        ["tag", "0000000000000005", null, nanos(7), nanos(7), {}],
        ["db", "0000000000000001", null, nanos(1), nanos(9), {"code": 1}],
        ["migrate.one", "0000000000000002", "0000000000000001", nanos(2), nanos(4), {"code": 1}],
        ["check", "0000000000000003", "0000000000000001", nanos(6), nanos(6), {"code": 2}],
    ]);
    assert_eq!(json!(spans), expected);
    let of_web_2 = &hosts[2]["resource"]["attributes"];
    let left_out = json!({"key": "tally.left_out",
        "value": {"arrayValue": {"values": [{"stringValue": "warm-up: open"}]}}});
    assert!(of_web_2.as_array().expect("a list").contains(&left_out), "{of_web_2}");

    let document = json_of(&some(), Format::Jaeger);
    let trace = &document["data"][0];
    let spans: Vec<_> = trace["spans"]
        .as_array()
        .expect("spans")
        .iter()
        .map(|one| {
            json!([
                one["operationName"],
                one["startTime"],
                one["duration"],
                one["references"][0]["spanID"],
                one["processID"],
                one["warnings"][0]
            ])
        })
        .collect();
    let micros = |seconds: i64| json!((1_900_000_000 + seconds) * 1_000_000);
    let expected = json!([
        ["tag", micros(7), 0, null, "p1", null],
        ["db", micros(1), 8_000_000, null, "p2", null],
        ["migrate.one", micros(2), 2_000_000, "0000000000000001", "p2", null],
        ["check", micros(6), 0, "0000000000000001", "p2", "its end is 1.0 s before its start"],
    ]);
    assert_eq!(json!(spans), expected);
    assert_eq!(trace["processes"]["p3"]["tags"][2]["value"], "warm-up: open");
    assert_eq!(trace["processes"]["p1"]["serviceName"], "deploy");
}

#[test]
fn mermaid_has_a_line_for_each_event() {
    let expected = "\
gantt
    title deploy， timeline 7, UTC
    dateFormat YYYY-MM-DDTHH:mm:ss.SSS
    axisFormat %H:%M:%S
    section db
    ✓ db (web-1) :done, 2030-03-17T17:46:41.000, 8000ms
    ✗ db.check (web-1) :crit, 2030-03-17T17:46:46.000, 0ms
    ✓ db.migrate.one (web-1) :done, 2030-03-17T17:46:42.000, 2000ms
    section tag
    ◆ tag :milestone, 2030-03-17T17:46:47.000, 0ms
    section warm-up
    ▶ warm-up (web-2) (open) :active, 2030-03-17T17:46:48.000, 12000ms
";
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<HashSet<_>>();
    let text_of = text(&some(), Format::Mermaid);
    assert_eq!(lines(&text_of), lines(expected), "{text_of}");
    assert_eq!(text(&some(), Format::Markdown), format!("```mermaid\n{text_of}```\n"));
}

#[test]
fn csv_and_svg_have_every_event() {
    let csv = text(&some(), Format::Csv);
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(csv.lines().any(|line| line.contains("warm-up") && line.contains(",open,")), "{csv}");
    assert!(text(&some(), Format::Svg).contains("5 events, 1 open, 1 failed"));
}

/// catchpoint/workflow-telemetry-action#35, Kesin11/actions-timeline PR#76: a long timeline is several diagrams.
#[test]
fn a_long_timeline_has_several_diagrams() {
    let name = |n: i64| format!("{}.{n}", "x".repeat(70));
    let events = (0..1_000).map(|n| event(&name(n), "", n, Some(n + 1))).collect();
    let shown = shown(events, 2_000);
    let refused = export("deploy", &shown, Format::Mermaid, None).expect_err("it is too long");
    assert!(
        refused.to_string().contains("ask for part 1 to 3, or for the format markdown"),
        "{refused}"
    );
    let parts: Vec<_> = (1..=3)
        .map(|part| export("deploy", &shown, Format::Mermaid, Some(part)).expect("a part"))
        .map(|part| String::from_utf8(part.text).expect("UTF-8"))
        .collect();
    assert_eq!(parts.iter().map(|part| tasks(part)).sum::<usize>(), 1_000);
    assert!(export("deploy", &shown, Format::Mermaid, Some(4)).is_err());
    assert!(export("deploy", &shown, Format::Csv, Some(2)).is_err());
    assert_eq!(text(&shown, Format::Markdown).matches("```mermaid\n").count(), 3);
}

/// What Mermaid's lexer takes for something else than a task, at the beginning of a line.
const KEYWORDS: [&str; 19] = [
    "gantt",
    "topaxis",
    "inclusiveenddates",
    "title ",
    "section ",
    "click ",
    "call ",
    "dateformat ",
    "axisformat ",
    "tickinterval ",
    "excludes ",
    "includes ",
    "todaymarker ",
    "weekday ",
    "weekend ",
    "acctitle",
    "accdescr",
    "%%",
    "href",
];

/// How many tasks a diagram has, by the grammar of Mermaid; everything else in it is a line of its head, or a
/// section.
fn tasks(diagram: &str) -> usize {
    assert!(diagram.encode_utf16().count() < 50_000);
    let mut lines = diagram.lines();
    assert_eq!(lines.next(), Some("gantt"));
    let mut tasks = 0;
    for line in lines {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if ["title ", "dateFormat ", "axisFormat ", "section "]
            .iter()
            .any(|of| line.starts_with(of))
        {
            continue;
        }
        let lower = line.to_lowercase();
        assert!(!KEYWORDS.iter().any(|keyword| lower.starts_with(keyword)), "{line:?}");
        let (name, data) = line.split_once(':').expect("a task has data");
        assert!(!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()), "{line:?}");
        assert!(!line.contains(['%', '#', ';']), "{line:?}");
        let fields: Vec<_> = data.split(',').map(str::trim).collect();
        let [tag, start, took] = fields[..] else { panic!("{line:?} has {fields:?}") };
        assert!(["done", "crit", "active", "milestone"].contains(&tag), "{line:?}");
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let shape: String =
            start.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000", "{line:?}");
        assert!(took.strip_suffix("ms").is_some_and(digits), "{line:?}");
        tasks += 1;
    }
    tasks
}

/// google/perfetto#4280, #503, #432, #254: what overlaps vanishes, or swaps its ends. On a thread here nothing
/// overlaps that does not nest.
fn nests(document: &Value, count: usize) {
    let mut stacks: HashMap<i64, Vec<i64>> = HashMap::new();
    let (mut slices, mut last) = (0, HashMap::new());
    for one in document["traceEvents"].as_array().expect("events") {
        let (start, tid) = (one["ts"].as_i64(), one["tid"].as_i64().expect("a thread"));
        let end = match one["ph"].as_str().expect("a phase") {
            "M" => continue,
            "i" => start,
            "B" => Some(i64::MAX),
            "X" => start.zip(one["dur"].as_i64()).map(|(start, dur)| start + dur),
            other => panic!("{other}"),
        };
        let (start, end) = (start.expect("a time"), end.expect("a duration"));
        slices += 1;
        assert!(start <= end && last.insert(tid, start).is_none_or(|last| last <= start), "{one}");
        let stack = stacks.entry(tid).or_default();
        stack.retain(|until| *until > start);
        assert!(stack.last().is_none_or(|until| *until >= end), "{one} is cut off");
        stack.push(end);
    }
    assert_eq!(slices, count, "each event is a slice");
}

/// Events with any names, that overlap in any way.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let odd = prop_oneof![
        "[a-c]{1,2}",
        "\\PC{1,12}",
        "[ :;#,%\u{a0}\u{feff}\u{2028}`<>{}\"'=-]{1,6}",
        prop::sample::select(&KEYWORDS[..]).prop_map(str::to_owned),
        Just("2030-01-01".to_owned()),
        Just("5% %% done".to_owned()),
    ];
    let part =
        odd.prop_map(|part| part.replace('.', "")).prop_filter("a part", |part| !part.is_empty());
    let name = prop::collection::vec(part.clone(), 1..4).prop_map(|parts| parts.join("."));
    let host = prop_oneof![Just(String::new()), Just("web-1".to_owned()), part];
    let one = (name, host, -20_i64..100, prop::option::of(-30_i64..100), 0..4_u8);
    let made = |(name, host, from, until, kind): (String, String, _, _, u8)| {
        let mut event = event(&name, &host, from, until);
        match (kind, until) {
            (1, Some(_)) => event.attempt.start = None,
            (2, Some(_)) => event.is_point = true,
            (1 | 2, None) => event.abandoned = Some(at(150)),
            (3, Some(_)) => event.attempt.end.as_mut().expect("an end").status = Status::Failed,
            _ => {}
        }
        event
    };
    prop::collection::vec(one.prop_map(made), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_whatever_its_name(events in events()) {
        let shown = shown(events, 200);
        let open = |one: &&Event| matches!(one.standing(), Standing::Open | Standing::Abandoned);
        let (count, open) = (shown.events.len(), shown.events.iter().filter(open).count());
        nests(&json_of(&shown, Format::Chrome), count);
        prop_assert_eq!(tasks(&text(&shown, Format::Mermaid)), count);
        let jaeger = json_of(&shown, Format::Jaeger);
        let spans = jaeger["data"][0]["spans"].as_array().expect("spans");
        prop_assert_eq!(spans.len(), count - open);
        let ids: HashSet<_> = spans.iter().map(|span| span["spanID"].as_str()).collect();
        prop_assert_eq!(ids.len(), spans.len());
        for span in spans {
            let parent = span["references"][0]["spanID"].as_str();
            prop_assert!(parent.is_none() || ids.contains(&parent), "{} is below nothing", span);
        }
        let otlp = json_of(&shown, Format::Otlp);
        let hosts = otlp["resourceSpans"].as_array().expect("hosts").iter();
        let spans = hosts.flat_map(|host| host["scopeSpans"][0]["spans"].as_array().expect("spans"));
        prop_assert_eq!(spans.count(), count - open);
        // Names may have ends of lines only within quotes, and none has.
        prop_assert_eq!(text(&shown, Format::Csv).matches("\r\n").count(), count + 1);
        let svg = text(&shown, Format::Svg);
        prop_assert_eq!(svg.matches("<g class=\"").count(), shown.chart_rows() + 6);
    }
}

impl Shown {
    /// How many rows the picture has: those of all hosts.
    fn chart_rows(&self) -> usize {
        by_host(&self.chart, &self.events, self.now).iter().map(|lane| lane.rows.len()).sum()
    }
}

/// Times that no clock has: the end is years before the start, before 1970, or beyond what is drawn.
#[test]
fn no_duration_is_negative_or_wrapped() {
    let years = |years: i64| SignedDuration::from_hours(24 * 365 * years).as_secs();
    let events = vec![
        event("reversed", "", years(10), Some(-years(40))),
        event("old", "", -years(250), Some(-years(70))),
        event("long", "", -years(59), Some(years(200))),
    ];
    let shown = shown(events, 0);
    nests(&json_of(&shown, Format::Chrome), 3);
    assert_eq!(tasks(&text(&shown, Format::Mermaid)), 3);
    let jaeger = json_of(&shown, Format::Jaeger);
    let trace = &jaeger["data"][0];
    let spans = trace["spans"].as_array().expect("spans");
    let durations: Vec<_> = spans.iter().map(|span| span["duration"].as_u64()).collect();
    let long = u64::try_from(years(259)).expect("later") * 1_000_000;
    assert_eq!(durations, [Some(0), Some(long)]);
    assert_eq!(trace["processes"]["p1"]["tags"][1]["value"], "old: before 1970");
    assert!(!text(&shown, Format::Svg).contains("\"-"), "nothing is drawn outside");
}
