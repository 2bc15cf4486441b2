//! Shared helpers: a folder and a database for each test, the program, and a running server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::wire::timestamp;
use tally_runtime::{Clock as _, SystemClock};
use tally_testkit::{Output, Process, Stream, TestDatabase, User, eventually_blocking, run_with};
use tempfile::TempDir;
use tonic::transport::Channel;

/// A valid line of an access log.
pub(crate) const LOG_LINE: &str =
    "192.0.2.7 - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 512\n";

/// Limit for everything that is expected to happen. Only a failed test waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The day of late requests.
pub(crate) const OLD_DAY: &str = "2015-05-17";

/// Counts by method and path.
pub(crate) type Totals = BTreeMap<String, i64>;

/// The folder and the database of one test.
pub(crate) struct Home {
    folder: TempDir,
    /// None for SQLite.
    database: Option<TestDatabase>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) url: String,
    folder: PathBuf,
}

/// A server that keeps each row, so that as many rows as requests are stored at once.
pub(crate) const RAW: &[&str] = &["--requests-resolution", "raw"];

// === impl Home ===

impl Home {
    pub(crate) fn sqlite() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder"), database: None }
    }

    pub(crate) fn postgres(hint: &str) -> Home {
        Home { database: Some(TestDatabase::create(hint)), ..Home::sqlite() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).expect("room in the temporary folder");
        text(&path)
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("a test on Postgres")
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.database.is_some()
    }

    pub(crate) fn database_url(&self) -> String {
        match &self.database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", self.path("tally.db").display()),
        }
    }

    /// The program in this folder, without settings from the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(Path::new(env!("CARGO_BIN_EXE_tally")), self.folder.path(), arguments)
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run_with(&self.command(arguments), b"", LIMIT, None)
    }

    /// `serve` on this home's database and any port.
    pub(crate) fn serve_command(&self, arguments: &[&str]) -> Command {
        self.serve_command_at(&self.database_url(), arguments)
    }

    /// `serve` on another database and any port.
    pub(crate) fn serve_command_at(&self, url: &str, arguments: &[&str]) -> Command {
        let common = ["serve", "--listen", "127.0.0.1:0", "--database-url", url];
        self.command(&[&common, arguments].concat())
    }

    /// Starts a server on this home's database.
    #[track_caller]
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(&self.serve_command(arguments))
    }

    /// Starts a server on another database.
    #[track_caller]
    pub(crate) fn serve_at(&self, url: &str, arguments: &[&str]) -> Server {
        Server::start(&self.serve_command_at(url, arguments))
    }

    /// Runs `serve` on a database on which it must fail to start.
    #[track_caller]
    pub(crate) fn serve_fails(&self, url: &str) -> Output {
        run_with(&self.serve_command_at(url, &[]), b"", LIMIT, None)
    }

    /// A server that stops forever when it reaches this point.
    #[track_caller]
    pub(crate) fn serve_until(&self, point: &str) -> Server {
        Server::start(self.serve_command(RAW).env("TALLY_FAULT", point))
    }

    /// Adds GET and a path to the dictionary. On Postgres, a server stores small batches of known
    /// names in one statement.
    #[track_caller]
    pub(crate) fn know_endpoint(&self, path: &str, status: u16) {
        let server = self.serve(&[]);
        server.stop();
        if self.database.is_some() {
            let endpoint = tally_requests::Series::of_endpoint(3, path);
            let id = tally_requests::Series { status, ..endpoint }.id(0);
            self.sql(&format!(
                "INSERT INTO tally_request_series VALUES ({id}, 0, '', 'GET', '{path}', {status}, '')"
            ));
        }
    }

    /// Runs statements in this home's Postgres.
    pub(crate) fn sql(&self, statements: &str) {
        wait_for(async { self.database().connect().await.batch_execute(statements).await })
            .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// How many requests are stored; Postgres only.
    pub(crate) fn stored(&self) -> i64 {
        wait_for(async {
            let sql = "SELECT coalesce(sum(total), 0)::INT8 FROM tally_totals_by_day";
            self.database().connect().await.query_one(sql, &[]).await
        })
        .expect("the view is there")
        .get(0)
    }

    /// How many rows are not folded; Postgres only, because SQLite locks out other programs.
    pub(crate) fn rows(&self) -> i64 {
        wait_for(async {
            let client = self.database().connect().await;
            client.query_one("SELECT count(*) FROM tally_requests", &[]).await
        })
        .expect("the row table is there")
        .get(0)
    }
}

// === impl Server ===

impl Server {
    /// Starts `serve` and waits until it listens.
    #[track_caller]
    pub(crate) fn start(command: &Command) -> Server {
        Server::await_start(Process::spawn(command), command)
    }

    /// Waits until a server that was spawned listens.
    #[track_caller]
    pub(crate) fn await_start(process: Process, command: &Command) -> Server {
        let line = process.wait_for_line(Stream::Stderr, "listens on http", LIMIT);
        let url = line.split("listens on ").nth(1).and_then(|rest| rest.split(' ').next());
        let url = url.expect("an address").to_owned();
        let folder = command.get_current_dir().expect("set by `command`").to_owned();
        Server { process, url, folder }
    }

    /// Starts another one at the same address, after this one has ended.
    #[track_caller]
    pub(crate) fn again(&self, home: &Home) -> Server {
        let address = self.url.strip_prefix("http://").expect("no TLS");
        let url = home.database_url();
        let arguments = ["serve", "--listen", address, "--database-url", &url];
        Server::start(&home.command(&arguments))
    }

    /// A command that talks to this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_tally"));
        let mut command = command(program, &self.folder, arguments);
        command.env("TALLY_SERVER", &self.url).env("USER", "tester");
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run_with(&self.command(arguments), b"", LIMIT, None)
    }

    /// Runs a command that must succeed and returns its output.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    #[track_caller]
    pub(crate) fn live(&self) -> Totals {
        self.totals(&["--live", "--by", "whole"])
    }

    #[track_caller]
    pub(crate) fn rolled_up(&self) -> Totals {
        self.totals(&["--by", "whole"])
    }

    /// The totals read from CSV; a date, if present, precedes the method.
    #[track_caller]
    pub(crate) fn totals(&self, arguments: &[&str]) -> Totals {
        let output = self.ok(&[&["totals", "--format", "csv"], arguments].concat());
        let mut lines = output.stdout.lines();
        assert_eq!(lines.next(), Some("date,method,path,count"));
        let total = |line: &str| {
            let (name, count) = line.rsplit_once(',').expect("four fields");
            let name = name.trim_start_matches(',').replace(',', " ");
            (name, count.parse().expect("a count"))
        };
        lines.map(total).collect()
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.run(&["health"]).stdout == "SERVING\n"
    }

    /// Waits until the server's health is `serving`.
    #[track_caller]
    pub(crate) fn await_serving(&self, serving: bool) {
        let seen = eventually_blocking(LIMIT, || self.is_serving() == serving);
        assert_eq!(seen, Ok(()), "serving: {serving}\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        self.process.text(Stream::Stderr)
    }

    /// Kills the server with SIGKILL and waits for its end.
    #[track_caller]
    pub(crate) fn kill(&self) {
        self.process.signal("KILL");
        self.process.wait(LIMIT);
    }

    /// Stops the server with SIGTERM and asserts a clean end.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.process.signal("TERM");
        let output = self.process.wait(LIMIT);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }

    /// How much memory it has, in all (`VmRSS:`) or without that of its program (`RssAnon:`), in KiB.
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub(crate) async fn client(&self) -> CountServiceClient<Channel> {
        CountServiceClient::connect(self.url.clone()).await.expect("the server listens")
    }
}

/// A request with the current time.
pub(crate) fn request(path: &str) -> AddRequest {
    let now = timestamp(SystemClock.now().as_microsecond());
    AddRequest { method: 3, path: path.to_owned(), request_timestamp: Some(now) }
}

/// Totals, as in `[("GET /a", 1)]`.
pub(crate) fn totals<const N: usize>(of: [(&str, i64); N]) -> Totals {
    of.map(|(name, count)| (name.to_owned(), count)).into()
}

/// Asserts that a command failed with this exit code and one line that contains all these words,
/// and that it did not print the password of the tests' databases.
#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let is_error = |line: &&str| line.starts_with("error:");
    let errors: Vec<_> = output.stderr.lines().filter(is_error).collect();
    assert_eq!(errors.len(), 1, "one error line: {}", output.stderr);
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is not in {:?}", errors[0]);
    }
    assert_no_secret(output);
}

/// The passwords of the testkit's Postgres and of the tests.
#[track_caller]
pub(crate) fn assert_no_secret(output: &Output) {
    for secret in ["tally-test", "s3cret"] {
        let shown = output.stderr.contains(secret) || output.stdout.contains(secret);
        assert!(!shown, "{secret} is in {output:?}");
    }
}

/// A copy of the program that every user may run, and the user to run it as, because root ignores
/// file permissions.
pub(crate) fn unprivileged(home: &Home) -> (PathBuf, Option<User>) {
    let folder = home.folder.path();
    let is_root = fs::metadata(folder).expect("the folder is there").uid() == 0;
    set_mode(folder, 0o755);
    let program = home.path("tally");
    // By another process: a child forked meanwhile would inherit the file, open for writing, and a
    // program that is open for writing cannot be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_tally")).arg(&program).status();
    assert!(copied.expect("cp is there").success(), "room for the program");
    set_mode(&program, 0o755);
    (program, is_root.then_some(User::NOBODY))
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_owned()
}

/// The program in a folder, without settings from the environment.
pub(crate) fn command(program: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_tally = ["LISTEN_ADDR", "DB_URL", "MIGRATION_DRIVER"].contains(&&*name);
        if of_tally || name.starts_with("TALLY_") || name.starts_with("PG") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Awaits in a synchronous test.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
