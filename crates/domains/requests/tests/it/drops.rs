//! Reported drops take room like requests: in the queue, in a transaction, in memory.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tally_ingest::{Batch, Limits, Queue, Receipt, Rows as _, Sink, Workers, WriteError};
use tally_producers::{BatchEnd, Parcel, Run};
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1 as proto;
use tally_requests::{Day, Rows, Settings};
use tally_runtime::{Clock, SystemClock};
use tally_serve::Running as _;
use tally_testkit::{TestDatabase, eventually};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::LIMIT;
use crate::backend::Backend;
use crate::conformance::on_every_backend;
use crate::record::drops;
use crate::recording::{Recording, totals};
use crate::server::{Counting, get, settings};

on_every_backend!(crate::drops: drops_that_are_struck_make_no_day_short);

/// The most entries in a client's batch.
const DROPS_MAX: i32 = 1_000;
/// The most days of producers that one transaction may change, plus one chunk.
const DAYS_MAX: usize = 16_384 + 1_000;

/// A sink that notes how many days of producers each transaction changes.
struct Noting {
    may_begin: Semaphore,
    transactions: Mutex<Vec<usize>>,
}

impl Sink for Noting {
    type Rows = Parcel<Rows>;
    type Outcome = ();

    async fn write(&self, batch: Batch<'_, Parcel<Rows>>) -> Result<Vec<()>, WriteError> {
        let _place = self.may_begin.acquire().await.expect("open");
        let mut days = HashSet::new();
        for run in batch.chunks.iter().filter_map(|chunk| chunk.run.as_ref()) {
            let dropped = run.batches.iter().flat_map(|batch| &batch.drops);
            days.extend(dropped.map(|(day, _)| (run.producer, *day)));
        }
        for Parcel { content, run, .. } in batch.chunks {
            let producer = run.as_ref().map_or(batch.producer, |run| run.producer);
            days.extend(content.iter().map(|row| (producer, Day::of_micros(row.micros))));
        }
        self.transactions.lock().expect("whole").push(days.len());
        Ok(vec![(); batch.chunks.len()])
    }
}

/// A batch with only drops, of its own producer.
fn drops_only() -> Parcel<Rows> {
    let drops = (0..DROPS_MAX).map(|day| (Day(day), 1)).collect();
    let batches = vec![BatchEnd { drops, ..BatchEnd::default() }];
    Rows::default().of_run(Run {
        producer: Uuid::now_v7(),
        epoch: 1,
        is_shared: false,
        first: 1,
        batches,
    })
}

/// Requests of a thousand days.
fn many_days() -> Parcel<Rows> {
    (0..i64::from(DROPS_MAX)).map(|day| (1, day * 86_400_000_000)).collect::<Rows>().into()
}

#[tokio::test]
async fn a_wave_of_days_is_cut_into_transactions() {
    for wave in [drops_only, many_days] {
        let (may_begin, transactions) = (Semaphore::new(0), Mutex::default());
        let sink = Arc::new(Noting { may_begin, transactions });
        let limits =
            Limits { rows_max: 1_000_000, bytes_max: 64 << 20, wait_max: Duration::from_secs(60) };
        let queue = Queue::new(limits);
        let workers = tally_ingest::Settings {
            workers: 1,
            batch_rows_max: 100_000,
            join_rows: 0,
            write_wait_max: Duration::from_secs(60),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let workers = Workers::start(&queue, &sink, workers, &clock);
        let receipt = Receipt::new();
        for _ in 0..100 {
            queue.push(wave(), &receipt).await.expect("room");
        }
        assert_eq!(queue.rows(), 100_000, "drops take room");
        sink.may_begin.add_permits(1);
        receipt.settled().await.expect("stored");
        queue.close();
        workers.finished().await;
        let transactions = sink.transactions.lock().expect("whole");
        assert!(transactions.iter().all(|days| *days <= DAYS_MAX), "{transactions:?}");
    }
}

#[test]
fn drops_take_their_memory() {
    let rows = drops_only();
    let run = rows.run.as_ref().expect("a run");
    let held: usize = run.batches.iter().map(|batch| size_of_val(&*batch.drops)).sum();
    assert!(held <= rows.bytes(), "{held} of {}", rows.bytes());
    assert_eq!((rows.rows(), rows.updates()), (1_000, 1_000));
}

/// Many clients report drops at once while the database is blocked. The queue stays within its
/// limit, and a later request is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_of_drops_fits_into_the_queue() {
    let Some(database) = TestDatabase::create_or_skip("drops_wave") else { return };
    let rows_max = 5_000;
    let wait_max = Duration::from_secs(60);
    let queue = Limits { rows_max, bytes_max: 10_000_000, wait_max };
    let counting = Counting::start(&database.url(), Settings { queue, ..settings() }).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Recording::start(&counting).await);
    }
    let client = database.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_producer_days IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.expect("locked");
    let entries: Vec<_> = (0..DROPS_MAX).map(|day| (day, 1)).collect();
    for stream in &streams {
        (1..=3).for_each(|sequence| stream.send(drops(sequence, &entries)));
    }
    let full = rows_max as usize;
    eventually("the queue is full", LIMIT, async || counting.service.queued_rows() == full).await;
    client.batch_execute("ROLLBACK").await.expect("unlocked");
    counting.add(vec![get("/", crate::backend::NOW)]).await.expect("counted");
    for stream in &mut streams {
        stream.acknowledged(3).await.expect("stored");
    }
    assert_eq!(totals(&counting).await, (1, 30_000));
    counting.stop().await;
}

/// One client lies: what others say of its day is hidden. What it says of 1,000 days is not added up yet.
async fn drops_that_are_struck_make_no_day_short(backend: Backend) {
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let many: Vec<_> = (0..DROPS_MAX).map(|day| (day, 1)).collect();
    let mut streams = Vec::new();
    for said in [&[(10, i64::MAX.unsigned_abs())][..], &[(10, 7), (2_000, 5)][..], &many[..]] {
        let mut stream = Recording::start(&counting).await;
        stream.send(drops(1, said));
        stream.acknowledged(1).await.expect("stored");
        streams.push(stream);
    }
    assert_eq!(totals(&counting).await, (0, i64::MAX), "at least as many");
    let date = |month, day| Some(Date { year: 1970, month, day });
    let strike = async |from, to, reason: &str| {
        let (reason, author) = (reason.to_owned(), "ann".to_owned());
        let request = proto::StrikeDropsRequest { from, to, reason, author };
        counting.book_client().await.strike_drops(request).await
    };
    let refused = strike(date(1, 11), date(1, 11), " ").await.expect_err("no reason is given");
    assert!(refused.message().starts_with("reason: "), "{refused:?}");
    for (from, to, struck, left) in [
        (date(1, 11), date(1, 11), i64::MAX, 999 + 5),
        (date(1, 11), date(1, 11), 0, 999 + 5),
        (date(1, 1), date(1, 2), 2, 997 + 5),
        (None, date(12, 31), 997 - 635, 635 + 5),
        (None, None, 640, 0),
    ] {
        let answer = strike(from, to, "its disk was bad").await.expect("struck").into_inner();
        assert_eq!((answer.dropped, totals(&counting).await), (struck, (0, left)));
    }
    let listed = backend.producers.list(false).await.expect("listed");
    assert!(listed.iter().any(|one| one.dropped == i64::MAX), "what it said stays: {listed:?}");
    drop(streams);
    counting.stop().await;
}
