//! What badges are made of: the secret of their links, and how the debts of a tag stand.

use jiff::Timestamp;
use tally_runtime::Namespace;
use tally_store::Database;
use tally_store::retry::Policy;
use uuid::Uuid;

use super::{Result, Store, postgres, sqlite};
use crate::state::Standing;

// === impl Store ===

impl Store {
    /// What the links of badges of a namespace are made with, once it has had a debt.
    pub(crate) async fn badge_secret(&self, namespace: Namespace) -> Result<Option<Uuid>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::badge_secret(database, namespace);
                Policy::short("read the secret of badges").run(once).await
            }
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::badge_secret(connection, namespace)).await
            }
        }
    }

    /// Makes links of badges of a namespace with this from now on, once it has had a debt. Safe to repeat.
    pub(crate) async fn renew_badges(&self, namespace: Namespace, secret: Uuid) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::renew_badges(database, namespace, secret);
                Policy::short("renew badges").run(once).await
            }
            Database::Sqlite(database) => {
                let renew = move |connection: &mut rusqlite::Connection| {
                    sqlite::renew_badges(connection, namespace, secret)
                };
                database.write(renew).await
            }
        }
    }

    /// Where the worst debt of a tag stands, if there is one.
    pub(crate) async fn worst_of_tag(
        &self,
        namespace: Namespace,
        tag: &str,
        now: Timestamp,
    ) -> Result<Option<Standing>> {
        let counts = match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::of_tag(database, namespace, tag, now);
                Policy::short("look at the debts of a tag").run(once).await?
            }
            Database::Sqlite(database) => {
                let tag = tag.to_owned();
                database
                    .read(move |connection| sqlite::of_tag(connection, namespace, &tag, now))
                    .await?
            }
        };
        let worst = Standing::WORST_FIRST.into_iter().zip(counts).find(|(_, count)| *count > 0);
        Ok(worst.map(|(standing, _)| standing))
    }
}
