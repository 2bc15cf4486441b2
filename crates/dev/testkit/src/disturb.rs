//! A proxy that knows Postgres's messages, and lets one statement of an operation go wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An operation with more statements than this does not end.
const STATEMENTS_MAX: usize = 500;
/// How large a message may be.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// What a client says first if it wants TLS or GSSAPI, which we do not have; and what it says to cancel
/// a statement.
const ASKS_FOR_TLS: [u32; 2] = [80_877_103, 80_877_104];

/// What happens to one statement. A COMMIT is one, and so is the preparation of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// The database refuses it with this SQLSTATE, and its transaction ends.
    Refused(&'static str),
    /// The connection is lost before the database has seen it.
    LostBefore,
    /// The connection is lost after the database has done it.
    LostAfter,
    /// The database does it, and answers with this SQLSTATE.
    DoneBut(&'static str),
}

/// A proxy in front of a Postgres. Dropping it closes its connections.
#[derive(Debug)]
pub struct Disturber {
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    /// How many statements still go well, and what happens to the next.
    next: Option<(usize, Disturbance)>,
}

/// What a connection's two directions tell each other.
#[derive(Debug, Default)]
struct Link {
    /// What becomes of the answer to the statement that was sent last.
    swallows: Mutex<Option<Disturbance>>,
}

// === impl Disturbance ===

impl Disturbance {
    /// Each of them, as CockroachDB does it: a retry, an ambiguous result, a node that drains, a range
    /// without a quorum, and a node that is gone.
    pub const ALL: [Self; 6] = [
        Self::Refused("40001"),
        Self::DoneBut("40003"),
        Self::Refused("57P01"),
        Self::Refused("58C00"),
        Self::LostBefore,
        Self::LostAfter,
    ];
}

// === impl Disturber ===

impl Disturber {
    /// Starts a proxy in front of this URL's server, and returns the URL through it.
    pub async fn before(url: &str) -> (Self, String) {
        let start = url.find("://").map_or(0, |at| at + "://".len());
        let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
        let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("it listens");
        let shared = Arc::<Shared>::default();
        let accepting = accept(listener, url[host..end].to_owned(), Arc::clone(&shared));
        #[expect(clippy::disallowed_methods, reason = "drop aborts it")]
        let acceptor = tokio::spawn(accepting);
        (Self { shared, acceptor }, format!("{}{address}{}", &url[..host], &url[end..]))
    }

    /// Runs an operation with its first statement disturbed, then with its second, until one run is
    /// not disturbed; all of it with each disturbance. After every run, `check` sees what is there.
    ///
    /// # Panics
    /// If no statement was disturbed, or the operation never ends.
    pub async fn at_every_statement<T>(
        &self,
        disturbances: &[Disturbance],
        mut operation: impl AsyncFnMut() -> T,
        mut check: impl AsyncFnMut(&str, T),
    ) {
        for disturbance in disturbances {
            for statement in 0.. {
                assert!(statement < STATEMENTS_MAX, "{disturbance:?}: it has no end");
                self.shared.plan().next = Some((statement, *disturbance));
                let result = operation().await;
                let was_disturbed = self.shared.plan().next.take().is_none();
                check(&format!("{disturbance:?} at statement {}", statement + 1), result).await;
                if !was_disturbed {
                    assert!(statement > 0, "{disturbance:?}: no statement came through here");
                    break;
                }
            }
        }
    }
}

impl Drop for Disturber {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

// === impl Shared ===

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to the statement that is about to be sent.
    fn strike(&self) -> Option<Disturbance> {
        let mut plan = self.plan();
        let (left, disturbance) = plan.next?;
        plan.next = left.checked_sub(1).map(|left| (left, disturbance));
        (left == 0).then_some(disturbance)
    }
}

async fn accept(listener: TcpListener, upstream: String, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, shared) = (upstream.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // However it ends, both sides are closed.
            let _ = carry(client, &upstream, &shared).await;
        });
    }
}

async fn carry(mut client: TcpStream, upstream: &str, shared: &Shared) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let mut first = untyped(&mut client).await?;
    while ASKS_FOR_TLS.contains(&u32::from_be_bytes([first[4], first[5], first[6], first[7]])) {
        client.write_all(b"N").await?;
        first = untyped(&mut client).await?;
    }
    server.write_all(&first).await?;
    let (link, (from_client, to_client)) = (Link::default(), client.into_split());
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = requests(from_client, to_server, shared, &link) => ended,
        ended = answers(from_server, to_client, &link) => ended,
    }
}

/// Passes the client's messages on, statement by statement.
async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    link: &Link,
) -> std::io::Result<()> {
    let (mut statement, mut kinds) = (Vec::new(), Vec::new());
    loop {
        let message = typed(&mut client).await?;
        let kind = message[0];
        kinds.push(kind);
        statement.extend(message);
        // Passwords, farewells, queries, and the end of a statement that has several messages.
        if !matches!(kind, b'p' | b'X' | b'Q' | b'S') {
            continue;
        }
        let (sent, kinds) = (std::mem::take(&mut statement), std::mem::take(&mut kinds));
        // What only says that a prepared statement is not needed any more has no caller.
        let is_copied = kinds.contains(&b'c');
        let counts = is_copied || kinds.iter().any(|kind| matches!(kind, b'Q' | b'P' | b'E'));
        let disturbance = if counts { shared.strike() } else { None };
        let swallow = |how| {
            *link.swallows.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        };
        let sent = match disturbance {
            None => sent,
            Some(Disturbance::LostBefore) => return Ok(()),
            // The server ends the transaction too.
            Some(Disturbance::Refused(state)) if is_copied => {
                swallow(Disturbance::DoneBut(state));
                [message_of(b'f', b"on purpose\0"), message_of(b'S', b"")].concat()
            }
            Some(Disturbance::Refused(state)) => raise(state),
            Some(how @ (Disturbance::LostAfter | Disturbance::DoneBut(_))) => {
                swallow(how);
                sent
            }
        };
        server.write_all(&sent).await?;
    }
}

/// Passes the server's messages on, but for the answer that is lost.
async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    link: &Link,
) -> std::io::Result<()> {
    loop {
        let message = typed(&mut server).await?;
        let swallows = *link.swallows.lock().unwrap_or_else(PoisonError::into_inner);
        // The server is ready for the next statement, or for the rows of a COPY.
        let is_end = matches!(message[0], b'Z' | b'G');
        match swallows {
            None => client.write_all(&message).await?,
            Some(_) if !is_end => {}
            Some(Disturbance::DoneBut(state)) if message[0] == b'Z' => {
                *link.swallows.lock().unwrap_or_else(PoisonError::into_inner) = None;
                client.write_all(&refusal(state)).await?;
                client.write_all(&message).await?;
            }
            Some(_) => return Ok(()),
        }
    }
}

/// A query that fails with this SQLSTATE.
fn raise(state: &str) -> Vec<u8> {
    let sql = format!(
        "DO $$ BEGIN RAISE EXCEPTION 'restart transaction: on purpose' USING ERRCODE = '{state}'; \
         END $$\0"
    );
    message_of(b'Q', sql.as_bytes())
}

/// The answer to a statement that failed.
fn refusal(state: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{state}\0Mresult is ambiguous: on purpose\0\0");
    message_of(b'E', fields.as_bytes())
}

fn message_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// A message with a letter before its length.
async fn typed(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let kind = stream.read_u8().await?;
    let mut message = vec![kind];
    message.extend(untyped(stream).await?);
    Ok(message)
}

/// A message that begins with its length.
async fn untyped(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let bytes = length as usize;
    assert!((4..MESSAGE_BYTES_MAX).contains(&bytes), "a message of {bytes} bytes");
    let mut message = length.to_be_bytes().to_vec();
    message.resize(bytes, 0);
    stream.read_exact(&mut message[4..]).await?;
    Ok(message)
}
