//! Folds of a SQLite file that is full, or that other programs write to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::future::join4;
use tally_proto::tally::requests::v1::FoldRequest;
use tally_proto::tally::requests::v1::request_service_server::RequestService;
use tally_requests::store;
use tally_store::Database;
use uuid::Uuid;

use crate::backend::{Backend, OLD, Producer, append_batch, batch, migrated, noon};
use crate::server::{Counting, settings};

/// A file that has reached its limit has no room but that of its rows, and a fold makes do with it.
#[tokio::test]
async fn a_full_file_is_folded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let url = format!("sqlite:{}?size_bytes_max=3000000", path.display());
    let store = store::open(&migrated(&url).await);
    let mut expected = 0_u64;
    for _ in 0..3 {
        let (mut producer, mut stored) = (Producer::new(), 0);
        loop {
            // Four hundred days, and ten series of each.
            let rows = (0..4_000).map(|n| (n % 10, noon(OLD) + n / 10 * 86_400_000_000));
            let chunks = [rows.collect::<tally_requests::Rows>().into()];
            let next = batch(producer.id, producer.sequence + 1, &chunks);
            match append_batch(&store, &next).await {
                Ok(_) => (producer.sequence, stored) = (producer.sequence + 1, stored + 4_000),
                Err(error) => break assert!(error.is_transient(), "{error}"),
            }
        }
        assert!(stored > 20_000, "there is room again: {stored}");
        assert_eq!(store.fold().await.expect("a fold").requests, stored);
        expected += stored;
        let file = rusqlite::Connection::open(&path).expect("the file");
        let sql = "SELECT (SELECT sum(total) FROM tally_request_days), \
                          (SELECT count(*) FROM tally_requests)";
        let sums =
            file.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        assert_eq!(sums.expect("sums"), (expected.cast_signed(), 0));
    }
}

/// Two stores on one open file know of each other which tray takes rows: what one stores is not in the tray
/// that the other has counted and is about to empty.
#[tokio::test]
async fn one_store_folds_while_another_one_stores() {
    let Some(backend) = Backend::sqlite("two stores").await else { return };
    let Database::Sqlite(file) = &backend.database else { panic!("SQLite") };
    let second = store::open(&backend.database);
    let id = backend.id(3, "/").await;
    let rows = || -> [tally_producers::Parcel<tally_requests::Rows>; 1] {
        [(0..5).map(|_| (id, noon(OLD))).collect::<tally_requests::Rows>().into()]
    };
    let (first_rows, second_rows) = (rows(), rows());
    let first = batch(Uuid::now_v7(), 1, &first_rows);
    let next = batch(Uuid::now_v7(), 1, &second_rows);
    append_batch(&second, &first).await.expect("stored");
    let (count, may_count) = std::sync::mpsc::channel::<()>();
    let (write, may_write) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    // Threads do their jobs in the order of these polls.
    let (_, folded, (), ()) = join4(
        file.read_long(move |_| Ok(may_count.recv_timeout(crate::LIMIT))),
        backend.store.fold(),
        async {
            // The empty tray is looked at, and then the other one is left.
            file.write(|_| Ok(())).await.expect("the writer is free");
            let hold = file.write(move |_| {
                let _ = begun.send(());
                Ok(may_write.recv_timeout(crate::LIMIT))
            });
            hold.await.expect("written").expect("it is let go");
        },
        async {
            has_begun.await.expect("the tray is left");
            let mut appending = std::pin::pin!(append_batch(&second, &next));
            let queued =
                std::future::poll_fn(|now| Poll::Ready(appending.as_mut().poll(now))).await;
            assert!(queued.is_pending());
            count.send(()).expect("it waits");
            file.read_long(|_| Ok(())).await.expect("the tray is counted");
            write.send(()).expect("it waits");
            appending.await.expect("stored");
        },
    )
    .await;
    assert_eq!(folded.expect("a fold").requests, 5);
    assert_eq!(backend.audit().await, 10);
}

/// Another program writes all the time: no row of it is lost, and the fold ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_writes_while_rows_are_folded() {
    let Some(backend) = Backend::sqlite("another program").await else { return };
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000) \
                INSERT INTO tally_requests_0 SELECT n % 10, n, NULL FROM n";
    backend.execute(fill).await;
    let (is_over, path) = (AtomicBool::new(false), backend.file());
    let (begun, begins) = std::sync::mpsc::channel();
    let written = std::thread::scope(|scope| {
        let (is_over, path) = (&is_over, &path);
        let writing = scope.spawn(move || {
            let file = rusqlite::Connection::open(path).expect("the file");
            file.busy_timeout(std::time::Duration::from_secs(60)).expect("it waits");
            let mut written = 0;
            while !is_over.load(Ordering::SeqCst) {
                let sql = "INSERT INTO tally_requests_0 VALUES (1, 1, NULL)";
                file.execute(sql, []).expect("a row");
                written += 1;
                let _ = begun.send(());
                // SQLite has no queue: without this, nobody else would ever get the lock.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            written
        });
        tokio::task::block_in_place(|| {
            begins.recv_timeout(crate::LIMIT).expect("it writes");
            let runtime = tokio::runtime::Handle::current();
            runtime.block_on(async {
                for _ in 0..3 {
                    let folded = backend.store.fold().await;
                    is_over.fetch_or(folded.is_err(), Ordering::SeqCst);
                    folded.expect("a fold");
                }
            });
        });
        is_over.store(true, Ordering::SeqCst);
        writing.join().expect("it wrote")
    });
    assert!(written > 0);
    backend.store.fold().await.expect("a fold");
    assert_eq!(backend.count("tally_requests").await, 0);
    let sums =
        backend.lines("SELECT '', sum(total), count(*), 0, '' FROM tally_request_days").await;
    assert_eq!(sums[0].1, 100_000 + written);
}

/// None of them has begun when the last one is refused.
#[tokio::test]
async fn a_burst_of_folds_finds_no_more_places_than_there_are() {
    let Some(backend) = Backend::sqlite("burst").await else { return };
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let fold = |_| RequestService::fold(&counting.service, tonic::Request::new(FoldRequest {}));
    let folds = futures_util::future::join_all((0..30).map(fold)).await;
    let (done, refused): (Vec<_>, Vec<_>) = folds.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1 + 16, 13), "one has its turn, 16 wait");
    for refused in refused {
        let refused = refused.expect_err("it is one");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    }
    counting.stop().await;
}
