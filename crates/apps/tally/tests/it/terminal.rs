//! What runs in a terminal, in one: it shows what comes, survives its server, and gives the terminal back.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tally_testkit::{eventually_blocking, free_port};

use crate::support::{Home, LIMIT, Server, assert_fails};

/// What is written to leave the other screen.
const LEAVE: &str = "\x1b[?1049l";

/// A command in a terminal of 24 lines of 80 columns.
struct Terminal {
    child: Child,
    /// The side of the person.
    keys: File,
    /// The side of the command, to see in which mode it is.
    side: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

// === impl Terminal ===

impl Terminal {
    #[track_caller]
    fn run(mut command: Command) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("it is ours");
        let name = ptsname(&keys, Vec::new()).expect("it has a name");
        let open = || File::options().read(true).write(true).open(name.to_str().expect("a path"));
        let side = open().expect("it is there");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&side, size).expect("it has a size");
        let copy = || side.try_clone().expect("a descriptor");
        command.stdin(copy()).stdout(copy()).stderr(copy());
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        let child = command.spawn().expect("it starts");
        let (keys, written) = (File::from(keys), Arc::<Mutex<Vec<u8>>>::default());
        let (mut screen, all) = (keys.try_clone().expect("a descriptor"), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // It ends with the terminal.
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                all.lock().expect("no panic").extend_from_slice(&bytes[..length]);
            }
        });
        Self { child, keys, side: side.into(), written }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("no panic")).into_owned()
    }

    /// Waits until this is on the screen.
    #[track_caller]
    fn shows(&self, text: &str) {
        let seen = eventually_blocking(LIMIT, || screen(&self.text()).contains(text));
        assert_eq!(seen, Ok(()), "{text:?} is not in {}", screen(&self.text()));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is open");
    }

    /// Waits for the end, after which the terminal is as it was.
    #[track_caller]
    fn ends(mut self) -> ExitStatus {
        let mut ended = None;
        let has_ended = || {
            ended = self.child.try_wait().expect("it is ours");
            ended.is_some()
        };
        assert_eq!(eventually_blocking(LIMIT, has_ended), Ok(()));
        let modes = tcgetattr(&self.side).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
        let has_left = eventually_blocking(LIMIT, || self.text().contains(LEAVE));
        assert_eq!(has_left, Ok(()), "{:?}", self.text());
        ended.expect("it has ended")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows that was sent this: text, and `ESC [ row ; column H`. All else changes no text.
fn screen(written: &str) -> String {
    let mut lines = vec![vec![' '; 80]; 24];
    let (mut row, mut column, mut rest) = (0, 0, written.chars());
    while let Some(character) = rest.next() {
        match character {
            '\x1b' if rest.as_str().starts_with('[') => {
                let is_end = |c: &char| c.is_ascii_alphabetic();
                let sequence = rest.as_str().trim_start_matches('[');
                let length = sequence.chars().position(|c| is_end(&c)).unwrap_or(sequence.len());
                let (numbers, end) = sequence.split_at(length);
                if end.starts_with('H') {
                    let place = numbers.split_once(';').unwrap_or(("1", "1"));
                    let number = |text: &str| text.parse().unwrap_or(1_usize) - 1;
                    (row, column) = (number(place.0), number(place.1));
                }
                rest = sequence.get(length + 1..).unwrap_or_default().chars();
            }
            '\r' => column = 0,
            '\n' => row += 1,
            _ => {
                if let Some(cell) = lines.get_mut(row).and_then(|line| line.get_mut(column)) {
                    *cell = character;
                }
                column += 1;
            }
        }
    }
    let line = |line: Vec<char>| line.into_iter().collect::<String>() + "\n";
    lines.into_iter().map(line).collect()
}

fn signal(terminal: &Terminal, name: &str) {
    let pid = terminal.child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill is there");
    assert!(sent.success());
}

#[test]
fn top_shows_what_is_called_and_survives_its_server() {
    let home = Home::sqlite();
    let address = format!("127.0.0.1:{}", free_port());
    let url = home.database_url();
    let serve = ["serve", "--listen", &address, "--database-url", &url];
    let serve = || Server::start(&home.command(&serve));
    let server = serve();
    server.ok(&["add", "GET", "/hello"]);
    let mut terminal = Terminal::run(server.command(&["top", "--interval", "1"]));
    terminal.shows("/hello");
    server.ok(&["add", "GET", "/another", "--status", "503"]);
    terminal.shows("/another");
    terminal.press("t");
    terminal.shows("503");
    terminal.press("e");
    terminal.shows("/another");
    server.stop();
    terminal.shows("NO ANSWER");
    let server = serve();
    server.ok(&["add", "GET", "/again"]);
    terminal.shows("/again");
    terminal.press("?");
    terminal.shows("any key goes back");
    terminal.press("xq");
    assert_eq!(terminal.ends().code(), Some(0));
    server.stop();
}

#[test]
fn top_gives_the_terminal_back_at_a_signal() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    for end in ["TERM", "INT", "HUP", "\x03"] {
        let mut terminal = Terminal::run(server.command(&["top"]));
        terminal.shows("requests/s");
        match end {
            "\x03" => terminal.press(end),
            name => signal(&terminal, name),
        }
        assert_eq!(terminal.ends().code(), Some(0), "{end:?}");
    }
    server.stop();
}

#[test]
fn totals_are_watched_until_ctrl_c() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/hello"]);
    let watch = ["totals", "today", "--live", "--watch=1", "--top", "10"];
    let mut terminal = Terminal::run(server.command(&watch));
    terminal.shows("/hello");
    server.ok(&["add", "GET", "/another"]);
    terminal.shows("/another");
    terminal.press("\x03");
    assert_eq!(terminal.ends().code(), Some(0));
    server.stop();
}

#[test]
fn rules_fit_the_terminal_with_their_names() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let long = ["--service", "shop", "--path-prefix", "/a/long/path/prefix/", "--customer", "acme"];
    let rule = ["rules", "add", "shop is silent at night", "--below", "1", "--in", "15m"];
    server.ok(&[&rule[..], &long].concat());
    let mut terminal = Terminal::run(server.command(&["rules", "list"]));
    let ended = eventually_blocking(LIMIT, || terminal.child.try_wait().expect("ours").is_some());
    assert_eq!(ended, Ok(()));
    terminal.shows("shop is silent at night");
    terminal.shows("below 1 in 15m");
    let text = terminal.text();
    assert!(text.lines().count() == 2 && text.lines().all(|line| line.len() <= 82), "{text}");
    server.stop();
}

#[test]
fn top_in_a_pipe_is_one_table() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/hello"]);
    let quiet = server.ok(&["top", "--interval", "1"]);
    assert_eq!(quiet.stdout, "req/s  requests  method  path\n");
    assert_eq!(quiet.stderr, "nothing was counted within 1 s\n");
    let absent = home.run(&["top", "--server", "http://127.0.0.1:1"]);
    assert_fails(&absent, 1, &["cannot reach the server at http://127.0.0.1:1"]);
    let output = server.run(&["totals", "--watch"]);
    assert_fails(&output, 2, &["--watch needs a terminal"]);
    server.stop();
}
