//! The rules of the protocol, one by one.
