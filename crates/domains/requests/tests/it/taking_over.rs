//! Checkpoints are stored with their batches, and a producer that is taken over has one holder.

use tally_producers::{BatchEnd, Fate, Opening, Parcel, Refusal, Run, Standing, draw_epoch};
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_requests::{Rows, SeriesId};
use tonic::Code;
use uuid::Uuid;

use crate::add::on_sqlite;
use crate::backend::{Backend, NOW, OLD, Producer, at, noon, sum};
use crate::conformance::on_every_backend;
use crate::recording::{Recording, many, open, totals, trailer};
use crate::server::settings;

on_every_backend!(crate::taking_over:
    a_checkpoint_is_stored_with_its_batch,
    checkpoints_of_many_producers_in_one_batch,
    who_takes_over_fences_the_one_before,
    a_batch_is_stored_before_the_take_over_or_never,
    only_what_was_shared_from_the_beginning_is_taken_over,
    a_checkpoint_outlives_a_silence,
);

/// Below and above the size from which Postgres uses COPY.
const SIZES: [usize; 3] = [0, 3, 2_500];

/// A process that has a producer.
struct Holder {
    id: Uuid,
    claim: i64,
    standing: Standing,
}

// === impl Holder ===

impl Holder {
    /// Takes a producer over.
    async fn take(backend: &Backend, id: Uuid, claim: i64) -> Self {
        let standing = opened(backend, &opening(id, 0, claim)).await.expect("it is taken over");
        Self { id, claim, standing }
    }

    /// One batch of so many rows.
    fn batch(&self, first: i64, rows: usize, series: SeriesId, checkpoint: &[u8]) -> Parcel<Rows> {
        let checkpoint = (!checkpoint.is_empty()).then(|| checkpoint.to_vec());
        let batches = vec![BatchEnd { rows, checkpoint, ..BatchEnd::default() }];
        let (producer, epoch) = (self.id, self.standing.epoch);
        let run = Run { producer, epoch, is_shared: true, first, batches };
        Rows::from_iter(vec![(series, noon(OLD)); rows]).of_run(run)
    }

    /// The same process, after its connection was lost.
    async fn again(&self, backend: &Backend) -> Result<Standing, Refusal> {
        opened(backend, &opening(self.id, self.standing.epoch, self.claim)).await
    }
}

fn opening(id: Uuid, epoch: i64, claim: i64) -> Opening {
    Opening {
        id,
        epoch,
        claims: vec![claim],
        name: "a reader".to_owned(),
        may_be_new: epoch == 0,
        take_over: true,
        told: None,
        next_epoch: draw_epoch(),
    }
}

async fn opened(backend: &Backend, opening: &Opening) -> Result<Standing, Refusal> {
    backend.producers.open(opening).await.expect("the database works")
}

/// Stores one batch by a worker of its own.
async fn store(backend: &Backend, rows: Parcel<Rows>) -> Fate {
    let fates = Producer::new().send(&backend.store, backend.is_cockroach(), &[rows]).await;
    *fates.first().expect("one for each chunk")
}

fn stored(committed: i64) -> Fate {
    Fate::Stored { committed, known: 0 }
}

async fn a_checkpoint_is_stored_with_its_batch(backend: Backend) {
    let series = backend.id(3, "/").await;
    for size in SIZES {
        let id = Uuid::now_v7();
        let holder = Holder::take(&backend, id, 1).await;
        assert_eq!(holder.standing.checkpoint, b"");
        for (sequence, given, kept) in [(1, "a", "a"), (2, "", "a"), (3, "\0\u{ff}", "\0\u{ff}")] {
            let batch = || holder.batch(sequence, size, series, given.as_bytes());
            for _ in 0..2 {
                assert_eq!(store(&backend, batch()).await, stored(sequence));
                let now = holder.again(&backend).await.expect("it has it");
                let kept = (sequence, kept.as_bytes().to_vec());
                assert_eq!((now.sequence, now.checkpoint), kept);
            }
        }
        // A batch that does not fit leaves no checkpoint, and nor does one that comes again.
        let gap = holder.batch(5, size, series, b"x");
        assert_eq!(store(&backend, gap).await, Fate::Gap { committed: 3 });
        assert_eq!(store(&backend, holder.batch(2, size, series, b"x")).await, stored(3));
        assert_eq!(
            holder.again(&backend).await.expect("it has it").checkpoint,
            "\0\u{ff}".as_bytes()
        );
        let listed = backend.producers.list(false).await.expect("a list");
        let listed = listed.iter().find(|one| one.id == id).expect("it is known");
        assert_eq!(listed.checkpoint, "\0\u{ff}".as_bytes());
        assert!(listed.checkpoint_micros.is_some_and(|at| at <= listed.last_seen_micros));
    }
    backend.audit().await;
}

async fn checkpoints_of_many_producers_in_one_batch(backend: Backend) {
    let series = backend.id(3, "/").await;
    for size in SIZES {
        let mut holders = Vec::new();
        for claim in 1..4 {
            holders.push(Holder::take(&backend, Uuid::now_v7(), claim).await);
        }
        let checkpoints: [&[u8]; 3] = [b"one", b"", b"three"];
        let of =
            |(holder, checkpoint): (&Holder, &&[u8])| holder.batch(1, size, series, checkpoint);
        let batches: Vec<_> = holders.iter().zip(&checkpoints).map(of).collect();
        let fates = Producer::new().send(&backend.store, backend.is_cockroach(), &batches).await;
        assert_eq!(fates, [stored(1); 3]);
        for (holder, checkpoint) in holders.iter().zip(checkpoints) {
            let now = holder.again(&backend).await.expect("it has it");
            assert_eq!((now.sequence, &*now.checkpoint), (1, checkpoint));
        }
    }
}

async fn who_takes_over_fences_the_one_before(backend: Backend) {
    let series = backend.id(3, "/").await;
    let id = Uuid::now_v7();
    let mut old = Holder::take(&backend, id, 1).await;
    assert_eq!(store(&backend, old.batch(1, 1, series, b"1")).await, stored(1));
    for (sequence, size) in (2..).zip(SIZES) {
        let new = Holder::take(&backend, id, sequence).await;
        let at = (sequence - 1, (sequence - 1).to_string().into_bytes());
        assert_eq!((new.standing.sequence, new.standing.checkpoint.clone()), at);
        // Neither what it sends nor coming back helps the old one.
        let late = store(&backend, old.batch(sequence, size, series, b"old")).await;
        assert_eq!(late, Fate::Refused(Refusal::TakenOver));
        assert_eq!(old.again(&backend).await, Err(Refusal::TakenOver));
        let checkpoint = sequence.to_string();
        let next = new.batch(sequence, size, series, checkpoint.as_bytes());
        assert_eq!(store(&backend, next).await, stored(sequence));
        old = new;
    }
    assert_eq!(sum(&backend.live().await), 1 + SIZES.iter().sum::<usize>() as i64);
    backend.audit().await;
}

/// Whichever is first: who takes over hears of the batch, or the batch is refused.
async fn a_batch_is_stored_before_the_take_over_or_never(backend: Backend) {
    let series = backend.id(3, "/").await;
    let mut expected = 0;
    for round in 0..12 {
        let size = SIZES[round % SIZES.len()];
        let id = Uuid::now_v7();
        let old = Holder::take(&backend, id, 1).await;
        let batch = old.batch(1, size, series, b"end");
        let (fate, new) = tokio::join!(store(&backend, batch), Holder::take(&backend, id, 2));
        let at = (new.standing.sequence, &*new.standing.checkpoint);
        match fate {
            Fate::Stored { committed: 1, .. } => {
                assert_eq!(at, (1, &b"end"[..]), "{round}");
                expected += size as i64;
            }
            Fate::Refused(Refusal::TakenOver) => assert_eq!(at, (0, &b""[..]), "{round}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(new.again(&backend).await.expect("it has it").checkpoint, at.1);
    }
    assert_eq!(sum(&backend.live().await), expected);
}

async fn only_what_was_shared_from_the_beginning_is_taken_over(backend: Backend) {
    let id = Uuid::now_v7();
    let alone = Opening { take_over: false, ..opening(id, 0, 1) };
    let standing = opened(&backend, &alone).await.expect("it is new");
    assert_eq!(opened(&backend, &opening(id, 0, 2)).await, Err(Refusal::InUse));
    // Its own process is not turned away, and the producer stays what it is.
    let again = opened(&backend, &opening(id, standing.epoch, 1)).await.expect("it is its own");
    let last_seen_micros = again.last_seen_micros;
    assert_eq!(again, Standing { last_seen_micros, ..standing });
    assert_eq!(opened(&backend, &opening(id, 0, 2)).await, Err(Refusal::InUse));
    // Without the flag, the claims decide about one that is shared, too.
    let holder = Holder::take(&backend, Uuid::now_v7(), 3).await;
    let guess = Opening { take_over: false, ..opening(holder.id, 0, 4) };
    assert_eq!(opened(&backend, &guess).await, Err(Refusal::InUse));
    // A worker of a server cannot be taken over.
    let mut worker = Producer::new();
    worker.append(&backend.store, backend.is_cockroach(), []).await;
    assert_eq!(opened(&backend, &opening(worker.id, 0, 5)).await, Err(Refusal::InUse));
}

async fn a_checkpoint_outlives_a_silence(backend: Backend) {
    let series = backend.id(3, "/").await;
    let silent = async |batch: Option<&[u8]>| {
        let holder = Holder::take(&backend, Uuid::now_v7(), 1).await;
        if let Some(checkpoint) = batch {
            let batch = holder.batch(1, 1, series, checkpoint);
            assert_eq!(store(&backend, batch).await, stored(1));
        }
        holder.id
    };
    let (reader, other, idle) =
        (silent(Some(b"here")).await, silent(Some(b"")).await, silent(None).await);
    let left = async |days| {
        backend.age_producers(days).await;
        backend.maintain().await;
        let left = backend.producers.list(false).await.expect("a list");
        [reader, other, idle].map(|id| left.iter().any(|one| one.id == id))
    };
    // Another process could be done with it meanwhile, so one that is shared cannot just begin again.
    assert_eq!(left(1).await, [true, true, true]);
    assert_eq!(left(31).await, [true, false, false]);
    assert_eq!(left(399).await, [true, false, false]);
    assert_eq!(left(401).await, [false; 3]);
}

fn taking_over(id: Uuid, epoch: u64, claim: u64) -> producers::Open {
    producers::Open { take_over: true, ..open(id, epoch, &[claim]) }
}

/// A batch of so many requests, and a checkpoint.
fn batch(sequence: u64, is_first: bool, rows: u32, checkpoint: &[u8]) -> proto::Batch {
    proto::Batch { checkpoint: checkpoint.to_vec(), ..many(sequence, is_first, rows) }
}

#[tokio::test]
async fn a_stream_returns_the_checkpoint_that_it_stored() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let id = Uuid::now_v7();
    let mut first = Recording::open(&counting, taking_over(id, 0, 1)).await.expect("it is new");
    assert_eq!((first.committed, &*first.opened.checkpoint), (0, &b""[..]));
    first.send(batch(1, true, 2, &[7; 256]));
    // A batch may have nothing but a checkpoint.
    first.send(batch(2, false, 0, b"end"));
    first.acknowledged(2).await.expect("stored");
    let mut second = Recording::open(&counting, taking_over(id, 0, 2)).await.expect("its turn");
    assert_eq!((second.committed, &*second.opened.checkpoint), (2, &b"end"[..]));
    first.send(batch(3, false, 1, b"old"));
    let status = first.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("PRODUCER_TAKEN_OVER"));
    assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("2"), "it is certain");
    let old = taking_over(id, first.opened.epoch, 1);
    let status = Recording::open(&counting, old).await.err().expect("it is refused");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("PRODUCER_TAKEN_OVER"));
    assert!(status.message().contains("taken this producer over"), "{status}");
    // One that is too long stores nothing.
    second.send(batch(3, true, 1, &[1; 257]));
    let status = second.ended().await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let third = Recording::open(&counting, taking_over(id, 0, 3)).await.expect("its turn");
    assert_eq!((third.committed, &*third.opened.checkpoint), (2, &b"end"[..]));
    assert_eq!(totals(&counting).await, (2, 0));
}

/// A shared producer that lost its connection before it stored anything goes on.
#[tokio::test]
async fn a_shared_producer_that_stored_nothing_stays() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let id = Uuid::from_u128(1);
    let stream = Recording::open(&counting, taking_over(id, 0, 1)).await.expect("it is new");
    let epoch = stream.opened.epoch;
    assert_eq!(stream.finish().await.expect("a good end"), 0);
    let again = producers::Open { acknowledged_sequence: Some(0), ..taking_over(id, epoch, 1) };
    let mut again = Recording::open(&counting, again).await.expect("it goes on");
    again.send(batch(1, true, 1, b"1"));
    again.acknowledged(1).await.expect("stored");
}

/// Another process may have stored batches under it, and be done with it.
#[tokio::test]
async fn a_shared_producer_that_is_missing_does_not_begin_again() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let millis = u64::try_from(at(NOW) / 1_000).expect("after 1970");
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
    let nothing = Some(0);
    let shared = producers::Open { acknowledged_sequence: nothing, ..taking_over(id, 5, 1) };
    let status = Recording::open(&counting, shared).await.err().expect("it is refused");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("PRODUCER_FORGOTTEN"));
    let own = producers::Open { acknowledged_sequence: nothing, ..open(id, 5, &[1]) };
    Recording::open(&counting, own).await.expect("nobody else can have stored anything");
}
