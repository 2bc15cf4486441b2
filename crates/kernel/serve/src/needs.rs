//! What each call needs, declared where the call is.

use std::collections::HashMap;

use tally_access::Scope;

use crate::foreign::Manner;

/// What a call needs of its caller, where keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: whoever reaches the port may have it.
    Nothing,
    /// Any key.
    Key,
    /// A key that may count.
    Ingest,
    /// A key that may look.
    Read,
    /// A key that may do everything within its namespace.
    Admin,
    /// A key that may look, of the namespace `default`: it concerns the whole server.
    OperatorRead,
    /// A key that may do everything, of the namespace `default`: it concerns the whole database.
    Operator,
}

/// What every call of a server needs.
#[derive(Default)]
pub(crate) struct Declared {
    /// By the pattern of a route, and by its method.
    routes: HashMap<&'static str, Vec<(&'static str, Needs)>>,
    /// By the pattern of a route of another product.
    manners: HashMap<&'static str, &'static Manner>,
    /// By the path of a method of gRPC.
    methods: HashMap<String, Needs>,
}

// === impl Needs ===

impl Needs {
    /// The scope that it takes; none if any does.
    pub(crate) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Nothing | Self::Key => None,
            Self::Ingest => Some(Scope::Ingest),
            Self::Read | Self::OperatorRead => Some(Scope::Read),
            Self::Admin | Self::Operator => Some(Scope::Admin),
        }
    }

    /// Whether it takes a key of the namespace `default`.
    pub(crate) const fn is_of_operator(self) -> bool {
        matches!(self, Self::OperatorRead | Self::Operator)
    }
}

// === impl Declared ===

impl Declared {
    /// Declares a method of a route: `get`, `post`.
    pub(crate) fn route(&mut self, path: &'static str, method: &'static str, needs: Needs) {
        self.routes.entry(path).or_default().push((method, needs));
    }

    /// Declares how a route of another product is asked.
    pub(crate) fn manner(&mut self, path: &'static str, manner: &'static Manner) {
        self.manners.insert(path, manner);
    }

    /// How the route of this pattern is asked, if it is one of another product.
    pub(crate) fn manner_of(&self, pattern: &str) -> Option<&'static Manner> {
        self.manners.get(pattern).copied()
    }

    /// Declares the methods of a gRPC service.
    pub(crate) fn service(&mut self, name: &str, methods: &[(&str, Needs)]) {
        for (method, needs) in methods {
            self.methods.insert(format!("/{name}/{method}"), *needs);
        }
    }

    /// What a method of gRPC needs. One that is not declared is for nobody but the operator.
    pub(crate) fn of_method(&self, path: &str) -> Needs {
        self.methods.get(path).copied().unwrap_or(Needs::Operator)
    }

    /// What a request of HTTP needs, by the pattern of its route. A route that is not declared is for
    /// nobody but the operator. A method that a route does not have is refused by the route itself.
    pub(crate) fn of_route(&self, pattern: &str, method: &http::Method) -> Needs {
        let Some(methods) = self.routes.get(pattern) else { return Needs::Operator };
        let method = if method == http::Method::HEAD { "get" } else { method.as_str() };
        let of = |name: &str| methods.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        let declared = of(method).or_else(|| of("any"));
        declared.map_or(Needs::Key, |(_, needs)| *needs)
    }

    /// The routes with their methods.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_route = |(path, methods): (&&'static str, &Vec<(&'static str, Needs)>)| {
            let path = *path;
            methods.iter().map(move |(method, _)| (path, *method)).collect::<Vec<_>>()
        };
        self.routes.iter().flat_map(of_route)
    }

    /// Whether a method of gRPC is declared.
    pub(crate) fn has_method(&self, path: &str) -> bool {
        self.methods.contains_key(path)
    }
}
