//! A connection that closes only after the client stops sending, so that the client hears its end.
//!
//! When a socket is closed with unread bytes in it, the system resets the connection, and the client
//! loses what it has not read yet: the status of its stream, with what was stored. So, as in nginx
//! (`lingering_close`): say that nothing more comes, then read and discard until the client closes
//! its side, or for a while.
//!
//! Before its end, a connection has limits: a time until its first complete head, and for a client that
//! takes nothing of what is sent; and it is not read while it has too much that is not read.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::transport::server::Connected;

use crate::arriving::{Arriving, FRAMES_AT_ONCE};
use crate::clients::{Client, PAUSE, Ticket};
use crate::frames::{Frames, Streams};
use crate::guard::Address;
use crate::tls::{Peer, Stream};
use crate::turn::Turn;

/// How long a client may take to notice the end.
const LINGER_MAX: Duration = Duration::from_secs(2);
const DISCARD_BYTES: usize = 16 * 1024;
/// How long a client may take until its first complete head is here: of HTTP/2 the preface and its
/// settings, of HTTP/1.1 a request's.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// For how long a client may take nothing of what is sent to it.
const SEND_WAIT_MAX: Duration = Duration::from_secs(60);
/// What is sent that is more than signs of life.
const ANSWER_BYTES: usize = 1_024;

/// A connection that lingers at its end.
pub(crate) struct Lingering {
    stream: Stream,
    address: Address,
    /// Until something was read.
    newcomer: Option<TaskTrackerToken>,
    client: Client,
    arriving: Arriving,
    /// How many frames have come for services since they last had their turn.
    frames: usize,
    turn: Turn,
    /// What is sent, of HTTP/2.
    leaving: Frames,
    streams: Streams,
    /// Until the first complete head is here.
    head_limit: Option<Pin<Box<Sleep>>>,
    /// While nothing can be sent.
    send_limit: Option<Pin<Box<Sleep>>>,
    /// While it is not read because it has too much.
    pause: Option<Pin<Box<Sleep>>>,
    /// Set once our side is being closed.
    limit: Option<Pin<Box<Sleep>>>,
    is_closed: bool,
}

// === impl Lingering ===

impl Lingering {
    pub(crate) fn new(
        stream: Stream,
        address: Address,
        client: Client,
        newcomer: TaskTrackerToken,
    ) -> Self {
        Self {
            stream,
            address,
            newcomer: Some(newcomer),
            head_limit: Some(Box::pin(sleep_until(client.state.since + HEAD_WAIT_MAX))),
            client,
            arriving: Arriving::new(),
            frames: 0,
            turn: Turn::default(),
            leaving: Frames::default(),
            streams: Streams::default(),
            send_limit: None,
            pause: None,
            limit: None,
            is_closed: false,
        }
    }

    /// Ready when the connection may be read, or has to end.
    fn poll_may_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &self.client.state;
        state.listen(cx);
        if state.is_given_up() {
            return Poll::Ready(Err(ended("it makes room for another connection")));
        }
        if let Some(limit) = &mut self.head_limit {
            if state.has_head() {
                self.head_limit = None;
            } else if limit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(ended("no complete head has come in time")));
            }
        }
        if self.arriving.is_head_too_long(state.is_serving()) {
            return Poll::Ready(Err(ended("the head of a request is too long")));
        }
        while state.has_too_much() {
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
            state.forgive();
        }
        self.pause = None;
        state.poll_few(cx).map(Ok)
    }

    /// Reads as much as the connection may now.
    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.turn.poll(cx));
        ready!(self.poll_may_read(cx))?;
        let before = buffer.filled().len();
        let is_slow = self.client.state.is_read_slowly();
        let bytes = if is_slow { self.arriving.one_frame() } else { self.arriving.some_frames() };
        if bytes < buffer.remaining() {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(bytes));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
        } else {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        }
        self.newcomer = None;
        let read = self.note(&buffer.filled()[before..]);
        if self.frames >= FRAMES_AT_ONCE {
            // The h2 library would read on as long as something comes, and keep a place for each frame.
            self.turn.end();
        }
        Poll::Ready(read)
    }

    fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        let state = &self.client.state;
        let arrived = self.arriving.note(bytes, &mut self.streams);
        self.frames += arrived.frames;
        state.note_streams(self.streams.len());
        if arrived.is_flood {
            return Err(ended("too many frames bring nothing"));
        }
        if !state.has_head() && self.arriving.has_begun() {
            state.note_head();
        }
        if arrived.data.frames > 0 {
            state.note_unread(arrived.data);
        }
        state.note_kept(self.streams.kept());
        if arrived.is_more {
            state.note_activity();
        }
        Ok(())
    }

    /// What became of a write of these bytes. Nothing can be sent for a while only.
    fn sent<'a>(
        &mut self,
        cx: &mut Context<'_>,
        bytes: impl Iterator<Item = &'a [u8]>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = &written {
            self.send_limit = None;
            let written = *written.as_ref().unwrap_or(&0);
            if written >= ANSWER_BYTES {
                self.client.state.note_activity();
            }
            if self.arriving.is_http2() {
                self.note_sent(bytes, written);
            }
        } else {
            let state = &self.client.state;
            state.listen(cx);
            let limit = self.send_limit.get_or_insert_with(|| Box::pin(sleep(SEND_WAIT_MAX)));
            if limit.as_mut().poll(cx).is_ready() || state.is_given_up() {
                return Poll::Ready(Err(ended("it takes nothing of what is sent")));
            }
        }
        written
    }

    /// So many of these bytes were sent.
    fn note_sent<'a>(&mut self, bytes: impl Iterator<Item = &'a [u8]>, mut written: usize) {
        for bytes in bytes {
            let mut sent = &bytes[..written.min(bytes.len())];
            written -= sent.len();
            while let Some(head) = self.leaving.next(&mut sent) {
                self.streams.went(head);
            }
        }
        self.client.state.note_streams(self.streams.len());
    }
}

/// Ends the connection.
fn ended(why: &'static str) -> io::Error {
    tracing::debug!(why, "a connection is closed");
    io::Error::new(io::ErrorKind::ConnectionAborted, why)
}

impl Connected for Lingering {
    /// What tonic gives to each request.
    type ConnectInfo = (Ticket, Peer, Address);

    fn connect_info(&self) -> (Ticket, Peer, Address) {
        (Ticket::new(&self.client.state), self.stream.peer(), self.address)
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll_some(cx, buffer);
        if read.is_pending() {
            self.frames = 0;
            self.streams.settle();
        }
        read
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(cx, std::iter::once(bytes), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.sent(cx, slices.iter().map(|slice| &**slice), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let limit = this.limit.get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        if !this.is_closed {
            // TLS has something to say first, and the client may not take it.
            let Poll::Ready(closed) = Pin::new(&mut this.stream).poll_shutdown(cx) else {
                return limit.as_mut().poll(cx).map(Ok);
            };
            closed?;
            this.is_closed = true;
        }
        let mut discarded = [0; DISCARD_BYTES];
        while limit.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut discarded);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
