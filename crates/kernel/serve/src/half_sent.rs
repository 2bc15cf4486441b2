//! Messages of gRPC that have begun to come: bounded over all connections, and in time.
//!
//! What reads messages takes memory for a message as soon as it knows its length. So a client could take as
//! much as it likes by five bytes for each message. Here those that take long make room for others, the
//! oldest first.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

/// How many bytes all messages may have that have begun and are not complete.
const BYTES_MAX: usize = 16 << 20;
/// A message of this size has room in any case.
const SMALL_BYTES: usize = 1 << 10;
/// How long a message may take to come, and for how long it makes no room.
const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(3);
/// Before a message: whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;

static BEGUN: Begun = Begun::new(BYTES_MAX);

/// Follows the messages of one stream.
#[derive(Debug, Default)]
pub(crate) struct HalfSent {
    prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix is here.
    len: usize,
    /// How much of the message is missing.
    missing: usize,
    /// When a message began that is not complete.
    since: Option<Instant>,
    place: Option<Place>,
    limit: Option<Pin<Box<Sleep>>>,
}

/// The messages that have begun.
#[derive(Debug)]
struct Begun {
    bytes_max: usize,
    all: Mutex<All>,
}

#[derive(Debug)]
struct All {
    bytes: usize,
    next: u64,
    /// In the order in which they began.
    messages: BTreeMap<u64, Arc<Message>>,
}

#[derive(Debug)]
struct Message {
    bytes: usize,
    since: Instant,
    is_given_up: AtomicBool,
    reader: AtomicWaker,
}

/// The room of one message, until this is dropped.
#[derive(Debug)]
struct Place {
    begun: &'static Begun,
    number: u64,
    message: Arc<Message>,
}

// === impl HalfSent ===

impl HalfSent {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes note of what has come. An error if there is no room for a message that has begun.
    pub(crate) fn note(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.note_in(&BEGUN, bytes)
    }

    fn note_in(&mut self, begun: &'static Begun, mut bytes: &[u8]) -> Result<(), Status> {
        let is_new = self.since.is_none();
        let mut has_ended = false;
        loop {
            if self.missing > 0 {
                let taken = self.missing.min(bytes.len());
                self.missing -= taken;
                bytes = &bytes[taken..];
                if self.missing > 0 {
                    break;
                }
                (self.len, has_ended) = (0, true);
            }
            let taken = (PREFIX_BYTES - self.len).min(bytes.len());
            self.prefix[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
            self.len += taken;
            bytes = &bytes[taken..];
            if self.len < PREFIX_BYTES {
                break;
            }
            let [_, length @ ..] = self.prefix;
            self.missing = u32::from_be_bytes(length) as usize;
            if self.missing == 0 {
                (self.len, has_ended) = (0, true);
            }
        }
        if has_ended {
            (self.since, self.place, self.limit) = (None, None, None);
        }
        if self.len == 0 {
            return Ok(());
        }
        if is_new || has_ended {
            self.since = Some(Instant::now());
        }
        // One that is longer than all may be is refused by what reads it.
        let length = if self.len < PREFIX_BYTES { 0 } else { self.message_bytes() };
        if self.place.is_none() && length > SMALL_BYTES && length <= begun.bytes_max {
            let place = begun.take(length);
            let text = "too many messages have begun and are not complete; try again";
            self.place = Some(place.ok_or_else(|| Status::unavailable(text))?);
        }
        Ok(())
    }

    /// Ready with how the stream ends, if a message takes too long. Otherwise it wakes the task then.
    pub(crate) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(since) = self.since else { return Poll::Pending };
        let limit =
            self.limit.get_or_insert_with(|| Box::pin(sleep_until(since + MESSAGE_WAIT_MAX)));
        if limit.as_mut().poll(cx).is_ready() {
            let seconds = MESSAGE_WAIT_MAX.as_secs();
            let text = format!("a message has begun and was not complete after {seconds} s");
            return Poll::Ready(Status::unavailable(text));
        }
        if let Some(Place { message, .. }) = &self.place {
            message.reader.register(cx.waker());
            if message.is_given_up.load(Ordering::SeqCst) {
                let text = "a message comes too slowly, and others need its room; try again";
                return Poll::Ready(Status::unavailable(text));
            }
        }
        Poll::Pending
    }

    fn message_bytes(&self) -> usize {
        let [_, length @ ..] = self.prefix;
        u32::from_be_bytes(length) as usize
    }
}

// === impl Begun ===

impl Begun {
    const fn new(bytes_max: usize) -> Self {
        let messages = BTreeMap::new();
        Self { bytes_max, all: Mutex::new(All { bytes: 0, next: 0, messages }) }
    }

    fn take(&'static self, bytes: usize) -> Option<Place> {
        let mut all = self.lock();
        while all.bytes + bytes > self.bytes_max {
            let oldest = all.messages.first_entry()?;
            if oldest.get().since.elapsed() < GRACE {
                return None;
            }
            let oldest = oldest.remove();
            all.bytes -= oldest.bytes;
            oldest.is_given_up.store(true, Ordering::SeqCst);
            oldest.reader.wake();
        }
        all.bytes += bytes;
        let number = all.next;
        all.next += 1;
        let (is_given_up, reader) = (AtomicBool::new(false), AtomicWaker::new());
        let message = Message { bytes, since: Instant::now(), is_given_up, reader };
        let message = Arc::new(message);
        all.messages.insert(number, Arc::clone(&message));
        drop(all);
        Some(Place { begun: self, number, message })
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.begun.lock();
        if all.messages.remove(&self.number).is_some() {
            all.bytes -= self.message.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;
    use tokio::time::advance;

    use super::*;

    fn begun() -> &'static Begun {
        Box::leak(Box::new(Begun::new(10_000)))
    }

    fn prefix(bytes: u32) -> Vec<u8> {
        [&[0], &bytes.to_be_bytes()[..]].concat()
    }

    fn late(stream: &mut HalfSent) -> Option<String> {
        let cx = &mut Context::from_waker(noop_waker_ref());
        match stream.poll_late(cx) {
            Poll::Ready(status) => Some(status.message().to_owned()),
            Poll::Pending => None,
        }
    }

    fn bytes(begun: &Begun) -> usize {
        begun.lock().bytes
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_its_room_until_it_is_complete_wherever_it_is_cut() {
        let begun = begun();
        let whole = [prefix(0), prefix(2_000), vec![7; 2_000], prefix(3), vec![7; 3]].concat();
        for size in 1..whole.len() {
            let mut stream = HalfSent::new();
            for (at, part) in whole.chunks(size).enumerate() {
                stream.note_in(begun, part).expect("room");
                let end = (at + 1) * size;
                let is_within = (10..2_010).contains(&end);
                assert_eq!(bytes(begun), if is_within { 2_000 } else { 0 }, "{size} {end}");
            }
            assert_eq!((bytes(begun), stream.since), (0, None));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room() {
        let begun = begun();
        let mut streams: Vec<_> = (0..10).map(|_| HalfSent::new()).collect();
        for stream in &mut streams {
            stream.note_in(begun, &prefix(1_000 + 24)).expect("a small one takes none");
        }
        assert_eq!(bytes(begun), 0);
        let mut slow = HalfSent::new();
        slow.note_in(begun, &prefix(9_000)).expect("room");
        let mut other = HalfSent::new();
        let full = other.note_in(begun, &prefix(2_000)).expect_err("the slow one is new");
        assert!(full.message().contains("too many messages"), "{full}");
        advance(GRACE).await;
        assert_eq!(late(&mut slow), None);
        let mut third = HalfSent::new();
        third.note_in(begun, &prefix(2_000)).expect("the slow one's room");
        assert!(late(&mut slow).expect("given up").contains("others need its room"));
        drop((slow, third));
        assert_eq!(bytes(begun), 0);
        let mut large = HalfSent::new();
        large.note_in(begun, &prefix(u32::MAX)).expect("whoever reads it refuses it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_some_time_to_come() {
        let (begun, mut stream) = (begun(), HalfSent::new());
        stream.note_in(begun, &prefix(1)).expect("room");
        advance(MESSAGE_WAIT_MAX - Duration::from_secs(1)).await;
        assert_eq!(late(&mut stream), None);
        // The next one has begun.
        stream.note_in(begun, &[7, 0]).expect("room");
        advance(Duration::from_secs(2)).await;
        assert_eq!(late(&mut stream), None);
        advance(MESSAGE_WAIT_MAX).await;
        assert!(late(&mut stream).expect("late").contains("after 30 s"));
        let rest = [prefix(0)[1..].to_vec(), prefix(0)].concat();
        stream.note_in(begun, &rest).expect("room");
        assert_eq!(late(&mut stream), None, "nothing has begun");
    }
}
