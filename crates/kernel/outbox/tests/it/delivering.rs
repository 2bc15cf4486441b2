//! Events arrive: once in the usual case, in order, signed, and whatever other receivers do.

use std::sync::Arc;

use jiff::SignedDuration;
use ring::hmac;
use serde_json::{Value, json};
use tally_outbox::{Courier, Outbox, State};
use tally_runtime::{Clock as _, Drain, Tasks};
use tally_testkit::{Hook, Posted, Reply, eventually};

use crate::place::{LIMIT, Place, webhooks};

/// Whether a receiver that knows the secret believes it, by the words of the specification.
fn is_signed(posted: &Posted) -> bool {
    let key = [
        49, 242, 144, 246, 191, 6, 41, 138, 171, 79, 8, 212, 60, 63, 8, 44, 246, 72, 163, 98, 218,
        45, 164, 176,
    ];
    let text = format!(
        "{}.{}.{}",
        posted.header("webhook-id"),
        posted.header("webhook-timestamp"),
        posted.body
    );
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let mac: Vec<u8> = mac.as_ref().to_vec();
    let sent = posted.header("webhook-signature").strip_prefix("v1,").unwrap_or_default();
    base64(&mac) == sent
}

/// Without the crate that the code under test uses.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

/// Alertmanager keeps an alert that has no end for `resolve_timeout` only; what is over has begun when it did, as
/// long as its labels are the same.
#[tokio::test]
async fn a_receiver_may_have_a_format_of_its_own() {
    for place in Place::all("formats").await {
        let slack = place.event_to(1, 1, &format!("slack+{}", place.hook.url("/s3cret")));
        let to = format!("alertmanager+{}", place.hook.url("/api/v2/alerts"));
        let (alarm, over) = (place.event_to(2, 1, &to), place.event_to(2, 2, &to));
        for event in [&slack, &alarm, &over] {
            place.write(event, true).await.expect("an event");
        }
        place.deliver().await;
        place.deliver().await;
        let posted = place.hook.posted();
        let body = |event: &tally_outbox::Event| -> Value {
            let id = event.id().to_string();
            let one: Vec<_> = posted.iter().filter(|one| one.header("webhook-id") == id).collect();
            assert!(one.len() == 1 && is_signed(one[0]), "{one:?}");
            serde_json::from_str(&one[0].body).expect("JSON")
        };
        let text = "number 1 &lt;happened&gt;";
        let words = json!({"type": "mrkdwn", "text": text});
        let expected = json!({"text": text, "blocks": [{"type": "section", "text": words}]});
        assert_eq!(body(&slack), expected);
        let labels = json!({"alertname": "Happened", "subject": "2"});
        let expected = json!([{
            "labels": labels,
            "annotations": {"summary": "number 1 <happened>", "event": alarm.id().to_string()},
            "startsAt": "2030-06-15T12:00:00Z",
            "endsAt": "2031-06-15T12:00:00Z",
        }]);
        assert_eq!(body(&alarm), expected);
        let expected = json!([{
            "labels": labels,
            "annotations": {"summary": "number 2 <happened>", "event": over.id().to_string()},
            "endsAt": "2030-06-15T12:00:00Z",
        }]);
        assert_eq!(body(&over), expected);
        let one = place.delivery().await;
        assert_eq!((one.receiver, one.attempts), (place.hook.url(""), 1), "no path is shown");
    }
}

#[tokio::test]
async fn an_event_arrives_once_and_signed() {
    for place in Place::all("arrives").await {
        place.write(&place.event(2, 1, "/"), false).await.expect("rolled back");
        let event = place.event(1, 1, "/tally?a=b");
        place.write(&event, true).await.expect("an event");
        assert_eq!(place.deliver().await, 1);
        let posted = place.hook.posted();
        assert_eq!(posted.len(), 1, "what is rolled back did not happen");
        let posted = &posted[0];
        assert_eq!(posted.line, "POST /tally?a=b HTTP/1.1");
        assert_eq!(posted.header("host"), place.hook.url("").replace("http://", ""));
        assert_eq!(posted.header("content-type"), "application/json");
        assert_eq!(posted.header("webhook-id"), event.id().to_string());
        assert_eq!(posted.header("webhook-timestamp"), place.clock.now().as_second().to_string());
        assert!(is_signed(posted), "{posted:?}");
        let body: Value = serde_json::from_str(&posted.body).expect("JSON");
        let expected = json!({
            "id": event.id().to_string(),
            "type": "tests.happened",
            "timestamp": "2030-06-15T12:00:00Z",
            "data": {"number": 1},
        });
        assert_eq!(body, expected);
        let one = place.delivery().await;
        assert_eq!(one.state, State::Delivered { at: place.clock.now() });
        assert_eq!((one.attempts, &*one.answer, &*one.body), (1, "204", &*posted.body));
        // A week later, nobody looks at it any more.
        place.after(SignedDuration::from_hours(24 * 7));
        place.courier.prune().await.expect("pruned");
        assert_eq!(place.deliveries().await.len(), 1);
        place.after(SignedDuration::from_secs(1));
        place.courier.prune().await.expect("pruned");
        assert_eq!(place.deliveries().await.len(), 0);
        assert_eq!(place.deliver().await, 0);
    }
}

/// The table refuses what two servers would tell twice.
#[tokio::test]
async fn a_number_is_given_once() {
    for place in Place::all("numbers").await {
        place.write_one().await;
        let error = place.write(&place.event(1, 1, "/"), true).await.expect_err("a second one");
        assert_eq!(error.sqlstate(), Some("23505"));
        assert_eq!(place.deliver().await, 1);
    }
}

/// The first event of a subject holds up its others, and those of no other subject.
#[tokio::test]
async fn events_of_a_subject_arrive_in_their_order() {
    for place in Place::all("order").await {
        for (subject, number) in [(1, 2), (1, 1), (2, 1), (1, 3)] {
            let event = place.event(subject, number, &format!("/{subject}/{number}"));
            place.write(&event, true).await.expect("an event");
        }
        place.hook.reply([Reply::Lost, Reply::Lost]);
        assert_eq!(place.deliver().await, 2);
        assert_eq!(place.deliver().await, 0, "neither is due");
        place.after(SignedDuration::from_secs(20));
        for _ in 0..3 {
            place.deliver().await;
        }
        let posted = place.hook.posted();
        let lines = |of: &str| {
            let lines = posted.iter().map(|one| &*one.line).filter(|line| line.contains(of));
            lines.map(|line| line.split(['/', ' ']).nth(3).unwrap_or("")).collect::<String>()
        };
        assert_eq!((lines(" /1/"), lines(" /2/")), ("1123".to_owned(), "11".to_owned()));
    }
}

/// Several servers look at the same time.
#[tokio::test]
async fn of_several_servers_one_sends_it() {
    for place in Place::all("several").await {
        for subject in 0..20 {
            let event = place.event(subject, 1, &format!("/{subject}"));
            place.write(&event, true).await.expect("an event");
        }
        let other = Courier::new(place.outbox.clone(), Arc::clone(&place.clock) as _);
        let mut sent = 0;
        for _ in 0..100 {
            if sent == 20 {
                break;
            }
            let (one, two) = tokio::join!(place.courier.deliver(), other.deliver());
            sent += one.expect("the database is there") + two.expect("the database is there");
        }
        let posted = place.hook.posted();
        assert_eq!((sent, posted.len()), (20, 20), "each was sent once");
    }
}

/// A receiver that never answers has hundreds of events; those of the other one pass by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_receiver_holds_up_no_other_one() {
    for place in Place::all("slow").await {
        let slow = Hook::start();
        slow.reply(std::iter::repeat_n(Reply::Silence, 300));
        for subject in 0..200 {
            let event = place.event_to(1_000 + subject, 1, &slow.url("/"));
            place.write(&event, true).await.expect("an event");
        }
        for subject in 0..10 {
            place.write(&place.event(subject, 1, "/"), true).await.expect("an event");
        }
        let (allowed, secrets) = (
            format!("{},{}", place.hook.url("/"), slow.url("/")),
            crate::place::SECRET.parse().expect("a secret"),
        );
        let webhooks = tally_outbox::Webhooks::new(allowed.parse().expect("prefixes"), secrets);
        let outbox = Outbox::new(place.database.clone(), webhooks);
        let courier = Courier::new(outbox.clone(), Arc::clone(&place.clock) as _);
        let (tasks, drain) = (Tasks::new(), Drain::new());
        tasks.spawn("deliver", courier.run(drain.clone()));
        eventually("the other one has all", LIMIT, async || place.hook.posted().len() == 10).await;
        assert!(slow.posted().len() <= 4, "at most four at once: {}", slow.posted().len());
        // The server stops although attempts are under way.
        drain.begin();
        tokio::time::timeout(LIMIT, tasks.finished()).await.expect("it stops");
    }
}

#[tokio::test]
async fn what_is_removed_is_not_sent() {
    for place in Place::all("removed").await {
        place.write_one().await;
        place.write(&place.event(2, 1, "/2"), true).await.expect("an event");
        place.remove(1).await;
        assert_eq!(place.deliver().await, 1);
        assert_eq!(place.hook.posted()[0].line, "POST /2 HTTP/1.1");
        assert_eq!(place.deliveries().await, []);
    }
}

/// What the operator allows may change while events wait.
#[tokio::test]
async fn what_is_not_allowed_is_not_sent() {
    for place in Place::all("allowed").await {
        let elsewhere = Hook::start();
        let event = place.event_to(1, 1, &elsewhere.url("/"));
        place.write(&event, true).await.expect("an event");
        assert_eq!(place.deliver().await, 1);
        let one = place.delivery().await;
        assert!(one.answer.contains("TALLY_WEBHOOKS_ALLOW"), "{one:?}");
        assert_eq!(elsewhere.posted(), []);
        let outbox = Outbox::new(place.database.clone(), webhooks(&elsewhere));
        let courier = Courier::new(outbox, Arc::clone(&place.clock) as _);
        place.after(SignedDuration::from_secs(20));
        assert_eq!(courier.deliver().await.expect("the database is there"), 1);
        assert_eq!(elsewhere.posted().len(), 1);
    }
}
