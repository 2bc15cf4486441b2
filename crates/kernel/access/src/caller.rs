//! Who makes a call, as its handler sees it.

use std::sync::Arc;

use http::Extensions;
use tally_runtime::Namespace;

use crate::Scope;

/// Who makes a call. The server puts it into the extensions of every request before a handler sees
/// it, and has checked then that the caller has the scope that the call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    key: Option<Arc<str>>,
    namespace: Namespace,
    scope: Scope,
}

// === impl Caller ===

impl Caller {
    /// Anyone, where no key is asked for: all scopes in the namespace `default`.
    #[must_use]
    pub const fn open() -> Self {
        Self { key: None, namespace: Namespace::DEFAULT, scope: Scope::Admin }
    }

    /// The holder of a key.
    #[must_use]
    pub fn new(key: impl Into<Arc<str>>, namespace: Namespace, scope: Scope) -> Self {
        Self { key: Some(key.into()), namespace, scope }
    }

    /// The caller of a request of HTTP or tonic, by its extensions. Panics without one, because then
    /// nobody has checked the request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> &Self {
        extensions.get().expect("the server has put the caller into every request")
    }

    /// The name of the key; none if no key is asked for.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Where it counts, and what it sees.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// The scope of its key.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether it may do what needs this scope in its namespace.
    #[must_use]
    pub fn may(&self, needed: Scope) -> bool {
        self.scope.allows(needed)
    }

    /// Whether it is of the namespace whose keys may also ask for what concerns the whole server.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.namespace == Namespace::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_and_admin_allows_all() {
        let caller = |scope| Caller::new("a", Namespace(7), scope);
        for scope in Scope::ALL {
            assert!(caller(scope).may(scope) && Caller::open().may(scope));
            assert!(caller(Scope::Admin).may(scope));
        }
        assert!(!caller(Scope::Ingest).may(Scope::Read) && !caller(Scope::Read).may(Scope::Ingest));
        assert!(!caller(Scope::Read).may(Scope::Admin));
        assert!(Caller::open().is_operator() && !caller(Scope::Admin).is_operator());
    }

    #[test]
    fn a_caller_is_found_in_extensions() {
        let mut extensions = Extensions::new();
        extensions.insert(Caller::open());
        assert_eq!(Caller::of(&extensions), &Caller::open());
    }
}
