//! Producers that are of no more use are forgotten, and others wait for none of them.

use tally_proto::tally::producers::v1 as producers;

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_requests::Settings;
use tally_testkit::{TestDatabase, eventually};
use tonic::Code;
use uuid::{NoContext, Timestamp, Uuid};

use crate::LIMIT;
use crate::add::on_sqlite;
use crate::backend::{NOW, at};
use crate::record::drops;
use crate::recording::{Recording, many, open, totals, trailer};
use crate::server::{Counting, settings};

/// An id that is so many days old, by the clock of the test's server.
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

/// Some of them half-close their stream, and some only go away.
#[tokio::test]
async fn a_stream_that_brought_nothing_leaves_nothing_behind() {
    let (_folder, counting) = on_sqlite(Settings { producers_max: 3, ..settings() }).await;
    for round in 0..20 {
        let stream = Recording::start(&counting).await;
        assert_eq!(listed(&counting).await, 1, "round {round}");
        if round % 2 == 0 {
            stream.finish().await.expect("a good end");
        } else {
            drop(stream);
        }
        eventually("it is forgotten", LIMIT, async || listed(&counting).await == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_is_done_is_forgotten_and_what_it_brought_stays() {
    let (_folder, counting) = on_sqlite(Settings { producers_max: 3, ..settings() }).await;
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

/// What was acknowledged counts; a batch after it is refused.
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

/// A client that has sent a batch of which nothing is stored may begin again, unless it is so old
/// that what it stored can be forgotten, or of a clock that was wrong, or it was told that something is stored.
#[tokio::test]
async fn a_producer_of_which_nothing_can_be_stored_begins_again() {
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

/// More producers than can be opened at the same time are locked by somebody else, and a new one is
/// opened within the time that a client is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_does_not_wait_for_producers_that_are_locked() {
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
        loop {
            match Recording::open(&counting, known.clone()).await {
                Ok(stream) => return stream.committed,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        }
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
