//! Two versions at once: servers go on when a newer one changes their tables, and are replaced under load.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tally_client::{Method, Queue};
use tally_testkit::{Process, Spawn, eventually_blocking, http};

use crate::load::Load;
use crate::support::{Home, LIMIT, Server, assert_fails, totals, wait_for};

/// How many requests a client counts between two steps of an upgrade.
const REQUESTS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn servers_go_on_when_a_newer_one_migrates() {
    let home = Home::postgres("migrated_beneath");
    let (server, other) = tokio::task::block_in_place(|| (home.serve(&[]), home.serve(&[])));
    let load = Load::start(&server.url);
    tokio::task::block_in_place(|| {
        load.await_calls();
        other.live();
        change_tables(&home);
        note_newer_versions(&home);
        // Its statements were prepared for the tables as they were.
        load.await_calls();
        other.live();
        server.await_serving(true);
        other.stop();
        load.await_calls();
        let address = server.url.strip_prefix("http://").expect("it has no TLS");
        let url = home.database_url();
        let output = home.run(&["serve", "--listen", address, "--database-url", &url]);
        assert_fails(&output, 1, &["a newer Tally made it"]);
    });
    load.finish(&server).await;
    server.ok(&["fold"]);
    server.stop();
}

/// The tables are those of the next version, and its servers are played by those of this one, which refuse
/// a database that says that it is newer.
#[tokio::test(flavor = "multi_thread")]
async fn servers_are_replaced_one_after_the_other_while_clients_count() {
    let home = Home::postgres("upgraded");
    let places = [Place::new(&home), Place::new(&home)];
    let mut servers = tokio::task::block_in_place(|| [places[0].start(), places[1].start()]);
    let mut clients = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        clients.push(Client::of(server, number).await);
    }
    tokio::task::block_in_place(|| {
        servers[0].ok(&["debts", "add", "nightly", "--every", "1h"]);
        let mut paid = 0;
        let mut step = |servers: &[Server; 2]| {
            for (server, client) in servers.iter().zip(&mut clients) {
                client.count();
                walk(server);
                server.ok(&["debts", "pay", "nightly"]);
                paid += 1;
            }
            assert_eq!(payments(&servers[0]), paid);
        };
        step(&servers);
        change_tables(&home);
        step(&servers);
        for number in [1, 0] {
            servers[number].stop();
            servers[number] = places[number].start();
            step(&servers);
        }
    });
    let mut expected = totals([]);
    for client in clients {
        let (path, counted) = client.close().await;
        expected.insert(path, counted);
    }
    tokio::task::block_in_place(|| {
        for server in &servers {
            assert_eq!(server.live(), expected);
        }
        servers[0].ok(&["roll-up", "yesterday..today"]);
        assert_eq!(servers[1].rolled_up(), expected);
        servers.iter().for_each(Server::stop);
    });
}

/// A port that outlives the server behind it, as systemd holds one.
struct Place {
    command: Command,
    how: Spawn,
}

/// A client that goes on whatever becomes of its server.
struct Client {
    queue: Queue,
    path: String,
    given: u64,
}

// === impl Place ===

impl Place {
    fn new(home: &Home) -> Place {
        let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let how = Spawn { socket: Some(socket), ..Spawn::default() };
        Place { command: home.serve_command(&[]), how }
    }

    fn start(&self) -> Server {
        Server::await_start(Process::spawn_with(&self.command, &self.how), &self.command)
    }
}

// === impl Client ===

impl Client {
    async fn of(server: &Server, number: usize) -> Client {
        let queue = Queue::builder(&server.url)
            .batch_rows_max(100)
            .linger(Duration::from_millis(1))
            .backoff(Duration::from_millis(1), Duration::from_millis(50))
            .close_timeout(LIMIT);
        let queue = queue.connect().await.expect("a queue");
        Client { queue, path: format!("/{number}"), given: 0 }
    }

    /// Counts some more, of which the last ones are on their way when this returns.
    #[track_caller]
    fn count(&mut self) {
        let before = self.queue.stats().acknowledged;
        let series = self.queue.endpoint(Method::GET, &self.path);
        for _ in 0..REQUESTS {
            self.queue.try_record(series).expect("room");
        }
        self.given += REQUESTS;
        let goes_on = || self.queue.stats().acknowledged > before;
        assert_eq!(eventually_blocking(LIMIT, goes_on), Ok(()), "{:?}", self.queue.trouble());
    }

    /// What it counted, all of which is stored.
    async fn close(self) -> (String, i64) {
        let report = self.queue.close().await;
        assert_eq!((report.acknowledged, report.lost(), report.queued), (self.given, 0, 0));
        (format!("GET {}", self.path), i64::try_from(self.given).expect("few"))
    }
}

/// What a server of a newer version does to the tables before it serves: each gets a column, and there is one
/// more.
fn change_tables(home: &Home) {
    for table in tables(home) {
        home.sql(&format!("ALTER TABLE {table} ADD COLUMN newer BIGINT NOT NULL DEFAULT 7"));
    }
    home.sql("CREATE TABLE tally_newer (id BIGINT PRIMARY KEY)");
}

/// As it says that they are its own: each set of tables has a version more.
fn note_newer_versions(home: &Home) {
    for table in tables(home).iter().filter(|table| table.starts_with("tally_migrations_")) {
        home.sql(&format!(
            "INSERT INTO {table} (version, name, applied_on, checksum) \
             SELECT version + 1, 'newer', applied_on, checksum FROM {table} \
             ORDER BY version DESC LIMIT 1"
        ));
    }
}

fn tables(home: &Home) -> Vec<String> {
    let sql = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'";
    let tables = async { home.database().connect().await.query(sql, &[]).await };
    wait_for(tables).expect("it is Postgres").iter().map(|row| row.get(0)).collect()
}

/// Asks a server for what other tests compare: here it must have an answer.
#[track_caller]
fn walk(server: &Server) {
    for arguments in [
        &["health"][..],
        &["status"],
        &["totals", "--live"],
        &["producers"],
        &["fold"],
        &["roll-up", "yesterday"],
        &["rules", "list"],
        &["debts", "list"],
        &["debts", "show", "nightly"],
    ] {
        server.ok(arguments);
    }
    for path in
        ["/readyz", "/requests", "/requests/producers", "/debts/nightly", "/about", "/metrics"]
    {
        let answer = http(&server.url, &format!("GET {path}"), &[], "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

/// How often the debt is paid.
#[track_caller]
fn payments(server: &Server) -> usize {
    let answer = http(&server.url, "GET /api/v1/debts/nightly/payments", &[], "");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    answer["payments"].as_array().expect("a list").len()
}
