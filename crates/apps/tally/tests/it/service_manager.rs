//! As a service of systemd: what its manager is told, and a socket that it holds.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::sync::Arc;

use tally_testkit::{Process, Spawn, Stream};

use crate::support::{Home, LIMIT, Server};

/// The manager's end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn at(address: &SocketAddr) -> Manager {
        let socket = UnixDatagram::bind_addr(address).expect("a free name");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        Manager(socket)
    }

    /// The next message that is no sign of life.
    #[track_caller]
    fn told(&self) -> String {
        loop {
            let message = self.next();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("a message within the limit");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

/// A server with the socket of its manager.
pub(crate) fn start(command: &Command) -> Server {
    let socket = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let how = Spawn { socket: Some(socket), ..Spawn::default() };
    Server::await_start(Process::spawn_with(command, &how), command)
}

#[test]
fn its_manager_is_told_when_it_serves_lives_and_stops() {
    let home = Home::sqlite();
    let path = home.path("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).expect("a short path"));
    let mut command = home.serve_command(&[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000");
    let server = start(&command);
    let ready = manager.next();
    let url = &server.url;
    let expected = format!("READY=1\nSTATUS=listens on {url}; database: sqlite:");
    assert!(ready.starts_with(&expected), "{ready}");
    // Ready is no promise: it serves.
    server.ok(&["add", "GET", "/a"]);
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    // From a manager, it is no terminal that was closed.
    server.process.signal("HUP");
    server.process.wait_for_line(Stream::Stderr, "no certificate to read again", LIMIT);
    server.ok(&["add", "GET", "/a"]);
    server.process.signal("TERM");
    assert_eq!(manager.told(), "STOPPING=1\nSTATUS=storing what was accepted");
    let output = server.process.wait(LIMIT);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn the_socket_of_its_manager_may_be_abstract_or_gone() {
    let home = Home::sqlite();
    let name = format!("tally-test/{}", home.path("notify").display());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let manager = Manager::at(&address);
    let server = start(home.serve_command(&[]).env("NOTIFY_SOCKET", format!("@{name}")));
    assert!(manager.next().starts_with("READY=1\n"));
    // It counts on, whatever becomes of its manager.
    drop(manager);
    server.ok(&["add", "GET", "/a"]);
    server.stop();
    server.process.wait_for_line(Stream::Stderr, "could not tell the service manager", LIMIT);

    let server = start(home.serve_command(&[]).env("NOTIFY_SOCKET", home.path("none")));
    server.process.wait_for_line(Stream::Stderr, "cannot reach the service manager", LIMIT);
    server.stop();
}
