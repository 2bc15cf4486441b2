//! A database, the server with both domains, and a client that numbers its batches.

use std::process::Command;
use std::time::Duration;

use tally_marks::RECORD;
use tally_marks::message::{Batch, Kind, MarkRequest};
use tally_proto::tally::producers::v1::{Acknowledgement, Open};
use tally_runtime::{Clock as _, SystemClock, random};
use tally_testkit::{Process, Response, Stream, TestDatabase, http};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Limit for everything that is expected to happen. Only a failed test waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What tells a client's process from others with its id.
const CLAIM: u64 = 5;

/// The folder and the database of one test.
pub(crate) struct Home {
    folder: TempDir,
    /// None for SQLite.
    database: Option<TestDatabase>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
}

/// A producer: one process of a client.
pub(crate) struct Client {
    id: Vec<u8>,
    epoch: u64,
    /// The last batch that it knows to be stored.
    acknowledged: u64,
}

/// An open stream.
pub(crate) struct Sending {
    requests: UnboundedSender<MarkRequest>,
    answers: Streaming<Acknowledgement>,
    /// The last batch that is acknowledged on it.
    pub(crate) committed: u64,
}

// === impl Home ===

impl Home {
    pub(crate) fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), database: None }
    }

    pub(crate) fn postgres(hint: &str) -> Self {
        Self { database: Some(TestDatabase::create(hint)), ..Self::sqlite() }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// `serve` on this database and any port.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tally-marks"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TALLY_") {
                command.env_remove(name);
            }
        }
        let file = self.folder.path().join("tally.db");
        let file = || format!("sqlite:{}", file.display());
        let url = self.database.as_ref().map_or_else(file, TestDatabase::url);
        command.current_dir(self.folder.path());
        command.env("LISTEN_ADDR", "127.0.0.1:0");
        command.args(["serve", "--database-url", &url]).args(arguments);
        command
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(&self.command(arguments))
    }

    /// The answer to a query of one column. The server has stopped: SQLite locks others out.
    pub(crate) fn column<T>(&self, sql: &str) -> Vec<T>
    where
        T: rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let Some(database) = &self.database else {
            let file = self.folder.path().join("tally.db");
            let connection = rusqlite::Connection::open(file).expect("the file is there");
            let mut statement = connection.prepare(sql).expect("it is valid");
            let rows = statement.query_map([], |row| row.get(0)).expect("it can be asked");
            return rows.map(|row| row.expect("the type of the column")).collect();
        };
        let rows = wait_for(async { database.connect().await.query(sql, &[]).await });
        rows.expect("it is valid").iter().map(|row| row.get(0)).collect()
    }

    /// The tables of these two domains and what they share.
    pub(crate) fn tables(&self) -> Vec<String> {
        self.column(if self.is_postgres() {
            "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'"
        } else {
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        })
    }
}

// === impl Server ===

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(command: &Command) -> Self {
        let process = Process::spawn(command);
        let line = process.wait_for_line(Stream::Stderr, "listens on http://", LIMIT);
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        Self { address: address.expect("an address").to_owned(), process }
    }

    /// The answer to a GET.
    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Response {
        http(&self.address, &format!("GET {path}"), headers, "")
    }

    /// One number of the JSON at `/api/v1/marks/count`.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let answer = self.get("/api/v1/marks/count", &[]).body;
        let rest = answer.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no {name} in {answer}"))
    }

    pub(crate) fn kill(&self) {
        self.process.signal("KILL");
        self.process.wait(LIMIT);
    }

    /// Stops it, and returns its log.
    pub(crate) fn stop(&self) -> String {
        self.process.signal("TERM");
        let output = self.process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output.stderr
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Self {
        let id = random::id(SystemClock.now()).as_bytes().to_vec();
        Self { id, epoch: 0, acknowledged: 0 }
    }

    /// The same process, which has forgotten all but its id.
    pub(crate) fn again(&self) -> Self {
        Self { id: self.id.clone(), epoch: 0, acknowledged: 0 }
    }

    /// Opens a stream, and waits until it is open.
    pub(crate) async fn open(&mut self, address: &str) -> Result<Sending, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
        let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let mut grpc = Grpc::new(endpoint.connect().await.map_err(unavailable)?);
        grpc.ready().await.map_err(unavailable)?;
        let (requests, messages) = unbounded_channel();
        let open = Open {
            producer_id: self.id.clone(),
            epoch: self.epoch,
            claims: vec![CLAIM],
            // A producer that has stored nothing is forgotten, and may begin again.
            acknowledged_sequence: Some(self.acknowledged),
            ..Open::default()
        };
        requests.send(MarkRequest { kind: Some(Kind::Open(open)) }).expect("it is not closed");
        let messages = Request::new(UnboundedReceiverStream::new(messages));
        let codec = ProstCodec::<MarkRequest, Acknowledgement>::default();
        let path = PathAndQuery::from_static(RECORD);
        let mut answers = grpc.streaming(messages, path, codec).await?.into_inner();
        let first = answers.message().await?.ok_or_else(|| Status::unavailable("no answer"))?;
        self.epoch = first.opened.expect("the first answer opens").epoch;
        self.acknowledged = first.committed_sequence;
        Ok(Sending { requests, answers, committed: self.acknowledged })
    }
}

// === impl Sending ===

impl Sending {
    pub(crate) fn send(&self, sequence: u64, marks: Vec<i64>) {
        let kind = Some(Kind::Batch(Batch { sequence, marks }));
        // If the stream has ended, its answer says why.
        let _ = self.requests.send(MarkRequest { kind });
    }

    /// Waits until a batch is acknowledged.
    pub(crate) async fn acknowledged(&mut self, sequence: u64) -> Result<(), Status> {
        while self.committed < sequence {
            let answer = self.answers.message().await?;
            let answer = answer.ok_or_else(|| Status::unavailable("it ended early"))?;
            self.committed = answer.committed_sequence;
        }
        Ok(())
    }
}

/// Awaits in a synchronous test.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
