//! A private server: passwords, certificates, stops and kills.

use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tally_testkit::{Cluster, Options, Tls, eventually};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::LIMIT;

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    #[expect(clippy::disallowed_methods, reason = "it ends with the client")]
    tokio::spawn(connection);
    client
}

async fn numbers(client: &Client) -> Vec<i32> {
    let rows = client.query("SELECT n FROM numbers ORDER BY n", &[]).await.expect("the rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_server_checks_passwords_and_applies_settings() {
    let settings = vec![("work_mem".to_owned(), "7MB".to_owned())];
    let cluster = Cluster::start(Options { settings, ..Options::default() }).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    let row = client.query_one("SELECT current_setting('work_mem')", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "7MB");

    let wrong = cluster.url("postgres").replace(":tally-test@", ":wrong@");
    assert_ne!(wrong, cluster.url("postgres"));
    let refused = tokio_postgres::connect(&wrong, NoTls).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code().map(SqlState::code), Some("28P01"));

    let by_socket = format!(
        "host={} port={} user=tally dbname=postgres",
        cluster.socket_dir().display(),
        cluster.port()
    );
    connect(&by_socket).await;
}

#[tokio::test]
async fn a_stopped_or_killed_server_restarts_with_its_data() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client.batch_execute("CREATE TABLE numbers (n int)").await.unwrap();
    client.batch_execute("INSERT INTO numbers VALUES (1)").await.unwrap();

    cluster.kill9();
    eventually("the connection ends", LIMIT, async || client.is_closed()).await;
    assert!(tokio_postgres::connect(&cluster.url("postgres"), NoTls).await.is_err());
    assert_eq!(cluster.pid(), None);
    cluster.restart().unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client.batch_execute("INSERT INTO numbers VALUES (2)").await.unwrap();

    cluster.stop().unwrap();
    eventually("the connection ends", LIMIT, async || client.is_closed()).await;
    cluster.restart().unwrap();
    assert_eq!(numbers(&connect(&cluster.url("postgres")).await).await, [1, 2]);
}

#[tokio::test]
async fn a_promoted_standby_that_lagged_lacks_the_last_rows() {
    let primary = Cluster::start(Options::default()).unwrap();
    let client = connect(&primary.url("postgres")).await;
    client.batch_execute("CREATE TABLE numbers (n int)").await.unwrap();
    let standby = primary.standby().unwrap();
    client.batch_execute("INSERT INTO numbers VALUES (1)").await.unwrap();
    let behind = connect(&standby.url("postgres")).await;
    let follows = async || numbers(&behind).await == [1];
    eventually("the standby follows", LIMIT, follows).await;

    standby.change("primary_conninfo", "").unwrap();
    let alone = "SELECT count(*) = 0 FROM pg_stat_wal_receiver";
    let is_alone = async || behind.query_one(alone, &[]).await.unwrap().get::<_, bool>(0);
    eventually("the standby is cut off", LIMIT, is_alone).await;
    client.batch_execute("INSERT INTO numbers VALUES (2)").await.unwrap();
    primary.kill9();
    behind.batch_execute("SELECT pg_promote()").await.unwrap();
    behind.batch_execute("INSERT INTO numbers VALUES (3)").await.unwrap();
    assert_eq!(numbers(&behind).await, [1, 3]);
}

#[tokio::test]
async fn only_its_authority_vouches_for_a_certificate() {
    let tls = Tls::generate();
    let cluster = Cluster::start(Options { tls: Some(tls), ..Options::default() }).unwrap();
    let url = format!("{}?sslmode=require", cluster.url("postgres"));

    let ca = CertificateDer::from_pem_file(cluster.ca_path().unwrap()).unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(ca).unwrap();
    let (client, connection) = tokio_postgres::connect(&url, with_roots(trusted)).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the client")]
    tokio::spawn(connection);
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(client.query_one(query, &[]).await.unwrap().get::<_, bool>(0));

    let other = CertificateDer::from_pem_slice(Tls::generate().ca_pem.as_bytes()).unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(other).unwrap();
    assert!(tokio_postgres::connect(&url, with_roots(trusted)).await.is_err());
}

fn with_roots(roots: RootCertStore) -> tokio_postgres_rustls::MakeRustlsConnect {
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio_postgres_rustls::MakeRustlsConnect::new(config)
}

#[test]
fn a_dropped_cluster_leaves_nothing_behind() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let (folder, port) = (cluster.socket_dir().to_path_buf(), cluster.port());
    assert!(folder.join("data").is_dir());
    drop(cluster);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_failed_start_says_why() {
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let error = Cluster::start(Options { settings, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn lines_of_pg_hba_come_first() {
    let hba = vec!["host all tally 127.0.0.1/32 reject".to_owned()];
    let cluster = Cluster::start(Options { hba, ..Options::default() }).unwrap();
    let url = cluster.url("postgres");
    let limit = Duration::from_secs(10);
    let refused = tokio::time::timeout(limit, tokio_postgres::connect(&url, NoTls)).await.unwrap();
    assert_eq!(refused.map(|_| ()).unwrap_err().code().map(SqlState::code), Some("28000"));
}
