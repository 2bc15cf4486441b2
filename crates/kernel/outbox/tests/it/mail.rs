//! Events go by e-mail: once in the usual case, with the same id otherwise, and whatever the server of mail does.

use std::sync::Arc;

use jiff::SignedDuration;
use tally_outbox::{Courier, Outbox, State};
use tally_runtime::{Clock as _, Drain, Tasks};
use tally_testkit::{Reply, eventually};

use crate::place::{LIMIT, Place, webhooks};

const TO: &str = "mailto:ops@example.com";

fn say(answer: &str) -> Reply {
    Reply::Head(answer.to_owned())
}

#[tokio::test]
async fn a_letter_arrives_once() {
    for place in Place::all("letter").await {
        let event = place.event_to(1, 1, TO);
        place.write(&event, true).await.expect("an event");
        assert_eq!(place.deliver().await, 1);
        let mailed = place.relay.mailed();
        let [letter] = &mailed[..] else { panic!("{mailed:?}") };
        assert_eq!(
            (&*letter.from, &letter.to),
            ("tally@example.com", &vec!["ops@example.com".to_owned()])
        );
        assert_eq!(place.relay.said()[0], "EHLO example.com");
        assert_eq!(letter.header("Message-ID"), format!("<{}@example.com>", event.id()));
        assert_eq!(letter.header("Subject"), "Number 1");
        assert_eq!(letter.header("Date"), "Sat, 15 Jun 2030 12:00:00 +0000");
        let body = format!(
            "number 1 <happened>\r\n\r\nNumber:  1\r\n\r\nFrom Tally: tests.happened, event {}\r\n",
            event.id()
        );
        assert_eq!(letter.body(), body);
        let one = place.delivery().await;
        assert_eq!(one.state, State::Delivered { at: place.clock.now() });
        assert_eq!((one.attempts, &*one.answer), (1, "250 2.0.0 queued as 4711"));
        assert_eq!(one.receiver, "mailto:", "what all mail shares");
        assert_eq!(place.deliver().await, 0);
        assert_eq!(place.hook.posted(), []);
        // The operator allows it no longer.
        place.write(&place.event_to(2, 1, TO), true).await.expect("an event");
        let outbox = Outbox::new(place.database.clone(), webhooks(&place.hook));
        let courier = Courier::new(outbox, Arc::clone(&place.clock) as _);
        assert_eq!(courier.deliver().await.expect("the database is there"), 1);
        assert_eq!(place.relay.mailed().len(), 1);
    }
}

/// What the server says to each command, and when the next attempt is due then; none after what is over.
#[tokio::test]
async fn a_server_of_mail_is_heard() {
    let minute = SignedDuration::from_mins(1);
    let cases = [
        ("CONNECT", say("554 5.3.2 not today"), true),
        ("EHLO", say("421 4.3.2 shutting down"), true),
        ("MAIL", say("452 4.3.1 full"), true),
        ("MAIL", say("550 5.1.8 who are you"), true),
        ("RCPT", say("450 4.2.0 greylisted"), true),
        // A rule of the server, which its operator may change.
        ("RCPT", say("554 5.7.1 relay access denied"), true),
        ("RCPT", say("530 log in first"), true),
        ("RCPT", say("550 5.1.1 no such mailbox"), false),
        ("RCPT", say("550-5.1.1 no such\r\n550 5.1.1 mailbox"), false),
        ("DATA", say("451 4.3.0 later"), true),
        (".", say("451 4.3.0 later"), true),
        (".", say("554 5.6.0 I do not like it"), true),
        (".", say("no SMTP at all"), true),
        (".", Reply::Lost, true),
        ("CONNECT", Reply::Lost, true),
    ];
    for place in Place::all("heard_mail").await {
        for (to, reply, is_tried_again) in &cases {
            let event = place.event_to(1, 1, TO);
            place.write(&event, true).await.expect("an event");
            place.relay.reply(to, [reply.clone()]);
            let (now, before) = (place.clock.now(), place.relay.mailed().len());
            assert_eq!(place.deliver().await, 1);
            let one = place.delivery().await;
            assert!(!one.answer.is_empty() && one.answer.len() < 200, "{one:?}");
            assert!(!one.answer.contains(char::is_control), "{one:?}");
            if *is_tried_again {
                let State::Pending { due } = one.state else { panic!("{to} {reply:?}: {one:?}") };
                assert!((now + minute..=now + minute * 2).contains(&due), "{one:?}");
                place.clock.set(due);
                assert_eq!(place.deliver().await, 1);
                let state = place.delivery().await.state;
                assert_eq!(state, State::Delivered { at: due }, "{to} {reply:?}");
                let all = place.relay.mailed();
                let same = &all[before..];
                assert_eq!(same.len(), if *to == "." { 2 } else { 1 });
                assert!(same.iter().all(|letter| letter == &same[0]), "byte by byte: {same:?}");
            } else {
                assert_eq!(one.state, State::Dead { at: now }, "{to} {reply:?}");
            }
            place.remove(1).await;
        }
    }
}

/// A hundred letters to as many addresses, and a server that is silent: webhooks pass by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_of_mail_holds_up_no_webhook() {
    for place in Place::all("silent_mail").await {
        place.relay.reply("CONNECT", std::iter::repeat_n(Reply::Silence, 300));
        for subject in 0..100 {
            let to = format!("mailto:ops{subject}@example.com");
            place.write(&place.event_to(1_000 + subject, 1, &to), true).await.expect("an event");
        }
        for subject in 0..10 {
            place.write(&place.event(subject, 1, "/"), true).await.expect("an event");
        }
        let (tasks, drain) = (Tasks::new(), Drain::new());
        tasks.spawn("deliver", place.courier.clone().run(drain.clone()));
        eventually("webhooks arrive", LIMIT, async || place.hook.posted().len() == 10).await;
        drain.begin();
        tokio::time::timeout(LIMIT, tasks.finished()).await.expect("it stops");
        assert_eq!(place.relay.mailed(), []);
    }
}
