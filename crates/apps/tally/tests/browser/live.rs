//! A page follows what is counted, without being loaded again.

use std::process::Command;

use tokio_stream::iter;

use crate::driver::Browser;
use crate::shop;
use crate::support::{Home, Server, request, wait_for};

/// Counts by gRPC.
#[track_caller]
fn count(server: &Server, path: &str) {
    wait_for(async {
        let mut client = server.client().await;
        client.add(iter([request(path)])).await.expect("it is counted");
    });
}

#[test]
fn a_count_is_seen_without_a_reload() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    browser.open(&format!("{}/requests", server.url));
    // Nobody has loaded it again as long as this is there.
    browser.run("window.isTheSame = true; document.querySelector('.numbers').open = true");
    browser.run("document.querySelector('.ranked tbody a').focus()");
    let focused = browser.text("document.activeElement.textContent");
    count(&server, "/live");
    let begun = std::time::Instant::now();
    browser.await_that("document.querySelector('#total').textContent === '9,523'");
    println!("seen after {:?}", begun.elapsed());
    browser.await_that(
        "[...document.querySelectorAll('.ranked .path')].some(one => one.innerText === '/live')",
    );
    browser.await_that("window.isTheSame && document.querySelector('.numbers').open");
    assert_eq!(browser.text("document.activeElement.textContent"), focused);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// An answer that comes when somebody has just stopped following is not taken, and comes again later.
#[test]
fn what_came_during_a_pause_is_seen_after_it() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    browser.open(&format!("{}/requests", server.url));
    browser.run(
        "const ask = window.fetch;
         window.fetch = async (...all) => {
             const answer = await ask(...all);
             if (window.isArmed && answer.status === 200) {
                 window.isArmed = false;
                 document.querySelector('button.live').click();
             }
             window.hasAnswer = true;
             return answer;
         }",
    );
    browser.await_that("window.hasAnswer");
    browser.run("window.isArmed = true");
    count(&server, "/live");
    browser.await_that("document.querySelector('button.live').textContent === 'Paused'");
    browser.run("document.querySelector('button.live').click()");
    browser.await_that("document.querySelector('#total').textContent === '9,523'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_first_request_replaces_the_hints() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let browser = Browser::start();
    browser.open(&format!("{}/requests", server.url));
    browser.await_that("document.querySelector('h1').textContent === 'Count the first request'");
    // What stands there to be pasted works.
    let pre = |at| browser.text(&format!("document.querySelectorAll('pre')[{at}].textContent"));
    let (of_tally, of_curl) = (pre(0), pre(1));
    server.ok(&of_tally.split(' ').skip(1).collect::<Vec<_>>());
    browser.await_that("document.querySelector('#total')?.textContent === '1'");
    browser
        .await_that("!!document.querySelector('svg.chart') && !!document.querySelector('#as-of')");
    let pasted = Command::new("sh").args(["-c", &of_curl]).output().expect("a shell");
    assert!(pasted.status.success(), "{of_curl}: {pasted:?}");
    browser.await_that("document.querySelector('#total').textContent === '2'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_that_is_paused_or_hidden_asks_nothing() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    browser.open(&format!("{}/requests", server.url));
    browser.run("window.asked = 0; const before = fetch; window.fetch = (...all) => { asked++; return before(...all); }");
    browser.await_that("asked >= 2");
    browser.run("document.querySelector('.live').click(); window.asked = 0");
    assert_eq!(browser.text("document.querySelector('.live').textContent"), "Paused");
    // As long as two answers would take.
    browser.wait("await new Promise(done => setTimeout(done, 2500))");
    assert_eq!(browser.text("asked"), "0");
    browser.run("document.querySelector('.live').click()");
    browser.await_that("asked >= 1");
    browser.run(
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => true }); \
         document.dispatchEvent(new Event('visibilitychange')); window.asked = 0",
    );
    browser.wait("await new Promise(done => setTimeout(done, 2500))");
    // One may have been on its way.
    browser.await_that("asked <= 1");
    browser.run(
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => false }); \
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    browser.await_that("asked >= 2");
}

#[test]
fn a_page_says_that_its_server_is_gone() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    browser.open(&format!("{}/requests", server.url));
    server.stop();
    browser.await_that("document.querySelector('.live').textContent === 'No answer'");
    assert_eq!(browser.text("document.querySelector('#total').textContent"), "9,522");
}
