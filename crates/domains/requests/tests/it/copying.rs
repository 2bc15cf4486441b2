//! A copy has the same books in each kind of database, and its producers go on.

use tally_requests::{DayRange, MIGRATIONS};
use tally_runtime::chain;
use tally_store::copy::{Copied, check_complete, copy};
use tally_store::{Database, Error, Migrations};

use crate::backend::{Backend, OLD, Producer, TODAY, append, day, named, noon, one_day, total};

const SETS: [Migrations; 2] = [tally_producers::MIGRATIONS, MIGRATIONS];

async fn copied(source: &Database, target: &Database) -> Result<Copied, Error> {
    copy(source, target, &SETS, &|_| {}).await
}

/// Why it is not copied, in one line.
async fn refused(source: &Backend, target: &Backend) -> String {
    let copied = copied(&source.database, &target.database).await;
    chain(&copied.expect_err("it is not copied"))
}

/// Each kind of database that there is here.
async fn each(hint: &str) -> Vec<Backend> {
    let hints = ["lite", "pg", "crdb", "real"].map(|kind| format!("copy_{hint}_{kind}"));
    let all = [
        Backend::sqlite(&hints[0]).await,
        Backend::postgres(&hints[1]).await,
        Backend::cockroach_on_postgres(&hints[2]).await,
        Backend::cockroach(&hints[3]).await,
    ];
    all.into_iter().flatten().collect()
}

/// A day in a month alone, a rolled-up one, one that is folded, rows, and a batch of many days.
async fn fill(source: &Backend) -> Producer {
    let (a, b) = (source.id(3, "/a").await, source.id(6, "/b").await);
    let mut producer = Producer::new();
    let is_cockroach = source.is_cockroach();
    producer.append(&source.store, is_cockroach, [(a, noon(OLD)), (b, noon(OLD)), (a, -1)]).await;
    source.roll_up(DayRange::ALL).await;
    source.prune(day("2000-01-01")).await;
    let many = (0..70).map(|n| (a, noon("2030-02-01") + n * 86_400_000_000));
    append(source, many).await;
    source.roll_up(one_day("2030-02-02")).await;
    source.store.fold().await.expect("folded");
    producer.append(&source.store, is_cockroach, [(a, noon(TODAY)), (b, noon(TODAY))]).await;
    producer
}

/// From this database into one of each kind.
async fn into_each(source: &Backend, hint: &str) {
    let producer = fill(source).await;
    let (live, rolled_up) = (source.live().await, source.rolled_up().await);
    assert_eq!((live.len(), rolled_up.len()), (75, 4));
    for target in each(hint).await {
        let done = copied(&source.database, &target.database).await.expect("it is copied");
        let rows =
            |wanted: &str| done.tables.iter().find(|(name, _)| name == wanted).map(|one| one.1);
        assert_eq!(rows("tally_request_series"), Some(2), "{done:?}");
        assert!(rows("tally_requests") >= Some(2) && rows("tally_producer_days") >= Some(72));
        assert_eq!((done.totals.clone(), &*done.left_out), (vec![("requests", 75)], &[][..]));
        check_complete(&target.database).await.expect("it has an end");

        assert_eq!(
            (target.live().await, target.rolled_up().await),
            (live.clone(), rolled_up.clone())
        );
        assert_eq!(target.view().await, source.view().await);
        let days = |accounts: Vec<(_, i64, _)>| accounts.into_iter().map(|one| (one.0, one.1));
        assert!(days(target.accounts().await).eq(days(source.accounts().await)));
        target.audit().await;

        let mut producer = producer.clone();
        let id = target.id(3, "/a").await;
        producer.repeat();
        producer.append(&target.store, target.is_cockroach(), [(id, noon(TODAY))]).await;
        assert_eq!(target.live().await, live, "a batch that the source has is a duplicate");
        producer.append(&target.store, target.is_cockroach(), [(id, noon(OLD))]).await;
        let new = named(3, "/new");
        let chunks = [[(new.id, noon(OLD))].into_iter().collect::<tally_requests::Rows>().into()];
        let batch = producer.next(&chunks);
        let renumbered = crate::backend::append_named(&target.store, &batch, &[new]).await;
        assert!(renumbered.expect("a new series").is_empty());
        target.roll_up(DayRange::ALL).await;
        let now = target.rolled_up().await;
        assert!(now.contains(&total(OLD, 3, "/a", 2)) && now.contains(&total(OLD, 3, "/new", 1)));
        assert_eq!(now.iter().map(|one| one.3).sum::<i64>(), 75 + 2);
        target.audit().await;

        let again = refused(source, &target).await;
        assert!(again.contains("it is not empty: tally_"), "{again}");
    }
}

#[tokio::test]
async fn from_sqlite() {
    into_each(&Backend::sqlite("copy").await.expect("it is built in"), "from_lite").await;
}

#[tokio::test]
async fn from_postgres() {
    let Some(source) = Backend::postgres("copy_from_pg").await else { return };
    into_each(&source, "from_pg").await;
}

#[tokio::test]
async fn from_cockroach_on_postgres() {
    let Some(source) = Backend::cockroach_on_postgres("copy_from_crdb").await else { return };
    into_each(&source, "from_crdb").await;
}

#[tokio::test]
async fn from_cockroach() {
    let Some(source) = Backend::cockroach("copy_from_real").await else { return };
    into_each(&source, "from_real").await;
}

/// A target that changes what it is given, as if a statement were wrong.
#[tokio::test]
async fn what_is_not_the_same_is_no_copy() {
    let source = Backend::sqlite("copy").await.expect("it is built in");
    fill(&source).await;
    for target in each("differs").await {
        let is_sqlite = target.is_sqlite();
        let sql = if is_sqlite {
            "CREATE TRIGGER wrong AFTER INSERT ON tally_request_days BEGIN \
             UPDATE tally_request_days SET total = total + 1 WHERE day = NEW.day; END"
        } else {
            "CREATE FUNCTION wrong() RETURNS TRIGGER LANGUAGE plpgsql AS \
             'BEGIN NEW.total = NEW.total + 1; RETURN NEW; END'; \
             CREATE TRIGGER wrong BEFORE INSERT ON tally_request_days \
             FOR EACH ROW EXECUTE FUNCTION wrong()"
        };
        target.execute(sql).await;
        let said = refused(&source, &target).await;
        assert!(said.contains("compare the copy: tally_request_days are not the same"), "{said}");
        if target.is_cockroach() {
            // What is written is there, so nobody must use it.
            let unfinished = check_complete(&target.database).await.expect_err("it has no end");
            assert!(chain(&unfinished).contains("make it anew"), "{unfinished}");
            let again = refused(&source, &target).await;
            assert!(again.contains("a copy into it is under way, or was killed"), "{again}");
        } else {
            assert!(target.live().await.is_empty(), "nothing is in it");
            check_complete(&target.database).await.expect("as before");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused() {
    let target = Backend::sqlite("copy").await.expect("it is built in");
    if let Some(source) = Backend::cockroach_on_postgres("copy_busy").await {
        fill(&source).await;
        source.execute("UPDATE tally_request_calendar SET reached = 5").await;
        let said = refused(&source, &target).await;
        assert!(said.contains("tally_request_calendar: it has values in reached"), "{said}");
    }
    if let Some(source) = Backend::postgres("copy_types").await {
        let sql = "CREATE TABLE tally_odd (at INTERVAL)";
        source.execute(sql).await;
        target.execute("CREATE TABLE tally_odd (at TEXT)").await;
        let said = refused(&source, &target).await;
        assert!(said.contains("tally_odd: the type of at, interval, cannot be copied"), "{said}");
        // Without a place for it there, it is named.
        target.execute("DROP TABLE tally_odd").await;
        source.execute("INSERT INTO tally_odd VALUES (NULL)").await;
        let done = copied(&source.database, &target.database).await.expect("it is copied");
        assert_eq!(done.left_out, ["tally_odd"]);
    }
}

/// One whose program knows fewer domains must not leave out what it does not know.
#[tokio::test]
async fn a_set_that_is_not_known_is_refused() {
    let source = Backend::sqlite("copy").await.expect("it is built in");
    let target = Backend::sqlite("copy").await.expect("it is built in");
    let known = [tally_producers::MIGRATIONS];
    let copied = copy(&source.database, &target.database, &known, &|_| {}).await;
    let said = chain(&copied.expect_err("it is not copied"));
    assert!(said.contains("does not know those of requests"), "{said}");
}
