//! Names that strangers have chosen do nothing but stand there.

use crate::driver::{Browser, Look};
use crate::support::Home;

const NAMES: &[&str] = &[
    "/<script>alert(1)</script>",
    "/\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "/سوق/المنتجات",
    "/emoji/🧮/🚀",
    "/a\u{202e}gnp.exe",
    "/tab\there",
    "/%2e%2e/%00?x=1&y=2#z",
    "=1+1",
];

#[test]
fn names_from_strangers_only_stand_there() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let long = format!("/{}", "long/".repeat(400));
    let unbroken = format!("/{}", "x".repeat(2_000));
    for (at, name) in NAMES.iter().copied().chain([&*long, &*unbroken]).enumerate() {
        let count = (at + 1).to_string();
        server.ok(&["add", "GET", name, "-n", &count, "--status", "200"]);
    }
    server.ok(&["add", "GET", "/", "--service", "<b>shop</b>", "--customer", "شركة \u{202e}evil"]);
    let browser = Browser::start();
    for look in [Look::USUAL, Look { width: 360, is_dark: true, ..Look::USUAL }] {
        browser.look(look);
        browser.open(&format!("{}/requests", server.url));
        assert_eq!(
            browser.text("document.querySelectorAll('main script, main img, main b').length"),
            "0"
        );
        let shown = browser.text("document.querySelector('.ranked').textContent");
        for text in
            ["<script>alert(1)</script>", "سوق", "🧮", "U+202E", "U+0009", "javascript:alert(1)"]
        {
            assert!(shown.contains(text), "{text}: {shown}");
        }
        assert!(!shown.contains('\u{202e}'), "{shown}");
        let wide = browser.run("return document.documentElement.scrollWidth");
        assert_eq!(wide.as_u64(), Some(look.width.into()));
        browser.picture("hostile", look);
        let all = browser.text("document.querySelectorAll('.ranked tbody a').length");
        for at in 0..all.parse().expect("a number") {
            let link = format!("document.querySelectorAll('.ranked tbody a')[{at}]");
            assert_eq!(browser.text(&format!("{link}.origin === location.origin")), "true");
            let name = browser.text(&format!("new URL({link}.href).searchParams.get('path')"));
            browser.open(&browser.text(&format!("{link}.href")));
            let wide = browser.run("return document.documentElement.scrollWidth");
            assert_eq!(wide.as_u64(), Some(look.width.into()), "{name}");
            // The page is about this very endpoint.
            assert_ne!(browser.text("document.querySelector('#total').textContent"), "0", "{name}");
            if name.contains("long/") {
                browser.picture("hostile-long", look);
            }
            browser.open(&format!("{}/requests", server.url));
        }
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}
