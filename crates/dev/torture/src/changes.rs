//! What a person merges and forgets during the run.
//!
//! A change may have happened or not when an answer is read: its own answer may be lost, and the database
//! may be set back. So counts are compared under the names that series have after all changes, and the old
//! names alone show whether one has happened.

use tally_proto::tally::requests::v1::selection::PathIs;
use tally_proto::tally::requests::v1::{ForgetRequest, MergeRequest, Selection};
use tally_proto::wire::FORGOTTEN;

use crate::arguments::CLIENTS;
use crate::client::load::SHARED_PATHS;
use crate::journal::{Key, Series};
use crate::stored::Totals;

/// How many merges and forgets there are. Each selects by one field, so that answers that tell fewer
/// fields apart can be compared, too.
pub(crate) const CHANGES: usize = SHARED_CHANGES + CLIENTS.len() * OWN_PATHS.len();

/// Those that are made in each of the namespaces.
const SHARED_CHANGES: usize = SHARED.len() * COUNTED;

/// How many namespaces clients count in.
const COUNTED: usize = 2;

/// The one that most series are part of.
pub(crate) const BY_SERVICE: Change = Change(0);

/// By service, by customer, into a path that exists, and of a path. No other path begins like these.
const SHARED: [Rule; 4] = [
    Rule { field: Field::Service, old: "shop", new: "store" },
    Rule { field: Field::Customer, old: "acme", new: FORGOTTEN },
    Rule { field: Field::Path, old: "/shared/1", new: "/shared/0" },
    Rule { field: Field::Path, old: "/shared/2", new: FORGOTTEN },
];

/// How the paths of each client begin that are merged, behind its name: about half of them.
const OWN_PATHS: [&str; 6] = ["2", "3", "4", "5", "6", "7"];

/// A merge, or a forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change(usize);

/// Series with the old text in this field, or paths that begin with it, get the new one.
#[derive(Clone, Copy, Debug)]
struct Rule<T = &'static str> {
    field: Field,
    old: T,
    new: T,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Service,
    Path,
    Customer,
}

/// As a server is asked for it.
#[derive(Debug)]
pub(crate) enum Request {
    Merge(MergeRequest),
    Forget(ForgetRequest),
}

/// What a series becomes.
pub(crate) fn renamed(series: &Series) -> Series {
    let mut renamed = series.clone();
    for Rule { field, old, new } in SHARED {
        let text = field.of_mut(&mut renamed);
        if text == old {
            new.clone_into(text);
        }
    }
    if let Some((client, rest)) =
        renamed.path.strip_prefix('/').and_then(|path| path.split_once('/'))
        && OWN_PATHS.iter().any(|begin| rest.starts_with(begin))
        && client != SHARED_PATHS.trim_start_matches('/')
    {
        renamed.path = merged(client);
    }
    renamed
}

/// Counts under the names after all changes.
pub(crate) fn renamed_totals(totals: &Totals) -> Totals {
    let mut renamed_totals = Totals::new();
    for (key, count) in totals {
        let key = Key { quarter: key.quarter, series: renamed(&key.series) };
        *renamed_totals.entry(key).or_default() += count;
    }
    renamed_totals
}

/// The path of a client that its paths are merged into.
fn merged(client: &str) -> String {
    format!("/{client}/{{n}}")
}

// === impl Change ===

impl Change {
    /// The one with this number, which is below [`CHANGES`].
    pub(crate) fn new(number: usize) -> Change {
        Change(number)
    }

    /// The number of the namespace in which it is made.
    pub(crate) fn namespace(self) -> i64 {
        match self.0.checked_sub(SHARED_CHANGES) {
            None => i64::try_from(self.0 / SHARED.len()).expect("there are few"),
            Some(at) => CLIENTS[at / OWN_PATHS.len()].1,
        }
    }

    fn rule(self) -> Rule<String> {
        let Some(at) = self.0.checked_sub(SHARED_CHANGES) else {
            let Rule { field, old, new } = SHARED[self.0 % SHARED.len()];
            return Rule { field, old: old.to_owned(), new: new.to_owned() };
        };
        let client = at / OWN_PATHS.len();
        let client = CLIENTS[client].0.name(client);
        let old = format!("/{client}/{}", OWN_PATHS[at % OWN_PATHS.len()]);
        Rule { field: Field::Path, old, new: merged(&client) }
    }

    /// Whether a series has a name that this removes.
    pub(crate) fn selects(self, series: &Series) -> bool {
        let Rule { field, old, new } = self.rule();
        let text = field.of(series);
        if series.namespace != self.namespace() {
            return false;
        }
        if field.is_prefix(&new) { text.starts_with(&old) } else { text == old }
    }

    pub(crate) fn request(self) -> Request {
        let Rule { field, old, new } = self.rule();
        let is_forget = new == FORGOTTEN;
        let mut selection = Selection::default();
        let (mut into_service, mut into_path, mut into_customer) = (None, None, None);
        match field {
            Field::Service => (selection.service, into_service) = (Some(old), Some(new)),
            Field::Customer => (selection.customer, into_customer) = (Some(old), Some(new)),
            Field::Path if is_forget => selection.path_is = Some(PathIs::Path(old)),
            Field::Path => {
                (selection.path_is, into_path) = (Some(PathIs::PathPrefix(old)), Some(new));
            }
        }
        let (selection, author) = (Some(selection), "torture".to_owned());
        if is_forget {
            let (everything, dry_run) = (false, false);
            return Request::Forget(ForgetRequest { selection, everything, dry_run, author });
        }
        Request::Merge(MergeRequest {
            selection,
            into_service,
            into_path,
            into_customer,
            everything: false,
            dry_run: false,
            author,
        })
    }
}

// === impl Field ===

impl Field {
    /// Whether the old text of a change to this is the beginning of what it selects.
    fn is_prefix(self, new: &str) -> bool {
        matches!(self, Field::Path) && new != FORGOTTEN
    }

    fn of(self, series: &Series) -> &str {
        match self {
            Field::Service => &series.service,
            Field::Path => &series.path,
            Field::Customer => &series.customer,
        }
    }

    fn of_mut(self, series: &mut Series) -> &mut String {
        match self {
            Field::Service => &mut series.service,
            Field::Path => &mut series.path,
            Field::Customer => &mut series.customer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::namespace_of;

    #[test]
    fn series_are_renamed_exactly_if_a_change_selects_them() {
        let all = || (0..CHANGES).map(Change::new);
        let paths = ["/raw-1/1", "/raw-1/2", "/raw-2/82", "/reader-7/72/3", "/shared/1", ""];
        let mut count = 0;
        for path in paths {
            for (service, customer) in [("", ""), ("shop", ""), ("store", "acme")] {
                let namespace = namespace_of(path.split('/').nth(1).unwrap_or_default());
                let [path, service, customer] = [path, service, customer].map(str::to_owned);
                let series = Series { namespace, path, service, customer, ..Series::default() };
                let is_selected = all().any(|change| change.selects(&series));
                let renamed = renamed(&series);
                assert_eq!(is_selected, renamed != series, "{series}");
                assert!(!all().any(|change| change.selects(&renamed)), "{renamed}");
                count += usize::from(is_selected);
            }
        }
        assert_eq!(count, 3 * 3 + 3 * 2);
    }
}
