//! The captured output of a child process, and its exit status.

use std::io::{BufRead, BufReader, Read};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// One of a process's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A child's output and exit status, shared between threads.
#[derive(Default)]
pub(crate) struct Record {
    state: Mutex<State>,
    /// Notified after each change of the state.
    pub(crate) changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    /// By stream.
    captured: [Captured; 2],
    /// Set once the child is reaped; its id may be reused from then on.
    pub(crate) status: Option<ExitStatus>,
}

/// The lines of one stream, including their line ends.
#[derive(Default)]
struct Captured {
    lines: Vec<String>,
    ended: bool,
}

// === impl Record ===

impl Record {
    /// Reads the stream to its end on a new thread. `None` counts as ended.
    pub(crate) fn capture(
        self: &Arc<Self>,
        stream: Stream,
        from: Option<impl Read + Send + 'static>,
    ) {
        let Some(from) = from else {
            self.lock().captured[stream as usize].ended = true;
            return;
        };
        let record = Arc::clone(self);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            loop {
                let mut line = Vec::new();
                let read = from.read_until(b'\n', &mut line);
                let mut state = record.lock();
                let captured = &mut state.captured[stream as usize];
                match read {
                    Ok(1..) => captured.lines.push(String::from_utf8_lossy(&line).into_owned()),
                    Ok(0) | Err(_) => captured.ended = true,
                }
                let ended = captured.ended;
                drop(state);
                record.changed.notify_all();
                if ended {
                    return;
                }
            }
        });
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the record")
    }

    /// Waits until `done` returns a value; `None` if it does not within `limit`.
    pub(crate) fn wait<T>(
        &self,
        limit: Duration,
        mut done: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let mut value = None;
        let waits = |state: &mut State| {
            value = done(state);
            value.is_none()
        };
        let waited = self.changed.wait_timeout_while(self.lock(), limit, waits);
        drop(waited.expect("no thread panics while it holds the record"));
        value
    }
}

// === impl State ===

impl State {
    /// Everything written to the stream.
    pub(crate) fn text(&self, stream: Stream) -> String {
        self.captured[stream as usize].lines.concat()
    }

    /// The first line that contains `pattern`, without its line end.
    pub(crate) fn find(&self, stream: Stream, pattern: &str) -> Option<String> {
        let lines = &self.captured[stream as usize].lines;
        lines.iter().find(|line| line.contains(pattern)).map(|line| line.trim_end().to_owned())
    }

    /// Whether the stream has ended.
    pub(crate) fn ended(&self, stream: Stream) -> bool {
        self.captured[stream as usize].ended
    }

    /// Both streams, for the message of a failed test.
    pub(crate) fn describe(&self) -> String {
        format!(
            "status: {:?}\n--- stdout ---\n{}--- stderr ---\n{}---",
            self.status,
            self.text(Stream::Stdout),
            self.text(Stream::Stderr)
        )
    }
}
