//! Sending, against a server that refuses when it is told to.

pub(in crate::commands::requests::import) mod fake;

use tally_proto::tally::requests::v1 as proto;
use tally_testkit::eventually;
use tonic::Status;

use self::fake::Fake;
use super::super::counts::LineCounts;
use super::super::entries::Entries;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

const SERVICE: &str = "shop";

/// Sends what comes through `chunks` to this server.
async fn receive(
    fake: &Fake,
    chunks: mpsc::Receiver<Fed>,
    stop: watch::Receiver<bool>,
    checkpoint: Option<Checkpoint>,
    patience: Duration,
) -> (Outcome, Vec<News>) {
    let mut all = Vec::new();
    let send = async |server| {
        let mut news = |news: &News| all.push(news.clone());
        let mut producer = Producer::builder(server).batch_rows_max(1_000);
        if checkpoint.is_some() {
            producer = producer.take_over([7; 16]);
        }
        let producer = producer.connect().await.expect("starts");
        let parties = Parties { service: SERVICE.to_owned(), customer: "acme".to_owned() };
        send_all(producer, &parties, chunks, checkpoint, stop, patience, &mut news).await
    };
    let outcome = fake.serve(send).await;
    (outcome, all)
}

/// A chunk of `count` requests, one on each line after `after`, and one malformed line.
fn chunk(input: usize, after: u64, count: u64) -> Fed {
    let mut entries = Entries::default();
    for line in after + 1..=after + count {
        let path = format!("/{line}").into();
        entries.push(&Entry { method: 0, path, status: 0, micros: 0, times: 1 }, line, 10 * line);
    }
    let through = after + count + 1;
    let counts = LineCounts { lines: count + 1, malformed: 1, ..LineCounts::default() };
    let at = |lines| Position { offset: 10 * lines + 10, lines, ..Position::default() };
    let (begin, end) = (at(after), at(through));
    Fed::Chunk(Box::new(Chunk { input, entries, through, begin, end, bytes: through * 10, counts }))
}

fn channel(chunks: Vec<Fed>) -> mpsc::Receiver<Fed> {
    let (sender, receiver) = mpsc::channel(chunks.len().max(1));
    for chunk in chunks {
        sender.try_send(chunk).expect("room");
    }
    receiver
}

fn place(input: usize, line: u64) -> Option<Place> {
    Some(Place { input, line })
}

#[tokio::test]
async fn everything_is_sent_and_known_to_be_counted() {
    let fake = Fake::default();
    let (_stop, stopped) = watch::channel(false);
    let chunks = vec![chunk(0, 0, 6_000), chunk(0, 6_001, 4_000), chunk(1, 0, 50), chunk(1, 51, 0)];
    let (outcome, news) = receive(&fake, channel(chunks), stopped, None, PATIENCE).await;
    assert_eq!((fake.state().requests, outcome.counted), (10_050, 10_050));
    assert_eq!(outcome.through, place(1, 52));
    assert_eq!((outcome.counts.lines, outcome.counts.malformed), (10_054, 4));
    assert!(outcome.stop.is_none() && outcome.failures.is_empty() && outcome.rejected == 0);
    assert!(news.is_sorted_by_key(|news| (news.counted, news.bytes)));
    let last = news.last().expect("some");
    assert_eq!((last.counted, last.bytes, &last.trouble), (10_050, 520, &None));
    assert_eq!(fake.state().series.len(), 10_000);
}

#[tokio::test]
async fn a_series_has_a_status_and_the_parties() {
    let fake = Fake::default();
    let (_stop, stopped) = watch::channel(false);
    let mut entries = Entries::default();
    for (line, status) in [(1, 200), (2, 404), (3, 0), (4, 200)] {
        entries.push(
            &Entry { method: 3, path: "/a".into(), status, micros: 0, times: 1 },
            line,
            10 * line,
        );
    }
    let chunk = Fed::Chunk(Box::new(Chunk { entries, through: 4, ..Chunk::default() }));
    receive(&fake, channel(vec![chunk]), stopped, None, PATIENCE).await;
    let series = |status| proto::Series {
        service: SERVICE.to_owned(),
        method: "GET".to_owned(),
        path: "/a".to_owned(),
        status,
        customer: "acme".to_owned(),
    };
    assert_eq!(fake.state().series, [200, 404, 0].map(series));
}

/// A batch has 1,000 entries, and is cut between lines.
#[tokio::test]
async fn a_line_that_stands_for_several_requests_is_one_entry() {
    for begun in [None, Some(Checkpoint::default())] {
        let fake = Fake::default();
        let (_stop, stopped) = watch::channel(false);
        let mut entries = Entries::default();
        for line in 1..=1_800 {
            let times = [0, 1, 10][line as usize % 3];
            let entry = Entry { method: 3, path: "/".into(), status: 0, micros: 7, times };
            entries.push(&entry, line, 10 * line);
        }
        let end = Position { offset: 18_010, lines: 1_800, ..Position::default() };
        let chunk = Chunk { entries, through: 1_800, end, ..Chunk::default() };
        let chunks = channel(vec![Fed::Chunk(Box::new(chunk))]);
        let is_file = begun.is_some();
        let (outcome, _) = receive(&fake, chunks, stopped, begun, PATIENCE).await;
        assert_eq!((outcome.counted, outcome.through), (6_600, place(0, 1_800)));
        let state = fake.state();
        assert_eq!((state.requests, state.entries), (6_600, 1_200));
        let stored = state.checkpoints.iter().map(|(requests, stored)| {
            let Position { offset, lines, within, .. } =
                Checkpoint::read(stored).expect("ours").position;
            (*requests, offset, lines, within)
        });
        let expected = [(3_300, 9_010, 900, 0), (3_300, 18_010, 1_800, 0)];
        assert_eq!(stored.collect::<Vec<_>>(), if is_file { &expected[..] } else { &[] });
    }
}

#[tokio::test]
async fn nothing_to_send_counts_nothing() {
    let fake = Fake::default();
    let (_stop, stopped) = watch::channel(false);
    let (outcome, _) = receive(&fake, channel(vec![chunk(0, 0, 0)]), stopped, None, PATIENCE).await;
    assert_eq!((fake.state().requests, outcome.counted, outcome.counts.malformed), (0, 0, 1));
    assert_eq!(outcome.through, place(0, 1));
}

#[tokio::test]
async fn a_server_that_takes_nothing_more_is_given_up() {
    let away = || Status::unavailable("the database is away");
    let fake = Fake { refuses: Some((3, away)), ..Fake::default() };
    let (_stop, stopped) = watch::channel(false);
    let chunks = vec![chunk(0, 0, 1_500), chunk(0, 1_501, 1_500), chunk(0, 3_002, 1)];
    let (outcome, _) =
        receive(&fake, channel(chunks), stopped, None, Duration::from_millis(300)).await;
    // 1,000 and 500, as the chunks are cut into batches; 1,000 more were sent.
    assert_eq!((fake.state().requests, outcome.counted), (1_500, 1_500));
    assert_eq!(outcome.through, place(0, 1_501));
    let Some(Stop::GaveUp { why, maybe, next }) = outcome.stop else { panic!("{outcome:?}") };
    assert_eq!(why, "the database is away");
    assert_eq!((maybe, next), (0, place(0, 1_502)), "the server says that it has no more");
}

/// Its clock is behind: nothing is lost, and what is wrong is said.
#[tokio::test]
async fn times_ahead_of_the_servers_clock_are_waited_for_and_named() {
    let ahead = || {
        let mut status = Status::unavailable("batch 2: the time is 172800 s ahead");
        status.metadata_mut().insert("tally-reason", "TIME_AHEAD".parse().expect("ASCII"));
        status.metadata_mut().insert("tally-committed", 1.into());
        status
    };
    let fake = Fake { refuses: Some((2, ahead)), ..Fake::default() };
    let (_stop, stopped) = watch::channel(false);
    let (outcome, news) = receive(
        &fake,
        channel(vec![chunk(0, 0, 1_500)]),
        stopped,
        None,
        Duration::from_millis(300),
    )
    .await;
    assert_eq!((fake.state().requests, outcome.counted, outcome.rejected), (1_000, 1_000, 0));
    let why = "batch 2: the time is 172800 s ahead";
    assert!(news.iter().any(|news| news.trouble.as_deref() == Some(why)));
    let Some(Stop::GaveUp { why: said, maybe, next }) = outcome.stop else { panic!("{outcome:?}") };
    assert_eq!((&*said, maybe, next), (why, 0, place(0, 1_001)));
}

#[tokio::test]
async fn a_refused_batch_is_named_and_the_others_are_counted() {
    let invalid = || {
        let mut status = Status::invalid_argument("batch 2: too long");
        status.metadata_mut().insert("tally-reason", "INVALID_BATCH".parse().expect("ASCII"));
        status
    };
    let fake = Fake { refuses: Some((2, invalid)), ..Fake::default() };
    let (_stop, stopped) = watch::channel(false);
    let chunks = vec![chunk(0, 0, 1_500), chunk(0, 1_501, 1_000)];
    let (outcome, _) = receive(&fake, channel(chunks), stopped, None, PATIENCE).await;
    assert_eq!((fake.state().requests, outcome.counted, outcome.rejected), (2_000, 2_000, 500));
    assert!(outcome.stop.is_none(), "{outcome:?}");
    assert_eq!(outcome.rejected_why.as_deref(), Some("batch 2: too long"));
}

/// Each batch has the position behind its requests, even if a chunk is more than a batch.
#[tokio::test]
async fn batches_of_a_file_have_positions() {
    let fake = Fake::default();
    let (_stop, stopped) = watch::channel(false);
    let chunks = vec![chunk(0, 0, 1_600), chunk(0, 1_601, 10), chunk(0, 1_612, 0)];
    let begun =
        Checkpoint { name: "a.log".to_owned(), state: State::Again, ..Checkpoint::default() };
    let (outcome, _) = receive(&fake, channel(chunks), stopped, Some(begun), PATIENCE).await;
    assert_eq!((fake.state().requests, outcome.counted), (1_610, 1_610));
    let stored: Vec<_> = fake.state().checkpoints.clone();
    let stored = stored.iter().map(|(requests, stored)| {
        let Checkpoint { position, state, name, .. } = Checkpoint::read(stored).expect("ours");
        assert_eq!(name, "a.log");
        (*requests, position.lines, position.offset, state)
    });
    let expected = [
        (800, 800, 8_010, State::Again),
        (800, 1_601, 16_020, State::Again),
        (10, 1_612, 16_130, State::Again),
        // Without requests, at the end.
        (0, 1_613, 16_140, State::Once),
    ];
    assert_eq!(stored.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn nothing_is_stored_of_a_file_without_requests_or_without_news() {
    let known = Position { offset: 10, lines: 1, ..Position::default() };
    for (position, chunks) in [(Position::default(), vec![chunk(0, 0, 0)]), (known, Vec::new())] {
        let fake = Fake::default();
        let (_stop, stopped) = watch::channel(false);
        let begun = Some(Checkpoint { position, ..Checkpoint::default() });
        receive(&fake, channel(chunks), stopped, begun, PATIENCE).await;
        assert_eq!(fake.state().checkpoints, []);
    }
}

#[tokio::test]
async fn an_import_that_is_taken_over_stops() {
    let taken_over = || {
        let mut status = Status::failed_precondition("another one has it");
        let reason = "PRODUCER_TAKEN_OVER".parse().expect("ASCII");
        status.metadata_mut().insert("tally-reason", reason);
        status
    };
    let fake = Fake { refuses: Some((2, taken_over)), ..Fake::default() };
    let (_stop, stopped) = watch::channel(false);
    let chunks = vec![chunk(0, 0, 500), chunk(0, 501, 500), chunk(0, 1_002, 500)];
    let begun = Some(Checkpoint::default());
    let (outcome, _) = receive(&fake, channel(chunks), stopped, begun, PATIENCE).await;
    assert_eq!((fake.state().requests, outcome.counted, outcome.in_doubt), (500, 500, 0));
    let stop = outcome.stop;
    assert!(matches!(stop, Some(Stop::Stopped(tally_client::Stop::TakenOver))), "{stop:?}");
}

#[tokio::test]
async fn an_interruption_waits_for_what_was_sent() {
    let fake = Fake::default();
    let (stop, stopped) = watch::channel(false);
    let (sender, receiver) = mpsc::channel(4);
    for fed in [chunk(0, 0, 4), chunk(1, 0, 6)] {
        sender.try_send(fed).expect("room");
    }
    let interrupt = async {
        eventually("10 requests", PATIENCE, async || fake.state().requests == 10).await;
        stop.send(true).expect("somebody listens");
    };
    let ((outcome, _), ()) =
        tokio::join!(receive(&fake, receiver, stopped, None, PATIENCE), interrupt);
    assert!(sender.is_closed());
    assert!(matches!(outcome.stop, Some(Stop::Interrupted)), "{outcome:?}");
    assert_eq!((outcome.counted, outcome.through), (10, place(1, 7)));
}

#[tokio::test]
async fn a_pause_in_the_input_acknowledges_what_came_before() {
    let fake = Fake::default();
    let (_stop, stopped) = watch::channel(false);
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(chunk(0, 0, 10)).expect("room");
    let later = async {
        eventually("10 requests", PATIENCE, async || fake.state().requests == 10).await;
        sender.try_send(chunk(0, 11, 10)).expect("room");
        drop(sender);
    };
    let ((outcome, _), ()) = tokio::join!(receive(&fake, receiver, stopped, None, PATIENCE), later);
    assert_eq!(outcome.counted, 20);
}

/// The producer is forgotten on the way: those that were sent are in doubt, and the rest goes on.
#[tokio::test]
async fn what_is_in_doubt_is_told() {
    let forgotten = || {
        let mut status = Status::failed_precondition("who are you");
        let reason = "PRODUCER_FORGOTTEN".parse().expect("ASCII");
        status.metadata_mut().insert("tally-reason", reason);
        status
    };
    let fake = Fake { refuses: Some((2, forgotten)), ..Fake::default() };
    let (_stop, stopped) = watch::channel(false);
    let (outcome, _) =
        receive(&fake, channel(vec![chunk(0, 0, 1_500)]), stopped, None, PATIENCE).await;
    assert_eq!((fake.state().requests, outcome.counted, outcome.in_doubt), (1_000, 1_000, 500));
    assert!(outcome.stop.is_none(), "{outcome:?}");
}
