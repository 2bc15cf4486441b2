//! TLS to Postgres, by libpq's `sslmode`.

use std::path::Path;

use tally_store::Database;
use tally_testkit::{Cluster, Options, Tls};

use crate::{open, refused};

/// A server that accepts only TLS over TCP, unless `hba` allows both.
fn cluster(tls: Tls, hba: &[&str]) -> Cluster {
    let hba = hba.iter().map(|line| (*line).to_owned()).collect();
    Cluster::start(Options { tls: Some(tls), hba, ..Options::default() }).expect("a server")
}

const TLS_ONLY: &str = "hostnossl all all 127.0.0.1/32 reject";

async fn is_encrypted(url: &str) -> bool {
    let database = match open(url).await {
        Ok(Database::Postgres(database)) => database,
        Ok(Database::Sqlite(_)) => panic!("SQLite"),
        Err(error) => panic!("{url}: {}", tally_runtime::chain(&error)),
    };
    let connection = database.connection().await.expect("a connection");
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    connection.query_one(sql, &[]).await.expect("an answer").get(0)
}

fn with(cluster: &Cluster, parameters: &str) -> String {
    format!("{}?{parameters}", cluster.url("postgres"))
}

fn verified(cluster: &Cluster, mode: &str, authority: &Path) -> String {
    with(cluster, &format!("sslmode={mode}&sslrootcert={}", authority.display()))
}

#[tokio::test]
async fn only_the_right_certificate_is_accepted() {
    let cluster = cluster(Tls::generate(), &[TLS_ONLY]);
    let right = cluster.ca_path().expect("an authority");
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("wrong.pem");
    std::fs::write(&wrong, Tls::generate().ca_pem).expect("a file");

    for mode in ["verify-full", "verify-ca", "require"] {
        assert!(is_encrypted(&verified(&cluster, mode, &right)).await, "{mode}");
        let line = refused(&verified(&cluster, mode, &wrong)).await;
        assert!(line.contains("certificate"), "{mode}: {line}");
    }
    // Not verified, because no authority is given.
    for parameters in ["sslmode=require", "sslmode=prefer", "connect_timeout=9"] {
        assert!(is_encrypted(&with(&cluster, parameters)).await, "{parameters}");
    }
    // Not signed by the system's authorities.
    let line = refused(&with(&cluster, "sslmode=verify-full")).await;
    assert!(line.contains("certificate"), "{line}");
    let line = refused(&with(&cluster, "sslmode=disable")).await;
    assert!(line.contains("no encryption") || line.contains("pg_hba.conf"), "{line}");
    let by_name = verified(&cluster, "verify-full", &right).replace("127.0.0.1", "localhost");
    assert!(is_encrypted(&by_name).await, "the certificate also covers localhost");
    for missing in ["missing.pem", "wrong.key"] {
        let path = folder.path().join(missing);
        let line = refused(&verified(&cluster, "verify-full", &path)).await;
        assert!(line.contains(missing), "{line}");
    }
}

#[tokio::test]
async fn only_verify_full_refuses_another_hosts_certificate() {
    let cluster = cluster(Tls::for_names(&["db.example.com"]), &[]);
    let authority = cluster.ca_path().expect("an authority");
    for host in ["127.0.0.1", "localhost"] {
        let url = verified(&cluster, "verify-full", &authority).replace("127.0.0.1", host);
        let line = refused(&url).await;
        assert!(line.contains("not valid for name"), "{line}");
        assert!(line.contains(host), "{line}");
    }
    assert!(is_encrypted(&verified(&cluster, "verify-ca", &authority)).await);
    assert!(is_encrypted(&with(&cluster, "sslmode=require")).await);
    assert!(!is_encrypted(&with(&cluster, "sslmode=disable")).await);
}

#[tokio::test]
async fn a_server_without_tls() {
    let cluster = Cluster::start(Options::default()).expect("a server");
    for mode in ["require", "verify-ca", "verify-full"] {
        let line = refused(&with(&cluster, &format!("sslmode={mode}"))).await;
        assert!(line.to_lowercase().contains("tls"), "{mode}: {line}");
    }
    for parameters in ["sslmode=prefer", "sslmode=disable", "sslmode=allow"] {
        assert!(!is_encrypted(&with(&cluster, parameters)).await, "{parameters}");
    }
}
