//! Completely counted files are remembered when their producer ends.

use std::sync::Arc;

use tally_producers::{BatchEnd, Fate, Leaving, Opening, Run, Standing, draw_epoch};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_requests::{CountedFile, RememberFiles, Rows};
use tonic::Code;
use uuid::Uuid;

use crate::add::on_sqlite;
use crate::backend::{Backend, OLD, append_batch, batch, noon, sum};
use crate::conformance::on_every_backend;
use crate::recording::{Recording, many, trailer};
use crate::server::settings;

on_every_backend!(crate::counted_files:
    files_are_remembered_when_their_producer_ends,
    the_latest_files_are_kept,
    files_with_more_requests_than_stored_are_not_remembered,
);

fn file(number: u32, name: &str, counted_micros: i64) -> CountedFile {
    let (fingerprint, name, reading) = (number.to_be_bytes().to_vec(), name.to_owned(), vec![9]);
    CountedFile { fingerprint, name, reading, requests: 1, malformed: 2, counted_micros }
}

/// A producer that has stored this many requests.
async fn stored(backend: &Backend, requests: usize) -> Leaving {
    let id = Uuid::now_v7();
    let opening = Opening {
        id,
        epoch: 0,
        claims: vec![7],
        name: "a test".to_owned(),
        may_be_new: true,
        take_over: false,
        told: None,
        next_epoch: draw_epoch(),
    };
    let opened = backend.producers.open(&opening).await.unwrap();
    let Standing { epoch, .. } = opened.unwrap();
    let batches = vec![BatchEnd { rows: requests, ..BatchEnd::default() }];
    let run = Run { producer: id, epoch, first: 1, batches };
    let rows = vec![(backend.id(3, "/a").await, noon(OLD)); requests];
    let rows = [Rows::from_iter(rows).of_run(run)];
    let fates = append_batch(&backend.store, &batch(Uuid::now_v7(), 1, &rows)).await.unwrap();
    assert_eq!(fates, [Fate::Stored { committed: 1 }]);
    Leaving { id, epoch, sequence: 1, last_seen_micros: None }
}

/// Its client leaves, and has counted these files.
async fn forget(backend: &Backend, leaving: Leaving, files: &[CountedFile]) {
    let then = RememberFiles { producer: leaving.id, files: files.to_vec() };
    backend.producers.forget(leaving, Arc::new(then)).await.unwrap();
}

async fn files_are_remembered_when_their_producer_ends(backend: Backend) {
    let all: Vec<_> = (0..4_u32).map(|number| number.to_be_bytes().to_vec()).collect();
    let leaving = stored(&backend, 2).await;
    let files = vec![file(1, "a", 10), file(2, "b", 10)];
    // The producer is in another state: nothing is remembered.
    forget(&backend, Leaving { sequence: 2, ..leaving }, &files).await;
    assert_eq!(backend.store.counted_files(&all).await.unwrap(), []);
    for _ in 0..2 {
        forget(&backend, leaving, &files).await;
        assert_eq!(backend.store.counted_files(&all).await.unwrap(), files);
    }
    assert_eq!(backend.store.counted_files(&all[2..]).await.unwrap(), files[1..]);
    let again = vec![file(2, "c", 20)];
    forget(&backend, stored(&backend, 1).await, &again).await;
    assert_eq!(
        backend.store.counted_files(&all).await.unwrap(),
        [files[0].clone(), again[0].clone()]
    );
}

async fn the_latest_files_are_kept(backend: Backend) {
    for many in 0..11_u32 {
        let numbers = many * 1_000..(many + 1) * 1_000;
        let files: Vec<_> = numbers.map(|number| file(number, "a", i64::from(number))).collect();
        forget(&backend, stored(&backend, 1_000).await, &files).await;
    }
    backend.maintain().await;
    assert_eq!(backend.count("tally_request_files").await, 10_000);
    let found =
        async |number: u32| backend.store.counted_files(&[number.to_be_bytes().to_vec()]).await;
    assert_eq!(found(999).await.unwrap(), []);
    assert_eq!(found(1_000).await.unwrap(), [file(1_000, "a", 1_000)]);
}

async fn files_with_more_requests_than_stored_are_not_remembered(backend: Backend) {
    let all: Vec<_> = (1..3_u32).map(|number| number.to_be_bytes().to_vec()).collect();
    for requests in [i64::MAX, 1] {
        let files = vec![file(1, "a", 10), CountedFile { requests, ..file(2, "b", 10) }];
        forget(&backend, stored(&backend, 1).await, &files).await;
    }
    assert_eq!(backend.store.counted_files(&all).await.unwrap(), []);
    assert_eq!(sum(&backend.live().await), 2, "stored requests stay");
}

fn counted(fingerprint: &[u8], requests: u64) -> proto::CountedFile {
    let (fingerprint, name, reading) = (fingerprint.to_vec(), "access.log".to_owned(), vec![7]);
    proto::CountedFile { fingerprint, name, reading, requests, malformed: 5, counted_at: None }
}

#[tokio::test]
async fn a_client_reports_files_with_done_and_queries_them() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let find = async |fingerprints: &[&[u8]]| {
        let fingerprints = fingerprints.iter().map(|one| one.to_vec()).collect();
        let request = proto::FindCountedFilesRequest { fingerprints };
        let answer = counting.request_client().await.find_counted_files(request).await;
        answer.map(|answer| answer.into_inner().files)
    };
    let stream = Recording::start(&counting).await;
    stream.send(many(1, true, 3));
    assert!(find(&[b"1"]).await.unwrap().is_empty());
    let files = vec![counted(b"1", 2), counted(b"1", 2), counted(b"2", 1)];
    stream.send_kind(Some(Kind::Done(proto::Done { files })));
    assert_eq!(stream.finish().await.expect("a good end"), 1);
    let found = find(&[b"1", b"3"]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].counted_at.is_some());
    assert_eq!(found, [proto::CountedFile { counted_at: found[0].counted_at, ..counted(b"1", 2) }]);

    // Nothing was stored.
    let stream = Recording::start(&counting).await;
    let files = vec![counted(b"5", 1)];
    stream.send_kind(Some(Kind::Done(proto::Done { files })));
    assert_eq!(stream.finish().await.expect("a good end"), 0);
    assert!(find(&[b"5"]).await.unwrap().is_empty());

    // Invalid files are not remembered, and the producer stays.
    let mut stream = Recording::start(&counting).await;
    stream.send(many(1, true, 3));
    let files = vec![counted(b"4", 1), counted(b"", 1)];
    stream.send_kind(Some(Kind::Done(proto::Done { files })));
    let status = stream.ended().await;
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("INVALID_MESSAGE"), "{status}");
    assert!(find(&[b"4"]).await.unwrap().is_empty());
    let status = find(&[b""]).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}
