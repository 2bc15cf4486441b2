//! Whoever is to be notified is told, and each alarm says when, or why not yet.

use jiff::{SignedDuration, Timestamp};
use tally_debts::Settings;
use tally_outbox::Mail;
use tally_runtime::Clock as _;
use tally_testkit::{Hook, Relay, Reply};

use super::*;
use crate::backend::webhooks;

on_every_backend!(an_alarm_says_whether_it_was_delivered, nobody_is_told_of_what_is_gone);

/// What is said of a delivery: attempts, answer, and when it is due, was delivered, or was given up.
fn said(delivery: &proto::Delivery) -> (u32, &str, [Option<Timestamp>; 3]) {
    let at = |at: Option<prost_types::Timestamp>| {
        at.map(|at| Timestamp::new(at.seconds, at.nanos).expect("a time"))
    };
    let times = [at(delivery.due_at), at(delivery.delivered_at), at(delivery.dead_at)];
    (delivery.attempts, &delivery.answer, times)
}

impl Server {
    /// The deliveries of each flip, the first one first.
    async fn deliveries(&self, before: i64) -> Vec<Vec<proto::Delivery>> {
        let request = proto::ListFlipsRequest { debt: "backup".into(), limit: 0, before };
        let listed = self.service.list_flips(asked(request)).await.expect("a list").into_inner();
        listed.flips.into_iter().rev().map(|flip| flip.deliveries).collect()
    }

    async fn deliver(&self) -> usize {
        self.courier.deliver().await.expect("the database is there")
    }
}

async fn an_alarm_says_whether_it_was_delivered(backend: &Backend) {
    let (hook, relay) = (Hook::start(), Relay::start());
    let allowed = "ops@example.com".parse().expect("an address");
    let mail = Mail::new(&relay.url("127.0.0.1"), "Tally <tally@example.com>", allowed);
    let telling = webhooks(&hook.url("/")).with_mail(mail.expect("right"));
    let server = &Server::telling(&backend.database, Settings::default(), telling);
    let notify = [hook.url("/s3cret"), "mailto:ops@Example.com".to_owned()];
    let definition = proto::Definition {
        name: "Backup\r\nBcc: x@example.net".to_owned(),
        description: "Look at /var/log/backup.log first".to_owned(),
        ..hourly("backup")
    };
    let refused = server.add(definition.clone()).await;
    assert!(refused.expect_err("another URL").message().contains("--webhooks-allow"));
    let definition = proto::Definition { notify: notify.to_vec(), ..definition };
    server.add(definition).await.expect("added");
    server.sweep("06:00:00").await;
    server.sweep_until("06:00:40", "07:05:10").await;
    // One receiver is away.
    hook.reply([Reply::status("500 Internal Server Error")]);
    let waits = server.deliveries(0).await;
    let now = server.clock.now();
    assert_eq!((waits.len(), waits[0].len()), (1, 2), "{waits:?}");
    for one in &waits[0] {
        assert!(matches!(said(one), (0, "", [Some(due), None, None]) if due <= now), "{one:?}");
    }
    assert_eq!(server.deliver().await, 2);
    let told = server.deliveries(0).await;
    let [webhook, mailed] = &told[0][..] else { panic!("{told:?}") };
    assert_eq!(webhook.receiver, hook.url("/\u{2026}"), "its path may be a secret");
    let (attempts, answer, [due, None, None]) = said(webhook) else { panic!("{webhook:?}") };
    assert_eq!((attempts, answer), (1, "500 Internal Server Error"));
    assert!(due.is_some_and(|due| due > now), "{due:?}");
    assert_eq!(mailed.receiver, "mailto:ops@example.com");
    assert_eq!(said(mailed), (1, "250 2.0.0 queued as 4711", [None, Some(now), None]));
    // It is there again, and so is the debt.
    server.clock.set(now + SignedDuration::from_mins(1));
    server.paid(pay("backup")).await.expect("paid");
    let waits = server.deliveries(0).await;
    let is_waiting: Vec<_> = waits.iter().flatten().map(|one| one.is_waiting).collect();
    assert_eq!(is_waiting, [false, false, true, false], "{waits:?}");
    assert_eq!(said(&waits[1][0]).2, [None; 3], "nobody knows when");
    assert_eq!(server.deliver().await, 2);
    assert_eq!(server.deliver().await, 1, "the second one waits for the first");
    let told = server.deliveries(0).await;
    let attempts: Vec<_> = told.iter().flatten().map(|one| said(one).0).collect();
    assert_eq!(attempts, [2, 1, 1, 1], "{told:?}");
    assert!(told.iter().flatten().all(|one| one.delivered_at.is_some()), "{told:?}");
    let ids: Vec<_> = told.iter().flatten().map(|one| one.event_id.clone()).collect();
    let posted: Vec<_> =
        hook.posted().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(posted, [&*ids[0], &ids[0], &ids[2]]);
    assert_eq!(server.deliveries(2).await, told[..1], "before the second flip");
    let mailed = relay.mailed();
    let subjects: Vec<_> = mailed.iter().map(|one| one.header("Subject")).collect();
    assert_eq!(subjects, ["Down: Backup  Bcc: x@example.net", "Up: Backup  Bcc: x@example.net"]);
    assert!(mailed.iter().all(|one| one.header("Bcc").is_empty() && one.to == ["ops@example.com"]));
    // Long lines are sent in parts.
    assert_eq!(mailed[0].body().replace("=\r\n", ""), letter(&ids[1]));
    assert_eq!(mailed[1].header("Message-ID"), format!("<{}@example.com>", ids[3]));
    // A failure is none that is overdue, and nobody reads microseconds.
    server.clock.set(now + SignedDuration::from_secs(90) + SignedDuration::from_micros(7));
    let failure = proto::PayRequest { kind: proto::PaymentKind::Fail.into(), ..pay("backup") };
    server.paid(failure).await.expect("paid");
    assert_eq!(server.deliver().await, 2);
    let failed = relay.mailed()[2].body().replace("=\r\n", "");
    let at = " failed at 2030-06-15T07:06:40Z: it failed\r\n";
    assert!(failed.contains(at) && failed.contains("Failed at:"), "{failed}");
    assert!(!failed.contains("Last payment") && !failed.contains("verdue since"), "{failed}");
}

/// What people read of the alarm that is this event.
fn letter(event: &str) -> String {
    format!(
        "Backup  Bcc: x@example.net is overdue since 2030-06-15T07:05:00Z: not paid: it was due at \
         2030-06-15T07:00:00Z\r\n\r\n\
         Debt:           backup, number 1\r\n\
         Overdue since:  2030-06-15 07:05:00 UTC\r\n\
         About:          Look at /var/log/backup.log first\r\n\
         Last payment:   never\r\n\
         Notice number:  1\r\n\
         To look at it:  tally debts show backup\r\n\
         To silence it:  tally debts pause backup\r\n\r\n\
         From Tally: debts.debt.overdue, event {event}\r\n"
    )
}

/// What is on its way goes with the address, and with the debt, also if its receiver is not allowed any more.
async fn nobody_is_told_of_what_is_gone(backend: &Backend) {
    let (old, new) = (Hook::start(), Hook::start());
    let telling =
        |urls: &str| Server::telling(&backend.database, Settings::default(), webhooks(urls));
    let server = telling(&format!("{},{}", old.url("/"), new.url("/")));
    let of = |hook: &Hook| proto::Definition { notify: vec![hook.url("/a")], ..hourly("backup") };
    server.add(of(&old)).await.expect("added");
    server.sweep("06:00:00").await;
    server.sweep_until("06:00:40", "07:05:10").await;
    assert_eq!(server.deliveries(0).await[0].len(), 1);
    let change = |hook: &Hook| proto::UpdateDebtRequest {
        debt: "backup".to_owned(),
        definition: Some(of(hook)),
    };
    server.service.update_debt(asked(change(&new))).await.expect("changed");
    assert_eq!(server.deliver().await, 0, "it was on its way to an address that is gone");
    server.paid(pay("backup")).await.expect("paid");
    assert_eq!((server.deliver().await, old.posted().len(), new.posted().len()), (1, 0, 1));
    let fail = proto::PayRequest { kind: proto::PaymentKind::Fail.into(), ..pay("backup") };
    server.paid(fail).await.expect("paid");
    let forget = proto::ForgetDebtRequest { debt: "backup".to_owned() };
    let stricter = telling(&old.url("/"));
    stricter.service.forget_debt(asked(forget)).await.expect("forgotten");
    assert_eq!(server.deliver().await, 0, "the debt is gone");
}
