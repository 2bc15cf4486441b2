//! SIGTERM, Ctrl-C and SIGHUP.

use std::io;

/// The signals that ask a process to stop. Once made, they no longer end the process.
pub struct Signals {
    /// What SIGHUP does instead of asking the process to stop.
    on_hangup: Option<Box<dyn Fn() + Send>>,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// None when the process began with SIGHUP ignored, as `nohup` has it.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

// === impl Signals ===

impl Signals {
    /// Takes the signals over from the default action.
    pub fn install() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                on_hangup: None,
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: match ignores_hangup() {
                    true => None,
                    false => Some(signal(SignalKind::hangup())?),
                },
            })
        }
        #[cfg(not(unix))]
        Ok(Self { on_hangup: None })
    }

    /// From now on SIGHUP does this, instead of asking the process to stop, whenever [`Signals::recv`]
    /// waits.
    pub fn on_hangup(&mut self, action: impl Fn() + Send + 'static) {
        self.on_hangup = Some(Box::new(action));
    }

    /// Waits for the next signal, and says which it was.
    pub async fn recv(&mut self) -> &'static str {
        #[cfg(unix)]
        loop {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = hangup => match &self.on_hangup {
                    Some(action) => action(),
                    None => return "SIGHUP",
                },
            }
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Linux says which signals are ignored; elsewhere none is taken to be.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}
