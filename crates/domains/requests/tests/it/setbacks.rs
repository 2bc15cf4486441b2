//! The database is set back to an earlier state under a running server, as by a restored backup.
//! The loss is reported with the totals of the affected days, and for each producer.

use tally_proto::tally::producers::v1 as producers;

use tally_proto::tally::requests::v1 as proto;
use tally_testkit::TestDatabase;
use uuid::{NoContext, Timestamp, Uuid};

use crate::backend::{NOW, at};
use crate::log::Log;
use crate::recording::{Recording, many, open, trailer};
use crate::server::{Counting, get, settings};

/// Restores a producer's position and accounts at the time of the backup.
const BACK: [&str; 3] = [
    "UPDATE tally_producers SET sequence = 1 WHERE epoch > 0",
    "DELETE FROM tally_producers WHERE epoch = 0",
    "DELETE FROM tally_requests_0",
];

async fn first_messages(
    counting: &Counting,
    from: i32,
    to: i32,
) -> (Vec<producers::Setback>, Vec<producers::Setback>) {
    let year = |year| Some(tally_proto::google::r#type::Date { year, month: 0, day: 0 });
    let request = proto::QueryTotalsRequest {
        from: year(from),
        to: year(to),
        live: true,
        ..Default::default()
    };
    let mut client = counting.request_client().await;
    let mut answers = client.query_totals(request).await.expect("totals").into_inner();
    let totals = answers.message().await.expect("totals").unwrap_or_default().setbacks;
    while let Some(answer) = answers.message().await.expect("totals") {
        assert!(answer.setbacks.is_empty(), "only the first message has setbacks");
    }
    let request = proto::ListProducersRequest { with_workers: false };
    let mut answers = client.list_producers(request).await.expect("a list").into_inner();
    let listed = answers.message().await.expect("a list").unwrap_or_default().setbacks;
    (totals, listed)
}

/// Stores three batches of a client and three of a server's worker; only the client's first is in
/// the backup.
async fn set_back(counting: &Counting, restore: impl AsyncFn(String)) {
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, at(NOW).unsigned_abs() / 1_000_000, 0));
    let mut stream = Recording::open(counting, open(id, 0, &[7])).await.expect("it opens");
    for sequence in 1..=3 {
        stream.send(many(sequence, sequence == 1, 5));
        stream.acknowledged(sequence).await.expect("stored");
        counting.add(vec![get("/", NOW)]).await.expect("stored");
    }
    let year = &NOW[..4].parse().expect("a year");
    assert_eq!(first_messages(counting, 1, 9999).await, (vec![], vec![]), "nothing is missing");
    restore(format!("BEGIN; {}; COMMIT", BACK.join("; "))).await;

    // The server's own worker finds the gap and continues.
    counting.add(vec![get("/", NOW)]).await.expect("stored");
    let (totals, listed) = first_messages(counting, 1, 9999).await;
    assert_eq!(totals, listed);
    assert!(totals.iter().all(|one| one.name == "tally serve"), "{totals:?}");

    // The client's loss is reported once, however often it asks.
    stream.send(many(4, false, 5));
    let status = stream.ended().await;
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("OUT_OF_SEQUENCE"), "{status}");
    let heard = prost_types::Timestamp { seconds: at(NOW) / 1_000_000, nanos: 0 };
    for _ in 0..3 {
        let again = producers::Open {
            acknowledged_sequence: Some(3),
            acknowledged_at: Some(heard),
            ..open(id, stream.opened.epoch, &[7])
        };
        assert_eq!(Recording::open(counting, again).await.expect("it opens").committed, 1);
    }
    let (totals, listed) = first_messages(counting, *year, *year).await;
    let of_client: Vec<_> = listed.iter().filter(|one| one.name == "a test").collect();
    assert_eq!(of_client.len(), 1, "{listed:?}");
    assert_eq!((of_client[0].batches, of_client[0].producers), (2, 1));
    assert_eq!(of_client[0].short_id, tally_producers::short_id(id));
    assert!(totals.contains(of_client[0]), "{totals:?}");
    // Totals of other days are still complete.
    let (totals, listed) = first_messages(counting, 1, 2020).await;
    assert!(totals.is_empty() && listed.len() > 1, "{totals:?} {listed:?}");

    // An operator clears one, then all others.
    let try_clear = async |short_id: &str| {
        let request = proto::ClearSetbacksRequest { short_id: short_id.to_owned() };
        counting.request_client().await.clear_setbacks(request).await
    };
    let clear =
        async |short_id: &str| try_clear(short_id).await.expect("cleared").into_inner().setbacks;
    let status = try_clear("").await.expect_err("a missing id does not mean all");
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    let one = tally_producers::short_id(id);
    let cleared = clear(&one).await;
    assert_eq!(cleared.len(), 1, "{cleared:?}");
    assert_eq!((&cleared[0].short_id, cleared[0].batches), (&one, 2));
    assert_eq!(clear(&one).await, []);
    assert_eq!(clear("all").await.len(), listed.len() - 1);
    assert_eq!(first_messages(counting, 1, 9999).await, (vec![], vec![]), "nothing is left");
}

#[tokio::test]
async fn sqlite_is_set_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tally.db");
    let counting = Counting::start(&format!("sqlite:{}", file.display()), settings()).await;
    let restore = async |sql: String| {
        let connection = rusqlite::Connection::open(&file).expect("the file");
        connection.busy_timeout(crate::LIMIT).expect("it waits");
        connection.execute_batch(&sql).expect("restored");
    };
    set_back(&counting, restore).await;
    counting.stop().await;
}

#[tokio::test]
async fn postgres_is_set_back() {
    let Some(database) = TestDatabase::create_or_skip("went_back") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let restore = async |sql: String| {
        database.connect().await.batch_execute(&sql).await.expect("restored");
    };
    set_back(&counting, restore).await;
    counting.stop().await;
}

/// The whole producer is missing. That is not a loss if it was silent long enough to be forgotten.
#[tokio::test]
async fn a_missing_producer_is_reported_unless_it_is_old() {
    let (_folder, counting) = crate::add::on_sqlite(settings()).await;
    let seconds = |days: i64| prost_types::Timestamp {
        seconds: at(NOW) / 1_000_000 - days * 86_400,
        nanos: 0,
    };
    for (heard, is_noted) in [(None, false), (Some(seconds(31)), false), (Some(seconds(3)), true)] {
        let gone = producers::Open {
            acknowledged_sequence: Some(12),
            acknowledged_at: heard,
            ..open(Uuid::from_u128(9), 5, &[7])
        };
        let status = Recording::open(&counting, gone).await.err().expect("it is missing");
        assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("PRODUCER_FORGOTTEN"));
        let (_, listed) = first_messages(&counting, 1, 9999).await;
        assert_eq!(listed.len(), usize::from(is_noted), "{heard:?}");
        if let [one] = &*listed {
            assert_eq!((one.batches, one.since), (12, heard));
        }
    }
}

/// Right after a restore some statements fail, so a loss may be noted later.
#[tokio::test]
async fn a_loss_that_cannot_be_noted_is_noted_later() {
    let Some(database) = TestDatabase::create_or_skip("owed_setback") else { return };
    let settings = tally_requests::Settings { workers: 1, ..settings() };
    let counting = Counting::start(&database.url(), settings).await;
    for _ in 0..3 {
        counting.add(vec![get("/", NOW)]).await.expect("stored");
    }
    let client = database.connect().await;
    let back = "DELETE FROM tally_producers; ALTER TABLE tally_producer_setbacks RENAME TO hidden";
    client.batch_execute(back).await.expect("back");
    counting.add(vec![get("/", NOW)]).await.expect("stored");
    client
        .batch_execute("ALTER TABLE hidden RENAME TO tally_producer_setbacks")
        .await
        .expect("there");
    counting.add(vec![get("/", NOW)]).await.expect("stored");
    let (_, listed) = first_messages(&counting, 1, 9999).await;
    assert_eq!(listed.iter().map(|one| one.batches).collect::<Vec<_>>(), [3]);
    counting.stop().await;
}

/// The table and the log have at most a thousand lines of them.
#[tokio::test]
async fn made_up_losses_do_not_fill_the_log() {
    let Some(database) = TestDatabase::create_or_skip("made_up") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let many = "INSERT INTO tally_producer_setbacks \
         SELECT 'requests', 0, gen_random_uuid(), '', now(), now(), 1, 1 \
         FROM generate_series(1, 999)";
    database.connect().await.batch_execute(many).await.expect("rows");
    let (log, _guard) = Log::begin();
    for n in 1..=5 {
        let gone = producers::Open {
            acknowledged_sequence: Some(12),
            acknowledged_at: Some(tally_proto::wire::timestamp(at(NOW))),
            ..open(Uuid::from_u128(n), 5, &[7])
        };
        Recording::open(&counting, gone).await.err().expect("it is missing");
    }
    let (_, listed) = first_messages(&counting, 1, 9999).await;
    assert_eq!(listed.iter().map(|one| one.producers).sum::<i64>(), 1_004);
    // One with its own row, and the first of those that share one.
    assert_eq!(log.count("acknowledged batches are missing"), 2);
    counting.stop().await;
}
