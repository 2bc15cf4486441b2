//! A receiver of webhooks.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a receiver gets, and what it answers. It runs until the process ends.
#[derive(Debug, Clone)]
pub struct Hook {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its first line.
    pub line: String,
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

/// What a receiver does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers with this status line and these headers, with a line's end behind each but the last.
    Head(String),
    /// Takes it, and goes away without an answer.
    Lost,
    /// Takes it, and never answers.
    Silence,
}

#[derive(Debug, Default)]
struct State {
    posted: Vec<Posted>,
    replies: VecDeque<Reply>,
    /// What is never answered stays open.
    open: Vec<TcpStream>,
}

// === impl Hook ===

impl Hook {
    /// A receiver that answers 204 unless it is told otherwise.
    pub fn start() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<Mutex<State>>::default();
        let hook = Hook { address, state };
        let serving = hook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hook = serving.clone();
                // Whoever is slow holds up no other one.
                std::thread::spawn(move || hook.serve(stream));
            }
        });
        hook
    }

    /// Its URL, with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Says what becomes of the next requests, in order; after them, each is answered with 204.
    pub fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().replies.extend(replies);
    }

    /// What came so far.
    pub fn posted(&self) -> Vec<Posted> {
        self.state().posted.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let posted = Posted::read(&stream)?;
        let reply = {
            let mut state = self.state();
            state.posted.push(posted);
            state.replies.pop_front().unwrap_or(Reply::status("204 No Content"))
        };
        match reply {
            Reply::Head(head) => {
                let answer = format!("{head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok()?;
                stream.shutdown(Shutdown::Write).ok()
            }
            Reply::Lost => None,
            Reply::Silence => {
                self.state().open.push(stream);
                None
            }
        }
    }
}

// === impl Reply ===

impl Reply {
    /// An answer without headers of its own, as in `500 Internal Server Error`.
    pub fn status(status: &str) -> Reply {
        Reply::Head(format!("HTTP/1.1 {status}"))
    }
}

// === impl Posted ===

impl Posted {
    fn read(stream: &TcpStream) -> Option<Posted> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let mut next = |reader: &mut BufReader<&TcpStream>| {
            line.clear();
            reader.read_line(&mut line).ok().map(|_| line.trim_end().to_owned())
        };
        let first = next(&mut reader)?;
        let mut headers = BTreeMap::new();
        loop {
            let line = next(&mut reader)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Posted { line: first, headers, body: String::from_utf8(body).ok()? })
    }

    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}
