//! Clients of other products pay by a change of the address alone: their bytes, on a real port.

/// Defines a test of each case on SQLite and on Postgres, each on a port that is opened so.
macro_rules! on_both {
    ($($opened:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        mod sqlite {
            $(crate::doors::on!(sqlite, $opened: $($case),*);)*
        }
        mod postgres {
            $(crate::doors::on!(postgres, $opened: $($case),*);)*
        }
    };
}

macro_rules! on {
    ($database:ident, $opened:ident: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let hint = concat!("doors_", stringify!($case));
                if let Some(place) = crate::doors::Place::$database(hint) {
                    super::$case(crate::doors::Port::$opened(place).await).await;
                }
            }
        )*
    };
}

use on;

mod badges;
mod checks;
mod clients;
mod compter;
mod keys;
mod many;
mod others;
mod pings;
mod sentry;
mod wrong;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tally_access::{Key, Keys, MIGRATIONS, Scope, Secret, Store};
use tally_debts::Settings;
use tally_runtime::{Clock as _, Drain, Tasks};
use tally_serve::{Access, Listener, Started};
use tally_testkit::{Response, TestDatabase, http};
use tempfile::TempDir;

use crate::backend::{Server, migrated};

/// A server on a port of its own, whose time the test sets.
pub(crate) struct Port {
    pub(crate) url: String,
    pub(crate) server: Server,
    keys: HashMap<Scope, String>,
    /// Of an administrator of another namespace, if there are keys.
    foreign: Option<String>,
    drain: Drain,
    _tasks: Tasks,
    place: Place,
}

/// An empty database, which is removed with this value.
pub(crate) enum Place {
    Folder(TempDir),
    Database(TestDatabase),
}

// === impl Place ===

impl Place {
    pub(crate) fn sqlite(_hint: &str) -> Option<Self> {
        Some(Self::Folder(tempfile::tempdir().expect("a folder")))
    }

    pub(crate) fn postgres(hint: &str) -> Option<Self> {
        TestDatabase::create_or_skip(hint).map(Self::Database)
    }

    fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("sqlite:{}", folder.path().join("tally.db").display()),
            Self::Database(database) => database.url(),
        }
    }
}

// === impl Port ===

impl Port {
    /// Without keys.
    pub(crate) async fn open(place: Place) -> Self {
        Self::start(place, &[], None).await
    }

    /// Without keys, and with room for 2,000 debts.
    pub(crate) async fn with_room(place: Place) -> Self {
        Self::start(place, &[], Some(2_000)).await
    }

    /// With a key of each scope.
    pub(crate) async fn with_keys(place: Place) -> Self {
        Self::start(place, &Scope::ALL, None).await
    }

    async fn start(place: Place, scopes: &[Scope], debts_max: Option<u32>) -> Self {
        let database = migrated(&place.url()).await;
        MIGRATIONS.run(&database).await.expect("the tables of keys");
        let server = match debts_max {
            Some(debts_max) => {
                Server::with(&database, Settings { debts_max, ..Settings::default() })
            }
            None => Server::new(&database),
        };
        let store = Store::new(database);
        let (mut keys, mut foreign) = (HashMap::new(), None);
        for scope in scopes {
            keys.insert(*scope, key(&store, *scope, "default", server.clock.now()).await);
        }
        let access = match scopes {
            [] => Access::Anyone,
            _ => {
                foreign = Some(key(&store, Scope::Admin, "shop", server.clock.now()).await);
                let keys = Keys::open(store, None, Arc::clone(&server.clock) as _).await;
                Access::Keys(keys.expect("the database answers"))
            }
        };
        let (drain, service) = (Drain::new(), server.service.clone());
        let (doors, running) = (service.doors(), Arc::new(service));
        let started = Started { name: "debts", running, doors, tasks: Tasks::new() };
        let port = tally_serve::Server::open("a title", "a hint\n", vec![started], &drain).await;
        let port = port.expect("it has no sockets").guarded(access, Arc::clone(&server.clock) as _);
        let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
        let (url, until) = (format!("http://{}", listener.address()), drain.clone());
        let tasks = Tasks::new();
        tasks.spawn("port", async move {
            let served = port.run(listener, || async { Ok(()) }, &until).await;
            served.expect("it serves");
        });
        Self { url, server, keys, foreign, drain, _tasks: tasks, place }
    }

    /// The key of a scope.
    pub(crate) fn key(&self, scope: Scope) -> &str {
        &self.keys[&scope]
    }

    /// The key of an administrator of another namespace.
    pub(crate) fn foreign(&self) -> &str {
        self.foreign.as_deref().expect("there are keys")
    }

    pub(crate) fn ask(&self, line: &str) -> Response {
        self.send(line, &[], "")
    }

    pub(crate) fn send(&self, line: &str, headers: &[&str], body: &str) -> Response {
        http(&self.url, line, headers, body)
    }

    /// The status and the body.
    pub(crate) fn says(&self, line: &str) -> (u16, String) {
        let answer = self.ask(line);
        (answer.status, answer.body)
    }

    /// Asks Tally's own API, with an admin key if there is one.
    pub(crate) fn own(&self, line: &str, body: &str) -> Value {
        let key = self.keys.get(&Scope::Admin).map(|key| format!("authorization: Bearer {key}"));
        let mut headers = vec!["content-type: application/json"];
        headers.extend(key.as_deref());
        let answer = self.send(line, &headers, body);
        assert!((200..300).contains(&answer.status), "{line}: {answer:?}");
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Adds a debt. Returns its ping id.
    pub(crate) fn add(&self, definition: &str) -> String {
        let debt = self.own("POST /api/v1/debts", definition);
        debt["ping_id"].as_str().expect("an administrator sees it").to_owned()
    }

    /// The payments of a debt, the first one first: the kind, the run and the exit status of each.
    pub(crate) fn payments(&self, debt: &str) -> Vec<(String, String, Option<i64>)> {
        let answer = self.own(&format!("GET /api/v1/debts/{debt}/payments"), "");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let one = |payment: &Value| {
            (text(&payment["kind"]), text(&payment["run"]), payment["exit_status"].as_i64())
        };
        answer["payments"].as_array().expect("a list").iter().rev().map(one).collect()
    }

    /// The kinds of the payments of a debt, the first one first.
    pub(crate) fn kinds(&self, debt: &str) -> Vec<String> {
        self.payments(debt).into_iter().map(|(kind, ..)| kind).collect()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.drain.begin();
    }
}

/// A new key of a namespace.
async fn key(store: &Store, scope: Scope, namespace: &str, now: jiff::Timestamp) -> String {
    let secret = Secret::of_key(scope);
    let key = Key {
        digest: secret.digest(),
        name: format!("{namespace}-{}", scope.name()),
        namespace: store.some_namespace(namespace).await.expect("a namespace"),
        namespace_name: namespace.to_owned(),
        scope,
        created: now,
        expires: None,
        revoked: None,
        last_used: None,
    };
    assert!(store.add(&key).await.expect("it is stored"), "the name is new");
    secret.reveal().to_owned()
}
