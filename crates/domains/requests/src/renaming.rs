//! What a merge or a forget says about series: which it is about, and what becomes of them.
//!
//! | file | what it owns |
//! |---|---|
//! | `pattern.rs` | what a field of a series must be: a text, a prefix, a regex, or a hash of one |

mod pattern;

use std::sync::Arc;

use tally_proto::wire::{FORGOTTEN, is_reserved};

use self::pattern::{BadRegex, HashKey, Pattern};
use crate::model::{Namespace, Series, SeriesRef};
use crate::selection::{NewNames, PathIs, Selection};

/// How often the renamings are gone through until a series is in a circle. A chain needs one round, because
/// merges into what was merged away are refused.
const ROUNDS_MAX: usize = 8;

/// What becomes of series that have all that is said here.
#[derive(Debug, Clone)]
pub(crate) struct Renaming {
    namespace: Namespace,
    service: Option<Pattern>,
    path: Option<Pattern>,
    customer: Option<Pattern>,
    into: NewNames,
    /// What names are hashed with.
    key: HashKey,
}

/// The columns of a renaming.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) namespace: Namespace,
    pub(crate) service: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) into: NewNames,
    pub(crate) hash_key: Option<String>,
}

/// The renamings of a database, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Renamings(pub(crate) Vec<Arc<Renaming>>);

/// The renamings give a series one name after the other, without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Circle;

// === impl Renaming ===

impl Renaming {
    /// Of the series of a namespace that are selected.
    pub(crate) fn of(
        namespace: Namespace,
        selection: &Selection,
        into: NewNames,
    ) -> Result<Self, BadRegex> {
        let path = match &selection.path {
            Some(PathIs::Exactly(path)) => Some(Pattern::Exactly(path.clone())),
            Some(PathIs::BeginsWith(prefix)) => Some(Pattern::BeginsWith(prefix.clone())),
            Some(PathIs::Matches(regex)) => Some(Pattern::regex(regex)?),
            None => None,
        };
        let exactly = |name: &Option<Box<str>>| name.clone().map(Pattern::Exactly);
        let (service, customer) = (exactly(&selection.service), exactly(&selection.customer));
        Ok(Self { namespace, service, path, customer, into, key: (0, 0) })
    }

    /// Reads what is stored.
    pub(crate) fn of_columns(columns: &Columns) -> Result<Option<Self>, tally_store::Error> {
        let Columns { namespace, service, path, customer, into, hash_key } = columns;
        if [service, path, customer].iter().all(|column| column.is_none()) {
            return Ok(None);
        }
        let pattern =
            |column: &Option<String>| column.as_deref().map(Pattern::of_column).transpose();
        let key = hash_key.as_deref().and_then(|key| u128::from_str_radix(key, 16).ok());
        let key = key.unwrap_or_default();
        Ok(Some(Self {
            namespace: *namespace,
            service: pattern(service)?,
            path: pattern(path)?,
            customer: pattern(customer)?,
            into: into.clone(),
            key: ((key >> 64) as u64, key as u64),
        }))
    }

    /// Whose series it is about.
    pub(crate) fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// As it is stored.
    pub(crate) fn columns(&self) -> Columns {
        let column = |pattern: &Option<Pattern>| pattern.as_ref().map(Pattern::column);
        let key = (u128::from(self.key.0) << 64) | u128::from(self.key.1);
        Columns {
            namespace: self.namespace,
            service: column(&self.service),
            path: column(&self.path),
            customer: column(&self.customer),
            into: self.into.clone(),
            hash_key: (key > 0).then(|| format!("{key:032x}")),
        }
    }

    /// The same without the names that it selects by. None if that cannot be.
    pub(crate) fn hashed(&self, key: HashKey) -> Option<Self> {
        let hashed = |pattern: &Option<Pattern>| match pattern {
            Some(pattern) => pattern.hashed(key).map(Some),
            None => Some(None),
        };
        Some(Self {
            namespace: self.namespace,
            service: hashed(&self.service)?,
            path: hashed(&self.path)?,
            customer: hashed(&self.customer)?,
            into: self.into.clone(),
            key,
        })
    }

    /// Whether a series has all that is said.
    pub(crate) fn selects(&self, series: SeriesRef<'_>) -> bool {
        let has = |pattern: &Option<Pattern>, name| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(name, self.key))
        };
        series.namespace == self.namespace
            && has(&self.service, series.service)
            && has(&self.customer, series.customer)
            && has(&self.path, series.path)
    }

    /// What becomes of a series. None: it is not selected, or has that name already.
    pub(crate) fn apply(&self, series: SeriesRef<'_>) -> Option<Series> {
        if !self.selects(series) {
            return None;
        }
        let NewNames { service, path, customer } = &self.into;
        let renamed = SeriesRef {
            service: service.as_deref().unwrap_or(series.service),
            path: path.as_deref().unwrap_or(series.path),
            customer: customer.as_deref().unwrap_or(series.customer),
            ..series
        };
        (renamed != series).then(|| renamed.to_owned())
    }

    /// The same without the names that a forget is about, if it has them: what it selects by is hashed,
    /// and what it leads to is forgotten. If the forget is by several fields, it must have all of them,
    /// because other series keep each of the names. A regex cannot be hashed, and stays.
    pub(crate) fn without(&self, forget: &Self, key: HashKey) -> Option<Self> {
        if self.namespace != forget.namespace {
            return None;
        }
        let is_about = |names: &Option<Pattern>, text: Option<&str>| {
            let is_one = |names: &Pattern| text.is_some_and(|text| names.matches(text, forget.key));
            names.as_ref().is_none_or(is_one)
        };
        let mut without = self.clone();
        if without.key == (0, 0) {
            without.key = key;
        }
        let key = without.key;
        let mut fields = [
            (&forget.service, &mut without.service, &mut without.into.service),
            (&forget.path, &mut without.path, &mut without.into.path),
            (&forget.customer, &mut without.customer, &mut without.into.customer),
        ];
        let selects = fields
            .iter()
            .all(|(names, own, _)| is_about(names, own.as_ref().and_then(Pattern::text)));
        // What it does not change has the names that it is selected by.
        let is_named = fields.iter().any(|(names, _, into)| names.is_some() && into.is_some());
        let leads = is_named
            && fields.iter().all(|(names, own, into)| {
                is_about(names, into.as_deref().or_else(|| own.as_ref()?.whole()))
            });
        for (_, own, into) in fields.iter_mut().filter(|(names, ..)| names.is_some()) {
            if selects {
                **own = own.as_ref().and_then(|own| own.hashed(key));
            }
            if leads {
                **into = Some(FORGOTTEN.into());
            }
        }
        (selects || leads).then_some(without)
    }

    /// What series get instead of their own names, in words.
    pub(crate) fn new_names(&self) -> String {
        let NewNames { service, path, customer } = &self.into;
        let named = [("service", service), ("path", path), ("customer", customer)];
        let named = named.into_iter().filter_map(|(field, name)| Some((field, name.as_ref()?)));
        named.map(|(field, name)| format!("{field} {name:?}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether what it selects counts under names of Tally's own.
    pub(crate) fn forgets(&self) -> bool {
        let NewNames { service, path, customer } = &self.into;
        [service, path, customer].into_iter().flatten().all(|name| is_reserved(name))
    }

    /// What a series was before it was forgotten, if the names that it lost are the ones that this merge
    /// leads to. None if it leads to others.
    pub(crate) fn unforgotten(&self, forgotten: &Series) -> Option<Series> {
        if forgotten.namespace != self.namespace {
            return None;
        }
        let mut brings_back = false;
        let mut name = |own: &Option<Pattern>, into: &Option<Box<str>>, now: &str| match (into, own)
        {
            _ if now != FORGOTTEN => Some(now.into()),
            (Some(into), _) => {
                brings_back = true;
                Some(into.clone())
            }
            (None, own) => own.as_ref().and_then(Pattern::whole).map(Box::from),
        };
        let before = Series {
            service: name(&self.service, &self.into.service, &forgotten.service)?,
            path: name(&self.path, &self.into.path, &forgotten.path)?,
            customer: name(&self.customer, &self.into.customer, &forgotten.customer)?,
            ..forgotten.clone()
        };
        brings_back.then_some(before)
    }

    /// Whether it changes nothing, whatever a series has.
    pub(crate) fn is_idle(&self) -> bool {
        let keeps = |pattern: &Option<Pattern>, into: &Option<Box<str>>| match (pattern, into) {
            (_, None) => true,
            (Some(Pattern::Exactly(name)), Some(into)) => name == into,
            _ => false,
        };
        keeps(&self.service, &self.into.service)
            && keeps(&self.path, &self.into.path)
            && keeps(&self.customer, &self.into.customer)
    }

    /// Whether what `earlier` renames includes series that have just been renamed by this one: then it
    /// would be a chain, or a circle.
    pub(crate) fn leads_into(&self, earlier: &Self) -> bool {
        let can = |own: &Option<Pattern>, into: &Option<Box<str>>, theirs: &Option<Pattern>| match (
            into, own, theirs,
        ) {
            (_, _, None) => true,
            (Some(name), _, Some(theirs)) => theirs.matches(name, earlier.key),
            (None, Some(Pattern::Exactly(name)), Some(theirs)) => theirs.matches(name, earlier.key),
            (None, ..) => true,
        };
        let changes = |own: &Option<Box<str>>, theirs: &Option<Box<str>>| {
            theirs.is_some() && own.is_some() && own != theirs
        };
        self.namespace == earlier.namespace
            && can(&self.service, &self.into.service, &earlier.service)
            && can(&self.path, &self.into.path, &earlier.path)
            && can(&self.customer, &self.into.customer, &earlier.customer)
            && (changes(&self.into.service, &earlier.into.service)
                || changes(&self.into.path, &earlier.into.path)
                || changes(&self.into.customer, &earlier.into.customer))
    }

    /// Whether the other one, whose names are not hashed, has the same patterns and targets.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = |a: &Option<Pattern>, b: &Option<Pattern>| match (a, b) {
            (Some(a), Some(b)) => a.is(b, self.key),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.namespace == other.namespace
            && same(&self.service, &other.service)
            && same(&self.path, &other.path)
            && same(&self.customer, &other.customer)
            && self.into == other.into
    }

    pub(crate) fn has_regex(&self) -> bool {
        matches!(self.path, Some(Pattern::Matches(_)))
    }
}

// === impl Columns ===

impl Columns {
    /// In the order of `tally_request_changes`.
    pub(crate) fn values(&self) -> [Option<&str>; 7] {
        let Self { service, path, customer, into, hash_key, .. } = self;
        [
            service.as_deref(),
            path.as_deref(),
            customer.as_deref(),
            into.service.as_deref(),
            into.path.as_deref(),
            into.customer.as_deref(),
            hash_key.as_deref(),
        ]
    }
}

// === impl Renamings ===

impl Renamings {
    /// Reads what is stored with the numbers of changes. Returns the numbers of those that say something.
    pub(crate) fn read(stored: &[(Columns, i64)]) -> Result<(Self, Vec<i64>), tally_store::Error> {
        let (mut all, mut seqs) = (Vec::new(), Vec::new());
        for (columns, seq) in stored {
            if let Some(one) = Renaming::of_columns(columns)? {
                all.push(Arc::new(one));
                seqs.push(*seq);
            }
        }
        Ok((Self(all), seqs))
    }

    /// What becomes of a series. None: it stays. One that is in a circle is only forgotten, and never
    /// holds up the others.
    pub(crate) fn apply(&self, series: SeriesRef<'_>) -> Option<Series> {
        let forgotten = |_| self.rounds(series, Renaming::forgets).unwrap_or_default();
        self.end_of(series).unwrap_or_else(forgotten)
    }

    /// The same, unless it is in a circle.
    pub(crate) fn end_of(&self, series: SeriesRef<'_>) -> Result<Option<Series>, Circle> {
        self.rounds(series, |_| true)
    }

    /// Goes through the renamings until none changes anything.
    fn rounds(
        &self,
        series: SeriesRef<'_>,
        counts: impl Fn(&Renaming) -> bool,
    ) -> Result<Option<Series>, Circle> {
        let mut renamed: Option<Series> = None;
        for _ in 0..ROUNDS_MAX {
            let mut is_changed = false;
            for one in self.0.iter().filter(|one| counts(one)) {
                let now = renamed.as_ref().map_or(series, SeriesRef::from);
                if let Some(next) = one.apply(now) {
                    (renamed, is_changed) = (Some(next), true);
                }
            }
            if !is_changed {
                return Ok(renamed.filter(|renamed| SeriesRef::from(renamed) != series));
            }
        }
        Err(Circle)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
