//! Every page in every look: nothing on the console, nothing that the policy refuses, nothing that hinders
//! people with assistive tools, and nothing that is cut off.

use serde_json::Value;

use crate::driver::{Browser, Look};
use crate::shop;
use crate::support::Home;

const AXE: &str = include_str!("axe-core/axe.min.js");

/// What hides a part of itself, but for texts that are shortened or hidden on purpose.
const CUT: &str = "\
    return [...document.querySelectorAll('main *, header *')] \
        .filter(one => one.scrollWidth > one.clientWidth && one.clientWidth > 0 \
            && getComputedStyle(one).overflowX === 'hidden' \
            && !one.matches('.visually-hidden, .name, .name *')) \
        .map(one => one.outerHTML)";

/// The pages, and what their pictures are called.
const PAGES: &[(&str, &str)] = &[
    ("overview", "/"),
    ("requests", "/requests"),
    ("today", "/requests?range=today"),
    ("filtered", "/requests?range=12mo&service=shop&status=2xx&sort=change&tz=Asia/Kolkata"),
    ("endpoint", "/requests/endpoint?method=GET&path=/products/%7Bid%7D&range=7d"),
    ("nothing", "/requests?from=2015-05-01&to=2015-05-31"),
    ("producers", "/requests/producers"),
    ("rules", "/requests/rules"),
    ("api", "/api"),
    ("about", "/about"),
];

/// Those whose answer is an error, which the console says as well.
const REFUSED: &[(&str, &str)] =
    &[("refused", "/requests?from=tomorrow&tz=Berlin&by=minute"), ("unknown", "/nowhere")];

pub(crate) fn looks() -> impl Iterator<Item = Look> {
    let widths = [1_280, 360].into_iter();
    widths.flat_map(|width| [false, true].map(|is_dark| Look { width, is_dark, has_scripts: true }))
}

#[track_caller]
pub(crate) fn check(browser: &Browser, what: &str, look: Look) {
    let wide = browser.run("return document.documentElement.scrollWidth");
    assert_eq!(wide.as_u64(), Some(look.width.into()), "{what} is cut off, {look:?}");
    let cut = browser.run(CUT);
    assert_eq!(cut, Value::Array(Vec::new()), "cut off in {what}, {look:?}");
    if look.has_scripts {
        browser.run(AXE);
        let found = browser.wait(
            "const found = await axe.run({ resultTypes: ['violations'] }); \
             return found.violations.map(one => one.id + ': ' + one.help + ' ' + \
                 one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))",
        );
        assert_eq!(found, Value::Array(Vec::new()), "{what}, {look:?}");
    }
}

#[test]
fn every_page_is_clean_in_every_look() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, path) in PAGES {
            browser.open(&format!("{}{path}", server.url));
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
        }
        for (name, path) in REFUSED {
            browser.open(&format!("{}{path}", server.url));
            check(&browser, name, look);
            browser.picture(name, look);
            let complaints = browser.complaints();
            assert!(complaints.iter().all(|one| one.contains("status of 4")), "{complaints:?}");
        }
    }
}

#[test]
fn an_empty_server_says_how_to_count() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let browser = Browser::start();
    for look in looks() {
        browser.look(look);
        for (name, path) in [
            ("first-overview", "/"),
            ("first", "/requests"),
            ("no-rules", "/requests/rules"),
            ("none", "/requests/producers"),
        ] {
            browser.open(&format!("{}{path}", server.url));
            // Hidden text is looked at as well.
            browser.run(
                "document.querySelectorAll('details').forEach(one => one.removeAttribute('name'))",
            );
            browser.run("document.querySelectorAll('details').forEach(one => one.open = true)");
            check(&browser, name, look);
            browser.picture(name, look);
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
        }
    }
    let text = browser.text("(document.querySelector('.lead') || document.body).innerText");
    assert!(text.contains("number their batches"), "{text}");
}

#[test]
fn without_scripts_everything_is_there() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    for is_dark in [false, true] {
        for width in [1_280, 360] {
            let look = Look { width, is_dark, has_scripts: false };
            browser.look(look);
            for (name, path) in PAGES {
                browser.open(&format!("{}{path}", server.url));
                check(&browser, name, look);
                browser.picture(name, look);
                assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}, {look:?}");
            }
        }
    }
    browser.look(Look { has_scripts: false, ..Look::USUAL });
    browser.open(&format!("{}/requests", server.url));
    assert_eq!(browser.text("document.querySelector('#total').textContent"), "9,522");
    assert_eq!(browser.text("document.querySelectorAll('.ranked tbody tr').length"), "4");
    assert_eq!(browser.text("document.querySelectorAll('.live').length"), "0");
    // The form leads to an address that says it all.
    browser.run("document.querySelector('[name=path_prefix]').value = '/products'");
    browser.run("document.querySelector('.chooser form button').click()");
    browser.await_that("location.search.includes('path_prefix=%2Fproducts')");
    browser.await_that("document.querySelector('#total').textContent === '3,641'");
    browser.run("document.querySelector('.ranked tbody a').click()");
    browser.await_that("document.querySelector('h1').innerText === 'GET /products/{id}'");
    assert_eq!(browser.text("document.querySelector('#total').textContent"), "3,641");
}
