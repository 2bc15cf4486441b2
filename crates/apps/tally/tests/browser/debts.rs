//! The pages of debts: how they look, that they follow what happens, and that forms need no script.

use serde_json::{Value, json};
use tally_runtime::{Clock as _, SystemClock};
use tally_testkit::http;

use crate::clean::{check, looks};
use crate::driver::{Browser, Look};
use crate::support::{Home, Server};

/// The pages, and what their pictures are called.
const PAGES: &[(&str, &str)] = &[
    ("debts", "/debts"),
    ("debts-late", "/debts?status=late"),
    ("debts-none", "/debts?search=nothing"),
    ("debt", "/debts/backup"),
    ("debt-down", "/debts/failing"),
    ("debt-hostile", "/debts/hostile"),
    ("debt-new", "/debts/never"),
    ("debt-add", "/debts/new/form"),
    ("debt-change", "/debts/backup/edit"),
    ("debt-forget", "/debts/backup/forget"),
    ("debts-overview", "/"),
];

#[track_caller]
fn post(server: &Server, path: &str, body: &Value) {
    let line = format!("POST /api/v1/debts{path}");
    let answer = http(&server.url, &line, &["content-type: application/json"], body.to_string());
    assert!((200..300).contains(&answer.status), "{line}: {answer:?}");
}

/// A server with debts of every kind.
#[track_caller]
fn open(home: &Home) -> Server {
    let server = home.serve(&[]);
    let add = |debt: Value| post(&server, "", &debt);
    add(json!({"slug": "backup", "name": "Nightly backup of the shop", "tags": ["db", "shop"],
        "description": "Writes to the second site.\nIf it is down: look at its log.",
        "cron": "0 3 * * *", "time_zone": "Europe/Berlin", "grace": "1h", "start_limit": "5m",
        "run_limit": "2h", "stages": [{"name": "upload", "time_out": "1h"}]}));
    add(json!({"slug": "beat", "every": "1m", "grace": "1d"}));
    add(json!({"slug": "late", "every": "1s", "grace": "30d", "tags": ["db"]}));
    add(json!({"slug": "failing", "name": "Report", "every": "1d"}));
    add(json!({"slug": "never", "every": "7d"}));
    add(json!({"slug": "release", "deadline": "2099-12-31T18:00:00Z"}));
    add(json!({"slug": "paused", "every": "1h"}));
    post(&server, "/paused/pause", &json!({}));
    add(
        json!({"slug": "hostile", "name": format!("<b>x</b>\u{202e}gnp.exe {}", "long".repeat(20)),
        "description": format!("<script>alert(1)</script>\n{}", "x".repeat(500)), "every": "1d",
        "tags": ["\"><img/src=x>", &"t".repeat(50)]}),
    );
    add(json!({"slug": "a".repeat(100), "every": "1d"}));
    let now = SystemClock.now().as_second();
    let pay = |debt: &str, run: i64, kind: &str, ago: i64, body: &str| {
        let time = jiff::Timestamp::from_second(now - ago).expect("a time").to_string();
        let payment =
            json!({"kind": kind, "run": format!("run-{run}"), "time": time, "body": body});
        post(&server, &format!("/{debt}/payments"), &payment);
    };
    for run in 0..14 {
        let ago = 4_000 + (14 - run) * 86_400;
        pay("backup", run, "start", ago, "");
        let kind = if run == 6 { "fail" } else { "success" };
        pay("backup", run, kind, ago - 900 - run * run % 7 * 300, "copied 31 GB\ndone");
    }
    pay("backup", 14, "start", 600, "");
    pay("failing", 1, "fail", 60, "no such table: orders\n");
    let hostile = "<img src=x onerror=alert(1)>\u{202e}\t\u{1b}[31m\n".repeat(30);
    pay("hostile", 1, "success", 60, &(hostile + &"y".repeat(3_000)));
    pay("beat", 1, "success", 5, "");
    server
}

#[test]
fn every_page_of_debts_is_clean_in_every_look() {
    let home = Home::sqlite();
    let server = open(&home);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, path) in PAGES {
            browser.open(&format!("{}{path}", server.url));
            browser.run("document.querySelectorAll('details').forEach(one => { one.removeAttribute('name'); one.open = true })");
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
            let strange = "document.querySelectorAll('main script, main img, main b').length";
            assert_eq!(browser.text(strange), "0", "{name}");
        }
    }
}

#[test]
fn an_empty_board_says_how_to_begin() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, path) in [("debts-first", "/debts"), ("debts-first-overview", "/")] {
            browser.open(&format!("{}{path}", server.url));
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
        }
    }
    // What stands there to be pasted works.
    browser.open(&format!("{}/debts", server.url));
    let first = browser.text("document.querySelector('pre').textContent.split('\\n')[0]");
    server.ok(&[
        "debts",
        "add",
        "backup",
        "--cron",
        "0 3 * * *",
        "--tz",
        "Europe/Berlin",
        "--grace",
        "1h",
    ]);
    assert!(first.starts_with("tally debts add backup --cron '0 3 * * *' --tz Europe/Berlin"));
    browser.await_that("document.querySelector('h1').textContent === 'Debts'");
}

/// A debt goes down, and is paid, while somebody looks.
#[test]
fn what_happens_is_seen_without_a_reload() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    post(&server, "", &json!({"slug": "beat", "every": "1s"}));
    let browser = Browser::start();
    browser.open(&format!("{}/debts/beat", server.url));
    browser.run("window.isTheSame = true");
    browser.await_that("document.querySelector('#standing .badge').textContent === 'Down'");
    browser.await_that("document.querySelector('#standing').textContent.includes('not paid')");
    browser.await_that("document.title.startsWith('beat is down')");
    browser.await_that("document.querySelectorAll('.events li').length === 1");
    server.ok(&["debts", "change", "beat", "--every", "1d"]);
    post(&server, "/beat/payments", &json!({}));
    browser.await_that("document.querySelector('#standing .badge').textContent === 'Up'");
    assert_eq!(browser.text("window.isTheSame"), "true");
}

/// Without a script, a debt is added with a mistake and without it, changed, paused, resumed and forgotten.
#[test]
fn forms_need_no_script() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let browser = Browser::start();
    let look = Look { has_scripts: false, ..Look::USUAL };
    browser.look(look);
    browser.open(&format!("{}/debts", server.url));
    browser.run("document.querySelector('main a[href=\"/debts/new/form\"]').click()");
    browser.await_that("!!document.querySelector('#slug')");
    let fill = |field: &str, text: &str| {
        browser.run(&format!("document.querySelector('#{field}').value = '{text}'"));
    };
    let send = || browser.run("document.querySelector('form.card button').click()");
    fill("slug", "Bad Slug");
    fill("every", "1 hour");
    fill("run_limit", "-1");
    fill("stages", "upload");
    send();
    browser.await_that("document.querySelectorAll('[aria-invalid]').length === 4");
    for width in [1_280, 360] {
        let look = Look { width, ..look };
        browser.look(look);
        check(&browser, "debt-wrong", look);
        browser.picture("debt-wrong", look);
    }
    assert_eq!(browser.text("document.querySelector('#slug').value"), "Bad Slug");
    fill("slug", "hourly");
    fill("every", "1h");
    fill("run_limit", "10m");
    fill("stages", "");
    send();
    browser.await_that("location.pathname === '/debts/hourly'");
    let press = |text: &str| {
        let found = format!(
            "[...document.querySelectorAll('.actions a, .actions button')].find(one => one.textContent === '{text}')"
        );
        browser.await_that(&format!("!!({found})"));
        browser.run(&format!("({found}).click()"));
    };
    press("Pause");
    browser.await_that("document.querySelector('#standing .badge').textContent === 'Paused'");
    press("Resume");
    browser.await_that("document.querySelector('#standing .badge').textContent === 'New'");
    press("Change");
    browser.await_that("document.querySelector('#run_limit').value === '10m'");
    fill("name", "Every hour");
    send();
    browser.await_that("document.querySelector('h1').textContent === 'Every hour'");
    press("Forget");
    press("Forget it");
    browser.await_that("location.pathname === '/debts'");
    browser.await_that("document.querySelector('h1').textContent === 'Add the first debt'");
}
