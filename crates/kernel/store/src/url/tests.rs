//! Database URLs as people write them.

use super::*;
use crate::postgres::TlsMode;

fn parse(text: &str) -> Result<DatabaseUrl, String> {
    text.parse().map_err(|error: InvalidUrl| tally_runtime::chain(&error))
}

#[test]
fn sqlite_urls_name_a_file() {
    for (text, path) in [
        ("sqlite:tally.db", "tally.db"),
        ("sqlite://tally.db", "tally.db"),
        ("sqlite:///var/lib/tally.db", "/var/lib/tally.db"),
        ("sqlite:a%20b.db", "a b.db"),
    ] {
        let Ok(DatabaseUrl::Sqlite(url)) = parse(text) else { panic!("{text}") };
        assert_eq!(url.path(), Path::new(path), "{text}");
    }
    assert!(parse("sqlite:").expect_err("no file").contains("names no file"));
    assert!(parse("sqlite::memory:").expect_err("memory").contains("lose every count"));
    assert!(parse("sqlite:a?mode=ro").expect_err("mode").contains("no parameter"));
    assert!(parse("sqlite:a?size_bytes_max=x").expect_err("size").contains("number"));
}

#[test]
fn passwords_are_never_shown() {
    for (text, expected) in [
        ("postgres://me:s3cret@db:5433/tally", "postgres://me@db:5433/tally"),
        ("postgresql://me@db/tally?password=s3cret", "postgres://me@db/tally"),
        ("postgres://me:a%40s3cret@db/tally", "postgres://me@db/tally"),
        ("cockroachdb://me:s3cret@db/tally", "cockroachdb://me@db/tally"),
        ("postgres://me:s3cret?x@db/tally?sslmode=require", "postgres://me@db/tally"),
        ("postgres://db/tally?user=a&password=s3cret@x", "postgres://db/tally"),
        ("postgres://db:5432?password=s3cret@x", "postgres://db:5432"),
        ("postgres:///tally?host=/run&password=s3cret@x", "postgres://tally"),
        ("postgres:///tally?host=/run/postgresql", "postgres://tally"),
    ] {
        let url = parse(text).expect(text);
        assert_eq!(url.to_string(), expected, "{text}");
        assert!(!format!("{url:?}").contains("s3cret"), "{text}");
    }
    assert!(!parse("mysql://me:s3cret@db").expect_err("mysql").contains("s3cret"));
    assert!(!parse("postgres://me:s3cret@db/x?nonsense=1").expect_err("key").contains("s3cret"));
}

#[test]
fn unknown_schemes_are_refused_by_name() {
    let error = parse("mysql://db/tally").expect_err("mysql");
    assert!(error.contains("mysql://…") && error.contains("sqlite:PATH"), "{error}");
    assert!(parse("tally.db").is_err());
    assert!(parse("postgres:tally").is_err());
}

#[test]
fn libpq_tls_parameters_are_understood() {
    let text = "postgres://me@db/tally?sslmode=verify-full&sslrootcert=%2Fca.pem&connect_timeout=3";
    let Ok(DatabaseUrl::Postgres(url)) = parse(text) else { panic!("{text}") };
    assert_eq!(url.tls.mode, TlsMode::VerifyFull);
    assert_eq!(url.tls.root_cert.as_deref(), Some("/ca.pem"));
    assert_eq!(url.config.get_connect_timeout(), Some(&std::time::Duration::from_secs(3)));
    assert!(parse("postgres://db/x?sslmode=maybe").expect_err("mode").contains("sslmode"));
}

#[test]
fn a_parameter_with_an_at_sign_hides_no_other_parameter() {
    for text in [
        "postgres://me@db/tally?sslmode=require&application_name=a@b",
        "postgres://db/tally?sslmode=require&password=a@b&user=me",
        "postgres://db?application_name=a@b/c&sslmode=require",
        "postgres://me:x?y@db/tally?application_name=a@b&sslmode=require",
    ] {
        let Ok(DatabaseUrl::Postgres(url)) = parse(text) else { panic!("{text}") };
        assert_eq!(url.tls.mode, TlsMode::Require, "{text}");
        let hosts = url.config.get_hosts();
        assert_eq!(hosts, [tokio_postgres::config::Host::Tcp("db".into())], "{text}");
    }
}

#[test]
fn the_go_servers_driver_chooses_cockroach() {
    let url = parse("postgresql://root@db:26257/tally").expect("valid");
    let DatabaseUrl::Postgres(url) = url.with_driver(Driver::Cockroachdb) else { panic!() };
    assert_eq!(url.dialect(), Dialect::Cockroach);
    assert!("mysql".parse::<Driver>().is_err());
}

#[test]
fn another_database_has_another_fingerprint() {
    let fingerprint = |url: &str| match url.parse() {
        Ok(DatabaseUrl::Postgres(url)) => url.fingerprint(),
        other => panic!("{url}: {other:?}"),
    };
    let one = fingerprint("postgres://tally:secret@/?host=127.0.0.1&port=5432&dbname=one");
    assert_eq!(one, fingerprint("postgres://tally:other@/?host=127.0.0.1&port=5432&dbname=one"));
    for other in [
        "postgres://tally@/?host=127.0.0.1&port=5432&dbname=two",
        "postgres://tally@/?host=127.0.0.1&port=5433&dbname=one",
        "postgres://tally@/?host=127.0.0.2&port=5432&dbname=one",
        "postgres://tally@/?host=127.0.0.1&port=5432&dbname=one&options=-csearch_path%3Dx",
    ] {
        assert_ne!(one, fingerprint(other), "{other}");
    }
}
