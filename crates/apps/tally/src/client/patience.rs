//! Doing again what may not be done yet, while the server is away. What is done has something that tells it when
//! it comes again, so it counts once.

use std::time::Duration;

use anyhow::anyhow;
use tally_runtime::{backoff, durations, random};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::{Unreachable, may_be_done};
use crate::output::say;

/// How long one attempt may take.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Why something is not stored.
pub(crate) enum Failed {
    /// It will be refused again, whenever it is sent.
    Wrong(anyhow::Error),
    /// The server does not take it now: because of the key, say, or a limit.
    Refused(anyhow::Error),
    /// It can be sent again at once.
    Away(anyhow::Error),
}

// === impl Failed ===

impl Failed {
    /// By what the server answered, and how that is told.
    pub(crate) fn of(status: &Status, error: anyhow::Error) -> Self {
        match status.code() {
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => Self::Wrong(error),
            _ if may_be_done(status) => Self::Away(error),
            _ => Self::Refused(error),
        }
    }

    /// By why there is no connection: what is wrong with an address, a file or a key stays so.
    pub(crate) fn of_connecting(error: anyhow::Error) -> Self {
        if error.is::<Unreachable>() { Self::Away(error) } else { Self::Refused(error) }
    }

    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Wrong(error) | Self::Refused(error) | Self::Away(error) => error,
        }
    }
}

/// One attempt, which has its time.
pub(crate) async fn once<T>(attempt: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let away = |_| Failed::Away(anyhow!("the server does not answer"));
    timeout(ATTEMPT_MAX, attempt).await.map_err(away)?
}

/// Attempts, until one is no failure of a server that is away; unless it is quiet, the first one is told.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, Failed>>>(
    patience: Duration,
    is_quiet: bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failed> {
    let (until, mut attempts) = (Instant::now() + patience, 0);
    loop {
        match once(attempt()).await {
            Err(Failed::Away(error)) => {
                attempts += 1;
                let pause = backoff::pause(PAUSE_MIN, PAUSE_MAX, attempts, random::number());
                if Instant::now() + pause >= until {
                    return Err(Failed::Away(error));
                }
                if attempts == 1 && !is_quiet {
                    let longest = durations::shown(patience);
                    say(format_args!("{error:#}; trying again for {longest}"));
                }
                sleep(pause).await;
            }
            told => return told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_for_good_is_given_up() {
        let of = |code| Failed::of(&Status::new(code, ""), anyhow!(""));
        let is_wrong = |code| matches!(of(code), Failed::Wrong(_));
        for code in [Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition] {
            assert!(is_wrong(code), "{code}");
        }
        for code in [Code::PermissionDenied, Code::ResourceExhausted, Code::Unavailable] {
            assert!(!is_wrong(code), "{code}");
        }
    }
}
