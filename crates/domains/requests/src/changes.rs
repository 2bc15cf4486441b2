//! Merges and forgets: what is asked for, what is wrong with it, and what it says about series.
//!
//! | file | what it owns |
//! |---|---|
//! | `plan.rs` | which series a change moves where, and what a store writes of it |
//!
//! A series that is merged or forgotten *moves*: its name goes, and a move says which series its requests
//! count under from then on. Whatever still comes under its id is counted there, whichever server wrote
//! it. What is in days and months is brought there afterwards, in steps that no answer shows.

mod plan;

use std::sync::Arc;

use hashbrown::HashSet;
use tally_proto::wire::{
    CUSTOMER_BYTES_MAX, FORGOTTEN, PATH_BYTES_MAX, REGEXES_MAX, RENAMINGS_MAX, SERVICE_BYTES_MAX,
    is_reserved,
};
use tally_runtime::{Kind, chain, random};

pub(crate) use self::plan::{Draft, Line, Outdated, Plan, Targets, TooSlow};
use crate::error::Error;
use crate::model::{Namespace, Series, SeriesId};
use crate::renaming::{Columns, Renaming, Renamings};
use crate::selection::{NewNames, PathIs, Selection};
use crate::text::{AUTHOR_BYTES_MAX, check_text};

/// How long a regex may be, in bytes.
const REGEX_BYTES_MAX: usize = 1_000;

/// What happens to series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Forget,
    Merge,
}

/// A merge or a forget, as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Whose series it is about.
    pub(crate) namespace: Namespace,
    pub(crate) kind: ChangeKind,
    pub(crate) selection: Selection,
    pub(crate) into: NewNames,
    /// Who asks for it.
    pub(crate) author: String,
    /// Whether it may be about all series.
    pub(crate) is_everything: bool,
    pub(crate) is_dry_run: bool,
}

/// What a change has done, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The series that move, with how many requests they had when that was decided.
    pub(crate) series: Vec<(Series, i64)>,
    /// Whether series that come later follow it.
    pub(crate) is_kept: bool,
}

/// The last change that a database has: its number, and a random one that tells it apart from another
/// change of the same number, after the database went back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) seq: i64,
    pub(crate) token: i64,
}

/// What a server must know of the changes of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) version: Version,
    /// All of them.
    pub(crate) renamings: Renamings,
    /// The numbers of the changes that say so.
    pub(crate) seqs: Vec<i64>,
    /// Whether the moves are all of them, or those since an earlier version.
    pub(crate) are_all: bool,
    pub(crate) moves: Vec<(SeriesId, SeriesId)>,
    /// The names of the series that these have moved to.
    pub(crate) targets: Vec<(SeriesId, Series)>,
}

// === impl ChangeKind ===

impl ChangeKind {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Forget => "forget",
            Self::Merge => "merge",
        }
    }

    /// What fails if it does.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Forget => "forget series",
            Self::Merge => "merge series",
        }
    }
}

// === impl Version ===

impl Version {
    /// Whether all moves are to be read, and after which change the first one is. `token` is that of the
    /// change that the database has under this number: if it is another one, the database went back.
    pub(crate) fn read_on(self, token: Option<i64>) -> (bool, i64) {
        let are_all = token != Some(self.token);
        (are_all, if are_all { 0 } else { self.seq })
    }
}

// === impl Change ===

impl Change {
    /// Checks what is wrong with it, whatever the database has. A forget gets its new names. The new path of a
    /// merge may be as long as those that are counted.
    pub(crate) fn checked(mut self, path_bytes_max: usize) -> Result<Self, Error> {
        check_text("author", &self.author, AUTHOR_BYTES_MAX)?;
        let Selection { path, service, customer } = &self.selection;
        if path.is_none() && service.is_none() && customer.is_none() {
            return Err(Error::invalid(
                "selection: is empty; name a path, the beginning of paths, a regex for paths, a \
                 service or a customer",
            ));
        }
        let (field, text, max) = match path {
            Some(PathIs::Exactly(path)) => ("path", &**path, PATH_BYTES_MAX),
            Some(PathIs::BeginsWith(prefix)) => ("path_prefix", &**prefix, PATH_BYTES_MAX),
            Some(PathIs::Matches(regex)) => ("path_regex", &**regex, REGEX_BYTES_MAX),
            None => ("path", "/", 1),
        };
        let service = service.as_deref().unwrap_or("_");
        let customer = customer.as_deref().unwrap_or("_");
        for (field, text, max) in [
            (field, text, max),
            ("service", service, SERVICE_BYTES_MAX),
            ("customer", customer, CUSTOMER_BYTES_MAX),
        ] {
            if text.is_empty() {
                return Err(Error::invalid(format!("{field}: is empty")));
            }
            if is_reserved(text) {
                let text = format!("{field}: {text} is Tally's own, and stays what it is");
                return Err(Error::invalid(text));
            }
            check_text(field, text, max)?;
        }
        match self.kind {
            ChangeKind::Forget => {
                let forgotten = |is_selected: bool| is_selected.then(|| FORGOTTEN.into());
                let Selection { path, service, customer } = &self.selection;
                self.into = NewNames {
                    service: forgotten(service.is_some()),
                    path: forgotten(path.is_some()),
                    customer: forgotten(customer.is_some()),
                };
            }
            ChangeKind::Merge => self.check_into(path_bytes_max)?,
        }
        Ok(self)
    }

    fn check_into(&self, path_bytes_max: usize) -> Result<(), Error> {
        let NewNames { service, path, customer } = &self.into;
        if self.into == NewNames::default() {
            return Err(Error::invalid(
                "into: is empty; name the path, the service or the customer to merge into",
            ));
        }
        if path.as_ref().is_some_and(|path| path.is_empty()) {
            return Err(Error::invalid("into_path: is empty"));
        }
        for (field, text, max) in [
            ("into_path", path, path_bytes_max),
            ("into_service", service, SERVICE_BYTES_MAX),
            ("into_customer", customer, CUSTOMER_BYTES_MAX),
        ] {
            let text = text.as_deref().unwrap_or_default();
            if is_reserved(text) {
                let text = format!("{field}: {text} is Tally's own; name another one");
                return Err(Error::invalid(text));
            }
            check_text(field, text, max)?;
        }
        Ok(())
    }

    /// What it says about series, checked against what others have said before.
    pub(crate) fn renaming(&self, changes: &Changes) -> Result<Renaming, Error> {
        let renaming = Renaming::of(self.namespace, &self.selection, self.into.clone());
        let renaming =
            renaming.map_err(|bad| Error::invalid(format!("path_regex: {}", chain(&bad))))?;
        let Renamings(earlier) = &changes.renamings;
        if renaming.is_idle() {
            return Err(Error::invalid(
                "into: is what is selected; it cannot be merged into itself",
            ));
        }
        let refused = |text: String| Err(Error::Refused(Kind::FailedPrecondition, text.into()));
        let forgotten = || refused("into: this was forgotten, and no merge brings it back".into());
        match earlier.iter().find(|one| renaming.leads_into(one)) {
            Some(one) if one.forgets() => return forgotten(),
            Some(one) => {
                return refused(format!(
                    "into: this counts under {} since an earlier merge, which it would lead to, or back \
                     to: name that",
                    one.new_names()
                ));
            }
            None => {}
        }
        if self.kind == ChangeKind::Merge && changes.have_forgotten(&renaming) {
            return forgotten();
        }
        Ok(renaming)
    }

    /// Whether series that come later follow it: of a regex, a forget keeps nothing, and there may be no
    /// room for more.
    pub(crate) fn is_kept(&self, renaming: &Renaming, changes: &Changes) -> bool {
        let Renamings(all) = &changes.renamings;
        let earlier: Vec<_> = all.iter().filter(|one| one.namespace() == self.namespace).collect();
        if earlier.iter().any(|one| one.is(renaming)) {
            return true;
        }
        let regexes = earlier.iter().filter(|one| one.has_regex()).count();
        let has_room = earlier.len() < RENAMINGS_MAX;
        match (renaming.has_regex(), self.kind) {
            (true, ChangeKind::Forget) => false,
            (true, ChangeKind::Merge) => has_room && regexes < REGEXES_MAX,
            (false, _) => has_room,
        }
    }

    /// Refuses what is about everything, unless that is what is wanted, and a merge that is about nothing.
    pub(crate) fn check_extent(
        &self,
        plan: &Plan,
        known: &[(SeriesId, Series)],
        is_new: bool,
    ) -> Result<(), Error> {
        if self.kind == ChangeKind::Merge && is_new && plan.selected == 0 {
            let text = "selection: no series has all of this; check the spelling, unless the same merge was \
                        done before";
            return Err(Error::Refused(Kind::NotFound, text.into()));
        }
        if self.kind == ChangeKind::Merge && plan.has_circle {
            let text = "into: earlier merges lead back from there, in a circle";
            return Err(Error::Refused(Kind::FailedPrecondition, text.into()));
        }
        let is_whole = |prefix: &str| prefix == "/";
        let is_own = |one: &Series| one.namespace == self.namespace && !is_reserved(&one.path);
        let all = known.iter().filter(|(_, one)| is_own(one)).count();
        let is_all = match &self.selection.path {
            _ if self.selection.has_whole_name() || self.is_everything => false,
            Some(PathIs::BeginsWith(prefix)) if is_whole(prefix) => true,
            _ => all > 1 && plan.selected >= all,
        };
        if !is_all {
            return Ok(());
        }
        let text = format!(
            "selection: it is about every path ({} series); say so with `everything` if that is what you \
             want",
            plan.selected
        );
        Err(Error::Refused(Kind::FailedPrecondition, text.into()))
    }

    /// What is noted of it. Of a forget, no name.
    pub(crate) fn line(&self, renaming: &Renaming, is_kept: bool, requests: i64) -> Line {
        let stored = match self.kind {
            ChangeKind::Forget => renaming.hashed((random::number(), random::number())),
            ChangeKind::Merge => Some(renaming.clone()),
        };
        let columns = stored.filter(|_| is_kept).map(|one| one.columns()).unwrap_or_default();
        Line {
            namespace: self.namespace,
            token: (random::number() >> 1).cast_signed().max(1),
            kind: self.kind,
            selected: self.selection.kinds(),
            author: self.author.clone(),
            requests,
            columns,
        }
    }
}

// === impl Changed ===

impl Changed {
    /// How many requests move.
    pub(crate) fn requests(&self) -> i64 {
        self.series.iter().map(|one| one.1).fold(0, i64::saturating_add)
    }
}

// === impl Changes ===

impl Changes {
    /// Adds a renaming, unless it is there. Returns whether it was new.
    pub(crate) fn add(&mut self, renaming: &Arc<Renaming>) -> bool {
        let is_new = !self.renamings.0.iter().any(|one| one.is(renaming));
        if is_new {
            self.renamings.0.push(Arc::clone(renaming));
        }
        is_new
    }

    /// Whether a merge leads to names that were forgotten, even if the ids of series are all that is left
    /// of them: after a forget by a regex.
    fn have_forgotten(&self, merge: &Renaming) -> bool {
        debug_assert!(self.are_all, "one may be missing");
        let moves: HashSet<&(SeriesId, SeriesId)> = self.moves.iter().collect();
        let is_back = |(to, target): &(SeriesId, Series)| {
            merge.unforgotten(target).is_some_and(|before| moves.contains(&(before.id(0), *to)))
        };
        self.targets.iter().any(is_back)
    }

    /// The changes that name what a forget is about, and what stays of them.
    pub(crate) fn redacted(&self, forget: &Renaming) -> Vec<(i64, Columns)> {
        let without = |(seq, one): (&i64, &Arc<Renaming>)| {
            let key = (random::number(), random::number());
            one.without(forget, key).map(|one| (*seq, one.columns()))
        };
        self.seqs.iter().zip(&self.renamings.0).filter_map(without).collect()
    }
}
