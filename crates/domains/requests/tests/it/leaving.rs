//! Finished producers are forgotten, and others never wait for them.

use tally_proto::tally::producers::v1 as producers;

use tally_producers::Terms;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_requests::Settings;
use tally_testkit::{TestDatabase, eventually};
use tonic::Code;
use uuid::{NoContext, Timestamp, Uuid};

use crate::LIMIT;
use crate::add::on_sqlite;
use crate::backend::{NOW, TERMS, at};
use crate::record::drops;
use crate::recording::{Recording, many, open, totals, trailer};
use crate::server::{Counting, settings};

/// An id of this age in days, by the test server's clock.
fn id_of_age(days: i64) -> Uuid {
    let drawn = at(NOW) / 1_000_000 - days * 86_400;
    Uuid::new_v7(Timestamp::from_unix(NoContext, drawn.unsigned_abs(), 0))
}

async fn listed(counting: &Counting) -> usize {
    let request = proto::ListProducersRequest { with_workers: false };
    let mut client = counting.request_client().await;
    let mut answers = client.list_producers(request).await.expect("a list").into_inner();
    let mut listed = 0;
    while let Some(answer) = answers.message().await.expect("a list") {
        listed += answer.producers.len();
    }
    listed
}

/// A stream of a client whose clock is the server's.
async fn start(counting: &Counting) -> Recording {
    Recording::open(counting, open(id_of_age(0), 0, &[1])).await.expect("it opens")
}

/// Some half-close their stream, and some just disconnect.
#[tokio::test]
async fn an_empty_stream_leaves_nothing_behind() {
    let (_folder, counting) =
        on_sqlite(Settings { terms: Terms { producers_max: 3, ..TERMS }, ..settings() }).await;
    for round in 0..20 {
        let stream = start(&counting).await;
        assert_eq!(listed(&counting).await, 1, "round {round}");
        if round % 2 == 0 {
            stream.finish().await.expect("a good end");
        } else {
            drop(stream);
        }
        eventually("it is forgotten", LIMIT, async || listed(&counting).await == 0).await;
    }
}

/// The client's connection breaks before it has stored something. It is back before the server sees the
/// end of the first stream.
#[tokio::test]
async fn a_stream_that_ends_late_takes_nothing_from_a_newer_one() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let id = id_of_age(0);
    for claim in [7, 8] {
        let first = Recording::open(&counting, open(id, 0, &[7])).await.expect("it opens");
        let known = open(id, first.opened.epoch, &[claim]);
        let mut second = Recording::open(&counting, known).await.expect("it opens");
        first.finish().await.expect("a good end");
        assert_eq!(listed(&counting).await, 1);
        if claim == 8 {
            second.send(many(1, true, 3));
            second.acknowledged(1).await.expect("stored");
        } else {
            second.finish().await.expect("a good end");
            assert_eq!(listed(&counting).await, 0, "the last one forgets it");
        }
    }
    assert_eq!(totals(&counting).await.0, 3);
}

/// A client whose clock is far off, such as a device that starts in 1970, has an id that looks old. It
/// could not begin again under it, and a batch whose stream broke would stay in doubt.
#[tokio::test]
async fn a_producer_that_could_not_begin_again_outlives_its_stream() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let born_in_1970 = at(NOW) / 86_400_000_000;
    for age in [-2, 29, born_in_1970] {
        let id = id_of_age(age);
        let first = Recording::open(&counting, open(id, 0, &[7])).await.expect("it opens");
        let epoch = first.opened.epoch;
        first.finish().await.expect("a good end");
        let again = producers::Open { acknowledged_sequence: Some(0), ..open(id, epoch, &[7]) };
        let mut stream = Recording::open(&counting, again).await.expect("it is still known");
        stream.send(many(1, true, 3));
        stream.acknowledged(1).await.expect("stored");
    }
    assert_eq!(totals(&counting).await.0, 9);
}

#[tokio::test]
async fn a_finished_client_is_forgotten_but_its_requests_stay() {
    let (_folder, counting) =
        on_sqlite(Settings { terms: Terms { producers_max: 3, ..TERMS }, ..settings() }).await;
    for _ in 0..20 {
        let stream = Recording::start(&counting).await;
        stream.send(many(1, true, 3));
        stream.send(drops(2, &[(0, 5)]));
        stream.send_kind(Some(Kind::Done(proto::Done::default())));
        assert_eq!(stream.finish().await.expect("a good end"), 2);
        assert_eq!(listed(&counting).await, 0);
    }
    assert_eq!(totals(&counting).await, (60, 100));
}

/// Acknowledged requests count; later batches are refused.
#[tokio::test]
async fn a_batch_of_another_stream_after_done_is_refused() {
    let (_folder, counting) = on_sqlite(settings()).await;
    let id = Uuid::now_v7();
    let mut stale = Recording::open(&counting, open(id, 0, &[7])).await.expect("it opens");
    let last = Recording::open(&counting, open(id, 0, &[7])).await.expect("it opens");
    last.send(many(1, true, 3));
    last.send_kind(Some(Kind::Done(proto::Done::default())));
    assert_eq!(last.finish().await.expect("a good end"), 1);
    stale.send(many(1, true, 3));
    let status = stale.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("PRODUCER_FORGOTTEN"));
    assert_eq!(totals(&counting).await.0, 3);
}

/// A client may start again if nothing of it is stored, unless it is so old that its stored batches
/// may be forgotten, or its clock was wrong, or it was told that a batch is stored.
#[tokio::test]
async fn a_producer_with_nothing_stored_starts_again() {
    let (_folder, counting) = on_sqlite(settings()).await;
    for (age, acknowledged_sequence, is_welcome) in [
        (0, Some(0), true),
        (-2, Some(0), false),
        (28, Some(0), true),
        (29, Some(0), false),
        (0, Some(1), false),
        (0, None, false),
    ] {
        let known = producers::Open { acknowledged_sequence, ..open(id_of_age(age), 77, &[7]) };
        match Recording::open(&counting, known).await {
            Ok(stream) => {
                assert!(is_welcome, "{age} {acknowledged_sequence:?}");
                assert_ne!(stream.opened.epoch, 77);
            }
            Err(status) => {
                let reason = trailer(&status, "tally-reason");
                assert_eq!(reason.as_deref(), Some("PRODUCER_FORGOTTEN"), "{status}");
                assert!(!is_welcome, "{age} {acknowledged_sequence:?}");
            }
        }
    }
}

/// Even if another session locks more producers than can be opened at once, a new one opens within
/// a client's time limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_does_not_wait_for_locked_producers() {
    let Some(database) = TestDatabase::create_or_skip("open_locked") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let mut known = Vec::new();
    for claim in 1..=20 {
        let id = Uuid::now_v7();
        let mut stream = Recording::open(&counting, open(id, 0, &[claim])).await.expect("it opens");
        stream.send(many(1, true, 1));
        stream.acknowledged(1).await.expect("it is stored");
        known.push(open(id, stream.opened.epoch, &[claim]));
    }
    let client = database.connect().await;
    let lock = "BEGIN; SELECT 1 FROM tally_producers WHERE epoch > 0 FOR UPDATE";
    client.batch_execute(lock).await.expect("locked");
    let come_back = known.iter().map(async |known| {
        let opened = async || match Recording::open(&counting, known.clone()).await {
            Ok(stream) => Ok(stream.committed),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                Err(status)
            }
        };
        eventually("the producer is open again", LIMIT, opened).await
    });
    let come_back = futures_util::future::join_all(come_back);
    let others = async {
        for _ in 0..20 {
            Recording::start(&counting).await;
        }
        client.batch_execute("ROLLBACK").await.expect("unlocked");
    };
    let (committed, ()) = futures_util::future::join(come_back, others).await;
    assert_eq!(committed, [1; 20]);
    counting.stop().await;
}
