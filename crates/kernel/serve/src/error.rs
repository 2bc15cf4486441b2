//! What can go wrong with a server and its port.

use std::io;

/// The server could not start, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken.
    #[error(
        "cannot listen on {address}: another program uses this port, perhaps another Tally; \
         stop it, or choose another port with --listen"
    )]
    PortInUse {
        /// As configured.
        address: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// As configured.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The address of a UDP socket cannot be bound.
    #[error("cannot take datagrams at {address}")]
    BindUdp {
        /// As configured.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// `LISTEN_FDS` promises something other than one listening TCP socket.
    #[error(
        "cannot take the socket that LISTEN_FDS promises: {problem}; pass one listening TCP \
         socket, as file descriptor 3, or unset LISTEN_FDS"
    )]
    Inherited {
        /// What is there instead.
        problem: String,
    },
    /// A method of gRPC does not say what it needs of its caller: a mistake in the program.
    #[error("the method {method} does not say what it needs of its caller")]
    Undeclared {
        /// Its path.
        method: String,
    },
    /// The server that runs there keeps its port.
    #[error("cannot listen on {address}: {reason}")]
    Refused {
        /// As configured.
        address: String,
        /// In the words of that server.
        reason: String,
    },
    /// The server that runs there did not hand its port over.
    #[error(
        "cannot take {address} over from the Tally server that runs there; stop it, or choose \
         another port with --listen"
    )]
    Handover {
        /// As configured.
        address: String,
        /// What went wrong between the two.
        source: io::Error,
    },
    /// Reflection could not be set up.
    #[error("set up gRPC reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The server failed while it ran.
    #[error("serve")]
    Serve(#[source] tonic::transport::Error),
}
