//! What the domain says of itself to the people who run it.

use jiff::Timestamp;
use tally_requests::{Day, DayRange};
use tally_serve::facts::Value;
use tally_serve::{Fact, Running as _};
use tally_testkit::eventually;

use crate::LIMIT;
use crate::backend::{Backend, NOW};
use crate::record::drops;
use crate::recording::Recording;
use crate::server::{Counting, get, settings};

/// The day before [`NOW`]'s.
const YESTERDAY: &str = "2030-06-14";

#[tokio::test]
async fn sqlite_says_how_far_it_has_come() {
    said(Backend::sqlite("facts").await).await;
}

#[tokio::test]
async fn postgres_says_how_far_it_has_come() {
    said(Backend::postgres("facts").await).await;
}

#[tokio::test]
async fn cockroach_on_postgres_says_how_far_it_has_come() {
    said(Backend::cockroach_on_postgres("facts").await).await;
}

async fn said(backend: Option<Backend>) {
    let Some(backend) = backend else { return };
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let service = counting.service.clone();
    let stored = async || service.stored_facts().await.expect("the database answers");
    let count = |facts: &[Fact], name: &str| match of(facts, name).value {
        Some(Value::Count(count) | Value::Bytes(count)) => count,
        other => panic!("{name} is {other:?}"),
    };
    let unfolded = |facts: &[Fact]| {
        let names = ["unfolded_rows", "unfolded_bytes"];
        let found = facts.iter().find(|fact| names.contains(&&*fact.name));
        found.map(|fact| count(facts, &fact.name))
    };

    let facts = stored().await;
    assert_eq!(of(&facts, "rolled_up_at").value, None);
    assert_eq!(of(&facts, "rolled_up_through").value, None);
    assert_eq!((count(&facts, "days_behind"), count(&facts, "producers")), (0, 0));

    counting.add(vec![get("/", NOW), get("/", "2030-06-14T12:00:00Z")]).await.unwrap();
    let mut recording = Recording::start(&counting).await;
    recording.send(drops(1, &[(1, 7)]));
    recording.acknowledged(1).await.expect("it is stored");
    let in_memory = service.facts();
    assert_eq!((count(&in_memory, "series"), of(&in_memory, "series").max), (1, Some(1_000)));
    assert_eq!(of(&in_memory, "queue_rows").max, Some(100_000));
    assert_eq!(of(&in_memory, "queue_bytes").max, Some(10_000_000));
    let facts = stored().await;
    assert_eq!((count(&facts, "producers"), of(&facts, "producers").max), (1, Some(1_000)));
    assert!(matches!(of(&facts, "producer_seen_at").value, Some(Value::Time(_))));
    assert_eq!(count(&facts, "dropped"), 7);
    assert!(unfolded(&facts) > Some(0) || backend.is_cockroach(), "{facts:?}");

    // The fold finds that one of the days is over.
    assert_eq!(count(&facts, "days_behind"), 0);
    let note = |facts: &[Fact]| of(facts, "days_behind").note.unwrap_or_default();
    assert!(note(&facts).contains("the next fold"), "{facts:?}");

    service.store().fold().await.expect("a fold");
    let facts = stored().await;
    assert!(!note(&facts).contains("the next fold"), "{facts:?}");
    assert_eq!(count(&facts, "days_behind"), 1, "today is not over");
    assert!(unfolded(&facts) == Some(0) || backend.is_cockroach(), "{facts:?}");

    let yesterday: Timestamp = format!("{YESTERDAY}T00:00:00Z").parse().expect("a time");
    let day = Day::of(yesterday);
    service.store().roll_up(DayRange { first: Day::MIN, last: day }).await.expect("a roll-up");
    let facts = stored().await;
    assert_eq!(count(&facts, "days_behind"), 0);
    assert_eq!(of(&facts, "rolled_up_through").value, Some(Value::Text(YESTERDAY.into())));
    assert!(matches!(of(&facts, "rolled_up_at").value, Some(Value::Time(_))));

    // Its one server does the duties, from its first round on.
    let of_here = Some(Value::Text("this server".into()));
    let is_here = async || of(&service.facts(), "duties_of").value == of_here;
    eventually("the duties are done here", LIMIT, is_here).await;
    let checked = async || {
        let chores = service.chores();
        ["fold", "judging"].into_iter().all(|name| {
            chores.iter().any(|chore| chore.name() == name && chore.done_at().is_some())
        })
    };
    eventually("a round", LIMIT, checked).await;
    counting.stop().await;
}

fn of(facts: &[Fact], name: &str) -> Fact {
    let found = facts.iter().find(|fact| fact.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {facts:?}")).clone()
}
