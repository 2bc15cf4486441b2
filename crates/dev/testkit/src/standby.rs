//! COMMITs that hang because the synchronous standby is missing.

use std::time::Duration;

use crate::database::connect;
use crate::eventually::eventually;
use crate::postgres::Cluster;

/// How long the server may take to apply its settings.
const LIMIT: Duration = Duration::from_secs(60);

/// A transaction that must be sent to a standby.
const COMMIT: &str = "SELECT pg_logical_emit_message(true, 'test', 'x')";

/// The name of sessions that test whether COMMITs hang.
const FINDER: &str = "standby-finder";

impl Cluster {
    /// Makes each COMMIT wait for a missing standby until [`Cluster::let_commits_go`].
    pub async fn hang_commits(&self) {
        let client = connect(&self.url("postgres")).await;
        self.change("synchronous_standby_names", "missing").expect("changed");
        let finder = format!("{}?application_name={FINDER}", self.url("postgres"));
        let finder = connect(&finder).await;
        let committing = async {
            while finder.batch_execute(COMMIT).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let hangs = async || {
            let sql = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event = 'SyncRep' AND application_name = $1";
            client.query_one(sql, &[&FINDER]).await.expect("the sessions").get::<_, i64>(0) > 0
        };
        tokio::select! {
            () = committing => panic!("a COMMIT failed"),
            () = eventually("a COMMIT hangs", LIMIT, hangs) => {}
        }
    }

    /// Lets the hanging COMMITs and all later ones finish.
    pub async fn let_commits_go(&self) {
        let client = connect(&self.url("postgres")).await;
        self.change("synchronous_standby_names", "").expect("changed");
        // It waits like the others.
        client.batch_execute(COMMIT).await.expect("committed");
    }
}
