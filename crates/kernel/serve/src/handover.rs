//! Handing the port over to a server that replaces this one, so that no connection is refused
//! meanwhile.
//!
//! The running server waits at a Unix socket whose name contains the port's address and the user.
//! The name is abstract, so it vanishes with the process. Only the same user gets an answer. A
//! successor asks there, and may leave at any time before it says that it is ready:
//!
//! | who | says |
//! |---|---|
//! | successor | a line: the protocol, the version of its work, and what it works on |
//! | running server | `y`, with the listening socket; or `n`, why not, and the end |
//! | successor, once it is ready | `g` |
//! | running server, once it no longer waits here | `g`; then it stops |
//!
//! The end of the connection is the end of the running server's process.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::{Error, Listener, Work};

/// The first word of a successor. Another version of this protocol has another one.
const PROTOCOL: &str = "tally-handover-1";
/// How long each side waits for the other's next word.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a successor may take to get ready, including its migrations, while others wait.
const PREPARE_MAX: Duration = Duration::from_secs(600);
/// How much of what the other side says is read.
const TEXT_BYTES_MAX: u64 = 8 * 1024;
/// The pause after a successor could not be let in.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running server's side: it waits for a successor.
#[derive(Debug)]
pub struct Offer {
    waiting: UnixListener,
    socket: OwnedFd,
    work: Work,
}

/// A server that is ready to replace this one.
#[derive(Debug)]
pub struct Successor {
    stream: UnixStream,
    process: i32,
}

/// The running server, as its successor sees it.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    process: i32,
    address: String,
}

// === impl Offer ===

impl Offer {
    /// Waits for a successor at this listener's address.
    pub fn new(listener: &Listener, work: Work) -> io::Result<Self> {
        let waiting = UnixListener::bind(name(listener.address()))?;
        let socket = listener.socket.as_fd().try_clone_to_owned()?;
        Ok(Self { waiting, socket, work })
    }

    /// Waits until a successor is ready. One that cannot replace this server is told why.
    pub async fn taken(&self) -> Successor {
        loop {
            let (stream, process) = match self.next().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::debug!(%error, "could not let a successor in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match self.hand_over(stream, process).await {
                Ok(Some(stream)) => return Successor { stream, process },
                Ok(None) => {}
                Err(error) => tracing::info!(process, %error, "a successor did not take over"),
            }
        }
    }

    async fn next(&self) -> io::Result<(UnixStream, i32)> {
        let (stream, _) = self.waiting.accept().await?;
        let process = peer(&stream)?;
        Ok((stream, process))
    }

    /// None: it was refused, and told why.
    async fn hand_over(
        &self,
        mut stream: UnixStream,
        process: i32,
    ) -> io::Result<Option<UnixStream>> {
        let mut line = String::new();
        let mut request = BufReader::new((&mut stream).take(TEXT_BYTES_MAX));
        within(ANSWER_MAX, request.read_line(&mut line)).await?;
        if let Err(reason) = self.accept(line.trim_end_matches('\n')) {
            within(ANSWER_MAX, stream.write_all(format!("n{reason}").as_bytes())).await?;
            // The reason speaks to the other server.
            let asked_for = line.trim_end().splitn(3, ' ').nth(2).unwrap_or_default();
            let database = &self.work.database;
            let message = "another server asked for this port and was refused";
            tracing::info!(process, database, asked_for, "{message}");
            return Ok(None);
        }
        within(ANSWER_MAX, stream.async_io(Interest::WRITABLE, || send(&stream, &self.socket)))
            .await?;
        match within(PREPARE_MAX, stream.read_u8()).await? {
            b'g' => Ok(Some(stream)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn accept(&self, line: &str) -> Result<(), String> {
        let there = format!("the Tally server that runs there (process {})", std::process::id());
        let mut words = line.splitn(3, ' ');
        let is_known = words.next() == Some(PROTOCOL);
        let version = words.next().and_then(|word| word.parse::<i64>().ok());
        let (true, Some(version), Some(database)) = (is_known, version, words.next()) else {
            return Err(format!("{there} hands over in another way: stop it first"));
        };
        if database != self.work.database {
            return Err(format!(
                "{there} stores in {}, not in {database}: stop it, or choose another port with \
                 --listen",
                self.work.database
            ));
        }
        if version < self.work.version {
            return Err(format!("{there} is newer than this one: stop it first"));
        }
        Ok(())
    }
}

// === impl Successor ===

impl Successor {
    /// The successor's process.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Tells it that the port is its own. Drop the [`Offer`] first, and this only once the work is
    /// done.
    pub async fn go(&mut self) -> io::Result<()> {
        within(ANSWER_MAX, self.stream.write_all(b"g")).await
    }
}

// === impl Predecessor ===

impl Predecessor {
    /// Asks the server that listens on `address` for its port. Gives nothing if no server of this
    /// user answers, and fails if that one keeps the port.
    pub async fn ask(address: &str, work: &Work) -> Result<Option<(Listener, Self)>, Error> {
        let Ok(candidates) = tokio::net::lookup_host(address).await else { return Ok(None) };
        for candidate in candidates {
            let Ok(stream) = UnixStream::connect(name(candidate)).await else { continue };
            let Ok(process) = peer(&stream) else { continue };
            let predecessor = Self { stream, process, address: address.to_owned() };
            return predecessor.take(work).await.map(Some);
        }
        Ok(None)
    }

    /// The running server's process.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Tells it to stop listening, and waits until it has. One that is gone has stopped as well.
    pub async fn stop(&mut self) -> Result<(), Error> {
        let answer = async {
            self.stream.write_all(b"g").await?;
            self.stream.read_u8().await
        };
        match within(ANSWER_MAX, answer).await {
            Err(source) if !is_end(&source) => {
                Err(Error::Handover { address: self.address.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Waits until its process has ended, for at most `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<(), Error> {
        let end = async {
            // A reset is an end as well.
            let _ = self.stream.read_u8().await;
            Ok(())
        };
        let ended = within(limit, end).await;
        ended.map_err(|source| Error::Handover { address: self.address.clone(), source })
    }

    async fn take(mut self, work: &Work) -> Result<(Listener, Self), Error> {
        let failed = |source| Error::Handover { address: self.address.clone(), source };
        let line = format!("{PROTOCOL} {} {}\n", work.version, work.database);
        within(ANSWER_MAX, self.stream.write_all(line.as_bytes())).await.map_err(failed)?;
        let answer = self.stream.async_io(Interest::READABLE, || receive(&self.stream));
        let socket = match within(ANSWER_MAX, answer).await.map_err(failed)? {
            (b'y', Some(socket)) => std::net::TcpListener::from(socket),
            (b'n', _) => {
                let mut reason = String::new();
                let mut rest = (&mut self.stream).take(TEXT_BYTES_MAX);
                let read = within(ANSWER_MAX, rest.read_to_string(&mut reason)).await;
                read.map_err(failed)?;
                return Err(Error::Refused { address: self.address, reason });
            }
            _ => return Err(failed(io::ErrorKind::InvalidData.into())),
        };
        let listener = Listener::from_std(socket, Some(&self.address)).map_err(failed)?;
        Ok((listener, self))
    }
}

/// Where the server of an address waits.
fn name(address: SocketAddr) -> String {
    format!("\0tally-serve/{}/{address}", rustix::process::geteuid().as_raw())
}

/// The process at the other end. An abstract name has no permissions, so the user is checked.
fn peer(stream: &UnixStream) -> io::Result<i32> {
    let peer = stream.peer_cred()?;
    if peer.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(peer.pid().unwrap_or_default())
}

fn send(stream: &UnixStream, socket: &OwnedFd) -> io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    beside.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(stream, &[IoSlice::new(b"y")], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<(u8, Option<OwnedFd>)> {
    let mut answer = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(&mut answer)];
    let received = recvmsg(stream, into, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let socket = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok((answer[0], socket))
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether the other side is gone.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind())
}
