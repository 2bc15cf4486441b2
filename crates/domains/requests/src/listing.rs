//! The names that requests are counted under: which are asked for, in order.

use std::collections::BTreeSet;

use crate::model::{Namespace, SeriesRef};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListOf {
    /// Methods and paths.
    Endpoints,
    Services,
    Customers,
}

/// A service or a customer alone; or a path, with its method.
pub(crate) type Listed = (Box<str>, Box<str>);

/// Which names are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// Whose names.
    pub(crate) namespace: Namespace,
    pub(crate) of: ListOf,
    /// Only names that have this in them, in upper or lower case. Empty: all.
    pub(crate) search: String,
    /// Only names behind this one.
    pub(crate) after: Option<Listed>,
    /// At most this many.
    pub(crate) limit: usize,
}

/// The first names that are asked for, of those that were found so far, and one more. Memory goes with
/// the limit, and not with how many there are.
#[derive(Debug)]
pub(crate) struct Found {
    listing: Listing,
    first: BTreeSet<Listed>,
}

// === impl Found ===

impl Found {
    pub(crate) fn new(listing: Listing) -> Self {
        let search = listing.search.to_lowercase();
        Self { listing: Listing { search, ..listing }, first: BTreeSet::new() }
    }

    /// Takes the name of a series. The empty one is none.
    pub(crate) fn take(&mut self, series: &SeriesRef<'_>) {
        let (name, method) = match self.listing.of {
            ListOf::Endpoints => (series.path, series.method),
            ListOf::Services => (series.service, ""),
            ListOf::Customers => (series.customer, ""),
        };
        let is_less = |one: (&str, &str), other: (&str, &str)| one < other;
        let after = self.listing.after.as_ref();
        let is_behind = after.is_none_or(|(one, rest)| is_less((one, rest), (name, method)));
        let has_room = self.first.len() <= self.listing.limit;
        let last = self.first.last();
        let is_first =
            has_room || last.is_some_and(|(one, rest)| is_less((name, method), (one, rest)));
        if series.namespace != self.listing.namespace || name.is_empty() || !is_behind || !is_first
        {
            return;
        }
        let search = &*self.listing.search;
        if !search.is_empty() && !name.to_lowercase().contains(search) {
            return;
        }
        if self.first.insert((name.into(), method.into())) && !has_room {
            self.first.pop_last();
        }
    }

    /// The names, and whether there are more.
    pub(crate) fn finish(mut self) -> (Vec<Listed>, bool) {
        let has_more = self.first.len() > self.listing.limit;
        if has_more {
            self.first.pop_last();
        }
        (self.first.into_iter().collect(), has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Series;

    fn found(
        of: ListOf,
        search: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> (String, bool) {
        let series = |service: &str, method: &str, path: &str| Series {
            service: service.into(),
            method: method.into(),
            path: path.into(),
            ..Series::default()
        };
        let after = after.map(|(name, method)| (name.into(), method.into()));
        let (namespace, search) = (Namespace::DEFAULT, search.to_owned());
        let listing = Listing { namespace, of, search, after, limit };
        let mut found = Found::new(listing);
        for one in [
            series("shop", "GET", "/c"),
            series("", "POST", "/a"),
            series("Shop-2", "GET", "/a"),
            series("shop", "GET", "/a"),
            series("blog", "GET", "/B"),
        ] {
            found.take(&(&one).into());
            let elsewhere = Series { namespace: Namespace(1), path: "/0".into(), ..one };
            found.take(&(&elsewhere).into());
        }
        let (names, has_more) = found.finish();
        let names: Vec<_> = names.iter().map(|(name, method)| format!("{name}{method}")).collect();
        (names.join(" "), has_more)
    }

    #[test]
    fn names_are_listed_once_in_order_and_in_pages() {
        let all = "/BGET /aGET /aPOST /cGET";
        assert_eq!(found(ListOf::Endpoints, "", None, 4), (all.to_owned(), false));
        assert_eq!(found(ListOf::Endpoints, "", None, 2), ("/BGET /aGET".to_owned(), true));
        let rest = found(ListOf::Endpoints, "", Some(("/a", "GET")), 2);
        assert_eq!(rest, ("/aPOST /cGET".to_owned(), false));
        assert_eq!(found(ListOf::Endpoints, "b", None, 9), ("/BGET".to_owned(), false));
        assert_eq!(found(ListOf::Services, "SHOP", None, 9), ("Shop-2 shop".to_owned(), false));
        assert_eq!(found(ListOf::Customers, "", None, 9), (String::new(), false));
    }
}
