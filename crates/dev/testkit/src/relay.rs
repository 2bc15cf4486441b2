//! A server that takes mail.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::ring;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Reply, Tls};

/// What a server of mail gets, and what it answers. It runs until the process ends.
#[derive(Clone)]
pub struct Relay {
    address: SocketAddr,
    speaks: Speaks,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<Mutex<State>>,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Without TLS.
    Plain,
    /// By TLS once STARTTLS is said.
    StartTls,
    /// By TLS from the first byte.
    Tls,
}

/// A mail that was taken, or sent to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailed {
    /// Whom it was from, as `MAIL FROM` said it.
    pub from: String,
    /// To whom it was, as `RCPT TO` said it.
    pub to: Vec<String>,
    /// What `AUTH` said; empty if nobody has logged in.
    pub login: String,
    /// Whether it came by TLS.
    pub is_encrypted: bool,
    /// The mail, with its lines' ends as they came.
    pub text: String,
}

#[derive(Default)]
struct State {
    mailed: Vec<Mailed>,
    /// What clients have said, in order, without the mails.
    said: Vec<String>,
    replies: BTreeMap<String, VecDeque<Reply>>,
    /// What is never answered stays open.
    open: Vec<Box<dyn Send>>,
}

/// Both ways of a connection.
trait Way: Read + Write + Send + 'static {}
impl<T: Read + Write + Send + 'static> Way for T {}

// === impl Relay ===

impl Relay {
    /// A server that takes everything, unless it is told otherwise.
    pub fn start() -> Relay {
        Relay::start_with(Speaks::Plain, None)
    }

    /// The same, which may speak TLS.
    pub fn start_with(speaks: Speaks, tls: Option<&Tls>) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let tls = tls.map(|tls| {
            let certificate = CertificateDer::from_pem_slice(tls.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes());
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.expect("one")], key.expect("a key"));
            Arc::new(config.expect("they fit"))
        });
        let relay = Relay { address, speaks, tls, state: Arc::default() };
        let serving = relay.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let relay = serving.clone();
                std::thread::spawn(move || relay.serve(stream));
            }
        });
        relay
    }

    /// Its URL, by this name.
    pub fn url(&self, host: &str) -> String {
        let scheme = match self.speaks {
            Speaks::Plain => "smtp+plain",
            Speaks::StartTls => "smtp",
            Speaks::Tls => "smtps",
        };
        format!("{scheme}://{host}:{}", self.address.port())
    }

    /// Says what becomes of the next of these commands, in order; after them, each is obeyed. `CONNECT` is the
    /// beginning, and `.` the end of a mail.
    pub fn reply(&self, to: &str, replies: impl IntoIterator<Item = Reply>) {
        self.state().replies.entry(to.to_owned()).or_default().extend(replies);
    }

    /// What came so far.
    pub fn mailed(&self) -> Vec<Mailed> {
        self.state().mailed.clone()
    }

    /// What clients have said so far, without the mails.
    pub fn said(&self) -> Vec<String> {
        self.state().said.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        if self.speaks == Speaks::Tls {
            return self.converse(self.encrypted(stream)?, true, true).map(drop);
        }
        let stream = self.converse(stream, true, false)??;
        self.converse(self.encrypted(stream)?, false, true).map(drop)
    }

    fn encrypted(&self, stream: TcpStream) -> Option<StreamOwned<ServerConnection, TcpStream>> {
        let connection = ServerConnection::new(Arc::clone(self.tls.as_ref()?)).ok()?;
        Some(StreamOwned::new(connection, stream))
    }

    /// Speaks with a client; returns the connection if TLS is to begin on it.
    fn converse<S: Way>(&self, mut way: S, greets: bool, is_encrypted: bool) -> Option<Option<S>> {
        let mut mail = Mailed { is_encrypted, ..Mailed::default() };
        if greets {
            way = self.answer(way, "CONNECT", "220 relay.example.com ready")?;
        }
        loop {
            let line = read_line(&mut way).ok()?;
            self.state().said.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let inside = || {
                let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                inside.map_or_else(String::new, |(inside, _)| inside.to_owned())
            };
            let mut answer = "250 2.0.0 fine";
            match &*verb {
                "EHLO" if self.speaks == Speaks::StartTls && !is_encrypted => {
                    answer = "250-relay.example.com\r\n250 STARTTLS";
                }
                "EHLO" => answer = "250-relay.example.com\r\n250 AUTH PLAIN LOGIN",
                "STARTTLS" if self.tls.is_some() => {
                    return Some(Some(self.answer(way, "STARTTLS", "220 go on")?));
                }
                "AUTH" => {
                    mail.login = line.clone();
                    answer = "235 2.7.0 welcome";
                }
                "MAIL" => mail.from = inside(),
                "RCPT" => mail.to.push(inside()),
                "DATA" => {
                    way = self.answer(way, "DATA", "354 go on")?;
                    mail.text = read_mail(&mut way).ok()?;
                    self.state().mailed.push(mail.clone());
                    way = self.answer(way, ".", "250 2.0.0 queued as 4711")?;
                    continue;
                }
                "QUIT" => {
                    self.answer(way, "QUIT", "221 2.0.0 bye")?;
                    return None;
                }
                _ => answer = "502 5.5.1 not known here",
            }
            way = self.answer(way, &verb, answer)?;
        }
    }

    /// Answers a command, as it is told to. A mail that is refused in the middle of it goes on with the next
    /// command.
    fn answer<S: Way>(&self, mut way: S, verb: &str, usual: &str) -> Option<S> {
        let reply = self.state().replies.get_mut(verb).and_then(VecDeque::pop_front);
        let answer = match reply {
            None => usual.to_owned(),
            Some(Reply::Head(answer)) => answer,
            Some(Reply::Lost) => return None,
            Some(Reply::Silence) => {
                self.state().open.push(Box::new(way));
                return None;
            }
        };
        way.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
        way.flush().ok()?;
        Some(way)
    }
}

// === impl Mailed ===

impl Mailed {
    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(of, _)| *of == name).map_or("", |(_, value)| value)
    }

    /// What stands below the headers.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// One byte after the other: what is behind the line may be for TLS.
fn read_line(from: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        from.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

/// Up to the dot that stands alone; of others at the beginning of a line, one is left away (RFC 5321, 4.5.2).
fn read_mail(from: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let line = read_line(from)?;
        match line.strip_prefix('.') {
            Some("") => return Ok(text),
            rest => text += &format!("{}\r\n", rest.unwrap_or(&line)),
        }
    }
}
