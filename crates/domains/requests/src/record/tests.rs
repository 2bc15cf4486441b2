//! A stream that always has another message.

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tally_ingest::Limits;
use tally_outbox::{Outbox, Webhooks};
use tally_proto::tally::producers::v1::Open;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_runtime::{Drain, SystemClock, Tasks};
use tally_serve::Parts;
use tally_store::Database;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::*;
use crate::batch::RecordLimits;
use crate::{MIGRATIONS, Service, Settings};

/// Far more than a task may take before it lets others in.
const REPEATS_MAX: u64 = 100_000;

pub(crate) async fn service(folder: &std::path::Path) -> Service {
    let url = format!("sqlite:{}", folder.join("tally.db").display());
    let url = url.parse().expect("a URL");
    let database = Database::open(&url, Default::default()).await.expect("it opens");
    tally_producers::MIGRATIONS.run(&database).await.expect("migrations");
    MIGRATIONS.run(&database).await.expect("migrations");
    let (drain, tasks) = (Drain::new(), Tasks::new());
    let outbox = Outbox::new(database.clone(), Webhooks::default());
    let parts = Parts { database, clock: Arc::new(SystemClock), drain, tasks, outbox };
    let wait_max = Duration::from_secs(30);
    let settings = Settings {
        resolution: crate::Resolution::Raw,
        workers: 1,
        batch_rows_max: 1_000,
        queue: Limits { rows_max: 10_000, bytes_max: 1_000_000, wait_max },
        write_wait_max: wait_max,
        path_bytes_max: 100,
        series_max: 100,
        totals_max: 100,
        roll_up_at: crate::Schedule::NEVER,
        quarter_retention_days: 400,
        metrics_endpoints: 0,
        kept_after_roll_up: Duration::ZERO,
        idempotency: Duration::from_secs(24 * 60 * 60),
        record: RecordLimits::default(),
        terms: tally_producers::Terms { producers_max: 100, retention_days: 30 },
    };
    Service::start(parts, settings).await.expect("it starts")
}

fn batch(sequence: u64, rows: usize) -> Kind {
    let series = proto::Series { path: "/".into(), ..Default::default() };
    Kind::Batch(proto::Batch {
        sequence,
        series: (rows > 0).then_some(series).into_iter().collect(),
        number: vec![0; rows],
        time_delta: vec![0; rows],
        count: u32::try_from(rows).expect("few"),
        ..Default::default()
    })
}

/// Both while a run may still grow, and while nothing is to be stored.
#[tokio::test]
async fn a_stream_that_is_never_empty_leaves_others_their_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path()).await;
    for waits_for_the_first in [false, true] {
        let id = Uuid::now_v7().as_bytes().to_vec();
        let open = Open { producer_id: id, claims: vec![1], ..Default::default() };
        let (stored, is_stored) = oneshot::channel();
        let first_is_stored = async move {
            if waits_for_the_first {
                is_stored.await.expect("an answer");
            }
            None
        };
        let flooding = Arc::new((Notify::new(), AtomicBool::new(false), AtomicU64::new(0)));
        let floods = Arc::clone(&flooding);
        let flood = (1..REPEATS_MAX).map_while(move |_| {
            floods.0.notify_one();
            floods.2.fetch_add(1, Ordering::Relaxed);
            (!floods.1.load(Ordering::Relaxed)).then(|| batch(1, 0))
        });
        let messages = stream::iter([Kind::Open(open), batch(1, 1)])
            .chain(stream::once(first_is_stored).filter_map(ready))
            .chain(stream::iter(flood))
            .map(|kind| Ok(proto::RecordRequest { kind: Some(kind) }.into()));
        let record = Record::new(Arc::clone(&service.intake), Namespace::DEFAULT);
        let mut answers = service.streams.answers(Box::pin(messages), record, Default::default());
        let reading = async {
            let mut stored = Some(stored);
            while let Some(answer) = answers.next().await {
                if answer.expect("no error").committed_sequence == 1 {
                    let _ = stored.take().map(|stored| stored.send(()));
                }
            }
        };
        let other = async {
            flooding.0.notified().await;
            flooding.1.store(true, Ordering::Relaxed);
        };
        tokio::join!(reading, other);
        let repeats = flooding.2.load(Ordering::Relaxed);
        assert!(repeats < REPEATS_MAX - 1, "{waits_for_the_first}: it took its turn at the end");
    }
}

/// The batch names these paths, and has a request of each of these numbers.
fn learn(record: &mut Record, paths: std::ops::Range<usize>, numbers: &[u32]) {
    let series = |n| proto::Series { path: format!("/{n}"), ..Default::default() };
    let (series, number) = (paths.map(series).collect(), numbers.to_vec());
    let batch = proto::Batch { series, number, ..Default::default() };
    record.learn(&batch.into()).expect("valid");
}

/// A stream names a series once. Once it has come often enough, its later requests count under it.
#[tokio::test]
async fn a_series_is_told_apart_later_on_the_same_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path()).await;
    let mut record = Record::new(Arc::clone(&service.intake), Namespace::DEFAULT);
    // Half of the room, and one more.
    learn(&mut record, 0..51, &[50]);
    let path = |record: &Record| record.names[50].series.path.to_string();
    assert_eq!(path(&record), "_other");
    learn(&mut record, 0..0, &[50, 0]);
    learn(&mut record, 0..0, &[0, 0, 0]);
    assert_eq!(path(&record), "_other");
    record.confirmed = (7, 51);
    learn(&mut record, 0..0, &[50, 50, 50]);
    assert_eq!(path(&record), "/50");
    assert_eq!(record.ids[50], record.names[50].id);
    assert_eq!(record.confirmed, (0, 0), "its name must be stored");
    assert!(record.undecided.by_number.is_empty());
}

/// An entry can be several.
#[tokio::test]
async fn a_series_is_told_apart_by_its_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path()).await;
    let mut record = Record::new(Arc::clone(&service.intake), Namespace::DEFAULT);
    learn(&mut record, 0..51, &[50]);
    let entry = |requests| proto::Batch { number: vec![50], requests, ..Default::default() };
    record.learn(&entry(vec![3]).into()).expect("valid");
    assert_eq!(&*record.names[50].series.path, "_other");
    record.learn(&entry(vec![1]).into()).expect("valid");
    assert_eq!(&*record.names[50].series.path, "/50");
    let series = vec![proto::Series { path: "/new".into(), ..Default::default() }];
    let new = proto::Batch { series, number: vec![51], ..entry(vec![4]) };
    record.learn(&new.into()).expect("valid");
    assert_eq!(&*record.names[51].series.path, "/new");
}

#[tokio::test]
async fn a_stream_remembers_few_undecided_series() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path()).await;
    let mut record = Record::new(Arc::clone(&service.intake), Namespace::DEFAULT);
    learn(&mut record, 0..3 * UNDECIDED_MAX, &[]);
    assert_eq!(record.undecided.by_number.len(), UNDECIDED_MAX);
    assert_eq!(record.undecided.numbers.len(), UNDECIDED_MAX);
}
