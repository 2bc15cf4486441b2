//! When what is sent is due, and when sending ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

/// The longest sleep of the thread that wakes streams, so that it ends soon after them.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Above this many sends, those that were due and not sent are no longer told apart.
const SENDS_MAX: u64 = 100_000;

/// When streams send, and what of it is measured.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub(super) start: Instant,
    /// The end of the warm-up.
    pub(super) measured_from: Instant,
    /// `None`: a number of requests is sent, however long it takes.
    pub(super) end: Option<Instant>,
    /// Whether the user wants it to end.
    pub(super) stopped: watch::Receiver<bool>,
}

/// When the sends of one stream are due: one after each interval, whatever becomes of those before.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    first: Instant,
    interval: Duration,
    next: u64,
}

/// What a stream has still to send, and when.
pub(super) struct Turn {
    course: Course,
    pace: Option<(Pace, Arc<Notify>)>,
    /// How many requests a send has.
    rows: u64,
    /// How many requests are left of a given number.
    left: Option<u64>,
}

/// What a stream had still to send when it ended, at a rate.
pub(super) struct Rest {
    pace: Pace,
    /// How many requests a send has.
    rows: u64,
    /// How many requests are left of a given number.
    left: Option<u64>,
}

/// What comes next.
pub(super) enum Next<'a> {
    /// A send that was due then, and room for it.
    Send(Instant, mpsc::Permit<'a, bytes::Bytes>),
    /// Nothing more is to be sent.
    Over,
    /// The call has ended: nothing can be sent on it.
    Ended,
}

/// A thread that wakes each stream when its next send is due. tokio's timer is exact to a millisecond,
/// which is longer than an idle server takes to acknowledge.
pub(super) struct Alarm {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Pace ===

impl Pace {
    /// The pace of one of several streams, which do not send at the same moment.
    pub(super) fn new(start: Instant, interval: Duration, stream: usize, streams: usize) -> Self {
        let share = stream as f64 / streams as f64;
        Self { first: start + interval.mul_f64(share), interval, next: 0 }
    }

    /// When the next send is due.
    pub(super) fn due(&self) -> Instant {
        self.due_after(0)
    }

    /// When the one is due that comes this many sends after it.
    fn due_after(&self, sends: u64) -> Instant {
        self.first + self.interval.mul_f64((self.next + sends) as f64)
    }

    pub(super) fn pass(&mut self) {
        self.next += 1;
    }

    /// How many sends are due before `end` and not passed.
    fn due_before(&self, end: Instant) -> u64 {
        let left = end.saturating_duration_since(self.due());
        (left.as_secs_f64() / self.interval.as_secs_f64()).ceil() as u64
    }
}

// === impl Turn ===

impl Turn {
    pub(super) fn new(
        course: Course,
        pace: Option<(Pace, Arc<Notify>)>,
        rows: u64,
        left: Option<u64>,
    ) -> Self {
        Self { course, pace, rows, left }
    }

    /// How many requests the next send has.
    pub(super) fn rows(&self) -> u64 {
        self.left.map_or(self.rows, |left| left.min(self.rows))
    }

    pub(super) fn sent(&mut self, rows: u64) {
        self.left = self.left.map(|left| left.saturating_sub(rows));
        if let Some((pace, _)) = &mut self.pace {
            pace.pass();
        }
    }

    /// Requests of a given number that were sent and are certainly not counted.
    pub(super) fn give_back(&mut self, rows: u64) {
        self.left = self.left.map(|left| left + rows);
    }

    /// What there is still to send, at a rate.
    pub(super) fn rest(self) -> Option<Rest> {
        let Self { pace, rows, left, .. } = self;
        pace.map(|(pace, _)| Rest { pace, rows, left })
    }

    /// When the next send is due, at a rate.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.pace.as_ref().map(|(pace, _)| pace.due())
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_past = |end: Instant| {
            end <= now || self.pace.as_ref().is_some_and(|(pace, _)| end <= pace.due())
        };
        self.left == Some(0)
            || self.course.end.is_some_and(is_past)
            || *self.course.stopped.borrow()
    }

    /// Waits until something is due; `None` if nothing more is to be sent. It can be dropped and called
    /// again.
    async fn due(&mut self) -> Option<Instant> {
        loop {
            let now = Instant::now();
            if self.is_over(now) {
                return None;
            }
            let Some((pace, alarm)) = &self.pace else { return Some(now) };
            let due = pace.due();
            if due <= now {
                return Some(due);
            }
            tokio::select! {
                () = alarm.notified() => {}
                // An error means that nobody can stop it any more.
                stopped = self.course.stopped.changed() => if stopped.is_err() {
                    alarm.notified().await;
                }
            }
        }
    }

    /// Waits until something is due and there is room for it. It can be dropped and called again.
    pub(super) async fn next<'a>(&mut self, sender: &'a mpsc::Sender<bytes::Bytes>) -> Next<'a> {
        let Some(due) = self.due().await else { return Next::Over };
        match sender.reserve().await {
            Ok(room) => Next::Send(due, room),
            Err(_) => Next::Ended,
        }
    }
}

// === impl Rest ===

impl Rest {
    /// Requests that were due before `end`: when, and how many. Very many sends are taken together, as
    /// if all of them were due with the last one.
    pub(super) fn due_before(&self, end: Instant) -> impl Iterator<Item = (Instant, u64)> {
        let sends = self.pace.due_before(end);
        let together = sends.div_ceil(SENDS_MAX).max(1);
        let mut left = self.left.unwrap_or(u64::MAX);
        (0..sends.div_ceil(together)).map(move |n| {
            let (from, to) = (n * together, sends.min((n + 1) * together));
            let rows = ((to - from) * self.rows).min(left);
            left -= rows;
            (self.pace.due_after(to - 1), rows)
        })
    }
}

// === impl Alarm ===

impl Alarm {
    /// Starts it for streams whose paces begin at `start`, one after another.
    pub(super) fn start(
        start: Instant,
        interval: Duration,
        streams: Vec<Arc<Notify>>,
    ) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let paces = (0..streams.len()).map(|n| Pace::new(start, interval, n, streams.len()));
        let mut paces: Vec<_> = paces.collect();
        let ring = move || {
            let mut next = 0;
            while !over.load(Ordering::Relaxed) {
                let wait = paces[next].due().saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    streams[next].notify_one();
                    paces[next].pass();
                    next = (next + 1) % streams.len();
                } else {
                    thread::sleep(wait.min(SLEEP_MAX));
                }
            }
        };
        let thread = thread::Builder::new().name("bench-alarm".to_owned()).spawn(ring)?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn course(start: Instant, lasts: Duration) -> (watch::Sender<bool>, Course) {
        let (stop, stopped) = watch::channel(false);
        (stop, Course { start, measured_from: start, end: Some(start + lasts), stopped })
    }

    /// While it had no room for a second, ten sends were due, and each says when.
    #[tokio::test]
    async fn a_stream_that_was_held_up_keeps_its_due_times() {
        let now = Instant::now();
        let (_stop, course) = course(now - 1_000 * MS, 3_600_000 * MS);
        let pace = Pace::new(course.start, 100 * MS, 1, 2);
        let first = course.start + 50 * MS;
        let mut turn = Turn::new(course, Some((pace, Arc::default())), 7, None);
        let (sender, mut receiver) = mpsc::channel(1);
        for n in 0..10 {
            let Next::Send(due, room) = turn.next(&sender).await else { panic!("it is due") };
            assert_eq!(due, first + n * 100 * MS);
            room.send(bytes::Bytes::new());
            turn.sent(7);
            receiver.recv().await.expect("it was sent");
        }
        assert!(turn.next_due() > Some(now));
        drop(receiver);
    }

    #[tokio::test]
    async fn a_turn_ends_with_its_time_its_number_or_a_signal() {
        let now = Instant::now();
        let (sender, _receiver) = mpsc::channel(1);
        let is_over = async |turn: &mut Turn| matches!(turn.next(&sender).await, Next::Over);

        let (_stop, past) = course(now - 1_000 * MS, 999 * MS);
        let pace = Pace::new(past.start, 10 * MS, 0, 1);
        let mut turn = Turn::new(past, Some((pace, Arc::default())), 7, None);
        turn.sent(7);
        assert!(is_over(&mut turn).await);

        let (stop, endless) = course(now, 3_600_000 * MS);
        let mut turn = Turn::new(endless.clone(), None, 7, Some(10));
        assert_eq!(turn.rows(), 7);
        turn.sent(7);
        assert_eq!(turn.rows(), 3);
        assert!(!is_over(&mut turn).await);
        turn.sent(3);
        assert!(is_over(&mut turn).await);
        turn.give_back(5);
        assert_eq!(turn.rows(), 5);

        // Nothing is due for an hour.
        let pace = Pace::new(now + 3_600_000 * MS, MS, 0, 1);
        let mut turn = Turn::new(endless, Some((pace, Arc::default())), 7, None);
        let (over, ()) = tokio::join!(is_over(&mut turn), async {
            stop.send(true).expect("it is watched");
        });
        assert!(over);
    }

    #[test]
    fn what_was_not_sent_was_due() {
        let start = Instant::now();
        let (_stop, course) = course(start, 999 * MS);
        let rest = |interval, left| {
            let pace = Pace::new(start, interval, 0, 1);
            let mut turn = Turn::new(course.clone(), Some((pace, Arc::default())), 7, left);
            turn.sent(7);
            turn.rest().expect("it has a pace")
        };
        let due = |rest: &Rest, ms| rest.due_before(start + ms * MS).collect::<Vec<_>>();
        let at = |ms: u32| start + ms * MS;
        assert_eq!(due(&rest(10 * MS, None), 10), []);
        assert_eq!(due(&rest(10 * MS, None), 31), [(at(10), 7), (at(20), 7), (at(30), 7)]);
        assert_eq!(due(&rest(10 * MS, Some(17)), 31), [(at(10), 7), (at(20), 3), (at(30), 0)]);
        // A thousand seconds have a million microseconds each.
        let many = due(&rest(MS / 1_000, None), 1_000_000);
        assert_eq!(many.len() as u64, SENDS_MAX);
        assert_eq!(many.iter().map(|(_, rows)| rows).sum::<u64>(), 7 * 999_999_999);
        assert!(many.iter().all(|(due, _)| *due < at(1_000_000)));
    }

    #[tokio::test]
    async fn the_alarm_wakes_each_stream() {
        let streams: Vec<_> = (0..3).map(|_| Arc::new(Notify::new())).collect();
        let alarm = Alarm::start(Instant::now(), MS, streams.clone()).expect("a thread");
        for _ in 0..3 {
            for stream in &streams {
                stream.notified().await;
            }
        }
        drop(alarm);
    }
}
