//! The client's log lines.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber, span};

/// The lines so far.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Lines {
    /// Captures this thread's log until the guard is dropped.
    pub(crate) fn take() -> (Self, DefaultGuard) {
        // Without a global subscriber, a thread without one that logs a line first disables it for
        // this thread as well.
        Self::everywhere();
        let lines = Self::default();
        let guard = tracing::subscriber::set_default(lines.clone());
        (lines, guard)
    }

    /// Captures the log of all threads without their own capture.
    pub(crate) fn everywhere() -> &'static Self {
        static LINES: OnceLock<Lines> = OnceLock::new();
        LINES.get_or_init(|| {
            let lines = Self::default();
            tracing::subscriber::set_global_default(lines.clone()).expect("only here");
            lines
        })
    }

    /// The lines that have this text.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().expect("no panic meanwhile");
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// How many lines have both texts.
    pub(crate) fn count(&self, one: &str, other: &str) -> usize {
        let lines = self.0.lock().expect("no panic meanwhile");
        lines.iter().filter(|line| line.contains(one) && line.contains(other)).count()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tally_client")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic meanwhile").push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
