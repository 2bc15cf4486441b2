//! The terminal as one screen, which is given back whatever happens.

use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use ratatui::{DefaultTerminal, Frame};
use tally_runtime::Signals;

/// The terminal, until this is dropped. A panic gives it back before its message is printed.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    events: EventStream,
    signals: Signals,
}

/// What a person or the system wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// A key.
    Key(KeyCode),
    /// The terminal has another size, or something else is to be drawn anew.
    Redraw,
    /// To end: Ctrl-C, a signal, or a terminal that is gone.
    End,
}

// === impl Screen ===

impl Screen {
    pub(super) fn take() -> anyhow::Result<Self> {
        let signals = Signals::install().context("cannot take over Ctrl-C")?;
        let terminal = ratatui::try_init().context("cannot take over the terminal")?;
        Ok(Self { terminal, events: EventStream::new(), signals })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> anyhow::Result<()> {
        self.terminal.draw(draw).context("cannot write to the terminal")?;
        Ok(())
    }

    /// Waits for the next input. Safe to drop before it is ready.
    pub(super) async fn input(&mut self) -> Input {
        tokio::select! {
            _ = self.signals.recv() => Input::End,
            event = self.events.next() => event.and_then(Result::ok).as_ref().map_or(Input::End, input),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn input(event: &Event) -> Input {
    match event {
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => Input::Redraw,
        Event::Key(KeyEvent { code: KeyCode::Char('c' | 'd'), modifiers, .. })
            if modifiers.contains(KeyModifiers::CONTROL) =>
        {
            Input::End
        }
        Event::Key(KeyEvent { code, .. }) => Input::Key(*code),
        _ => Input::Redraw,
    }
}
