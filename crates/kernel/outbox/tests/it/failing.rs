//! What becomes of an event when a receiver, a server or the database fails.

use jiff::SignedDuration;
use tally_outbox::State;
use tally_runtime::Clock as _;
use tally_testkit::{Disturbance, Reply, TestDatabase, eventually};

use crate::place::{LIMIT, Place};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The answer is lost, so the receiver has it twice, with the same id and the same text.
#[tokio::test]
async fn a_lost_answer_leads_to_the_same_event_again() {
    for place in Place::all("lost").await {
        place.write_one().await;
        place.hook.reply([Reply::Lost]);
        let sent = place.clock.now();
        assert_eq!(place.deliver().await, 1);
        let one = place.delivery().await;
        assert!(!one.answer.is_empty() && one.attempts == 1, "{one:?}");
        let due = place.due().await;
        assert!((sent + seconds(10)..=sent + seconds(20)).contains(&due), "{due}");
        place.clock.set(due - SignedDuration::from_micros(1));
        assert_eq!(place.deliver().await, 0);
        place.clock.set(due);
        assert_eq!(place.deliver().await, 1);
        let posted = place.hook.posted();
        assert_eq!(posted.len(), 2);
        for name in ["webhook-id", "content-type"] {
            assert_eq!(posted[0].header(name), posted[1].header(name));
        }
        assert_eq!(posted[0].body, posted[1].body);
        assert_ne!(posted[0].header("webhook-timestamp"), posted[1].header("webhook-timestamp"));
        assert_eq!(place.delivery().await.state, State::Delivered { at: due });
    }
}

/// The server is killed when it has taken an event: another one sends it, as soon as it is due again.
#[tokio::test]
async fn a_killed_server_loses_no_event() {
    for place in Place::all("killed").await {
        place.write_one().await;
        place.hook.reply([Reply::Silence]);
        let delivering = place.courier.deliver();
        let killed = async {
            eventually("it is sent", LIMIT, async || place.hook.posted().len() == 1).await;
        };
        tokio::select! {
            _ = delivering => panic!("there is no answer"),
            () = killed => {}
        }
        let one = place.delivery().await;
        assert_eq!((one.attempts, &*one.answer), (1, ""));
        place.clock.set(place.due().await);
        assert_eq!(place.deliver().await, 1);
        assert!(matches!(place.delivery().await.state, State::Delivered { .. }));
        assert_eq!(place.hook.posted().len(), 2);
    }
}

#[tokio::test]
async fn pauses_grow_until_an_event_is_given_up() {
    for place in Place::all("given_up").await {
        place.write_one().await;
        place.hook.reply(std::iter::repeat_n(Reply::status("500 Internal Server Error"), 100));
        let written = place.clock.now();
        let mut times = vec![written];
        for _ in 0..100 {
            assert_eq!(place.deliver().await, 1);
            let one = place.delivery().await;
            assert_eq!(one.answer, "500 Internal Server Error");
            match one.state {
                State::Pending { due } => times.push(due),
                State::Dead { at } => {
                    assert_eq!(at, place.clock.now());
                    break;
                }
                State::Waiting | State::Delivered { .. } => panic!("{one:?}"),
            }
            place.clock.set(*times.last().expect("there is one"));
        }
        let pauses: Vec<_> = times.windows(2).map(|two| two[1].duration_since(two[0])).collect();
        for (at, pause) in pauses.iter().enumerate() {
            let most = seconds(20 << at.min(16)).min(SignedDuration::from_hours(1));
            // The last attempt is when it is a day old.
            let is_last = at + 1 == pauses.len();
            assert!(*pause <= most && (is_last || *pause >= most / 2), "{at}: {pause}");
        }
        let last = *times.last().expect("there is one");
        assert_eq!(times.len(), 30.min(times.len()), "at most 30 attempts");
        assert!(times.len() == 30 || last == written + SignedDuration::from_hours(24), "{last}");
        place.after(SignedDuration::from_hours(24));
        assert_eq!(place.deliver().await, 0, "it is dead");
        assert_eq!(place.hook.posted().len(), times.len());
    }
}

/// A server that was away for days sends what it has once more.
#[tokio::test]
async fn an_old_event_is_tried_once() {
    for place in Place::all("old").await {
        place.write_one().await;
        let now = place.after(SignedDuration::from_hours(100));
        place.hook.reply([Reply::status("503 Service Unavailable")]);
        assert_eq!(place.deliver().await, 1);
        assert_eq!(place.delivery().await.state, State::Dead { at: now });
    }
}

/// What receivers say, and when the next attempt is due then: after the usual pause, or what they say.
#[tokio::test]
async fn receivers_are_heard() {
    let head = |lines: &str| Reply::Head(format!("HTTP/1.1 {lines}"));
    let usual = seconds(10)..=seconds(20);
    for place in Place::all("heard").await {
        let now = place.clock.now();
        let cases = [
            (head("429 Too Many Requests\r\nretry-after: 300"), Some(seconds(300)..=seconds(300))),
            (
                head("503 Service Unavailable\r\nRetry-After: Sat, 15 Jun 2030 13:00:00 GMT"),
                Some(seconds(3_600)..=seconds(3_600)),
            ),
            // Not beyond its last attempt.
            (head("503 Busy\r\nretry-after: 999999"), Some(seconds(86_400)..=seconds(86_400))),
            (head("503 Busy\r\nretry-after: 1"), Some(usual.clone())),
            (head("404 Not Found"), Some(usual.clone())),
            (head("301 Moved Permanently\r\nlocation: /elsewhere"), Some(usual.clone())),
            (head("100 Continue"), Some(usual.clone())),
            (Reply::Head("no HTTP at all".to_owned()), Some(usual.clone())),
            (
                Reply::Head(format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1 << 20))),
                Some(usual.clone()),
            ),
            (head("410 Gone"), None),
            (head("200 OK"), None),
            (head("202 Accepted"), None),
        ];
        for (reply, pause) in cases {
            place.hook.reply([reply.clone()]);
            let before = place.hook.posted().len();
            place.write_one().await;
            assert_eq!(place.deliver().await, 1);
            assert_eq!(place.hook.posted().len(), before + 1, "{reply:?}: nothing is followed");
            let one = place.delivery().await;
            match (one.state, pause) {
                (State::Pending { due }, Some(pause)) => {
                    let after = due.duration_since(now);
                    assert!(pause.contains(&after), "{reply:?}: {after}, {one:?}");
                }
                (State::Dead { .. }, None) => assert_eq!(one.answer, "410 Gone"),
                (State::Delivered { .. }, None) => assert!(one.answer.starts_with('2'), "{one:?}"),
                _ => panic!("{reply:?}: {one:?}"),
            }
            assert!(one.answer.len() < 200, "{one:?}");
            place.remove(1).await;
        }
    }
}

/// One statement after the other goes wrong in every way. The event arrives at least once, always with its
/// id; it is done when that is noted, and until then it is due.
#[tokio::test]
async fn no_failure_of_the_database_loses_an_event() {
    let Some(place) = Place::cockroach("disturbed").await else { return };
    let disturber = place.disturber.as_ref().expect("it is there");
    let mut id = place.write_one().await.id();
    let mut posted = 0;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || place.courier.deliver().await,
            async |when, _| {
                // Until it is noted, whatever went wrong before: an hour has no more attempts.
                let limit = place.clock.now() + SignedDuration::from_hours(1);
                for _ in 0..10 {
                    let state = place.delivery().await.state;
                    let State::Pending { due } = state else { break };
                    assert!(due < limit, "{when}: it waits for {due}");
                    place.clock.set(due.max(place.clock.now()));
                    place.deliver().await;
                }
                assert!(matches!(place.delivery().await.state, State::Delivered { .. }), "{when}");
                let all = place.hook.posted();
                let new = &all[posted..];
                assert!((1..=2).contains(&new.len()), "{when}: {}", new.len());
                let is_it =
                    |one: &tally_testkit::Posted| one.header("webhook-id") == id.to_string();
                assert!(new.iter().all(is_it), "{when}");
                posted = all.len();
                place.remove(1).await;
                id = place.write_one().await.id();
            },
        )
        .await;
}

/// A server that was slow says what became of its attempt when another one has taken the next.
#[tokio::test]
async fn a_late_note_says_only_that_it_is_delivered() {
    let Some(database) = TestDatabase::create_or_skip("late_note") else { return };
    let client = database.connect().await;
    let place = Place::postgres(database).await;
    let (id, now) = (place.write_one().await.id(), place.clock.now());
    let next = now + seconds(20);
    for attempts in [0_i64, 1, 1] {
        let take = include_str!("../../src/postgres/take.sql");
        client.execute(take, &[&id, &attempts, &next]).await.expect("a statement");
    }
    let note = async |attempt: i64, is_delivered: bool| {
        let note = include_str!("../../src/postgres/note.sql");
        let due = (!is_delivered).then_some(now);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&id, &attempt, &due, &now, &is_delivered, &"late"];
        client.execute(note, &values).await.expect("a statement")
    };
    assert_eq!(note(1, false).await, 0);
    let one = place.delivery().await;
    assert_eq!((one.state, one.attempts), (State::Pending { due: next }, 2));
    assert_eq!(note(1, true).await, 1);
    assert_eq!(note(2, false).await, 0);
    let one = place.delivery().await;
    assert_eq!((one.state, &*one.answer), (State::Delivered { at: now }, "late"));
}
