//! Who may do what: keys, their scopes and their namespaces.
//!
//! | file | what it owns |
//! |---|---|
//! | `caller.rs` | who makes a call, as its handler sees it |
//! | `scope.rs` | what a key allows |

mod caller;
mod scope;

pub use caller::Caller;
pub use scope::Scope;
