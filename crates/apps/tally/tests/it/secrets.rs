//! Secrets are nowhere but where they have to be: each place that takes one gets one of its own, and all that the
//! program says, logs and stores is searched for them, as they are and encoded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use tally_testkit::{
    Hook, Reply, Response, Secure, Stream, Tls, eventually_blocking, http, run_with,
};

use crate::access::create;
use crate::support::{Home, LIMIT, Server, wait_for};

/// Of the right form, so that the server signs with it.
const SIGNING: &str = "whsec_UGxhbnRlZFNpZ25pbmdTZWNyZXRPZlRhbGx5";
/// In a URL it has to be encoded.
const PASSWORD: &str = "planted:db@pass/word";
const PASSWORD_IN_URL: &str = "planted%3Adb%40pass%2Fword";

const HTML: &str = "accept: text/html";
const JSON: &str = "content-type: application/json";
const FORM: &str = "content-type: application/x-www-form-urlencoded";

/// What was planted, by where, and what was said, by whom.
#[derive(Default)]
struct Search {
    planted: BTreeMap<&'static str, String>,
    said: Vec<(String, String)>,
}

// === impl Search ===

impl Search {
    fn plant(&mut self, place: &'static str, secret: impl Into<String>) -> String {
        let secret = secret.into();
        self.planted.insert(place, secret.clone());
        secret
    }

    fn said(&mut self, by: impl Into<String>, text: impl Into<String>) {
        self.said.push((by.into(), text.into()));
    }

    /// Runs a command, whatever becomes of it.
    fn run(&mut self, command: &Command) {
        let output = run_with(command, b"", LIMIT, None);
        let by = format!("{:?}", command.get_args().collect::<Vec<_>>());
        self.said(by, format!("{}\n{}", output.stdout, output.stderr));
    }

    /// Asks over HTTP. A session's secret is in the one header that hands it out.
    fn ask(&mut self, server: &Server, line: &str, headers: &[&str], body: &str) -> Response {
        let answer = http(&server.url, line, headers, body);
        let others = answer.headers.iter().filter(|(name, _)| name != "set-cookie");
        let others: Vec<_> = others.collect();
        self.said(line, format!("{others:?}\n{}", answer.body));
        answer
    }

    /// Each secret that somebody said, but for what is right: the database has where a rule's events go.
    #[track_caller]
    fn finish(self) {
        let mut found = Vec::new();
        for (place, secret) in &self.planted {
            for form in forms(secret) {
                for (by, text) in &self.said {
                    let is_right =
                        place.starts_with("the URL of a rule") && by.starts_with("the database");
                    if let Some(at) = text.find(&form)
                        && !is_right
                    {
                        let from = text.floor_char_boundary(at.saturating_sub(200));
                        let to = text.ceil_char_boundary(at + form.len() + 100);
                        found.push(format!("{place} is in {by}: …{}…", &text[from..to]));
                    }
                }
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

/// A secret as it may be written.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut encoded = String::new();
    for byte in bytes {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(*byte));
            }
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    let list = format!("{bytes:?}");
    let list = list.trim_matches(['[', ']']).to_owned();
    // Wherever it begins in what is encoded: without the letters that others have a share in.
    let base64 = (0..3).map(|before| {
        let text = base64(&[&b"   "[..before], bytes].concat());
        let whole = (bytes.len() + before) / 3 * 4;
        text[(before * 4).div_ceil(3)..whole].to_owned()
    });
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), encoded, list, hex].into_iter().chain(base64).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let letter = |place: usize| match place <= three.len() {
            true => char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]),
            false => '=',
        };
        [0, 1, 2, 3].map(letter)
    };
    bytes.chunks(3).flat_map(of_three).collect()
}

#[test]
fn a_secret_is_found_in_each_form() {
    assert_eq!(base64(b"tally"), "dGFsbHk=");
    let forms = forms("a/secret:1");
    for text in [
        "a/secret:1".to_owned(),
        "key=a%2Fsecret%3A1".to_owned(),
        format!("{:?}", b"a/secret:1"),
        format!("Basic {}", base64(b"a/secret:1")),
        format!("Basic {}", base64(b"me:a/secret:1")),
        format!("Basic {}", base64(b"you:a/secret:1")),
        format!("Basic {}", base64(b"them:a/secret:1")),
    ] {
        assert!(forms.iter().any(|form| text.contains(form)), "{text}: {forms:?}");
    }
}

/// A server on Postgres that logs in words, and everything that it was given.
struct Planted {
    home: Home,
    server: Server,
    hook: Hook,
    role: String,
    admin: String,
    allowed: String,
}

// === impl Planted ===

impl Planted {
    fn start(search: &mut Search) -> Self {
        let home = Home::postgres("secrets");
        let role = format!("planted_{}", home.database().name());
        home.sql(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'"));
        search.plant("the password of the database", PASSWORD);
        search.plant("the same in the URL", PASSWORD_IN_URL);
        let url = home.database_url();
        let host = url.rsplit_once('@').expect("it has a user").1;
        let url = format!("postgres://{role}:{PASSWORD_IN_URL}@{host}");
        let admin = search.plant("a key", create(&home, &["operator", "--scope", "admin"]));
        let of_file = create(&Home::sqlite(), &["other", "--scope", "ingest"]);
        let of_file = search.plant("a key in the file of keys", of_file);
        let keys = home.file("keys", format!("automatic ingest {of_file}\n"));
        search.plant("the signing secret", SIGNING.trim_start_matches("whsec_"));
        let allowed = search.plant("the URL of a rule, its allowed part", "planted-allowed-path");
        let hook = Hook::start();

        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-level", "trace"];
        let keyed = ["--auth", "keys", "--keys-file", &keys];
        let mut command = home.command(&[&arguments[..], &keyed].concat());
        command.env("DB_URL", &url).env("TALLY_WEBHOOKS_SECRET", SIGNING);
        command.env("TALLY_WEBHOOKS_ALLOW", hook.url(&format!("/{allowed}")));
        command.env("TALLY_FAULT", "duties.eager,outbox.eager,scrape");
        let server = Server::start(&command);
        search.said("ps", command_line(&server));
        Self { home, server, hook, role, admin, allowed }
    }

    /// What the holder of the key does on the command line.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.server.command(arguments);
        command.env("TALLY_KEY", &self.admin);
        command
    }

    fn rules(&self, search: &mut Search) {
        let path = search.plant("the URL of a rule, its path", "planted-rule-path");
        let query = search.plant("the URL of a rule, its query", "planted-rule-query");
        let password = search.plant("a URL of a rule with a password", "planted-hook-password");
        let elsewhere = search.plant("a URL of a rule that is not allowed", "planted-elsewhere");
        let rule = ["rules", "add", "busy", "--path", "/a", "--above", "0", "--in", "15m"];
        self.hook.reply([Reply::status("500 Internal Server Error")]);
        for webhook in [
            self.hook.url(&format!("/{}/{path}?token={query}", self.allowed)),
            self.hook.url("/x").replace("http://", &format!("http://me:{password}@")),
            format!("https://example.com/{elsewhere}"),
        ] {
            search.run(&self.command(&[&rule[..], &["--webhook", &webhook]].concat()));
        }
        search.run(&self.command(&["add", "GET", "/a"]));
        // One that fails, and one that does not.
        let told = eventually_blocking(LIMIT, || self.hook.posted().len() >= 2);
        assert_eq!(told, Ok(()), "{}", self.server.log());
    }

    fn commands(&self, search: &mut Search) {
        for arguments in [
            &["totals", "--live"][..],
            &["status"],
            &["rules", "list"],
            &["rules", "show", "busy"],
            &["rules", "test", "busy"],
            &["roll-up", "today"],
            &["producers"],
            &["rules", "remove", "absent"],
        ] {
            search.run(&self.command(arguments));
        }
        let wrong = "tally_admin_PlantedInAVariable0000000000000";
        let wrong = search.plant("a wrong key in a variable", wrong);
        search.run(self.server.command(&["totals"]).env("TALLY_KEY", &wrong));
        let wrong = search.plant("a wrong key in a flag", "planted-in-a-flag");
        search.run(&self.server.command(&["add", "GET", "/", "--key", &wrong]));
        let flag = format!("--key={wrong}");
        search.run(&self.server.command(&["add", "GET", "/", &flag, "--absent"]));
        let broken = search.plant("a key that is no header", "planted-line\u{1}-break");
        search.run(self.server.command(&["status"]).env("TALLY_KEY", &broken));
        let wrong = search.plant("a wrong key in a file", "planted-in-a-key-file");
        let file = self.home.file("key", format!("{wrong}\nand more\n"));
        search.run(self.server.command(&["status"]).env("TALLY_KEY_FILE", &file));
    }

    /// Whoever shows what is right, and then what is not.
    fn requests(&self, search: &mut Search) {
        let (server, admin) = (&self.server, &self.admin);
        let bearer = format!("authorization: Bearer {admin}");
        for path in ["/", "/requests", "/requests/producers", "/about", "/api/v1/openapi.json"] {
            let answer = search.ask(server, &format!("GET {path}"), &[&bearer, HTML], "");
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        let basic = format!("authorization: Basic {}", base64(format!("me:{admin}").as_bytes()));
        let totals = search.ask(server, "GET /api/v1/requests/totals", &[&basic], "");
        assert_eq!(totals.status, 200, "{totals:?}");
        search.ask(server, "POST /api/v1/requests", &[&bearer, JSON], "[{\"method\":7}]");
        search.ask(server, "POST /api/v1/requests/fold", &[&bearer, JSON], "{}");
        let wrong = search.plant("a wrong password", "planted-wrong-basic");
        let basic = base64(format!("me:{wrong}").as_bytes());
        for (place, header, secret) in [
            ("a wrong key", "authorization: Bearer ", "planted-wrong-bearer"),
            ("a header of another scheme", "authorization: Digest ", "planted-digest"),
            ("a wrong cookie", "cookie: tally_session=", "planted-wrong-cookie"),
            ("the same", "authorization: Basic ", &basic),
        ] {
            let secret = search.plant(place, secret);
            search.ask(server, "GET /about", &[&format!("{header}{secret}")], "");
        }
        let wrong = search.plant("a key in a query", "planted-in-a-query");
        search.ask(server, &format!("GET /api/v1/requests/totals?key={wrong}"), &[], "");
        let wrong = search.plant("a wrong key in the form", "planted-wrong-form");
        search.ask(server, "POST /login", &[FORM], &format!("key={wrong}&to=/about"));
    }

    /// A browser, and at the end a call that panics.
    fn session(&self, search: &mut Search) {
        let server = &self.server;
        let login = format!("key={}&to=/about", self.admin);
        let login = search.ask(server, "POST /login", &[FORM], &login);
        let cookie = login.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let session = cookie.and_then(|cookie| cookie.split_once('=')).expect("a session").1;
        let session = search.plant("the secret of a session", session);
        let cookie = format!("cookie: tally_session={session}");
        assert_eq!(search.ask(server, "GET /about", &[HTML, &cookie], "").status, 200);
        search.ask(server, "POST /api/v1/requests", &[&cookie, JSON], "[]");
        let address = server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("it listens");
        let ask = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{cookie}\r\n\r\n");
        stream.write_all(ask.as_bytes()).expect("it reads");
        server.process.wait_for_line(Stream::Stderr, "a test asked for this", LIMIT);
    }

    fn stop(self, search: &mut Search) {
        self.server.process.signal("TERM");
        search.said("the log", self.server.process.wait(LIMIT).stderr);
        search.said("the database", wait_for(dump(&self.home)));
        wrong_settings(&self.home, search);
        let Self { home, role, .. } = self;
        home.sql(&format!("REASSIGN OWNED BY {role} TO CURRENT_USER; DROP ROLE {role}"));
    }
}

#[test]
fn no_secret_leaks_in_words_and_from_postgres() {
    let mut search = Search::default();
    let planted = Planted::start(&mut search);
    planted.rules(&mut search);
    planted.commands(&mut search);
    planted.requests(&mut search);
    planted.session(&mut search);
    planted.stop(&mut search);
    search.finish();
}

fn command_line(server: &Server) -> String {
    let bytes = fs::read(format!("/proc/{}/cmdline", server.process.pid())).expect("Linux");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Everything that the database has.
async fn dump(home: &Home) -> String {
    let client = home.database().connect().await;
    let tables = "SELECT format('%I', table_name) FROM information_schema.tables
                  WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
    let mut text = String::new();
    let tables = client.query(tables, &[]).await.expect("tables");
    assert!(tables.len() > 10, "{}", tables.len());
    for table in tables {
        let sql = format!("SELECT t::text FROM {0} t", table.get::<_, String>(0));
        for row in client.query(&sql, &[]).await.expect("rows") {
            text.push_str(row.get(0));
            text.push('\n');
        }
    }
    assert!(text.contains("operator"), "the key's name is there");
    text
}

/// `config`, and starts that fail.
fn wrong_settings(home: &Home, search: &mut Search) {
    let database = search.plant("the password of a database that is away", "planted-away");
    let away = format!("postgres://me:{database}@127.0.0.1:1/tally");
    let webhook = search.plant("a URL that is allowed, its path", "planted-allowed-elsewhere");
    for command in ["config", "serve"] {
        let mut right = home.command(&[command, "--listen", "127.0.0.1:0"]);
        right.env("DB_URL", &away).env("TALLY_WEBHOOKS_SECRET", SIGNING);
        right.env("TALLY_WEBHOOKS_ALLOW", format!("https://example.com/{webhook}"));
        search.run(&right);
    }
    let database = search.plant("the password of a wrong URL", "planted-wrong-url");
    let signing = search.plant("a wrong signing secret", "planted-wrong-signing");
    let webhook = search.plant("the password of a wrong URL of webhooks", "planted-wrong-allowed");
    for command in ["config", "serve", "migrate"] {
        let mut wrong = home.command(&[command]);
        wrong.env("DB_URL", format!("mysql://me:{database}@127.0.0.1/tally"));
        if command != "migrate" {
            wrong.env("TALLY_WEBHOOKS_SECRET", format!("whsec_{signing}"));
            wrong.env("TALLY_WEBHOOKS_ALLOW", format!("https://me:{webhook}@example.com"));
        }
        search.run(&wrong);
    }
    let keys = search.plant("a wrong file of keys", "planted-in-a-wrong-file");
    let keys = home.file("wrong-keys", format!("name ingest {keys}\n"));
    let tls = search.plant("a wrong file of a certificate's key", "planted-in-a-wrong-pem");
    let tls = home.file(
        "wrong.pem",
        format!("-----BEGIN PRIVATE KEY-----\n{tls}\n-----END PRIVATE KEY-----\n"),
    );
    let sqlite = ["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite:other.db"];
    search.run(&home.command(&[&sqlite[..], &["--auth", "keys", "--keys-file", &keys]].concat()));
    search.run(&home.command(&[&sqlite[..], &["--tls-cert", &tls, "--tls-key", &tls]].concat()));
    let misspelt = search.plant("a misspelt variable", "planted-misspelt");
    search.run(
        home.command(&["config"])
            .env("TALLY_WEBHOOK_SECRET", &misspelt)
            .env("TALLY_ABSENT", &misspelt),
    );
    let line = search.plant("a line of .env that cannot be read", "planted-in-env");
    home.file(".env", format!("DB_URL=\"postgres://me:{line}@x\nTALLY_KEY={line} {line}\n"));
    search.run(&home.command(&["config"]));
}

/// The rest on SQLite, logged as JSON, and with TLS.
#[test]
fn no_secret_leaks_as_json_and_from_sqlite() {
    let home = Home::sqlite();
    let mut search = Search::default();
    let admin = create(&home, &["operator", "--scope", "admin"]);
    let admin = search.plant("a key", admin);
    let tls = Tls::generate();
    let lines = tls.key_pem.lines().filter(|line| !line.starts_with("--"));
    let longest = lines.max_by_key(|line| line.len()).expect("a key");
    search.plant("the certificate's key", longest);
    let (certificate, key) =
        (home.file("tls.crt", &tls.certificate_pem), home.file("tls.key", &tls.key_pem));
    let (ca, key_file) = (home.file("ca.crt", &tls.ca_pem), home.file("key", &admin));
    let serve = ["--auth", "keys", "--tls-cert", &certificate, "--tls-key", &key];
    let json = ["--log-format", "json", "--log-level", "trace"];
    let server = home.serve(&[&serve[..], &json].concat());
    let as_admin = |arguments: &[&str]| {
        let mut command = server.command(arguments);
        command.env("TALLY_KEY_FILE", &key_file).env("TALLY_TLS_CA", &ca);
        command
    };
    let backup = crate::support::text(&home.path("backup.db"));
    for arguments in [
        &["add", "GET", "/a"][..],
        &["status"],
        &["totals", "--live"],
        &["backup", &backup, "--database-url", &home.database_url()],
        &["key", "list", "--database-url", &home.database_url()],
        &["key", "revoke", "absent", "--database-url", &home.database_url()],
    ] {
        search.run(&as_admin(arguments));
    }
    let wrong = search.plant("a wrong key", "tally_read_PlantedOverTls00000000000000000000");
    search.run(server.command(&["totals"]).env("TALLY_KEY", &wrong).env("TALLY_TLS_CA", &ca));
    let address = server.url.trim_start_matches("https://").parse().expect("an address");
    let secure = Secure::trusting(&tls.ca_pem, None);
    for path in ["/", "/livez", "/metrics", "/readyz"] {
        let answer = wait_for(async { secure.get(address, path).await });
        search.said(path, answer.expect("an answer"));
    }
    // The renewal of the certificate fails: its key is another one.
    let other = Tls::generate();
    let lines = other.key_pem.lines().filter(|line| !line.starts_with("--"));
    search.plant("another key", lines.max_by_key(|line| line.len()).expect("a key"));
    home.file("tls.key", &other.key_pem);
    server.process.signal("HUP");
    server.process.wait_for_line(Stream::Stderr, "cannot be used", LIMIT);
    search.said("ps", command_line(&server));
    server.process.signal("TERM");
    search.said("the log", server.process.wait(LIMIT).stderr);
    for name in ["tally.db", "tally.db-wal", "backup.db"] {
        let bytes = fs::read(home.path(name)).unwrap_or_default();
        search.said(format!("the database: {name}"), String::from_utf8_lossy(&bytes));
    }
    search.finish();
}
