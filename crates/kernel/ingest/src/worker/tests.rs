//! The workers against a sink that fails as it is told to, and remembers what it stored.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use tally_runtime::{Kind, SystemClock};

use super::*;
use crate::{Limits, Receipt};

/// Rows that are just numbers.
#[derive(Debug, Clone)]
struct Numbers(Vec<u32>);

/// What the sink does with the next write.
#[derive(Debug, Clone, Copy)]
enum Next {
    Fail(&'static str),
    StoreAndLoseTheAnswer,
    /// The database goes back by this many batches, or a copy of this server goes on. Without a
    /// batch, the producer is gone.
    MoveByAndLoseTheAnswer(i64),
    RefuseOdd,
    Panic,
    Hang,
}

/// Keeps the rule of [`Sink::write`]: a producer's number is stored once.
#[derive(Debug, Default)]
struct Memory {
    script: Mutex<VecDeque<Next>>,
    refuse_odd: bool,
    stored: Mutex<Vec<u32>>,
    sequences: Mutex<HashMap<Uuid, i64>>,
}

impl Rows for Numbers {
    fn rows(&self) -> usize {
        self.0.len()
    }
    fn bytes(&self) -> usize {
        4 * self.0.len()
    }
}

impl Memory {
    fn stored_instead(&self, batch: &Batch<'_, Numbers>) -> Option<i64> {
        let last = self.sequences.lock().unwrap().get(&batch.producer).copied().unwrap_or(0);
        let fits = batch.sequence == last + 1 || batch.is_repeated && batch.sequence == last;
        (!fits).then_some(last)
    }

    fn store(&self, batch: &Batch<'_, Numbers>) {
        let mut sequences = self.sequences.lock().unwrap();
        let last = sequences.entry(batch.producer).or_default();
        if batch.sequence == *last + 1 {
            *last += 1;
            let rows = batch.chunks.iter().flat_map(|chunk| chunk.0.iter().copied());
            self.stored.lock().unwrap().extend(rows);
        }
    }

    fn sorted(&self) -> Vec<u32> {
        let mut stored = self.stored.lock().unwrap().clone();
        stored.sort_unstable();
        stored
    }
}

impl Sink for Memory {
    type Rows = Numbers;
    /// The first number of the chunk.
    type Outcome = u32;

    async fn retire(&self, producer: Uuid, sequence: i64) {
        let mut sequences = self.sequences.lock().unwrap();
        assert_eq!(sequences.remove(&producer), Some(sequence));
    }

    async fn write(&self, batch: Batch<'_, Numbers>) -> Result<Vec<u32>, WriteError> {
        if let Some(stored) = self.stored_instead(&batch) {
            return Err(WriteError::OutOfSequence { sent: batch.sequence, stored });
        }
        let lost = || Error::transient("the answer was lost", Outcome::Indeterminate);
        let scripted = self.script.lock().unwrap().pop_front();
        match scripted.or(self.refuse_odd.then_some(Next::RefuseOdd)) {
            Some(Next::Fail(message)) => {
                return Err(Error::transient(message, Outcome::Determinate).into());
            }
            Some(Next::Panic) => panic!("on purpose"),
            Some(Next::Hang) => std::future::pending().await,
            Some(Next::StoreAndLoseTheAnswer) => {
                self.store(&batch);
                return Err(lost().into());
            }
            Some(Next::MoveByAndLoseTheAnswer(by)) => {
                let mut sequences = self.sequences.lock().unwrap();
                let last = sequences.entry(batch.producer).or_default();
                *last = (*last + by).max(0);
                return Err(lost().into());
            }
            Some(Next::RefuseOdd) if batch.chunks.iter().any(|one| one.0[0] % 2 == 1) => {
                return Err(Error::permanent("odd", Kind::Internal).into());
            }
            _ => self.store(&batch),
        }
        Ok(batch.chunks.iter().map(|chunk| chunk.0[0]).collect())
    }
}

fn start(sink: Memory) -> (Queue<Numbers, u32>, Arc<Memory>, Workers) {
    let wait_max = Duration::from_secs(1);
    let queue = Queue::new(Limits { rows_max: 1000, bytes_max: 100_000, wait_max });
    let settings = Settings {
        workers: 2,
        batch_rows_max: 100,
        join_rows: 0,
        write_wait_max: Duration::from_secs(10),
    };
    let sink = Arc::new(sink);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let workers = Workers::start(&queue, &sink, settings, &clock);
    (queue, sink, workers)
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_neither_loses_nor_doubles() {
    let script = [Next::StoreAndLoseTheAnswer, Next::Fail("away"), Next::StoreAndLoseTheAnswer];
    let (queue, sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    let receipt = Receipt::new();
    for number in 0..50 {
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
    }
    assert_eq!(receipt.settled().await, Ok(50));
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn each_chunk_has_its_own_outcome() {
    let script = [Next::StoreAndLoseTheAnswer, Next::Fail("away")];
    let (queue, _sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    let receipts = [4, 7, 9].map(|number| (number, Receipt::new()));
    for (number, receipt) in &receipts {
        queue.push(Numbers(vec![*number, 0]), receipt).await.expect("room");
    }
    for (number, receipt) in receipts {
        assert_eq!((receipt.settled().await, receipt.outcome()), (Ok(2), Some(number)));
    }
    queue.close();
    workers.finished().await;
}

#[tokio::test(start_paused = true)]
async fn one_failing_stream_fails_no_other() {
    let (queue, sink, workers) = start(Memory { refuse_odd: true, ..Memory::default() });
    let (good, bad) = (Receipt::new(), Receipt::new());
    for number in 0..20 {
        let receipt = if number % 2 == 0 { &good } else { &bad };
        queue.push(Numbers(vec![number]), receipt).await.expect("room");
    }
    assert_eq!(good.settled().await, Ok(10));
    let failure = bad.settled().await.expect_err("odd rows are refused");
    assert_eq!((failure.stored, failure.kind), (Some(0), Kind::Internal));
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), (0..20).step_by(2).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_stays_away_is_reported_and_the_next_batch_goes_on() {
    let script = vec![Next::Fail("away"); 2000];
    let (queue, sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    let lost = Receipt::new();
    queue.push(Numbers(vec![1]), &lost).await.expect("room");
    let failure = lost.settled().await.expect_err("away for longer than the limit");
    assert_eq!((failure.message.as_str(), failure.stored), ("away", Some(0)));
    sink.script.lock().unwrap().clear();
    let found = Receipt::new();
    queue.push(Numbers(vec![2]), &found).await.expect("room");
    assert_eq!(found.settled().await, Ok(1));
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), [2]);
}

#[tokio::test(start_paused = true)]
async fn after_an_unknown_outcome_a_new_producer_begins() {
    let mut script = vec![Next::StoreAndLoseTheAnswer];
    script.extend(vec![Next::Fail("away"); 2000]);
    let (queue, sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    let unknown = Receipt::new();
    queue.push(Numbers(vec![1]), &unknown).await.expect("room");
    assert_eq!(unknown.settled().await.expect_err("unknown").stored, None);
    sink.script.lock().unwrap().clear();
    for number in 2..20 {
        let receipt = Receipt::new();
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
        assert_eq!(receipt.settled().await, Ok(1));
    }
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), (1..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_the_database_forgot_begins_again() {
    let (queue, sink, workers) = start(Memory::default());
    for number in 0..20 {
        let receipt = Receipt::new();
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
        assert_eq!(receipt.settled().await, Ok(1));
        sink.sequences.lock().unwrap().clear();
    }
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), (0..20).collect::<Vec<_>>());
}

/// Stores 19 batches, and loses the answer of the 20th, which is not stored, while the number in the
/// store moves. Gives back what its stream is told.
async fn moved_behind_a_lost_answer(by: i64) -> (Result<u64, crate::Failure>, Vec<u32>) {
    let (queue, sink, workers) = start(Memory::default());
    let mut last = Ok(0);
    for number in 0..20 {
        if number == 19 {
            sink.script.lock().unwrap().push_back(Next::MoveByAndLoseTheAnswer(by));
        }
        let receipt = Receipt::new();
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
        last = receipt.settled().await;
    }
    queue.close();
    workers.finished().await;
    (last, sink.sorted())
}

/// An attempt of unknown outcome is in no database that has not even the batch before it.
#[tokio::test(start_paused = true)]
async fn a_database_that_goes_back_behind_a_lost_answer_leaves_nothing_unknown() {
    let (told, stored) = moved_behind_a_lost_answer(-1).await;
    assert_eq!((told, stored), (Ok(1), (0..20).collect()));
}

/// The attempt may have been stored before the producer was removed.
#[tokio::test(start_paused = true)]
async fn a_producer_that_is_gone_behind_a_lost_answer_leaves_it_unknown() {
    let (told, stored) = moved_behind_a_lost_answer(-20).await;
    let failure = told.expect_err("unknown");
    assert_eq!((failure.stored, failure.kind), (None, Kind::Unavailable));
    assert_eq!(stored, (0..19).collect::<Vec<_>>());
}

/// What was stored of it is not certain, and it is nothing that the stream did wrong.
#[tokio::test(start_paused = true)]
async fn a_copied_worker_behind_a_lost_answer_says_unavailable() {
    let (told, _) = moved_behind_a_lost_answer(2).await;
    let failure = told.expect_err("unknown");
    assert_eq!((failure.stored, failure.kind), (None, Kind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_worker_is_replaced_and_its_stream_is_told() {
    let script = vec![Next::Panic; 4];
    let (queue, sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    for number in 0..8 {
        let receipt = Receipt::new();
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
        assert_eq!(receipt.settled().await.is_ok(), number >= 4);
    }
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), [4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn after_a_long_silence_a_new_producer_begins() {
    let (queue, sink, workers) = start(Memory::default());
    for number in 0..2 {
        let receipt = Receipt::new();
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
        assert_eq!(receipt.settled().await, Ok(1));
        tokio::time::advance(PRODUCER_IDLE_MAX * 2).await;
        // A store forgets a silent producer: its next number would be a gap.
        sink.sequences.lock().unwrap().clear();
    }
    queue.close();
    workers.finished().await;
    assert_eq!(sink.sorted(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn after_many_batches_a_new_producer_begins() {
    // One of them loses its answer.
    let script = std::iter::repeat_n(Next::StoreAndLoseTheAnswer, 1);
    let (queue, sink, workers) =
        start(Memory { script: Mutex::new(script.collect()), ..Memory::default() });
    let numbers = 0..5 * PRODUCER_BATCHES_MAX as u32;
    for number in numbers.clone() {
        let receipt = Receipt::new();
        queue.push(Numbers(vec![number]), &receipt).await.expect("room");
        assert_eq!(receipt.settled().await, Ok(1));
    }
    queue.close();
    workers.finished().await;
    assert!(sink.sorted().into_iter().eq(numbers));
    let sequences = sink.sequences.lock().unwrap();
    assert!(sequences.len() <= 2, "{sequences:?}");
    assert!(sequences.values().all(|last| *last < PRODUCER_BATCHES_MAX), "{sequences:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_says_whether_rows_can_be_stored() {
    let script = [Next::Fail("away"); 3];
    let (queue, _sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    let receipt = Receipt::new();
    assert_eq!(workers.trouble(), None);
    queue.push(Numbers(vec![1]), &receipt).await.expect("room");
    // Paused time goes on when everything waits: that is between two attempts.
    tokio::time::sleep(PAUSE_MIN / 4).await;
    let trouble = Trouble { message: "away".into(), is_trying: true };
    assert_eq!(workers.trouble(), Some(trouble));
    assert_eq!(receipt.settled().await, Ok(1));
    assert_eq!(workers.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_batch_leaves_is_cleared_by_a_write_past_the_workers() {
    let (queue, _sink, workers) = start(Memory { refuse_odd: true, ..Memory::default() });
    let receipt = Receipt::new();
    queue.push(Numbers(vec![1]), &receipt).await.expect("room");
    receipt.settled().await.expect_err("it is refused");
    let idle = async {
        while workers.trouble().is_none_or(|trouble| trouble.is_trying) {
            tokio::time::sleep(PAUSE_MIN).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), idle).await.expect("nobody tries any more");
    workers.recovered();
    assert_eq!(workers.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_is_trouble_after_a_while() {
    let (queue, _sink, workers) =
        start(Memory { script: Mutex::new([Next::Hang, Next::Panic].into()), ..Memory::default() });
    let receipt = Receipt::new();
    queue.push(Numbers(vec![1]), &receipt).await.expect("room");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(workers.trouble(), None);
    // That the other worker writes does not help this batch.
    let other = Receipt::new();
    queue.push(Numbers(vec![2]), &other).await.expect("room");
    other.settled().await.expect_err("the worker panics");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let trouble = workers.trouble().expect("a batch hangs");
    assert!(trouble.is_trying && trouble.message == "a batch is not stored after 10s");
}

#[tokio::test(start_paused = true)]
async fn a_scrape_is_told_what_waits_since_when_and_what_was_given_up() {
    let script = [Next::Fail("away"), Next::RefuseOdd, Next::Hang];
    let (queue, _sink, workers) =
        start(Memory { script: Mutex::new(script.into()), ..Memory::default() });
    let now = jiff::Timestamp::from_second(1_000).unwrap();
    let told = |name: &str| {
        let mut scrape = tally_runtime::metrics::Scrape::new();
        workers.measure(&queue, "one", now, &mut scrape);
        let text = scrape.finish();
        let sample = format!("{name}{{domain=\"one\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse::<f64>().unwrap()
    };
    let oldest = "tally_queue_oldest_timestamp_seconds";
    assert_eq!((told(oldest), told("tally_rows_received_total")), (1_000.0, 0.0));
    let receipt = Receipt::new();
    queue.push(Numbers(vec![1, 2, 3]), &receipt).await.expect("room");
    receipt.settled().await.expect_err("it is refused at the second attempt");
    assert_eq!((told("tally_batch_retries_total"), told("tally_rows_failed_total")), (1.0, 3.0));
    assert_eq!(told("tally_batch_rows_count"), 0.0);
    queue.push(Numbers(vec![4]), &receipt).await.expect("room");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!((told(oldest), told("tally_queue_rows")), (993.0, 1.0));
    assert_eq!((told("tally_batches_writing"), told("tally_queue_rows_max")), (1.0, 1_000.0));
    let other = Receipt::new();
    queue.push(Numbers(vec![5, 6]), &other).await.expect("room");
    assert_eq!(other.settled().await, Ok(2));
    assert_eq!((told("tally_batch_rows_sum"), told("tally_rows_received_total")), (2.0, 6.0));
    assert_eq!(told(oldest), 993.0);
}
