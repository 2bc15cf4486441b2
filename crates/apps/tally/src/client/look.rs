//! Probes what answers when gRPC fails.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::codegen::http::Uri;

use super::why::Foreign;

/// How long one probe may take after a failed call.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// How an HTTP/2 connection begins: the preface, and empty SETTINGS.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The first bytes of a TLS alert and of a handshake, of any version.
const TLS_RECORDS: [[u8; 2]; 2] = [[0x15, 0x03], [0x16, 0x03]];

/// What answers at an address of `http://`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Http2,
    Tls,
    /// HTTP/1 only.
    Http1(Foreign),
    Other,
    /// The connection ends without an answer.
    Nothing,
}

/// Probes the address; `None` if nothing answers in time.
pub(super) async fn look(uri: &Uri, limit: Duration) -> Option<Seen> {
    let (host, port) = (uri.host()?, uri.port_u16().unwrap_or(80));
    let address = (host.trim_matches(['[', ']']), port);
    match seen(&ask(address, HTTP_2, limit).await?) {
        seen @ (Seen::Http2 | Seen::Tls | Seen::Other) => Some(seen),
        // It may reveal more to a request that it understands.
        first @ (Seen::Http1(_) | Seen::Nothing) => {
            let host = uri.authority()?;
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            match ask(address, request.as_bytes(), limit).await.map(|answer| seen(&answer)) {
                None | Some(Seen::Nothing) => Some(first),
                Some(second) => Some(second),
            }
        }
    }
}

/// The beginning of an answer; `None` without a connection, or without an answer in time.
async fn ask(address: (&str, u16), request: &[u8], limit: Duration) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    let asking = async {
        let mut connection = TcpStream::connect(address).await.ok()?;
        // It may have answered before it closed the connection.
        let _ = connection.write_all(request).await;
        let mut bytes = [0; 1024];
        while answer.len() < ANSWER_BYTES_MAX {
            match connection.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend_from_slice(&bytes[..length]),
            }
            // Only HTTP/1 is read beyond its first bytes.
            if answer.len() >= 9 && !answer.starts_with(b"HTTP/") {
                break;
            }
        }
        Some(())
    };
    match timeout(limit, asking).await {
        Ok(None) => None,
        Err(_) if answer.is_empty() => None,
        _ => Some(answer),
    }
}

fn seen(answer: &[u8]) -> Seen {
    if answer.is_empty() {
        return Seen::Nothing;
    }
    if TLS_RECORDS.iter().any(|record| answer.starts_with(record)) {
        return Seen::Tls;
    }
    // An HTTP/2 frame: three bytes of length, then its type, SETTINGS or GOAWAY.
    if matches!(answer, [0, _, _, 0x04 | 0x07, ..]) {
        return Seen::Http2;
    }
    let text = String::from_utf8_lossy(answer);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else { return Seen::Other };
    // As Tally, nginx and Go say it, among others.
    let wants_tls = ["speaks TLS", "HTTPS port", "HTTPS server", "HTTPS scheme"];
    if status == 400 && wants_tls.iter().any(|words| text.contains(words)) {
        return Seen::Tls;
    }
    let headers: Vec<_> = lines.map_while(|line| line.split_once(':')).collect();
    let header = |name: &str| {
        let (_, value) = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(value.trim().to_owned())
    };
    let (location, kind) = (header("location"), header("content-type"));
    Seen::Http1(Foreign { status, location, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_is_told_by_its_first_bytes() {
        let foreign = |status, location: Option<&str>, kind: Option<&str>| {
            let (location, kind) = (location.map(str::to_owned), kind.map(str::to_owned));
            Seen::Http1(Foreign { status, location, kind })
        };
        for (answer, expected) in [
            (&b""[..], Seen::Nothing),
            (b"\0\0\x12\x04\0\0\0\0\0", Seen::Http2),
            (b"\x15\x03\x01\0\x02\x02\x46", Seen::Tls),
            (b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", Seen::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n\r\nthis port speaks TLS: use https:// instead of http://\r\n", Seen::Tls),
            (b"HTTP/1.1 302 Found\r\nlocation: https://login/\r\n\r\n", foreign(302, Some("https://login/"), None)),
            (b"HTTP/1.1 401\r\nContent-Type: text/html\r\n\r\n", foreign(401, None, Some("text/html"))),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Seen::Other),
            (b"HTTP/1.1\r\n", Seen::Other),
        ] {
            assert_eq!(seen(answer), expected, "{:?}", String::from_utf8_lossy(answer));
        }
    }
}
