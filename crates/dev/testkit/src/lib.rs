//! The environment of Tally's tests: a private Postgres, child processes, a faulty network.
//!
//! Everything started here ends with the process that started it, even if that is killed with
//! SIGKILL: beside each child a small `sh` reads a pipe from us, and when the pipe ends it kills
//! the child and removes its files. Whatever cannot be started, or does not happen in time, fails the
//! test with the reason and the captured output.
//!
//! | file | what it owns |
//! |---|---|
//! | `binaries.rs` | finding the installed Postgres |
//! | `built.rs` | [`built_tally`]: `tally` itself, for the tests of other packages |
//! | `database.rs` | [`TestDatabase`]: an empty database for one test |
//! | `described.rs` | [`Described`]: answers held against the description of their API |
//! | `disturb.rs` | [`Disturber`]: one statement after the other goes wrong |
//! | `eventually.rs` | [`eventually`]: polling for a condition; the only place that pauses |
//! | `exposition.rs` | [`exposition`]: the answer to a scrape, read strictly |
//! | `folder.rs` | [`Watched`]: folders with a watchdog, and the sweep of clusters' folders with dead owners |
//! | `hook.rs` | [`Hook`]: a receiver of webhooks |
//! | `relay.rs` | [`Relay`]: a server that takes mail |
//! | `http.rs` | [`http`]: one request of HTTP/1.1 |
//! | `output.rs` | the captured output of a child process |
//! | `port.rs` | TCP ports that stay free while nothing listens on them |
//! | `postgres.rs` | [`Cluster`]: a private Postgres server that can be stopped and killed |
//! | `process.rs` | [`Process`] and [`run`]: child processes |
//! | `programs.rs` | [`PROGRAMS`]: what tests use besides Postgres |
//! | `proxy.rs`, `proxy/` | [`Proxy`]: a TCP proxy with faults on demand |
//! | `standby.rs` | COMMITs that hang because the synchronous standby is missing |
//! | `secure.rs` | [`Secure`]: a client of HTTP/1.1 with TLS |
//! | `tls.rs` | [`Tls`], [`Authority`]: certificates for servers and clients, and who signs them |
//!
//! The feature `async`, on by default, adds everything that needs tokio, reads JSON or creates
//! certificates.

mod binaries;
mod built;
#[cfg(feature = "async")]
mod database;
#[cfg(feature = "async")]
mod described;
#[cfg(feature = "async")]
mod disturb;
mod eventually;
pub mod exposition;
mod folder;
mod hook;
mod http;
mod output;
mod port;
mod postgres;
mod process;
mod programs;
#[cfg(feature = "async")]
mod proxy;
#[cfg(feature = "async")]
mod relay;
#[cfg(feature = "async")]
mod secure;
#[cfg(feature = "async")]
mod standby;
mod tls;

pub use binaries::{INSTALL_HINT, bin_dir};
pub use built::built_tally;
#[cfg(feature = "async")]
pub use database::{TestDatabase, as_cockroach};
#[cfg(feature = "async")]
pub use described::Described;
#[cfg(feature = "async")]
pub use disturb::{Disturbance, Disturber};
#[cfg(feature = "async")]
pub use eventually::eventually;
pub use eventually::{Attempt, eventually_blocking};
pub use folder::Watched;
pub use hook::{Hook, Posted, Reply};
pub use http::{Response, http};
pub use output::Stream;
pub use port::free_port;
pub use postgres::{Cluster, Error, Options};
pub use process::{Output, Process, Spawn, User, run, run_with};
pub use programs::{PROGRAMS, has_programs, is_installed};
#[cfg(feature = "async")]
pub use proxy::{Direction, Proxy};
#[cfg(feature = "async")]
pub use relay::{Mailed, Relay, Speaks};
#[cfg(feature = "async")]
pub use secure::Secure;
#[cfg(feature = "async")]
pub use tls::Authority;
pub use tls::Tls;
