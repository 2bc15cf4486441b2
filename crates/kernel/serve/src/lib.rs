//! The domains of a server on one port, gRPC and HTTP, with health, reflection, limits and a drain.
//!
//! | file | what it owns |
//! |---|---|
//! | `admission.rs` | who may ask: no other site's web page, and gRPC methods only by gRPC |
//! | `api.rs`, `api/` | what the HTTP APIs of all domains have in common |
//! | `domain.rs` | what a domain gives to an app, and an app to a domain |
//! | `arriving.rs` | what arrives on a connection, as far as its limits need to know |
//! | `clients.rs` | the connections of clients: how many there may be, and which makes room for another |
//! | `doors.rs` | the ways into a domain: gRPC services, HTTP routes, pages, UDP sockets |
//! | `duties.rs` | the work of a domain that one server does for all |
//! | `error.rs` | what can go wrong with a server and its port |
//! | `facts.rs` | what a server knows of itself, and its domains of themselves |
//! | `foreign.rs` | routes of other products: where their keys are, and how they are refused |
//! | `frames.rs` | where frames of HTTP/2 begin, and which requests are open by them |
//! | `grpc.rs` | the server's own gRPC service, which tells these facts |
//! | `guard.rs` | the one check of who asks |
//! | `half_sent.rs` | messages of gRPC that have begun to come |
//! | `handover.rs` | handing the port over to a server that replaces this one |
//! | `handover_none.rs` | the same where that cannot be done |
//! | `health.rs` | whether the server is ready, and why not |
//! | `held.rs` | a request while it is open: its place among all, and the rest of a large answer |
//! | `http.rs` | what a browser or a load balancer sees, and calls to unknown services |
//! | `linger.rs` | the limits of a connection, and its end, which the client hears |
//! | `listener.rs` | the port: bound, or inherited from a service manager; what its server works on |
//! | `metrics.rs` | `GET /metrics`, and how many requests of HTTP each route has had |
//! | `needs.rs` | what each call needs, declared where the call is |
//! | `open_files.rs` | how many files the process may have open |
//! | `pages.rs`, `pages/` | the pages of all domains: one frame, one look, and what they are made of |
//! | `seldom.rs` | log lines about strangers, of which there could be too many |
//! | `server.rs` | the domains behind one port: the connection's limits, the graceful end |
//! | `tls.rs`, `tls/` | TLS on the port: the certificate, its replacement, the handshake, and whom it shows |
//! | `traced.rs` | the trace that a request names, for the log |
//! | `turn.rs` | the end of a task's turn |
//! | `udp.rs`, `udp/` | a UDP socket of a domain: datagrams of bounded size, in a bounded queue |

mod admission;
pub mod api;
mod arriving;
mod clients;
mod domain;
mod doors;
mod duties;
mod error;
pub mod facts;
mod foreign;
mod frames;
mod grpc;
mod guard;
mod half_sent;
#[cfg_attr(not(target_os = "linux"), path = "handover_none.rs")]
mod handover;
mod health;
mod held;
mod http;
mod linger;
mod listener;
mod metrics;
mod needs;
mod open_files;
pub mod pages;
mod seldom;
mod server;
mod tls;
mod traced;
mod turn;
mod udp;

pub use admission::HostNames;
pub use domain::{Configured, Connections, Domain, Domains, Parts, Running, Started};
pub use doors::Doors;
pub use duties::{Duties, Next};
pub use error::Error;
pub use facts::{Fact, Facts, Origin};
pub use foreign::{Foreign, Link, Manner, Place};
pub use guard::{Access, address};
pub use handover::{Offer, Predecessor, Successor};
pub use listener::{Listener, Work};
pub use needs::Needs;
pub use open_files::allow_open_files;
pub use seldom::Seldom;
pub use server::Server;
pub use tls::{Peer, Reload, Tls, TlsArgs, TlsFiles, Unusable};
pub use udp::{Datagram, Datagrams};
