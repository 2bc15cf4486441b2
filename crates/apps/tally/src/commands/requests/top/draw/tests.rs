//! The screen at some sizes.

use std::collections::HashMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::Sort;
use super::super::ask::Question;
use super::super::history::{Name, Sample};
use super::super::view::Wish;
use super::*;

fn question(by: GroupBy, day: i8) -> Question {
    Question { by, since: jiff::civil::date(2030, 6, day) }
}

fn sample(second: u64, counts: &[(&str, i64)], others: i64) -> Sample {
    let name = |name: &str| -> Name { name.split(' ').map(str::to_owned).collect() };
    let counts: HashMap<_, _> = counts.iter().map(|(of, count)| (name(of), *count)).collect();
    let total = counts.values().map(|count| i128::from(*count)).sum::<i128>();
    let total = total + i128::from(others);
    Sample { at: Duration::from_secs(second), counts, total, others, dropped: 0 }
}

/// Endpoints, of which two were called.
fn view() -> View {
    let server = "http://127.0.0.1:7777".to_owned();
    let mut view = View::new(server, GroupBy::Endpoint, Sort::Rate, Duration::from_secs(2));
    let long = "GET /a/path/that/is/longer/than/the/screen/is/wide/and/so/loses/its/middle/part";
    let before = [("GET /hello", 1_000), ("POST /orders", 5), (long, 7)];
    let after = [("GET /hello", 4_000), ("POST /orders", 1_005), (long, 7)];
    view.take(question(GroupBy::Endpoint, 14), sample(0, &before, 0));
    view.take(question(GroupBy::Endpoint, 14), sample(2, &after, 0));
    view
}

fn screen(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    let draw = |frame: &mut Frame<'_>| {
        let lines = lines(view, Duration::from_secs(60), width.into(), height.into(), true);
        frame.render_widget(Paragraph::new(lines), frame.area());
    };
    terminal.draw(draw).expect("it draws");
    let buffer = terminal.backend().buffer();
    let cells: Vec<_> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    let lines = cells.chunks(width.into()).map(<[&str]>::concat);
    lines.map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_small_terminal_has_all_of_it() {
    let shown = screen(&view(), 80, 24);
    let expected = [
        "tally top http://127.0.0.1:7777  by endpoint, order: rate, every 2 s",
        "2,000 requests/s  \u{2588}  5,012 requests since 2030-06-14",
        "",
        "    req/s   share      requests         trend  method    path",
        "    1,500   75.0%         4,000             \u{2588}  GET       /hello",
        "      500   25.0%         1,005             \u{2588}  POST      /orders",
        "     0.00    0.0%             7                GET       /a/path/tha\u{2026}middle/part",
    ];
    assert_eq!(shown[..expected.len()], expected);
    assert_eq!((shown.len(), &*shown[10], &*shown[23]), (24, "", KEYS_SHORT));
    assert!(screen(&view(), 120, 24)[23].starts_with(KEYS));
}

#[test]
fn only_a_status_is_not_known() {
    let named = [Part::Service, Part::Customer, Part::Status].map(|part| named("", part));
    assert_eq!(named, ["(none)", "(none)", "(not known)"]);
}

#[test]
fn every_size_is_drawn() {
    for (width, height) in [(1, 1), (10, 2), (40, 5), (40, 6), (80, 24), (300, 100)] {
        let mut view = view();
        assert_eq!(screen(&view, width, height).len(), usize::from(height));
        view.key(crossterm::event::KeyCode::Char('?'));
        assert_eq!(screen(&view, width, height).len(), usize::from(height));
    }
    let narrow = screen(&view(), 50, 8);
    assert_eq!(narrow[4], "    1,500   75.0%         4,000  GET       /hello");
}

#[test]
fn what_is_unusual_is_said() {
    use crossterm::event::KeyCode::{Char, Enter, Esc};
    let mut view = view();
    view.key(Char('p'));
    assert_eq!(screen(&view, 80, 24)[2], "PAUSED: p goes on");
    assert_eq!(view.key(Char('p')), Wish::Ask);
    for key in "/ORD".chars() {
        view.key(Char(key));
    }
    assert_eq!(screen(&view, 80, 24)[2], "filter: ORD_");
    assert_eq!(view.key(Enter), Wish::Nothing);
    let shown = screen(&view, 80, 24);
    assert_eq!(shown[2], "filter: ORD (Esc clears it)");
    assert!(shown[4].contains("/orders") && shown[5].is_empty(), "{shown:#?}");
    for key in "/x".chars() {
        view.key(Char(key));
    }
    assert_eq!(screen(&view, 80, 24)[4], "no line contains the filter's text");
    assert_eq!(view.key(Esc), Wish::Nothing);
    view.miss(Duration::from_secs(50), "connection refused\x1b[2J".to_owned());
    view.miss(Duration::from_secs(55), "connection refused\x1b[2J".to_owned());
    let away = "NO ANSWER for 10 s, trying again: connection refused\\u{1b}[2J";
    assert_eq!(screen(&view, 80, 24)[2], away);
    assert!(screen(&view, 80, 24)[4].contains("/hello"), "the last answer stays");
    view.take(question(GroupBy::Endpoint, 14), sample(62, &[("GET /hello", 4_060)], 945));
    let shown = screen(&view, 80, 24);
    assert_eq!(shown[2], "");
    assert!(shown[5].ends_with("(945 other lines)"), "{shown:#?}");
    assert_eq!(view.key(Esc), Wish::Quit);
}

#[test]
fn rates_go_on_at_midnight_and_begin_anew_with_other_groups() {
    let mut view = view();
    let rate = |view: &View| view.history.total_rate().map(|rate| rate.to_string());
    assert_eq!(rate(&view).as_deref(), Some("2,000"));
    view.take(question(GroupBy::Endpoint, 15), sample(4, &[("GET /hello", 10)], 0));
    assert_eq!((rate(&view).as_deref(), view.since()), (Some("2,000"), Some("2030-06-14".into())));
    assert_eq!(view.pause_after(Duration::ZERO), Duration::from_secs(1));
    view.take(question(GroupBy::Endpoint, 15), sample(5, &[("GET /hello", 15)], 0));
    assert_eq!((rate(&view).as_deref(), view.since()), (Some("5.00"), Some("2030-06-15".into())));
    assert_eq!(view.pause_after(Duration::ZERO), Duration::from_secs(2));
    assert_eq!(view.pause_after(Duration::from_secs(3)), Duration::from_secs(12));

    assert_eq!(view.key(crossterm::event::KeyCode::Char('t')), Wish::Ask);
    view.take(question(GroupBy::Endpoint, 15), sample(6, &[("GET /hello", 20)], 0));
    assert_eq!(screen(&view, 80, 24)[1], "asking the server", "that answers another question");
    view.take(question(GroupBy::Status, 15), sample(7, &[("200", 20)], 0));
    assert_eq!(screen(&view, 80, 24)[3], "    req/s   share      requests         trend  status");
    assert_eq!((rate(&view), view.by), (None, GroupBy::Status));
}

#[test]
fn what_does_not_fit_is_scrolled_to() {
    use crossterm::event::KeyCode::{Down, End, Home, PageUp, Up};
    let names: Vec<String> = (10..60).map(|n| format!("GET /{n}")).collect();
    let counts: Vec<_> = names.iter().map(|name| (&**name, 1)).collect();
    let server = String::new();
    let mut view = View::new(server, GroupBy::Endpoint, Sort::Name, Duration::from_secs(2));
    view.take(question(GroupBy::Endpoint, 14), sample(0, &counts, 3));
    let shown = screen(&view, 80, 24);
    assert!(shown[4].ends_with("/10") && shown[21].ends_with("/27"), "{shown:#?}");
    assert!(shown[22].ends_with("(3 other lines)"), "{shown:#?}");
    for (key, first) in
        [(Down, "/11"), (Up, "/10"), (Up, "/10"), (End, "/59"), (PageUp, "/49"), (Home, "/10")]
    {
        view.key(key);
        assert!(screen(&view, 80, 24)[4].ends_with(first), "{key:?}");
    }
}
