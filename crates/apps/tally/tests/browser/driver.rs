//! A browser without a window, and what its pages complain about.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tally_testkit::{Process, Stream, eventually_blocking};
use tempfile::TempDir;

use crate::support::LIMIT;

/// What to install, where something is missing.
const INSTALL: &str = "the tests of the pages need Chromium and its driver: as root on Debian, \
                       `cargo xtask test` installs them, or apt-get install chromium chromium-driver";

/// Notes what the policy of a page refuses, before any of its scripts runs.
const WATCH: &str = "window.refused = []; \
    document.addEventListener('securitypolicyviolation', \
        event => refused.push(event.violatedDirective + ' ' + event.blockedURI)); \
    window.failed = []; \
    addEventListener('error', event => failed.push(String(event.message)));";

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
    pub(crate) has_scripts: bool,
}

/// A browser.
pub(crate) struct Browser {
    port: u16,
    session: String,
    /// Ends with its browser.
    _driver: Process,
    _profile: TempDir,
}

// === impl Look ===

impl Look {
    /// A wide window by day.
    pub(crate) const USUAL: Self = Self { width: 1_280, is_dark: false, has_scripts: true };

    /// For the name of a picture.
    pub(crate) fn name(self) -> String {
        let theme = if self.is_dark { "dark" } else { "light" };
        let scripts = if self.has_scripts { "" } else { "-without-scripts" };
        format!("{}-{theme}{scripts}", self.width)
    }
}

// === impl Browser ===

impl Browser {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let is_there = Command::new("chromedriver").arg("--version").output();
        assert!(is_there.is_ok_and(|output| output.status.success()), "{INSTALL}");
        let driver = Process::spawn(Command::new("chromedriver").arg("--port=0"));
        let line = driver.wait_for_line(Stream::Stdout, "successfully on port ", LIMIT);
        let digits = line.rsplit(' ').next().unwrap_or_default().trim_end_matches('.');
        let port = digits.parse().expect("a port");
        let profile = tempfile::tempdir().expect("a folder");
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &folder,
        ];
        let mut browser = Self { port, session: String::new(), _driver: driver, _profile: profile };
        let asked = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = browser.call("POST", "/session", &asked);
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{id}");
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }));
        browser.look(Look::USUAL);
        browser
    }

    /// A command of WebDriver, and what it answers.
    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (path, body) = (format!("{}{path}", self.session), body.to_string());
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        connection.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write_all((head + &body).as_bytes()).expect("it reads");
        let (status, body) = answer(&mut BufReader::new(connection)).expect("it answers");
        let mut body: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(status.starts_with("HTTP/1.1 200"), "{method} {path}: {body:#}");
        body["value"].take()
    }

    #[track_caller]
    fn cdp(&self, command: &str, parameters: &Value) -> Value {
        let asked = json!({ "cmd": command, "params": parameters });
        self.call("POST", "/goog/cdp/execute", &asked)
    }

    /// How pages are looked at from now on.
    #[track_caller]
    pub(crate) fn look(&self, look: Look) {
        let scheme = if look.is_dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.cdp("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
        let is_off = !look.has_scripts;
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": is_off }));
        self.size(look.width, 900);
    }

    #[track_caller]
    fn size(&self, width: u32, height: u64) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", &size);
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// What a function body returns in the page.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The same of one that returns a promise.
    #[track_caller]
    pub(crate) fn wait(&self, script: &str) -> Value {
        let script =
            format!("const done = arguments[0]; (async () => {{ {script} }})().then(done)");
        self.call("POST", "/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// A text in the page.
    #[track_caller]
    pub(crate) fn text(&self, script: &str) -> String {
        let value = self.run(&format!("return String({script})"));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn await_that(&self, expression: &str) {
        let script = format!("return !!({expression})");
        let seen = eventually_blocking(LIMIT, || self.run(&script) == Value::Bool(true));
        assert_eq!(seen, Ok(()), "{expression}\n{}", self.text("document.body.innerText"));
    }

    /// Presses and releases a key, by its number in WebDriver or its letter.
    #[track_caller]
    pub(crate) fn press(&self, key: char) {
        let press = |kind: &str| json!({ "type": kind, "value": key.to_string() });
        let actions = json!([press("keyDown"), press("keyUp")]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.call("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    /// What the console, the policy and the scripts of the page have said against it.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let mut complaints: Vec<_> =
            entries.iter().map(|entry| entry["message"].to_string()).collect();
        let said = self.run("return (window.refused || []).concat(window.failed || [])");
        complaints.extend(said.as_array().into_iter().flatten().map(Value::to_string));
        complaints
    }

    /// Keeps a picture of the whole page, if pictures are asked for.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str, look: Look) {
        if std::env::var_os("TALLY_SCREENSHOTS").is_none() {
            return;
        }
        let height = self.run("return document.documentElement.scrollHeight").as_u64();
        self.size(look.width, height.unwrap_or(900).clamp(300, 4_000));
        let asked = json!({ "format": "png" });
        let png = self.cdp("Page.captureScreenshot", &asked)["data"].take();
        self.size(look.width, 900);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).expect("room for pictures");
        let png = decoded(png.as_str().unwrap_or_default());
        std::fs::write(folder.join(format!("{name}-{}.png", look.name())), png).expect("room");
    }
}

impl Drop for Browser {
    /// So that it writes nothing into its folder any more.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.call("DELETE", "", &json!({}));
        }
    }
}

/// The first line of an answer, and its body. The driver keeps the connection.
fn answer(connection: &mut BufReader<TcpStream>) -> io::Result<(String, Vec<u8>)> {
    let mut status = String::new();
    connection.read_line(&mut status)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((status, body))
}

/// Base64.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value =
        |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap_or_default() as u32;
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | value(byte));
        let bits = bits << (6 * (4 - four.len()) + 8);
        bytes.extend_from_slice(&bits.to_be_bytes()[..four.len() * 3 / 4]);
    }
    bytes
}
