//! What the screen shows, and which keys change it.

use std::time::Duration;

use crossterm::event::KeyCode;

use super::ask::Question;
use super::history::{History, Line, Sample};
use super::{GroupBy, Sort};

/// How many lines the keys for pages move.
const PAGE_LINES: usize = 10;

/// What is shown. Nothing here waits or asks.
pub(super) struct View {
    pub(super) server: String,
    pub(super) by: GroupBy,
    pub(super) sort: Sort,
    pub(super) interval: Duration,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// Only lines that contain it, in any case.
    pub(super) filter: String,
    /// Whether keys go into the filter.
    pub(super) is_typing: bool,
    /// How many lines are above the screen.
    pub(super) scrolled: usize,
    /// Since when the server is away, and why.
    pub(super) away: Option<(Duration, String)>,
    /// What the samples answer.
    question: Option<Question>,
    pub(super) history: History,
    /// After midnight, the samples of the new question until there are two, so that rates go on.
    next: Option<(Question, History)>,
}

/// What a key asks of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Another question, or the same at once.
    Ask,
    Quit,
}

// === impl View ===

impl View {
    pub(super) fn new(server: String, by: GroupBy, sort: Sort, interval: Duration) -> Self {
        Self {
            server,
            by,
            sort,
            interval,
            is_paused: false,
            shows_help: false,
            filter: String::new(),
            is_typing: false,
            scrolled: 0,
            away: None,
            question: None,
            history: History::default(),
            next: None,
        }
    }

    /// Takes an answer. One to a question that is not asked any more is left out.
    pub(super) fn take(&mut self, question: Question, sample: Sample) {
        if question.by != self.by {
            return;
        }
        self.away = None;
        if self.question == Some(question) {
            self.history.push(sample);
            return;
        }
        let next = self.next.take().filter(|(next, _)| *next == question);
        let mut history = next.map(|(_, history)| history).unwrap_or_default();
        history.push(sample);
        if history.has_rates() || !self.history.has_rates() {
            (self.question, self.history) = (Some(question), history);
        } else {
            self.next = Some((question, history));
        }
    }

    /// Notes that the server did not answer.
    pub(super) fn miss(&mut self, now: Duration, why: String) {
        let since = self.away.as_ref().map_or(now, |(since, _)| *since);
        self.away = Some((since, why));
    }

    /// The first day of what is shown.
    pub(super) fn since(&self) -> Option<String> {
        self.question.map(|question| question.since.to_string())
    }

    /// How long to wait before the next question. The first rates come soon; and a server that takes long
    /// to answer is busy with this for a fifth of its time at most.
    pub(super) fn pause_after(&self, took: Duration) -> Duration {
        let is_new = !self.history.has_rates() || self.next.is_some();
        let pause = if is_new { self.interval.min(Duration::from_secs(1)) } else { self.interval };
        pause.max(took * 4)
    }

    /// The lines that pass the filter, in order.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = self.history.lines(self.sort);
        if !self.filter.is_empty() {
            let wanted = self.filter.to_lowercase();
            lines.retain(|line| line.name.join(" ").to_lowercase().contains(&wanted));
        }
        lines
    }

    pub(super) fn key(&mut self, key: KeyCode) -> Wish {
        if self.shows_help {
            self.shows_help = false;
            return if key == KeyCode::Char('q') { Wish::Quit } else { Wish::Nothing };
        }
        if self.is_typing {
            self.type_filter(key);
            return Wish::Nothing;
        }
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Esc if self.filter.is_empty() => return Wish::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.shows_help = true,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('p' | ' ') => {
                self.is_paused = !self.is_paused;
                return if self.is_paused { Wish::Nothing } else { Wish::Ask };
            }
            KeyCode::Char('o') => (self.sort, self.scrolled) = (self.sort.next(), 0),
            KeyCode::Char('e') => return self.tell_apart(GroupBy::Endpoint),
            KeyCode::Char('s') => return self.tell_apart(GroupBy::Service),
            KeyCode::Char('t') => return self.tell_apart(GroupBy::Status),
            KeyCode::Char('c') => return self.tell_apart(GroupBy::Customer),
            KeyCode::Tab => return self.tell_apart(self.by.next()),
            _ => self.scroll(key),
        }
        Wish::Nothing
    }

    fn type_filter(&mut self, key: KeyCode) {
        self.scrolled = 0;
        match key {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => (self.is_typing, self.filter) = (false, String::new()),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(character) => self.filter.push(character),
            _ => {}
        }
    }

    fn tell_apart(&mut self, by: GroupBy) -> Wish {
        if by == self.by {
            return Wish::Nothing;
        }
        (self.by, self.scrolled, self.is_paused) = (by, 0, false);
        (self.question, self.next) = (None, None);
        self.history = History::default();
        Wish::Ask
    }

    fn scroll(&mut self, key: KeyCode) {
        let last = self.lines().len().saturating_sub(1);
        let moved = match key {
            KeyCode::Down | KeyCode::Char('j') => self.scrolled + 1,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled.saturating_sub(1),
            KeyCode::PageDown => self.scrolled + PAGE_LINES,
            KeyCode::PageUp => self.scrolled.saturating_sub(PAGE_LINES),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => self.scrolled,
        };
        self.scrolled = moved.min(last);
    }
}
