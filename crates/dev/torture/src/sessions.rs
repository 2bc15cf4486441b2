//! Ending and exhausting the sessions of the run's Postgres.

use std::time::Duration;

use tally_runtime::Tasks;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::world::CONNECTIONS_MAX;

/// Timeout to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout to end leases, which waits for a server that is renewing one.
const LEASES_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects. The connection's task ends with the client.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        timeout(CONNECT_TIMEOUT, tokio_postgres::connect(url, NoTls)).await??;
    Tasks::detach("connection of the harness", async move {
        // How it ends is seen by whoever uses it.
        let _ = connection.await;
    });
    Ok(client)
}

/// Ends all other sessions with 57P01.
pub(crate) async fn end_all(url: &str) -> anyhow::Result<()> {
    connect(url).await?.batch_execute(include_str!("sql/end_sessions.sql")).await?;
    Ok(())
}

/// Ends every lease.
pub(crate) async fn end_leases(url: &str) -> anyhow::Result<()> {
    let work = async {
        connect(url).await?.batch_execute(include_str!("sql/end_leases.sql")).await?;
        Ok(())
    };
    timeout(LEASES_TIMEOUT, work).await?
}

/// Takes all remaining connections and holds them until the value is dropped.
pub(crate) async fn use_up(url: &str) -> Vec<Client> {
    let mut held = Vec::new();
    while held.len() < CONNECTIONS_MAX
        && let Ok(client) = connect(url).await
    {
        held.push(client);
    }
    held
}
