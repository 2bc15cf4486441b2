//! Database URLs as people write them.

use std::path::Path;

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
        ("postgres://me:a@s3cret#b@db/tally", "postgres://me@db/tally"),
        ("cockroachdb://me:s3cret@db/tally", "cockroachdb://me@db/tally"),
        (
            "postgres://me:s3cret?x@db/tally?sslmode=require",
            "postgres://me@db/tally?sslmode=require",
        ),
        ("postgres://db/tally?user=a&password=s3cret@x", "postgres://a@db/tally"),
        ("postgres://db:5432?password=s3cret@x", "postgres://db:5432"),
        ("postgres:///tally?host=/run&password=s3cret@x", "postgres:///tally?host=/run"),
        ("postgres://me:s3cret@%2Frun%2Fpg/tally", "postgres://me@/tally?host=/run/pg"),
        (
            "postgres://a:5432,b:5433/x?search_path=a,b",
            "postgres://a:5432,b:5433/x?search_path=a,b",
        ),
        ("postgres://[::1]:5433/a%20b", "postgres://[::1]:5433/a%20b"),
        ("postgres://db/x?options=-c%20a%3Db", "postgres://db/x?options=-c%20a%3Db"),
    ] {
        let url = parse(text).expect(text);
        assert_eq!(url.to_string(), expected, "{text}");
        assert_eq!(parse(expected).expect(text).to_string(), expected, "{text}");
        assert!(!format!("{url:?}").contains("s3cret"), "{text}");
    }
    assert!(!parse("mysql://me:s3cret@db").expect_err("mysql").contains("s3cret"));
    for at in [
        "tally:2024?s3cret@db/tally",
        "tally:2024?a=s3cret@db/tally",
        "tally:2024?s3cret&a@db/tally",
        "tally:20/24?a=s3cret@db/tally",
        "tally@corp:2024?s3cret@db/tally",
        "tally?s3cret@db/tally",
        "db/x?app.name=s3cret@db",
    ] {
        let error = parse(&format!("postgres://{at}")).expect_err(at);
        assert!(error.contains("write ? as %3F") && !error.contains("s3cret"), "{error}");
    }
    for name in ["pass", "Password", "PGPASSWORD", "my.pwd", "app.secret", "auth_token"] {
        let error = parse(&format!("postgres://me@db/x?{name}=s3cret")).expect_err(name);
        let is_named = error.starts_with(&format!("{name} would be a setting"));
        assert!(is_named && !error.contains("s3cret"), "{error}");
    }
    for wrong in ["x?service=1", "x?nonsense", "x?sslmode=1", "x?port=1,2", "a/s3cret@b"] {
        let error = parse(&format!("postgres://me:s3cret@db/{wrong}")).expect_err(wrong);
        assert!(!error.contains("s3cret"), "{error}");
    }
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

/// What the driver is told.
fn config(text: &str) -> tokio_postgres::Config {
    match parse(text) {
        Ok(DatabaseUrl::Postgres(url)) => url.config,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn other_parameters_are_settings_of_the_session() {
    for (query, options) in [
        ("", None),
        ("?search_path=tally", Some("-c search_path=tally")),
        (
            "?timezone=Asia/Tokyo&search_path=a,%20b",
            Some("-c search_path=a,\\ b -c timezone=Asia/Tokyo"),
        ),
        ("?options=-c%20geqo%3Doff&work_mem=8MB", Some("-c geqo=off -c work_mem=8MB")),
        ("?app.name=a%5Cb", Some("-c app.name=a\\\\b")),
        ("?options=", None),
    ] {
        assert_eq!(config(&format!("postgres://db/x{query}")).get_options(), options, "{query}");
    }
    assert_eq!(config("postgres://db/x?application_name=a").get_application_name(), Some("a"));
}

#[test]
fn logins_and_hosts_are_told_apart() {
    use tokio_postgres::config::Host;
    let of = |text| {
        let config = config(text);
        let password =
            config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        (config.get_user().map(str::to_owned), password)
    };
    let login = |user: &str, password: &str| (Some(user.to_owned()), Some(password.to_owned()));
    assert_eq!(of("postgres://me:p@ss@db/x"), login("me", "p@ss"));
    assert_eq!(of("postgres://me:p#s:s@db/x"), login("me", "p#s:s"));
    assert_eq!(of("postgres://me:p%2Fs%25@db/x"), login("me", "p/s%"));
    assert_eq!(of("postgres://me%40corp:p@db/x"), login("me@corp", "p"));
    assert_eq!(of("postgres://db/x"), (None, None));
    let hosts = config("postgres://a:1,[::1]:2,%2Frun/x").get_hosts().to_vec();
    let tcp = |name: &str| Host::Tcp(name.to_owned());
    assert_eq!(hosts, [tcp("a"), tcp("::1"), Host::Unix("/run".into())]);
    assert_eq!(config("postgres://a%2541/x").get_hosts(), [tcp("a%41")]);
    assert_eq!(config("postgres://a:1,b/x").get_ports(), [1, 5432]);
    assert_eq!(config("cockroachdb://a:1,b/x").get_ports(), [1, 26257]);
    assert_eq!(config("postgres://db/x").get_ports(), [5432]);
    assert_eq!(config("cockroachdb://db/x").get_ports(), [26257]);
    assert_eq!(config("postgres://:5433/x").get_ports(), [5433]);
    assert_eq!(
        config("postgres:///x?host=/var/run/postgresql").get_hosts(),
        [Host::Unix("/var/run/postgresql".into())]
    );
}

#[test]
fn what_is_wrong_is_said_in_words() {
    for (text, words) in [
        ("\"postgres://db/x\"", "the value has quotes in it"),
        ("'sqlite:a'", "the value has quotes in it"),
        ("postgres://me:pa/ss@db/x", "write @ as %40"),
        ("postgres://me:12/ss@db/x", "/ as %2F"),
        ("postgres://db:port/x", "USER:PASSWORD@HOST:PORT"),
        ("postgres://db:99999/x", "port: \u{201c}99999\u{201d} is not a port from 1 to 65535"),
        ("postgres://db:0/x", "is not a port"),
        ("postgres://a,,b/x", "has an empty host"),
        ("postgres://::1/x", "write an IPv6 address as [::1]"),
        ("postgres://[::1/x", "write an IPv6 address as [::1]"),
        ("postgres://a,b,c/x?port=1,2", "3 hosts have 2 ports"),
        ("postgres://db/x?sslmode", "write ?NAME=VALUE"),
        ("postgres://db/x?a-b=c", "\u{201c}a-b\u{201d} is not a parameter"),
        ("postgres://db/x?service=a", "service: libpq has this parameter, but Tally does not"),
        (
            "postgres://db/x?connect_timeout=soon",
            "connect_timeout: \u{201c}soon\u{201d} is not a number of seconds",
        ),
        ("postgres://db/x?target_session_attrs=standby", "Tally writes"),
        ("postgres://db/x?hostaddr=db", "is not an IP address"),
        ("postgres:/db/x", "use sqlite:PATH"),
        ("mysql://db/x", "mysql://"),
        ("host=db user=me", "the text given"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
        for rust in ["invalid digit", "invalid value", "cannot parse", "invalid configuration"] {
            assert!(!error.contains(rust), "{text}: {error}");
        }
    }
}

/// What is used when there are these variables, too.
fn completed<const N: usize>(text: &str, variables: [(&str, &str); N]) -> PostgresUrl {
    let url = parse(text).expect(text).completed(&Environment::from(variables));
    match url {
        Ok(DatabaseUrl::Postgres(url)) => *url,
        other => panic!("{text}: {other:?}"),
    }
}

fn password(url: &PostgresUrl) -> Option<&str> {
    url.config.get_password().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

#[test]
fn variables_say_what_the_url_leaves_out() {
    let all = [
        ("PGHOST", "other"),
        ("PGPORT", "5444"),
        ("PGUSER", "you"),
        ("PGPASSWORD", "theirs"),
        ("PGDATABASE", "y"),
        ("PGSSLMODE", "require"),
        ("PGAPPNAME", ""),
    ];
    let url = completed("postgres://", all);
    assert_eq!(url.to_string(), "postgres://you@other:5444/y?sslmode=require");
    assert_eq!((password(&url), url.tls.mode), (Some("theirs"), TlsMode::Require));
    let url = completed("postgres://me:mine@db:5433/x?sslmode=disable", all);
    assert_eq!(url.to_string(), "postgres://me@db:5433/x?sslmode=disable");
    assert_eq!((password(&url), url.tls.mode), (Some("mine"), TlsMode::Disable));
    assert_eq!(completed("postgres://db", []).config.get_password(), None);
    let wrong = parse("postgres://db").expect("a URL");
    let error = wrong.completed(&Environment::from([("PGPORT", "many")])).expect_err("a port");
    assert!(error.to_string().starts_with("PGPORT: \u{201c}many\u{201d} is not a port"), "{error}");
    assert!(parse("sqlite:a").expect("a file").completed(&Environment::from(all)).is_ok());
}

#[cfg(unix)]
#[test]
fn the_password_file_and_the_root_certificate_are_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a folder");
    let (passwords, other) = (home.path().join(".pgpass"), home.path().join("other"));
    let mode = |path: &Path, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("it is ours");
    };
    std::fs::write(
        &passwords,
        "db:5432:x:me:one\n*:5433:*:me:two\nlocalhost:*:*:*:three\n*:26257:*:*:five\n",
    )
    .expect("room");
    std::fs::write(&other, "*:*:*:*:four\n").expect("room");
    mode(&passwords, 0o600);
    mode(&other, 0o600);
    let folder = home.path().to_str().expect("a plain name");
    let at_home = |text| completed(text, [("HOME", folder)]);
    assert_eq!(password(&at_home("postgres://me@db/x")), Some("one"));
    assert_eq!(password(&at_home("postgres://me@db:5433/y")), Some("two"));
    assert_eq!(password(&at_home("postgres://me@/y")), Some("three"));
    assert_eq!(password(&at_home("cockroachdb://me@db/y")), Some("five"));
    assert_eq!(password(&at_home("postgres://me@db/y")), None);
    assert_eq!(password(&at_home("postgres://me:own@db/x")), Some("own"));
    let passfile = other.to_str().expect("a plain name");
    let named = [("HOME", folder), ("PGPASSFILE", passfile)];
    assert_eq!(password(&completed("postgres://me@db/x", named)), Some("four"));
    assert_eq!(password(&at_home("postgres://me@a:5433,b:5433/x")), Some("two"));
    for hosts in ["db:5432,b:5433", "db,b", "b,db"] {
        let url = parse(&format!("postgres://me@{hosts}/x")).expect(hosts);
        let error = url.completed(&Environment::from([("HOME", folder)])).expect_err(hosts);
        let words = "does not have the same password for all of the hosts";
        assert!(error.to_string().contains(words), "{error}");
    }
    let missing = completed("postgres://me@db/x", [("HOME", folder), ("PGPASSFILE", "/nope")]);
    assert_eq!(password(&missing), None);
    assert!(missing.notes()[0].contains("/nope cannot be read: No such file"));
    mode(&passwords, 0o640);
    let url = at_home("postgres://me@db/x");
    assert_eq!(password(&url), None);
    assert!(url.notes()[0].contains("others may read it: chmod 600"), "{:?}", url.notes());

    assert_eq!(at_home("postgres://me@db/x?sslmode=verify-full").tls.root_cert, None);
    let certificates = home.path().join(".postgresql");
    std::fs::create_dir(&certificates).expect("room");
    let root = certificates.join("root.crt");
    std::fs::write(&root, "").expect("room");
    let root = root.to_str();
    let url = at_home("postgres://me@db/x?sslmode=verify-full");
    assert_eq!(url.tls.root_cert.as_deref(), root);
    let url = at_home("postgres://me@db/x?sslrootcert=system");
    assert_eq!(url.tls.root_cert.as_deref(), Some("system"));
}
