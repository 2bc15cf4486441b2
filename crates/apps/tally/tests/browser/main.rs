//! The pages in a real browser: Chromium without a window, driven by chromedriver.
//!
//! With `TALLY_SCREENSHOTS=1` in the environment, each page is also kept as a picture, in the folder
//! `screenshots` of the build's temporary folder.

mod clean;
mod debts;
mod driver;
mod hostile;
mod keyboard;
mod live;
mod shop;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "the other tests of the program use more of it")]
mod support;
mod timelines;
