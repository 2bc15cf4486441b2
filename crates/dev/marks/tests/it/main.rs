//! A second domain behind the same port: listed, left out, and killed while it stores.

mod domain;
mod support;
mod torture;
