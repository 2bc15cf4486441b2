//! One request of HTTP/1.1, on a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Limit for an answer. Only a failed test waits this long.
const LIMIT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, without the frames of chunks.
    pub body: String,
    /// Its body where it is no text.
    pub bytes: Vec<u8>,
    /// Whether the body came to its end.
    pub is_whole: bool,
}

/// Sends a request, such as `GET /path`, with headers such as `accept: text/csv`, and reads the answer
/// to its end. `server` is `http://127.0.0.1:7777`. Within a runtime, that must have several threads.
///
/// # Panics
/// If there is no answer.
#[must_use]
pub fn http(server: &str, line: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Response {
    let body = body.as_ref();
    #[cfg(feature = "async")]
    if tokio::runtime::Handle::try_current().is_ok() {
        return tokio::task::block_in_place(|| ask(server, line, headers, body));
    }
    ask(server, line, headers, body)
}

fn ask(server: &str, line: &str, headers: &[&str], body: &[u8]) -> Response {
    let address = server.strip_prefix("http://").unwrap_or(server);
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\
         {headers}\r\n"
    );
    let request = [request.as_bytes(), body].concat();
    stream.write_all(&request).expect("it reads");
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head_end = head_end.unwrap_or_else(|| panic!("{line}: no answer but {answer:?}, {end:?}"));
    let head = String::from_utf8_lossy(&answer[..head_end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok()).expect("a status");
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: Vec<_> = lines.map(header).collect();
    let is_chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
    let rest = &answer[head_end + 4..];
    let (body, is_whole) = if is_chunked { joined(rest) } else { (rest.to_vec(), end.is_ok()) };
    let text = String::from_utf8_lossy(&body).into_owned();
    Response { status, headers, body: text, bytes: body, is_whole }
}

/// The bytes of chunks, and whether the last one was there.
fn joined(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = str::from_utf8(&rest[..at]).ok();
        let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let length = length.expect("the length of a chunk");
        let chunk = &rest[at + 2..];
        body.extend_from_slice(&chunk[..length.min(chunk.len())]);
        match chunk.get(length + 2..) {
            Some(_) if length == 0 => return (body, true),
            Some(next) => rest = next,
            None => break,
        }
    }
    (body, false)
}

// === impl Response ===

impl Response {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(of, _)| of == name);
        header.map(|(_, value)| value.as_str())
    }
}
