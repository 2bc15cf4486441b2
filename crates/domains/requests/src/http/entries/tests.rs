//! What is read, what is refused, and in which words.

use axum::body::to_bytes;
use axum::response::IntoResponse as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::intake::Rules;
use crate::model::Namespace;

const RULES: Rules = Rules { namespace: Namespace::DEFAULT, path_bytes_max: 2_048, now_micros: 0 };

fn read(form: Form, body: &[u8]) -> Result<Vec<Entry<'_>>, Problem> {
    let check = |entry: &Entry<'_>| entry.check(RULES);
    Reading::new(form, Mistakes::default(), &check).read(body)
}

/// The mistakes, as field and text.
async fn mistakes(form: Form, body: &str) -> Vec<(String, String)> {
    let problem = read(form, body.as_bytes()).expect_err("mistakes");
    let body = to_bytes(problem.into_response().into_body(), 1 << 20).await.expect("a body");
    let problem: Value = serde_json::from_slice(&body).expect("JSON");
    let text = |one: &Value, name| one[name].as_str().expect("a text").to_owned();
    let all = problem["mistakes"].as_array().expect("a list").iter();
    all.map(|one| (text(one, "field"), text(one, "detail"))).collect()
}

#[test]
fn a_list_and_lines_of_it_say_the_same() {
    let entries = [
        json!({"method": "GET", "path": "/"}),
        json!({
            "requests": 1_000_000, "customer": "acme", "status": 200, "service": "shop",
            "time": "1970-01-01T01:00:00.000001+01:00", "path": "/é\"\\\n", "method": "PROPFIND",
        }),
        json!({
            "method": "", "path": "/", "time": null, "service": null, "status": null,
            "customer": null, "requests": null,
        }),
        json!({"method": "GET", "path": "/", "time": "1969-12-31T23:59:59.9999999Z"}),
    ];
    let list = Value::from(entries.to_vec()).to_string();
    let lines: Vec<_> = entries.iter().map(Value::to_string).collect();
    let lines = format!("\n{}\r\n\n", lines.join("\n"));
    let read_list = read(Form::List, list.as_bytes()).expect("a list");
    assert_eq!(read_list, read(Form::Lines, lines.as_bytes()).expect("lines"));
    let one = Entry {
        service: "".into(),
        method: "GET".into(),
        path: "/".into(),
        status: 0,
        customer: "".into(),
        micros: None,
        requests: 1,
    };
    let full = Entry {
        service: "shop".into(),
        method: "PROPFIND".into(),
        path: "/é\"\\\n".into(),
        status: 200,
        customer: "acme".into(),
        micros: Some(1),
        requests: 1_000_000,
    };
    let empty = Entry { method: "".into(), ..one.clone() };
    let cut_off = Entry { micros: Some(-1), ..one.clone() };
    assert_eq!(read_list, [one, full, empty, cut_off]);
}

#[tokio::test]
async fn every_mistake_has_its_position_and_its_field() {
    let list = r#"[
        {"method": "GET", "path": "/"},
        {"method": 3, "path": null, "time": "yesterday", "status": 1000, "requests": 0},
        {"path": "/", "method": "GET", "staus": 200, "path": "/again"},
        {"method": "GET", "path": "/", "service": [1], "customer": {}, "status": -1, "requests": 1.5},
        {"method": "GET", "path": true, "status": "200", "time": 0}
    ]"#;
    let expected = [
        ("entry 2: method", "it is a number, and must be a text"),
        ("entry 2: path", "it is missing"),
        ("entry 2: time", "it must be like 2030-06-15T12:00:00.5Z, with an offset: "),
        ("entry 2: status", "it is 1000, and may be at most 999"),
        ("entry 2: requests", "it is 0, and an entry may stand for 1 to 1000000"),
        ("entry 3: staus", "it is unknown; the fields are method, path, time, "),
        ("entry 3: path", "it is given twice"),
        ("entry 4: service", "it is a list, and must be a text"),
        ("entry 4: status", "it is a negative number, and must be a whole number"),
        ("entry 4: customer", "it is an object, and must be a text"),
        ("entry 4: requests", "it is a fraction, or too large a number, and must be"),
        ("entry 5: path", "it is true or false, and must be a text"),
        ("entry 5: time", "it is a number, and must be a text"),
        ("entry 5: status", "it is a text, and must be a whole number"),
    ];
    let found = mistakes(Form::List, list).await;
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((field, text), (expected, words)) in found.iter().zip(expected) {
        assert!(field == expected && text.starts_with(words), "{field}: {text}");
    }
    // Lines have the same mistakes, and one that is no JSON spares the others.
    let lines = "{\"method\": 3, \"path\": \"/\"}\n\n{\"method\": \"GET\" \"path\"}\n7\n{} {}";
    let found = mistakes(Form::Lines, lines).await;
    let expected = [
        ("line 1: method", "it is a number, and must be a text"),
        ("line 3", "expected `,` or `}` at column 18"),
        ("line 4", "invalid type: integer `7`, expected an entry, which is an object at column 1"),
        ("line 5: method", "it is missing"),
        ("line 5: path", "it is missing"),
        ("line 5", "trailing characters at column 4"),
    ];
    let expected = expected.map(|(field, text)| (field.to_owned(), text.to_owned()));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_body_that_is_no_list_of_a_few_entries_is_refused() {
    for (form, body, text) in [
        (Form::List, "", "it is empty: send a list"),
        (Form::List, "[", "EOF while parsing a list at line 1 column 1"),
        (Form::List, "[]", "it has no entry"),
        (Form::List, " \n", "it is empty: send a list"),
        (Form::List, "{}", "it is no list: put the entry into [ ], or send application/x-ndjson"),
        (Form::List, "7", "invalid type: integer `7`, expected a list of entries at line 1"),
        (Form::List, "[] []", "trailing characters at line 1 column 4"),
        (Form::List, "[7]", "expected an entry, which is an object at line 1 column 2"),
        (Form::Lines, "\n \n", "it has no entry"),
    ] {
        let found = mistakes(form, body).await;
        assert!(found.len() == 1 && found[0].0 == "body", "{body}: {found:?}");
        assert!(found[0].1.contains(text), "{body}: {found:?}");
    }
    let entry = r#"{"method":"GET","path":"/"}"#;
    let most = vec![entry; ENTRIES_MAX];
    let list = |entries: &[&str]| format!("[{}]", entries.join(","));
    assert_eq!(read(Form::List, list(&most).as_bytes()).expect("a list").len(), ENTRIES_MAX);
    let more = [&most[..], &[entry]].concat();
    let words =
        ("body".to_owned(), "it has more than 10000 entries, which are the most".to_owned());
    assert_eq!(mistakes(Form::List, &list(&more)).await, std::slice::from_ref(&words));
    assert_eq!(mistakes(Form::Lines, &more.join("\n")).await, std::slice::from_ref(&words));
    // Nobody reads on after these.
    let more = [&more[..], &["7"]].concat();
    assert_eq!(mistakes(Form::List, &list(&more)).await, std::slice::from_ref(&words));
    assert_eq!(mistakes(Form::Lines, &more.join("\n")).await, [words]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::List, Form::Lines] {
            let _ = read(form, &body);
        }
    }

    /// Nearly right: most of it passes the first checks.
    #[test]
    fn a_changed_byte_is_read_or_refused(at: prop::sample::Index, value: u8) {
        let entry = r#"{"method":"GET","path":"/a","time":"2015-05-17T10:00:00Z","status":200}"#;
        for (form, text) in [
            (Form::List, format!("[{entry},{entry}]")),
            (Form::Lines, format!("{entry}\n{entry}")),
        ] {
            let mut body = text.into_bytes();
            let at = at.index(body.len());
            body[at] = value;
            let _ = read(form, &body);
        }
    }
}
