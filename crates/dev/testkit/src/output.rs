//! The captured output of a child process, and its exit status.

use std::io::{BufRead, BufReader, Read};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    stdout: Captured,
    stderr: Captured,
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
            self.lock().captured_mut(stream).ended = true;
            return;
        };
        let record = Arc::clone(self);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            loop {
                let mut line = Vec::new();
                let read = from.read_until(b'\n', &mut line);
                let mut state = record.lock();
                let captured = state.captured_mut(stream);
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

    /// Wakes the waiting threads after a change of the state.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until `done` returns a value; `None` if it does not within `limit`.
    pub(crate) fn wait<T>(
        &self,
        limit: Duration,
        mut done: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(value) = done(&state) {
                return Some(value);
            }
            let left = limit.checked_sub(start.elapsed()).filter(|left| !left.is_zero())?;
            state = self
                .changed
                .wait_timeout(state, left)
                .expect("no thread panics while it holds the record")
                .0;
        }
    }
}

// === impl State ===

impl State {
    fn captured(&self, stream: Stream) -> &Captured {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    fn captured_mut(&mut self, stream: Stream) -> &mut Captured {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Everything written to the stream.
    pub(crate) fn text(&self, stream: Stream) -> String {
        self.captured(stream).lines.concat()
    }

    /// The first line that contains `pattern`, without its line end.
    pub(crate) fn find(&self, stream: Stream, pattern: &str) -> Option<String> {
        let lines = &self.captured(stream).lines;
        lines.iter().find(|line| line.contains(pattern)).map(|line| line.trim_end().to_owned())
    }

    /// Whether the stream has ended.
    pub(crate) fn ended(&self, stream: Stream) -> bool {
        self.captured(stream).ended
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
