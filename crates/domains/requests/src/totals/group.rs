//! What totals are grouped by, and the groups of series.

use hashbrown::{HashMap, HashSet};
use tally_proto::wire::UNKNOWN_PATH;

use super::{Query, Span, TooMany};
use crate::model::{Day, DayRange, Namespace, SeriesId, SeriesRef};

/// The method of gRPC calls, whose statuses are gRPC's codes, 200 for OK, or those of HTTP.
const GRPC: &str = "GRPC";
/// The HTTP statuses that stand for gRPC's codes, from 1 on (google.rpc.Code).
const HTTP_OF_GRPC: [u16; 16] =
    [499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/// The group of series that are not asked for.
const NONE: u32 = u32::MAX;
/// How many series without a name are told apart, to say how many there are.
const UNNAMED_MAX: usize = 1 << 16;

/// What totals can be told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// Who served it.
    Service,
    /// The method.
    Method,
    /// The path.
    Path,
    /// The status.
    Status,
    /// The first digit of an HTTP status.
    StatusClass,
    /// On whose behalf.
    Customer,
}

/// What a total stands for. Fields that the query does not group by are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Group {
    /// Who served it.
    pub service: Box<str>,
    /// The method.
    pub method: Box<str>,
    /// The path.
    pub path: Box<str>,
    /// The status.
    pub status: u16,
    /// The first digit of an HTTP status; 0 for none.
    pub status_class: u8,
    /// On whose behalf.
    pub customer: Box<str>,
}

/// From a series to the number of its group. Memory goes with series, and not with series and periods.
#[derive(Debug)]
pub(crate) struct Groups {
    by: Vec<GroupBy>,
    namespace: Namespace,
    numbers: HashMap<Group, u32>,
    of_series: HashMap<SeriesId, u32>,
    /// The group of series without a name.
    unknown: u32,
    unnamed: HashSet<SeriesId>,
}

// === impl GroupBy ===

impl GroupBy {
    const ALL: [Self; 6] =
        [Self::Service, Self::Method, Self::Path, Self::Status, Self::StatusClass, Self::Customer];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Method => "method",
            Self::Path => "path",
            Self::Status => "status",
            Self::StatusClass => "status_class",
            Self::Customer => "customer",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

// === impl Group ===

impl Group {
    /// The bytes of its texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.service.len() + self.method.len() + self.path.len() + self.customer.len()
    }
}

/// By path, byte by byte, then by the method's name: the order of all totals. Numbers of methods that
/// have no name come after the names.
impl Ord for Group {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rest = |one: &Self| (one.status, one.status_class);
        self.path
            .cmp(&other.path)
            .then_with(|| method_order(&self.method).cmp(&method_order(&other.method)))
            .then_with(|| self.service.cmp(&other.service))
            .then_with(|| rest(self).cmp(&rest(other)))
            .then_with(|| self.customer.cmp(&other.customer))
    }
}

impl PartialOrd for Group {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

// === impl SeriesRef ===

impl SeriesRef<'_> {
    /// The first digit of the HTTP status, if it is one of 100 to 599; 0 for none.
    pub(crate) fn status_class(&self) -> u8 {
        let http = match usize::from(self.status).checked_sub(1) {
            Some(at) if self.method == GRPC => HTTP_OF_GRPC.get(at).copied().unwrap_or(self.status),
            _ => self.status,
        };
        match http {
            100..=599 => u8::try_from(http / 100).unwrap_or_default(),
            _ => 0,
        }
    }

    fn group(&self, by: &[GroupBy]) -> Group {
        let mut group = Group::default();
        for one in by {
            match one {
                GroupBy::Service => group.service = self.service.into(),
                GroupBy::Method => group.method = self.method.into(),
                GroupBy::Path => group.path = self.path.into(),
                GroupBy::Status => group.status = self.status,
                GroupBy::StatusClass => group.status_class = self.status_class(),
                GroupBy::Customer => group.customer = self.customer.into(),
            }
        }
        group
    }
}

// === impl Groups ===

impl Groups {
    pub(crate) fn new(query: &Query) -> Self {
        let (by, namespace) = (query.groups_by().to_vec(), query.filter.namespace);
        let mut groups = Self {
            by,
            namespace,
            numbers: HashMap::new(),
            of_series: HashMap::new(),
            unknown: NONE,
            unnamed: HashSet::new(),
        };
        // What has no name is in no other namespace, and in no filter.
        if query.filter.is_empty() && namespace == Namespace::DEFAULT {
            let (service, method, path, customer) = ("", "", UNKNOWN_PATH, "");
            let unknown = SeriesRef { namespace, service, method, path, status: 0, customer };
            groups.unknown = groups.number(&unknown);
        }
        groups
    }

    /// Of which namespace series must be read. None: of all, because those of others must be told from those
    /// that have no name.
    pub(crate) fn namespace_read(&self) -> Option<Namespace> {
        (self.unknown == NONE).then_some(self.namespace)
    }

    /// Adds a series that the filter lets through.
    pub(crate) fn add(&mut self, id: SeriesId, series: &SeriesRef<'_>) {
        let group = if series.namespace == self.namespace { self.number(series) } else { NONE };
        self.of_series.insert(id, group);
    }

    /// The requests of a series that has moved are those of another one.
    pub(crate) fn follow(&mut self, from: SeriesId, to: SeriesId) {
        match self.of_series.get(&to) {
            Some(group) => drop(self.of_series.insert(from, *group)),
            None => drop(self.of_series.remove(&from)),
        }
    }

    fn number(&mut self, series: &SeriesRef<'_>) -> u32 {
        let next = u32::try_from(self.numbers.len()).expect("fewer series than 2^32");
        *self.numbers.entry(series.group(&self.by)).or_insert(next)
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The days that have something of what is asked for, from the first and the last one of each series.
    pub(crate) fn span(&mut self, of_series: &[(SeriesId, Day, Day)]) -> Span {
        let asked = of_series.iter().filter(|one| self.of(one.0).is_some());
        let spans = asked.map(|&(_, first, last)| Span(Some(DayRange { first, last })));
        spans.fold(Span::default(), Span::and)
    }

    /// The series that are asked for, if they are at most this many.
    pub(crate) fn few(&self, max: usize) -> Option<Vec<SeriesId>> {
        let is_few = self.unknown == NONE && self.of_series.len() <= max;
        is_few.then(|| self.of_series.keys().copied().collect())
    }

    /// The group of a series, if it is asked for.
    pub(super) fn of(&mut self, id: SeriesId) -> Option<u32> {
        let group = match self.of_series.get(&id) {
            Some(group) => *group,
            None => {
                if self.unknown != NONE && self.unnamed.len() < UNNAMED_MAX {
                    self.unnamed.insert(id);
                }
                self.unknown
            }
        };
        (group != NONE).then_some(group)
    }

    /// How many series without a name had totals.
    pub(super) fn unnamed(&self) -> usize {
        self.unnamed.len()
    }

    /// The groups that are used, in order, and the rank of each group among them.
    pub(super) fn ranked(
        self,
        are_used: &[bool],
        text_bytes_max: usize,
    ) -> Result<(Vec<Group>, Vec<u32>), TooMany> {
        let mut ranks = vec![0; self.numbers.len()];
        let numbers = self.numbers.into_iter();
        let mut used: Vec<_> = numbers.filter(|(_, number)| are_used[*number as usize]).collect();
        if used.iter().map(|(group, _)| group.text_bytes()).sum::<usize>() > text_bytes_max {
            return Err(TooMany);
        }
        used.sort_unstable();
        for (rank, (_, number)) in (0..).zip(&used) {
            ranks[*number as usize] = rank;
        }
        Ok((used.into_iter().map(|(group, _)| group).collect(), ranks))
    }
}

/// What methods are ordered by: their names, and after them the numbers that have none.
fn method_order(method: &str) -> (Option<i32>, &str) {
    match method.parse() {
        Ok(number) => (Some(number), ""),
        Err(_) if method.is_empty() => (None, "METHOD_UNSPECIFIED"),
        Err(_) => (None, method),
    }
}
