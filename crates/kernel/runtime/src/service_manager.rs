//! What systemd, or another program with its protocol (`sd_notify(3)`), is told of this process.

use std::sync::Arc;
use std::time::Duration;

use crate::Drain;

/// Where its socket is.
#[cfg(unix)]
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often it wants a sign of life, in microseconds, and from which process.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// How long a message may wait for a manager that does not read.
#[cfg(unix)]
const SEND_MAX: Duration = Duration::from_secs(2);

/// The service manager that started this process. Without one, nobody is told, and nothing fails.
#[derive(Debug)]
pub struct ServiceManager {
    #[cfg(unix)]
    socket: Option<tokio::net::UnixDatagram>,
    watchdog: Option<Duration>,
}

// === impl ServiceManager ===

impl ServiceManager {
    /// The one that the environment names. A socket that cannot be reached is logged.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |name| std::env::var(name).ok();
        Self {
            #[cfg(unix)]
            socket: std::env::var_os(SOCKET).filter(|name| !name.is_empty()).and_then(|name| {
                let connected = connect(&name);
                connected.inspect_err(|error| warn(&name.to_string_lossy(), error)).ok()
            }),
            watchdog: watchdog(text(WATCHDOG_USEC).as_deref(), text(WATCHDOG_PID).as_deref()),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        #[cfg(unix)]
        return self.socket.is_some();
        #[cfg(not(unix))]
        false
    }

    /// The process serves. The status is one line for `systemctl status`.
    pub async fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", in_one_line(status))).await;
    }

    /// The process stops by itself, or was told to.
    pub async fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", in_one_line(status))).await;
    }

    /// Gives the signs of life that the manager asks for, until the drain begins: it waits for none of a
    /// process that is stopping.
    pub async fn watched(self: Arc<Self>, drain: Drain) {
        let Some(interval) = self.watchdog else { return };
        // Two of them in each interval, so that one may be late.
        while drain.pause(interval / 2).await {
            self.tell("WATCHDOG=1").await;
        }
    }

    #[cfg(unix)]
    async fn tell(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        let sent = tokio::time::timeout(SEND_MAX, socket.send(message.as_bytes())).await;
        if let Err(error) = sent.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            tracing::warn!(message, %error, "could not tell the service manager");
        }
    }

    #[cfg(not(unix))]
    async fn tell(&self, _message: &str) {}
}

/// A name with `@` in front is an abstract one, which Linux has.
#[cfg(unix)]
fn connect(name: &std::ffi::OsStr) -> std::io::Result<tokio::net::UnixDatagram> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let address = match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?
        }
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(std::io::Error::other("it is no path of a socket")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    tokio::net::UnixDatagram::from_std(socket)
}

#[cfg(unix)]
fn warn(socket: &str, error: &std::io::Error) {
    tracing::warn!(socket, %error, "cannot reach the service manager of {SOCKET}");
}

/// How often a sign of life is due, if that is asked of this process.
fn watchdog(microseconds: Option<&str>, process: Option<&str>) -> Option<Duration> {
    if process.is_some_and(|process| process != std::process::id().to_string()) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|&microseconds| microseconds > 0);
    microseconds.map(Duration::from_micros)
}

/// A line break would begin another message.
fn in_one_line(status: &str) -> String {
    status.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_is_asked_gives_signs_of_life() {
        let own = std::process::id().to_string();
        let due = Some(Duration::from_secs(60));
        assert_eq!(watchdog(Some("60000000"), Some(&own)), due);
        assert_eq!(watchdog(Some("60000000"), None), due);
        assert_eq!(watchdog(Some("60000000"), Some("1")), None);
        for wrong in [None, Some(""), Some("0"), Some("-1"), Some("soon")] {
            assert_eq!(watchdog(wrong, None), None);
        }
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(in_one_line("a\nREADY=1"), "a READY=1");
    }
}
