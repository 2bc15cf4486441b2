//! TCP with or without TLS, and what those hear that speak the other one.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::{FallibleAccept, TlsStream};

use super::handshakes::Turn;
use super::{Peer, Tls};
use crate::seldom::Seldom;

/// How each connection of a port begins.
pub(crate) struct Entrance {
    tls: Option<Arc<Tls>>,
    seldom: Arc<Seldom>,
}

/// What a connection is read from and written to.
pub(crate) enum Stream {
    Plain(Plain),
    Tls(Box<Secured>),
}

/// Without TLS.
pub(crate) struct Plain {
    io: TcpStream,
    /// Until something was read.
    seldom: Option<Arc<Seldom>>,
}

/// With TLS. The handshake is part of its first read, so each has it in its own task.
pub(crate) struct Secured {
    state: State,
    tls: Arc<Tls>,
    seldom: Arc<Seldom>,
    /// Its address.
    client: String,
    peer: Peer,
    handshake: Option<Handshake>,
}

/// What a handshake has until it is done.
struct Handshake {
    /// Once something has come.
    turn: Option<Turn>,
    limit: Pin<Box<Sleep>>,
}

enum State {
    /// Nothing has come yet.
    Silent(TcpStream),
    /// There are too many handshakes.
    Waiting(TcpStream, Pin<Box<dyn Future<Output = Turn> + Send>>),
    Shaking(FallibleAccept<TcpStream>),
    Open(TlsStream<TcpStream>),
    /// It speaks HTTP without TLS, and has heard this many bytes of the answer.
    Answered(TcpStream, usize),
    /// There is nothing more to read; the socket is still to be closed, if it is here.
    Over(Option<TcpStream>),
    /// Our side is closed, and what comes is discarded.
    Closed(TcpStream),
}

/// What a client gets that speaks HTTP without TLS, of any version.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 55\r\n\
    connection: close\r\n\
    \r\n\
    this port speaks TLS: use https:// instead of http://\r\n";

/// How a TLS connection begins: a handshake of any version.
const HELLO: [u8; 2] = [0x16, 0x03];

// === impl Entrance ===

impl Entrance {
    pub(crate) fn new(tls: Option<Arc<Tls>>) -> Self {
        Self { tls, seldom: Arc::default() }
    }

    pub(crate) fn pass(&self, io: TcpStream) -> Stream {
        let seldom = Arc::clone(&self.seldom);
        let Some(tls) = self.tls.clone() else {
            return Stream::Plain(Plain { io, seldom: Some(seldom) });
        };
        let client = address(&io);
        let limit = Box::pin(sleep(tls.handshake_max));
        Stream::Tls(Box::new(Secured {
            state: State::Silent(io),
            tls,
            seldom,
            client,
            peer: Peer::default(),
            handshake: Some(Handshake { turn: None, limit }),
        }))
    }
}

// === impl Stream ===

impl Stream {
    /// Its other end: nothing is known of it before the handshake.
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Plain(_) => Peer::default(),
            Self::Tls(secured) => secured.peer.clone(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => plain.poll_read(cx, buffer),
            Self::Tls(secured) => secured.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.io).poll_write(cx, bytes),
            Self::Tls(secured) => match secured.open() {
                Ok(stream) => Pin::new(stream).poll_write(cx, bytes),
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.io).poll_write_vectored(cx, slices),
            Self::Tls(secured) => match secured.open() {
                Ok(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.io.is_write_vectored(),
            // As that of tokio-rustls is.
            Self::Tls(_) => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.io).poll_flush(cx),
            Self::Tls(secured) => match secured.open() {
                Ok(stream) => Pin::new(stream).poll_flush(cx),
                Err(_) => Poll::Ready(Ok(())),
            },
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(&mut plain.io).poll_shutdown(cx),
            Self::Tls(secured) => secured.poll_shutdown(cx),
        }
    }
}

// === impl Plain ===

impl Plain {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        if let Some(seldom) = self.seldom.take()
            && buffer.filled()[before..].starts_with(&HELLO)
            && let Some(others) = seldom.turn()
        {
            let client = address(&self.io);
            tracing::warn!(
                client,
                others,
                "a client speaks TLS, and this port does not: use http:// there, or give the server a \
                 certificate with --tls-cert"
            );
        }
        Poll::Ready(read)
    }
}

// === impl Secured ===

impl Secured {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.handshake.is_some() {
            ready!(self.poll_handshake(cx))?;
        }
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_read(cx, buffer),
            State::Closed(io) => Pin::new(io).poll_read(cx, buffer),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = match &mut self.state {
            State::Open(stream) => return Pin::new(stream).poll_shutdown(cx),
            State::Over(io) => io.take(),
            _ => None,
        };
        let Some(mut io) = io else { return Poll::Ready(Ok(())) };
        let closed = Pin::new(&mut io).poll_shutdown(cx);
        self.state = State::Closed(io);
        closed
    }

    /// Ready when the handshake is done, or the connection over.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = self.poll_progress(cx);
        let handshake = self.handshake.as_mut().expect("it is not done");
        let failed = match progress {
            Poll::Ready(failed) => failed,
            Poll::Pending
                if handshake.turn.as_ref().is_some_and(|turn| turn.poll_over(cx).is_ready()) =>
            {
                Some(io::Error::other(
                    "there were too many handshakes, and this one was the oldest",
                ))
            }
            Poll::Pending => {
                ready!(handshake.limit.as_mut().poll(cx));
                let limit = self.tls.handshake_max.as_millis();
                Some(io::Error::new(io::ErrorKind::TimedOut, format!("not within {limit} ms")))
            }
        };
        self.handshake = None;
        let Some(error) = failed else { return Poll::Ready(Ok(())) };
        self.tls.handshake_failures.fetch_add(1, Ordering::Relaxed);
        if let Some(others) = self.seldom.turn() {
            let client = &self.client;
            tracing::warn!(client, others, %error, "a client did not get through the TLS handshake");
        }
        match self.state {
            // It still has something to hear.
            State::Over(Some(_)) => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(error)),
        }
    }

    /// Ready when the handshake is over, with what went wrong.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        loop {
            match &mut self.state {
                State::Silent(io) => {
                    let mut first = [0];
                    let mut first = ReadBuf::new(&mut first);
                    let peeked = ready!(io.poll_peek(cx, &mut first));
                    let first = first.filled().first().copied();
                    self.begin(first);
                    // As probes of load balancers do that only connect.
                    if first.is_none() {
                        return Poll::Ready(peeked.err());
                    }
                }
                State::Waiting(_, turn) => {
                    let turn = ready!(turn.as_mut().poll(cx));
                    if let Some(handshake) = &mut self.handshake {
                        handshake.turn = Some(turn);
                    }
                    let State::Waiting(io, _) =
                        std::mem::replace(&mut self.state, State::Over(None))
                    else {
                        unreachable!("it has waited")
                    };
                    let acceptor = TlsAcceptor::from(self.tls.config());
                    self.state = State::Shaking(acceptor.accept(io).into_fallible());
                }
                State::Shaking(accept) => {
                    let failed = match ready!(Pin::new(accept).poll(cx)) {
                        Ok(stream) => {
                            self.peer.shown(stream.get_ref().1.peer_certificates());
                            self.state = State::Open(stream);
                            None
                        }
                        Err((error, io)) => {
                            self.state = State::Over(Some(io));
                            Some(error)
                        }
                    };
                    return Poll::Ready(failed);
                }
                State::Answered(io, written) => {
                    let rest = &SPEAK_TLS.as_bytes()[*written..];
                    if !rest.is_empty() {
                        match ready!(Pin::new(io).poll_write(cx, rest)) {
                            Ok(more) if more > 0 => *written += more,
                            Ok(_) => return Poll::Ready(Some(io::ErrorKind::WriteZero.into())),
                            Err(error) => return Poll::Ready(Some(error)),
                        }
                        continue;
                    }
                    let State::Answered(io, _) =
                        std::mem::replace(&mut self.state, State::Over(None))
                    else {
                        unreachable!("it was answered")
                    };
                    self.state = State::Over(Some(io));
                    return Poll::Ready(Some(io::Error::other(
                        "it speaks HTTP without TLS, and was told to use https://",
                    )));
                }
                State::Open(_) | State::Over(_) | State::Closed(_) => return Poll::Ready(None),
            }
        }
    }

    /// The first byte is here, or the end.
    fn begin(&mut self, first: Option<u8>) {
        let State::Silent(io) = std::mem::replace(&mut self.state, State::Over(None)) else {
            unreachable!("it is silent")
        };
        self.state = match first {
            None => State::Over(Some(io)),
            Some(b'A'..=b'Z' | b'a'..=b'z') => State::Answered(io, 0),
            Some(_) => {
                let handshakes = Arc::clone(&self.tls.handshakes);
                State::Waiting(io, Box::pin(handshakes.enter()))
            }
        };
    }

    fn open(&mut self) -> io::Result<&mut TlsStream<TcpStream>> {
        match &mut self.state {
            State::Open(stream) => Ok(stream),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// The client's, as far as it is known.
fn address(io: &TcpStream) -> String {
    io.peer_addr().map_or_else(|_| String::new(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_its_length() {
        let (head, body) = SPEAK_TLS.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
