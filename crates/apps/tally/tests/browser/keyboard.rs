//! The keyboard alone gets everywhere.

use std::collections::BTreeSet;

use crate::driver::{Browser, Look};
use crate::shop;
use crate::support::Home;

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// Numbers everything that can be clicked, and returns how many there are. What is folded up cannot be reached
/// until it is unfolded, and the bars of the chart have their links in the table below it.
const NUMBER: &str = "\
    const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')] \
        .filter(one => one.tabIndex >= 0 && one.checkVisibility()); \
    all.forEach((one, at) => one.dataset.number = at); \
    return all.length";

/// The number of what has the focus, and whether that can be seen.
const FOCUSED: &str = "\
    const one = document.activeElement; \
    const style = getComputedStyle(one); \
    const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0; \
    return (one.dataset.number ?? '') + (seen ? '' : ' unseen')";

#[test]
fn the_keyboard_gets_everywhere() {
    let home = Home::sqlite();
    let server = shop::open(&home);
    let browser = Browser::start();
    for (path, look) in [
        ("/requests", Look::USUAL),
        ("/requests", Look { width: 360, ..Look::USUAL }),
        ("/requests/endpoint?method=POST&path=/carts", Look::USUAL),
        ("/requests/producers", Look::USUAL),
        ("/", Look::USUAL),
    ] {
        browser.look(look);
        browser.open(&format!("{}{path}", server.url));
        browser.run("document.querySelector('.live').click()");
        browser.run("document.querySelector('.live').blur()");
        let all = browser.run(NUMBER).as_u64().expect("a number");
        let mut reached = BTreeSet::new();
        for _ in 0..2 * all + 20 {
            browser.press(TAB);
            let focused = browser.run(FOCUSED);
            let focused = focused.as_str().expect("a text");
            if let Ok(number) = focused.parse::<u64>() {
                reached.insert(number);
            }
            assert!(!focused.ends_with(" unseen") || focused == " unseen", "{path}: {focused}");
            if reached.len() as u64 == all {
                break;
            }
        }
        let missed: Vec<_> = (0..all).filter(|number| !reached.contains(number)).collect();
        assert_eq!(missed, Vec::<u64>::new(), "{path}, {look:?}");
    }
}

#[test]
fn the_first_stop_skips_to_the_content() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let browser = Browser::start();
    browser.open(&format!("{}/about", server.url));
    browser.press(TAB);
    assert_eq!(browser.text("document.activeElement.textContent"), "Skip to content");
    browser.press(ENTER);
    browser.await_that("document.activeElement.id === 'main'");
}
