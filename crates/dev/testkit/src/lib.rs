//! What Tally's tests run against: a private Postgres, child processes, a faulty network.
//!
//! Everything that is started here ends with the process that started it, even when that is
//! killed with SIGKILL: each child has a small `sh` beside it that holds a pipe to us, and
//! ends the child (and removes its files) at the end of the pipe.
//!
//! | file | what it owns |
//! |---|---|
//! | `binaries.rs` | where Postgres is installed, and what to say when it is not |
//! | `database.rs` | [`TestDatabase`]: an empty database for one test |
//! | `eventually.rs` | [`eventually`]: waiting for a condition; the only place that pauses |
//! | `folder.rs` | a cluster's folder, its watchdog, and the sweep of what dead owners left |
//! | `output.rs` | the lines that a child process has written |
//! | `port.rs` | TCP ports that stay ours while nothing listens on them |
//! | `postgres.rs` | [`Cluster`]: a private Postgres server that can be stopped and killed |
//! | `process.rs` | [`Process`] and [`run`]: child processes |
//! | `proxy.rs`, `proxy/` | [`Proxy`]: a TCP proxy that cuts, stalls, resets, and loses what it carries |
//! | `standby.rs` | COMMITs that hang, as when the synchronous standby is gone |
//! | `tls.rs` | [`Tls`]: a certificate for a server, and its authority |
//!
//! The feature `async`, on by default, brings what needs tokio or makes certificates.

mod binaries;
#[cfg(feature = "async")]
mod database;
mod eventually;
mod folder;
mod output;
mod port;
mod postgres;
mod process;
#[cfg(feature = "async")]
mod proxy;
#[cfg(feature = "async")]
mod standby;
mod tls;

pub use binaries::{INSTALL_HINT, bin_dir};
#[cfg(feature = "async")]
pub use database::TestDatabase;
#[cfg(feature = "async")]
pub use eventually::eventually;
pub use eventually::{Attempt, eventually_blocking};
pub use output::Stream;
pub use port::free_port;
pub use postgres::{Cluster, Error, Options};
pub use process::{Output, Process, Spawn, User, run, run_with};
#[cfg(feature = "async")]
pub use proxy::{Direction, Proxy};
pub use tls::Tls;
