//! Which series a merge or a forget is asked for, and what they shall get.

use crate::model::Namespace;
use crate::totals::Filter;

/// What a path must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathIs {
    /// Just this.
    Exactly(Box<str>),
    /// Any that begins with this, byte by byte.
    BeginsWith(Box<str>),
    /// Any that this regex finds something in.
    Matches(Box<str>),
}

/// Which series a merge or a forget is about: those that have all of this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The path.
    pub(crate) path: Option<PathIs>,
    /// The service.
    pub(crate) service: Option<Box<str>>,
    /// The customer.
    pub(crate) customer: Option<Box<str>>,
}

/// What series get in place of their own. None: they keep it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewNames {
    /// The service; may be empty.
    pub(crate) service: Option<Box<str>>,
    /// The path.
    pub(crate) path: Option<Box<str>>,
    /// The customer; may be empty.
    pub(crate) customer: Option<Box<str>>,
}

// === impl Selection ===

impl Selection {
    /// Which kinds of names it selects by, for people.
    pub(crate) fn kinds(&self) -> String {
        let path = self.path.as_ref().map(|path| match path {
            PathIs::Exactly(_) => "path",
            PathIs::BeginsWith(_) => "path-prefix",
            PathIs::Matches(_) => "path-regex",
        });
        let service = self.service.as_ref().map(|_| "service");
        let customer = self.customer.as_ref().map(|_| "customer");
        let kinds: Vec<_> = [path, service, customer].into_iter().flatten().collect();
        kinds.join(",")
    }

    /// Whether at least one of the names that it selects by is a whole one. Then it is about that name,
    /// even if nothing else was counted.
    pub(crate) fn has_whole_name(&self) -> bool {
        matches!(self.path, Some(PathIs::Exactly(_)))
            || self.service.is_some()
            || self.customer.is_some()
    }

    /// The same for a query of a namespace; a regex lets all paths through.
    pub(crate) fn filter(&self, namespace: Namespace) -> Filter {
        let one = |name: &Option<Box<str>>| name.iter().map(ToString::to_string).collect();
        let mut filter = Filter {
            namespace,
            services: one(&self.service),
            customers: one(&self.customer),
            ..Filter::default()
        };
        match &self.path {
            Some(PathIs::Exactly(path)) => drop(filter.paths.insert(path.to_string())),
            Some(PathIs::BeginsWith(prefix)) => filter.path_prefix = prefix.to_string(),
            Some(PathIs::Matches(_)) | None => {}
        }
        filter
    }
}
