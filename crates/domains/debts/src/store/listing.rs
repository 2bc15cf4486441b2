//! Which debts are listed, and in what order.

use jiff::Timestamp;
use tally_runtime::Namespace;
use tally_store::Database;
use tally_store::retry::Policy;

use super::{Result, Store, postgres, sqlite};
use crate::model::Debt;
use crate::state::{Standing, Status};

/// Which debts are listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) namespace: Namespace,
    /// Empty: all.
    pub(crate) standings: Vec<Standing>,
    pub(crate) tags: Vec<String>,
    /// In lower case.
    pub(crate) search: String,
    /// In order of their slugs alone, so that a walk through all pages misses none, whatever becomes of them
    /// meanwhile. Otherwise the overdue ones come first, then the late ones.
    pub(crate) by_slug: bool,
    /// The rank and the slug of the last one.
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

/// How many debts stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) new: i64,
    pub(crate) up: i64,
    pub(crate) down: i64,
    pub(crate) paused: i64,
    pub(crate) late: i64,
}

/// What a list in the order of numbers has of a debt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbered {
    pub(crate) number: i64,
    pub(crate) created: Timestamp,
    pub(crate) paid: Option<Timestamp>,
    pub(crate) payments: i64,
}

/// Where a debt stands in a list: its rank and its slug.
pub(crate) type Place = (u8, String);

// === impl Listing ===

impl Listing {
    /// Whether debts that stand so are asked for.
    pub(super) fn asks_for(&self, standing: Standing) -> bool {
        self.standings.is_empty() || self.standings.contains(&standing)
    }

    /// The statuses whose debts are read by their slugs, and whether those that are not late are asked for. In
    /// another order, those that are late are read by themselves.
    pub(super) fn each_status(&self) -> impl Iterator<Item = (Status, bool)> {
        let all = [
            (Status::New, Standing::New),
            (Status::Up, Standing::Up),
            (Status::Down, Standing::Down),
            (Status::Paused, Standing::Paused),
        ];
        let has_late = self.by_slug && self.asks_for(Standing::Late);
        let asked = all.map(|(status, standing)| (status, self.asks_for(standing)));
        asked.into_iter().filter(move |(status, is_asked)| {
            *is_asked || has_late && matches!(status, Status::New | Status::Up)
        })
    }

    /// Where a debt stands in it, as the database orders them.
    pub(crate) fn place(&self, debt: &Debt, now: Timestamp) -> Place {
        let rank = match debt.state.standing(now) {
            _ if self.by_slug => 2,
            Standing::Down => 0,
            Standing::Late => 1,
            Standing::New | Standing::Up | Standing::Paused => 2,
        };
        (rank, debt.definition.slug.clone())
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn all(&self) -> i64 {
        self.new + self.up + self.down + self.paused + self.late
    }

    pub(crate) fn of(&self, standing: Standing) -> i64 {
        match standing {
            Standing::New => self.new,
            Standing::Up => self.up,
            Standing::Down => self.down,
            Standing::Paused => self.paused,
            Standing::Late => self.late,
        }
    }
}

/// The ranks of debts in a list, as a cursor has them: what is overdue, what is late, and the rest.
const RANKS: [&str; 3] = ["down", "late", ""];

/// Where a list goes on after its last debt: its rank and its slug.
pub(crate) fn cursor((rank, slug): &Place) -> String {
    let rank = RANKS.get(usize::from(*rank)).unwrap_or(&"");
    format!("{rank}:{slug}")
}

/// The reverse.
pub(crate) fn read_cursor(text: &str) -> Result<Place, &'static str> {
    let why = "it is not what an answer had in next";
    let (rank, slug) = text.split_once(':').ok_or(why)?;
    let rank = (0..).zip(RANKS).find(|(_, name)| *name == rank).ok_or(why)?.0;
    Ok((rank, slug.to_owned()))
}

// === impl Store ===

impl Store {
    /// Debts after a number, in the order in which they were made.
    pub(crate) async fn numbered(
        &self,
        namespace: Namespace,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Numbered>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::numbered(database, namespace, after, limit);
                Policy::short("list debts").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::numbered(connection, namespace, after, limit))
                    .await
            }
        }
    }
}
