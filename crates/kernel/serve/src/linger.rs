//! A connection that closes only after the client stops sending, so that the client hears its end.
//!
//! When a socket is closed with unread bytes in it, the system resets the connection, and the client
//! loses what it has not read yet: the status of its stream, with what was stored. So, as in nginx
//! (`lingering_close`): say that nothing more comes, then read and discard until the client closes
//! its side, or for a while.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::transport::server::Connected;

use crate::guard::Address;
use crate::tls::{Peer, Stream};
use crate::unfinished::{Ticket, Unfinished};

/// How long a client may take to notice the end.
const LINGER_MAX: Duration = Duration::from_secs(2);
const DISCARD_BYTES: usize = 16 * 1024;

/// A connection that lingers at its end.
pub(crate) struct Lingering {
    stream: Stream,
    address: Address,
    /// Until something was read.
    newcomer: Option<TaskTrackerToken>,
    unfinished: Unfinished,
    /// Set once our side is being closed.
    limit: Option<Pin<Box<Sleep>>>,
    is_closed: bool,
}

// === impl Lingering ===

impl Lingering {
    pub(crate) fn new(stream: Stream, address: Address, newcomer: TaskTrackerToken) -> Self {
        Self {
            stream,
            address,
            newcomer: Some(newcomer),
            unfinished: Unfinished::default(),
            limit: None,
            is_closed: false,
        }
    }
}

impl Connected for Lingering {
    /// What tonic gives to each request.
    type ConnectInfo = (Ticket, Peer, Address);

    fn connect_info(&self) -> (Ticket, Peer, Address) {
        (self.unfinished.ticket(), self.stream.peer(), self.address)
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.unfinished.poll_few(cx));
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.newcomer = None;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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
