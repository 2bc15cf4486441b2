//! Where no Unix socket has an abstract name, no server hands its port over.

use std::io;
use std::time::Duration;

use crate::{Error, Listener, Work};

/// There is none.
pub type Offer = Never;
/// There is none.
pub type Successor = Never;
/// There is none.
pub type Predecessor = Never;

/// There is never another server to speak to.
#[derive(Debug)]
pub enum Never {}

// === impl Never ===

impl Never {
    /// Always fails.
    pub fn new(_listener: &Listener, _work: Work) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never.
    pub async fn taken(&self) -> Self {
        match *self {}
    }

    /// Never.
    pub fn process(&self) -> i32 {
        match *self {}
    }

    /// Never.
    pub async fn go(&mut self) -> io::Result<()> {
        match *self {}
    }

    /// Finds none.
    pub async fn ask(_address: &str, _work: &Work) -> Result<Option<(Listener, Self)>, Error> {
        Ok(None)
    }

    /// Never.
    pub async fn stop(&mut self) -> Result<(), Error> {
        match *self {}
    }

    /// Never.
    pub async fn ended(&mut self, _limit: Duration) -> Result<(), Error> {
        match *self {}
    }
}
