//! What the conversation goes by: up to STARTTLS, and as long as the server does not say too much.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// How much a server says in all. A server that says more, with or without an end of a line, is left.
pub(super) const SAID_BYTES_MAX: usize = 64 << 10;

/// After STARTTLS no server greets again, and a client that begins wants to be greeted.
pub(super) const GREETING: &[u8] = b"220 go on\r\n";

/// A connection by which a server can say so much.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    /// What is read before anything of the stream.
    before: &'static [u8],
    left: usize,
}

// === impl Wire ===

impl<S> Wire<S> {
    pub(super) fn new(stream: S, peer: SocketAddr, before: &'static [u8]) -> Self {
        Self { stream, peer, before, left: SAID_BYTES_MAX }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let (now, later) = self.before.split_at(self.before.len().min(into.remaining()));
            into.put_slice(now);
            self.before = later;
            return Poll::Ready(Ok(()));
        }
        let had = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let left = self.left.checked_sub(into.filled().len() - had);
        self.left = left.ok_or_else(too_much)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> AsyncTokioStream for Wire<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// Speaks up to the first byte of TLS (RFC 3207). Whoever is on the way can add to what the server says before that,
/// so nothing of it is kept: answers are read byte by byte, and what is behind the last one is no TLS.
pub(super) async fn begin_tls(stream: &mut TcpStream, client: &str) -> Result<(), String> {
    let broken = |error: io::Error| format!("STARTTLS: {error}");
    let refused = |answer: &str| Err(format!("STARTTLS: the server says {answer}"));
    let greeting = answer(stream).await.map_err(broken)?;
    if !greeting.starts_with("220") {
        return refused(&greeting);
    }
    stream.write_all(format!("EHLO {client}\r\n").as_bytes()).await.map_err(broken)?;
    let offers = answer(stream).await.map_err(broken)?;
    if !offers.starts_with("250") {
        return refused(&offers);
    }
    let mut offers = offers.lines().filter_map(|line| line.get(4..));
    if !offers.any(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err("the server offers no STARTTLS, so it got nothing".to_owned());
    }
    stream.write_all(b"STARTTLS\r\n").await.map_err(broken)?;
    let answer = answer(stream).await.map_err(broken)?;
    if answer.starts_with("220") { Ok(()) } else { refused(&answer) }
}

/// An answer of one or more lines, and nothing behind it.
async fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        let line = text.len();
        while text.len() == line || text.last() != Some(&b'\n') {
            if text.len() == SAID_BYTES_MAX {
                return Err(too_much());
            }
            text.push(stream.read_u8().await?);
        }
        // The code of every line but the last one has a hyphen behind it.
        if text.get(line + 3) != Some(&b'-') {
            return Ok(String::from_utf8_lossy(&text).trim_end().to_owned());
        }
    }
}

fn too_much() -> io::Error {
    io::Error::other("the server says more than 64 KiB")
}
