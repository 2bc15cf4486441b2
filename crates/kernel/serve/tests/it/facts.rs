//! What a server says of itself, also when parts of it do not answer.

use std::future::pending;
use std::sync::Arc;

use jiff::Timestamp;
use tally_proto::tally::server::v1 as proto;
use tally_proto::tally::server::v1::server_service_client::ServerServiceClient;
use tally_runtime::{Drain, ManualClock, Tasks};
use tally_serve::facts::Value;
use tally_serve::{Doors, Fact, Listener, Origin, Server, Started};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl, Error};
use tempfile::TempDir;
use tonic::async_trait;

/// A domain that can store nothing, and whose database may be silent.
struct Troubled {
    is_silent: bool,
}

#[async_trait]
impl tally_serve::Running for Troubled {
    async fn ready(&self) -> Result<(), String> {
        Err("not today".to_owned())
    }

    fn queued_rows(&self) -> usize {
        0
    }

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::count("queue_rows", 3).at_most(8), Fact::time("never_at", None)]
    }

    async fn stored_facts(&self) -> Result<Vec<Fact>, Error> {
        if self.is_silent {
            pending::<()>().await;
        }
        Ok(vec![Fact::text("state", "poor").noted(Some("it rains"))])
    }

    async fn finished(&self) {}
}

async fn origin() -> (TempDir, Origin) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let url: DatabaseUrl = url.parse().expect("a database URL");
    let database = Database::open(&url, Settings::default()).await.expect("it opens");
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let started_at = at("2030-06-15T12:00:00Z");
    let clock = Arc::new(ManualClock::new(at("2030-06-15T13:00:00Z")));
    let schemas = vec![("kernel", 1), ("made-up", 7)];
    (folder, Origin { version: "1.2.3", started_at, clock, database, url, schemas, tls: None })
}

async fn server(is_silent: bool, drain: &Drain) -> Server {
    let running = Arc::new(Troubled { is_silent });
    let started = Started { name: "troubled", running, doors: Doors::new(), tasks: Tasks::new() };
    Server::open("a title", "", vec![started], drain).await.expect("no sockets")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_what_it_is_and_what_its_domains_say() {
    let (drain, tasks) = (Drain::new(), Tasks::new());
    let (_folder, origin) = origin().await;
    let address = origin.url.to_string();
    let server = server(false, &drain).await.saying(origin);
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let (at, until) = (listener.address(), drain.clone());
    tasks.spawn("server", async move {
        server.run(listener, || async { Ok(()) }, &until).await.expect("it serves");
    });
    let mut client = ServerServiceClient::connect(format!("http://{at}")).await.expect("it serves");
    let answer = client.get_status(proto::GetStatusRequest {}).await.expect("an answer");
    let mut answer = answer.into_inner();
    drop(client);
    let database = answer.database.take().expect("there is one");
    assert_eq!((&*database.kind, &database.address), ("SQLite", &address));
    assert!(database.bytes > Some(0) && database.free_bytes > Some(0), "{database:?}");
    let schema = |(set, version): (&str, i64)| proto::Schema { set: set.to_owned(), version };
    assert_eq!(database.schemas, [("kernel", 1), ("made-up", 7)].map(schema));
    let fact = |name: &str, value, max, note: &str| proto::Fact {
        name: name.to_owned(),
        value,
        max,
        note: note.to_owned(),
    };
    let facts = vec![
        fact("queue_rows", Some(proto::fact::Value::Count(3)), Some(8), ""),
        fact("never_at", None, None, ""),
        fact("state", Some(proto::fact::Value::Text("poor".to_owned())), None, "it rains"),
    ];
    let second = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
    let expected = proto::GetStatusResponse {
        version: "1.2.3".to_owned(),
        process: std::process::id(),
        started_at: Some(second(1_907_755_200)),
        now: Some(second(1_907_758_800)),
        trouble: "not today".to_owned(),
        database: None,
        facts: Vec::new(),
        domains: vec![proto::Domain { name: "troubled".to_owned(), facts, missing: String::new() }],
    };
    assert_eq!(answer, expected);
    drain.begin();
    tasks.finished().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_database_does_not_say_leaves_a_gap() {
    let drain = Drain::new();
    let (_folder, origin) = origin().await;
    let server = server(true, &drain).await;
    let facts = server.domains().facts(&origin).await;
    let [domain] = &*facts.domains else { panic!("one domain") };
    let names: Vec<_> = domain.facts.iter().map(|fact| (&*fact.name, &fact.value)).collect();
    assert_eq!(names, [("queue_rows", &Some(Value::Count(3))), ("never_at", &None)]);
    let missing = domain.missing.as_deref();
    assert_eq!(missing, Some("ask for what is stored: no answer within 2 s"));
}
