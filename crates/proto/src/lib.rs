//! The protobuf messages and gRPC stubs of Tally, generated from `proto/` and committed.
//!
//! Users of these stubs need no protobuf compiler. The client side is always here; the
//! server side, and the descriptors for gRPC reflection, come with the feature `server`.
//! After a change of a `.proto` file: `cargo xtask codegen`.
//!
//! | file | what it owns |
//! |---|---|
//! | `codec.rs` | how messages become bytes |
//! | `lenient.rs` | the messages whose path may be any bytes |
//! | `methods.rs` | HTTP methods and the numbers that they are counted under |
//! | `wire.rs` | what clients and servers agree on besides the messages |
//! | `gen/count.v1.rs` | the public counting API, `count.v1` |
//! | `gen/google.type.rs` | `google.type.Date` |
//! | `gen/opentelemetry.proto.collector.trace.v1.rs` | traces as OpenTelemetry's programs send them |
//! | `gen/tally.debts.v1.rs` | debts |
//! | `gen/tally.producers.v1.rs` | opening producers and acknowledging their batches |
//! | `gen/tally.requests.v1.rs` | Tally's own API for counted requests |
//! | `gen/tally.server.v1.rs` | what a server says of itself |
//! | `gen/tally.timelines.v1.rs` | timelines |
//! | `gen/descriptors.bin` | the file descriptors of all of them, with their comments |

pub mod codec;
mod lenient;
pub mod methods;
pub mod wire;

/// The packages below `count`.
pub mod count {
    /// The public counting API: [`AddRequest`], the totals, and the stubs of `CountService`.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod v1 {
        pub use crate::lenient::AddRequest;
        include!("gen/count.v1.rs");
    }
}

/// The packages below `google` that the APIs use.
pub mod google {
    /// Common types of Google's APIs: [`Date`].
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod r#type {
        include!("gen/google.type.rs");
    }
}

/// Traces as OpenTelemetry's programs send them, and the stubs of their `TraceService`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod opentelemetry {
    include!("gen/opentelemetry.proto.collector.trace.v1.rs");
}

/// Tally's own packages.
pub mod tally {
    /// The packages of the domain `debts`.
    pub mod debts {
        /// Debts and their payments, and the stubs of `DebtService`.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            include!("gen/tally.debts.v1.rs");
        }
    }

    /// The package of the kernel's producers.
    pub mod producers {
        /// What every stream of numbered batches has in common.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            include!("gen/tally.producers.v1.rs");
        }
    }

    /// The packages of the domain `requests`.
    pub mod requests {
        /// What `count.v1` has no words for, and the stubs of `RequestService`.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            pub use crate::lenient::Series;
            include!("gen/tally.requests.v1.rs");
        }
    }

    /// The package of the kernel's server.
    pub mod server {
        /// What a server says of itself, and the stubs of `ServerService`.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            include!("gen/tally.server.v1.rs");
        }
    }

    /// The packages of the domain `timelines`.
    pub mod timelines {
        /// Timelines and their events, and the stubs of `TimelineService`.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
        pub mod v1 {
            include!("gen/tally.timelines.v1.rs");
        }
    }
}

/// The encoded `FileDescriptorSet` of every package, with comments, for gRPC reflection.
#[cfg(feature = "server")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptors.bin");

/// The descriptors of every package.
#[cfg(feature = "server")]
#[must_use]
pub fn all_descriptors() -> prost_types::FileDescriptorSet {
    use prost::Message as _;
    let all = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET);
    all.expect("the descriptors are those that were generated")
}

/// The descriptors of one of Tally's packages, and of the packages of Google, on which it may build.
#[cfg(feature = "server")]
#[must_use]
pub fn descriptors(package: &str) -> prost_types::FileDescriptorSet {
    let mut set = all_descriptors();
    set.file.retain(|file| file.package() == package || file.package().starts_with("google."));
    set
}
