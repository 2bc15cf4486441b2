//! A second domain, for tests only: clients send marks, which are numbers, and each is stored once.
//!
//! It shows what a domain needs besides its own words: this folder, and its name in a list.
//!
//! | file | what it owns |
//! |---|---|
//! | `main.rs` | a server that counts requests and stores marks |
//! | `batches.rs` | from the messages of a stream to marks |
//! | `domain.rs` | the domain as an app lists it |
//! | `grpc.rs` | `Record`, the one gRPC method |
//! | `http.rs` | the HTTP API: how many marks there are |
//! | `message.rs` | what clients send |
//! | `pages.rs` | `/marks`, and the domain's part of `/` |
//! | `service.rs` | the operations, and the parts that they are made of |
//! | `store.rs`, `store/` | the one table, in each kind of database |

mod batches;
mod domain;
mod grpc;
mod http;
pub mod message;
mod pages;
mod service;
mod store;

pub use domain::DOMAIN;
pub use grpc::RECORD;
