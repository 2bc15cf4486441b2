//! Settings of a server with two domains, one of them made up.

use std::sync::Arc;

use clap::{Args as _, FromArgMatches as _};
use tally_serve::{Doors, Parts, Running};
use tally_store::Migrations;

use super::*;

/// A domain with one setting.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct MadeUp {
    #[arg(long, env = "TALLY_MADE_UP_LIMIT", default_value = "1")]
    made_up_limit: Given<usize>,
}

#[tonic::async_trait]
impl Configured for MadeUp {
    fn connections(&self) -> Connections {
        Connections { writers: 4, others: 3, write_max: Duration::from_secs(60) }
    }

    async fn start(
        self: Box<Self>,
        _: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error> {
        unreachable!("it is only configured")
    }
}

fn known() -> [Domain; 2] {
    let made_up = Domain {
        name: "made-up",
        migrations: Migrations { set: "made_up", ..tally_requests::MIGRATIONS },
        hints: &[],
        arguments: MadeUp::augment_args,
        check: |matches, _, problems| {
            let given = MadeUp::from_arg_matches(matches).expect("it has its arguments");
            problems.within(&name("made-up-limit"), &given.made_up_limit, 1..=3);
            Some(Box::new(given))
        },
    };
    [tally_requests::DOMAIN, made_up]
}

fn checked(flags: &[&str]) -> Result<Settings, String> {
    let known = known();
    let matches = crate::command(&known).get_matches_from([&["tally", "serve"], flags].concat());
    let (_, given) = matches.subcommand().expect("serve");
    let args = ServeArgs::from_arg_matches(given).expect("it has its arguments");
    args.check(&known, given, Problems::new()).map_err(|invalid| invalid.to_string())
}

#[test]
fn every_domain_is_on_by_default_and_has_its_connections() {
    let settings = checked(&["--requests-workers", "5"]).expect("they are right");
    assert_eq!(
        settings.on().map(|domain| domain.name).collect::<Vec<_>>(),
        ["requests", "made-up"]
    );
    // 5 workers, 4 more that store, and 7 others; 4 and 3 of the other one; events; keys; and the health
    // check.
    let pool = settings.database.pool;
    assert_eq!((pool.connections_max, pool.writers_max), (26, 13));
    assert_eq!(pool.write_max, Duration::from_secs(60));
    let wrong = checked(&["--made-up-limit", "9"]).err().expect("it is wrong");
    assert!(wrong.contains("--made-up-limit (TALLY_MADE_UP_LIMIT): \u{201c}9\u{201d}"), "{wrong}");
}

#[test]
fn a_domain_that_is_off_has_no_tables_and_its_settings_are_not_checked() {
    let flags = ["--domains", "requests", "--made-up-limit", "9"];
    let settings = checked(&flags).expect("they are right");
    assert_eq!(settings.on().map(|domain| domain.name).collect::<Vec<_>>(), ["requests"]);
    assert_eq!(settings.database.pool.connections_max, 16);
    let (on, all) = (Sets::of(settings.on()), Sets::of(&known()));
    let pending = |sets: &Sets| sets.pending_of_none(Dialect::Sqlite).matches("requests").count();
    assert_eq!((pending(&on), pending(&all)), (1, 2));
    // A successor may have other domains on.
    assert_eq!(settings.version, all.version(Dialect::Sqlite));
}

#[test]
fn an_unknown_domain_is_one_mistake_that_names_the_known_ones() {
    let wrong = checked(&["--domains", "requests, debts"]).err().expect("it is wrong");
    let words = "--domains (TALLY_DOMAINS): there is no domain \u{201c}debts\u{201d}: \
                 write all, or a comma-separated list of: requests, made-up";
    assert_eq!(wrong, format!("a setting is wrong: {words}"));
    let more = ["--domains", "debts", "--made-up-limit", "9", "--requests-workers", "0"];
    let wrong = checked(&more).err().expect("they are wrong");
    assert!(wrong.starts_with("3 settings are wrong"), "it hides no other mistake: {wrong}");
    let wrong = checked(&["--domains", "all,requests"]).err().expect("it is wrong");
    assert!(wrong.ends_with("--domains (TALLY_DOMAINS): all stands alone"), "{wrong}");
}

#[test]
fn connections_are_enough_for_the_domains_on_postgres() {
    let few = ["--connections-max", "18", "--database-url"];
    let wrong = checked(&[&few[..], &["postgres://me@db/x"]].concat()).err().expect("too few");
    assert!(wrong.contains("--connections-max (TALLY_CONNECTIONS_MAX)"), "{wrong}");
    assert!(wrong.contains("must be between 23 and 1000"), "{wrong}");
    // A file has none.
    checked(&[&few[..], &["sqlite:x.db"]].concat()).expect("they are right");
}

#[test]
fn an_address_has_a_port() {
    assert_eq!(host_and_port(":7777").as_deref(), Ok("0.0.0.0:7777"));
    for good in ["127.0.0.1:7777", "[::1]:0", "localhost:7777", "a-b.c_d:1"] {
        assert_eq!(host_and_port(good).as_deref(), Ok(good));
    }
    for bad in ["", "7777", "localhost", "localhost:", "localhost:http", "[::1]", "a:65536"] {
        assert!(host_and_port(bad).is_err(), "{bad}");
    }
    for bad in ["::1:7777", "[x]:7777", "a b:7777", "a/b:1", "a:+1", "http://127.0.0.1:7777"] {
        assert!(host_and_port(bad).is_err(), "{bad}");
    }
}
