//! Where no Unix socket has an abstract name, no server hands its port over.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use crate::{Error, Listener};

/// What a server works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The database, in one line without secrets.
    pub database: String,
    /// Grows with each version of the program that changes the database.
    pub version: i64,
}

/// There is none.
#[derive(Debug)]
pub struct Offer(Infallible);

/// There is none.
#[derive(Debug)]
pub struct Successor(Infallible);

/// There is none.
#[derive(Debug)]
pub struct Predecessor(Infallible);

// === impl Offer ===

impl Offer {
    pub fn new(_listener: &Listener, _work: Work) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never.
    pub async fn taken(&self) -> Successor {
        match self.0 {}
    }
}

// === impl Successor ===

impl Successor {
    /// Never.
    pub fn process(&self) -> i32 {
        match self.0 {}
    }

    pub async fn go(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

// === impl Predecessor ===

impl Predecessor {
    pub async fn ask(_address: &str, _work: &Work) -> Result<Option<(Listener, Self)>, Error> {
        Ok(None)
    }

    /// Never.
    pub fn process(&self) -> i32 {
        match self.0 {}
    }

    pub async fn stop(&mut self) -> Result<(), Error> {
        match self.0 {}
    }

    pub async fn ended(&mut self, _limit: Duration) -> Result<(), Error> {
        match self.0 {}
    }
}
