//! Keys are found, end, and are told from each other.

use std::time::Duration;

use jiff::SignedDuration;
use tally_access::{Digest, Key, Keys, Refusal, SESSION_DAYS, STALE_MAX, Scope, Secret};
use tally_runtime::{Clock as _, Namespace};
use tally_testkit::{Disturbance, eventually};

use crate::place::Place;

/// As many as a pool has connections, and as CockroachDB's retries bear.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn what_is_stored_of_a_key_comes_back() {
    for place in Place::all("access_keys").await {
        let expires = place.clock.now() + SignedDuration::from_hours(1);
        let (key, _) = place.key("a", Some(expires)).await;
        assert_ne!(key.namespace, Namespace::DEFAULT);
        assert_eq!(place.store.some_namespace("shop").await.ok(), Some(key.namespace));
        assert_eq!(place.store.some_namespace("default").await.ok(), Some(Namespace::DEFAULT));
        assert_eq!(place.store.keys().await.expect("they are read"), std::slice::from_ref(&key));
        let (other, _) = place.unstored("a", None).await;
        let again = place.store.add(&other).await.expect("the database answers");
        assert!(!again, "the name is taken");
        place.clock.set(expires);
        let (other, _) = place.key("a", None).await;
        assert_ne!(other.digest, key.digest, "a name is free when its key has expired");
        place.store.revoke(other.digest, expires).await.expect("it is stored");
        let again = place.store.revoke(other.digest, expires + SignedDuration::from_secs(1)).await;
        assert!(!again.expect("the database answers"), "the first time counts");
        let all = place.store.keys().await.expect("they are read");
        assert_eq!(all[1].revoked, Some(expires));
    }
}

#[tokio::test]
async fn of_keys_of_one_name_that_are_added_at_once_one_is_stored() {
    for place in Place::all("access_at_once").await {
        let mut adding = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let ((key, _), store) = (place.unstored("a", None).await, place.store.clone());
            adding.spawn(async move { store.add(&key).await.expect("the database answers") });
        }
        let added = adding.join_all().await.into_iter().filter(|is_added| *is_added).count();
        assert_eq!((added, place.store.keys().await.expect("they are read").len()), (1, 1));
    }
}

/// Both have begun before either may write: neither sees the key of the other one.
#[tokio::test]
async fn of_two_keys_of_one_name_one_waits_for_the_other() {
    for place in Place::all("access_in_turn").await {
        let Some(database) = &place.of_test else { continue };
        let [one, other] = [place.unstored("a", None).await.0, place.unstored("a", None).await.0];
        // A transaction sees those who wait as they were at first.
        let (session, looking) = (database.connect().await, database.connect().await);
        let hold = "BEGIN; SELECT FROM tally_namespaces FOR UPDATE";
        session.batch_execute(hold).await.expect("they are held");
        let release = async {
            let waiting = "SELECT FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let both = async || looking.query(waiting, &[]).await.expect("an answer").len() == 2;
            eventually("both wait", Duration::from_secs(60), both).await;
            session.batch_execute("ROLLBACK").await.expect("they are let go");
        };
        let (one, other, ()) =
            tokio::join!(place.store.add(&one), place.store.add(&other), release);
        let added = [one, other].map(|added| added.expect("the database answers"));
        assert!(added[0] != added[1], "{added:?}");
        assert_eq!(place.store.keys().await.expect("they are read").len(), 1);
    }
}

#[tokio::test]
async fn a_key_is_known_at_once_and_ends_with_the_next_reading() {
    for place in Place::all("access_ends").await {
        let servers = [place.server().await, place.server().await];
        assert!(!servers[0].are_any());
        let (key, secret) = place.key("a", None).await;
        let mut passes = Vec::new();
        for server in &servers {
            let pass = server.check(secret.reveal(), None).await.expect("it was just added");
            let caller = pass.caller();
            assert_eq!((caller.key(), caller.namespace()), (Some("a"), key.namespace));
            assert!(caller.may(Scope::Read) && !caller.may(Scope::Admin) && !caller.is_operator());
            passes.push(pass);
        }
        let now = place.clock.now();
        place.store.revoke(key.digest, now).await.expect("it is stored");
        for (server, pass) in servers.iter().zip(&passes) {
            assert!(!pass.is_over());
            server.refresh().await;
            pass.over().await;
            assert!(pass.is_over());
            assert_eq!(pass.refusal(now), Refusal::Revoked("a".into()));
            let refused = server.check(secret.reveal(), None).await.err();
            assert_eq!(refused, Some(Refusal::Revoked("a".into())));
        }
    }
}

#[tokio::test]
async fn a_key_expires_for_calls_at_once_and_for_streams_with_the_next_reading() {
    for place in Place::all("access_expires").await {
        let server = place.server().await;
        let expires = place.clock.now() + SignedDuration::from_hours(1);
        let (key, secret) = place.key("a", Some(expires)).await;
        let pass = server.check(secret.reveal(), None).await.expect("it is valid");
        let earlier = expires - SignedDuration::from_mins(30);
        let (new, new_secret) = place.unstored("a", None).await;
        place.store.replace(&[key.digest], earlier, &new).await.expect("it is stored");
        let (newer, _) = place.unstored("a", None).await;
        let both = [key.digest, new.digest];
        place.store.replace(&both, expires, &newer).await.expect("it is stored");
        let all = place.store.keys().await.expect("they are read");
        let expiry =
            |of: Digest| all.iter().find(|key| key.digest == of).and_then(|key| key.expires);
        assert_eq!(both.map(expiry), [Some(earlier), Some(expires)], "never later than before");
        server.check(new_secret.reveal(), None).await.expect("it is valid");
        server.refresh().await;
        // It has changed, so its streams begin again.
        pass.over().await;
        let pass = server.check(secret.reveal(), None).await.expect("it is valid");
        place.clock.set(earlier);
        let refused = server.check(secret.reveal(), None).await.err();
        assert_eq!(refused, Some(Refusal::Expired("a".into())));
        assert!(!pass.is_over());
        server.refresh().await;
        assert!(pass.is_over());
        assert_eq!(pass.refusal(earlier), Refusal::Expired("a".into()));
    }
}

#[tokio::test]
async fn a_session_holds_at_every_server_and_ends_with_its_key() {
    for place in Place::all("access_sessions").await {
        let servers = [place.server().await, place.server().await];
        let (key, secret) = place.key("a", None).await;
        let (token, _) = servers[0].log_in(secret.reveal(), None).await.expect("a valid key");
        let (other, _) = servers[0].log_in(secret.reveal(), None).await.expect("a valid key");
        assert_ne!(token, other);
        for server in &servers {
            server.check_session(token.reveal(), None).await.expect("it is logged in");
            // A token is no key, and a key is no token.
            let refused = server.check(token.reveal(), None).await.err();
            assert_eq!(refused, Some(Refusal::Malformed));
            let refused = server.check_session(secret.reveal(), None).await.err();
            assert_eq!(refused, Some(Refusal::Session));
        }
        servers[0].log_out(token.reveal()).await.expect("the database answers");
        for server in &servers {
            server.refresh().await;
            let refused = server.check_session(token.reveal(), None).await.err();
            assert_eq!(refused, Some(Refusal::Session));
            server.check_session(other.reveal(), None).await.expect("the other one stays");
        }
        place.store.revoke(key.digest, place.clock.now()).await.expect("it is stored");
        servers[1].refresh().await;
        let refused = servers[1].check_session(other.reveal(), None).await.err();
        assert_eq!(refused, Some(Refusal::Revoked("a".into())));
    }
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    for place in Place::all("access_session_ends").await {
        let server = place.server().await;
        let (_, secret) = place.key("a", None).await;
        let end = place.clock.now() + SignedDuration::from_hours(24 * SESSION_DAYS);
        let (token, _) = server.log_in(secret.reveal(), None).await.expect("a valid key");
        place.clock.set(end - SignedDuration::from_secs(1));
        server.check_session(token.reveal(), None).await.expect("it is logged in");
        place.clock.set(end);
        // The keys were not read since.
        let refused = server.check_session(token.reveal(), None).await.err();
        assert_eq!(refused, Some(Refusal::Session));
        server.check(secret.reveal(), None).await.expect("the key goes on");
    }
}

#[tokio::test]
async fn a_certificate_is_the_key_that_it_names_first() {
    for place in Place::all("access_names").await {
        let path = place.folder.path().join("keys");
        let key = |scope| tally_access::Secret::of_key(scope).reveal().to_owned();
        let (ingest, read) = (key(Scope::Ingest), key(Scope::Read));
        std::fs::write(&path, format!("robot ingest {ingest}\nboth read {read}")).expect("room");
        let clock = std::sync::Arc::clone(&place.clock);
        let server = tally_access::Keys::open(place.store.clone(), Some(path), clock).await;
        let server = server.expect("the file is right");
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = async |shown: &[&str]| {
            let pass = server.check_names(&names(shown)).await?;
            Ok(pass.caller().key().map(str::to_owned))
        };
        let unknown = ["spiffe://example/a", "A", "", "ä"];
        assert_eq!(check(&unknown).await, Err(Refusal::UnknownNames));
        let expires = place.clock.now() + SignedDuration::from_hours(1);
        let (first, _) = place.key("a", Some(expires)).await;
        assert_eq!(check(&["none", "a"]).await, Ok(Some("a".into())), "it is new");
        assert_eq!(check(&["none", "a", "robot"]).await, Ok(Some("a".into())));
        assert_eq!(check(&["robot", "a"]).await, Ok(Some("robot".into())), "of the file");
        // It is being replaced: the one that lasts.
        let next = tally_access::Secret::of_key(Scope::Read);
        let next = tally_access::Key { digest: next.digest(), expires: None, ..first.clone() };
        place.store.replace(&[first.digest], expires, &next).await.expect("it is stored");
        server.refresh().await;
        let pass = server.check_names(&names(&["a"])).await.expect("both are valid");
        place.store.revoke(first.digest, place.clock.now()).await.expect("it is stored");
        server.refresh().await;
        assert!(!pass.is_over());
        place.store.revoke(next.digest, place.clock.now()).await.expect("it is stored");
        server.refresh().await;
        assert!(pass.is_over());
        assert_eq!(check(&["a", "robot"]).await, Err(Refusal::Revoked("a".into())));
        // The key of the file is of another namespace.
        let (shop, _) = place.key("both", Some(expires)).await;
        server.refresh().await;
        assert_eq!(check(&["both"]).await, Err(Refusal::Ambiguous("both".into())));
        place.store.revoke(shop.digest, place.clock.now()).await.expect("it is stored");
        server.refresh().await;
        assert_eq!(check(&["both"]).await, Ok(Some("both".into())));
        place.key("late", Some(expires)).await;
        place.clock.set(expires);
        assert_eq!(check(&["late"]).await, Err(Refusal::Expired("late".into())));
    }
}

#[tokio::test]
async fn wrong_keys_are_slowed_and_right_ones_of_the_same_address_are_not() {
    for place in Place::all("access_slowed").await {
        let server = place.server().await;
        let (_, secret) = place.key("a", None).await;
        let from = Some("192.0.2.7".parse().expect("an address"));
        server.check(secret.reveal(), from).await.expect("a valid key");
        for _ in 0..10 {
            let refused = server.check("tally_read_guess", from).await.err();
            assert_eq!(refused, Some(Refusal::Malformed));
        }
        assert_eq!(server.check("tally_read_guess", from).await.err(), Some(Refusal::TooMany));
        let elsewhere = Some("192.0.2.8".parse().expect("an address"));
        let refused = server.check("tally_read_guess", elsewhere).await.err();
        assert_eq!(refused, Some(Refusal::Malformed));
        server.check(secret.reveal(), from).await.expect("a valid key");
    }
}

#[tokio::test]
async fn when_a_key_was_used_is_noted_later() {
    for place in Place::all("access_used").await {
        let server = place.server().await;
        let (_, secret) = place.key("a", None).await;
        server.check(secret.reveal(), None).await.expect("a valid key");
        let used = async || place.store.keys().await.expect("they are read")[0].last_used;
        assert_eq!(used().await, None);
        server.note_uses().await;
        assert_eq!(used().await, Some(place.clock.now()));
        let pass = server.check(secret.reveal(), None).await.expect("a valid key");
        server.refresh().await;
        assert!(!pass.is_over(), "a use changes nothing of a key");
    }
}

#[tokio::test]
async fn a_wrong_file_keeps_what_was_read_before() {
    for place in Place::all("access_file").await {
        let (_, secret) = place.key("a", None).await;
        let path = place.folder.path().join("keys");
        let key = tally_access::Secret::of_key(Scope::Ingest);
        std::fs::write(&path, format!("robot ingest {} namespace=new", key.reveal()))
            .expect("room");
        let clock = std::sync::Arc::clone(&place.clock);
        let server = tally_access::Keys::open(place.store.clone(), Some(path.clone()), clock).await;
        let server = server.expect("the file is right");
        let pass = server.check(key.reveal(), None).await.expect("it is in the file");
        let namespace = place.store.namespace("new").await.expect("the database answers");
        assert_eq!(namespace, Some(pass.caller().namespace()));
        std::fs::write(&path, "robot").expect("room");
        server.refresh().await;
        server.check(key.reveal(), None).await.expect("it was in the file");
        server.check(secret.reveal(), None).await.expect("the database has it");
        std::fs::write(&path, "").expect("room");
        server.refresh().await;
        assert!(pass.is_over());
        assert_eq!(server.check(key.reveal(), None).await.err(), Some(Refusal::Unknown));
    }
}

/// While the database is away, what is known of its keys grows old; a file of keys is here all the while.
#[tokio::test]
async fn keys_that_could_not_be_read_for_long_are_not_accepted() {
    for place in Place::all("access_stale").await {
        let (_, secret) = place.key("a", None).await;
        let (path, of_file) = (place.folder.path().join("keys"), Secret::of_key(Scope::Ingest));
        std::fs::write(&path, format!("robot ingest {}", of_file.reveal())).expect("room");
        let clock = std::sync::Arc::clone(&place.clock);
        let server = Keys::open(place.store.clone(), Some(path), clock).await.expect("it is right");
        let check = async |secret: &Secret| server.check(secret.reveal(), None).await.err();
        tokio::time::pause();
        tokio::time::advance(STALE_MAX - Duration::from_secs(1)).await;
        assert_eq!(check(&secret).await, None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(check(&secret).await, Some(Refusal::Unchecked));
        assert_eq!(check(&of_file).await, None);
        tokio::time::resume();
        server.refresh().await;
        assert_eq!(check(&secret).await, None);
    }
}

/// A guess costs the database one reading, and there are four of them a second at most.
#[tokio::test]
async fn unknown_keys_wait_for_a_reading() {
    for place in Place::all("access_unknown").await {
        let server = place.server().await;
        let began = std::time::Instant::now();
        for _ in 0..3 {
            let unknown = Secret::of_key(Scope::Read);
            assert_eq!(server.check(unknown.reveal(), None).await.err(), Some(Refusal::Unknown));
        }
        assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    }
}

/// A clock that jumps ahead, and back when it is set right: nobody has to start the server again.
#[tokio::test]
async fn a_key_is_valid_again_when_the_clock_is_back() {
    for place in Place::all("access_clock").await {
        let server = place.server().await;
        let now = place.clock.now();
        let expires = now + SignedDuration::from_hours(1);
        let (_, secret) = place.key("a", Some(expires)).await;
        let before = server.check(secret.reveal(), None).await.expect("it is valid");
        place.clock.set(expires);
        server.refresh().await;
        assert!(before.is_over());
        place.clock.set(now);
        server.refresh().await;
        let pass = server.check(secret.reveal(), None).await.expect("it is valid again");
        assert!(!pass.is_over() && before.is_over());
        place.clock.set(expires);
        server.refresh().await;
        assert!(pass.is_over(), "it ends when its time comes");
    }
}

#[tokio::test]
async fn a_wrong_file_at_the_start_names_what_is_wrong() {
    for place in Place::all("access_wrong_file").await {
        let path = place.folder.path().join("keys");
        let clock = std::sync::Arc::clone(&place.clock);
        let open = async |path: &std::path::Path| {
            let clock = std::sync::Arc::clone(&clock);
            Keys::open(place.store.clone(), Some(path.to_owned()), clock).await.err()
        };
        let shown = path.display().to_string();
        for (text, why) in [
            (b"robot".to_vec(), "line 1: write NAME SCOPE KEY"),
            (vec![0xff], "it is not text in UTF-8"),
            (vec![b'#'; (1 << 20) + 1], "it is larger than 1 MiB"),
        ] {
            std::fs::write(&path, text).expect("room");
            let wrong = open(&path).await.expect("it is wrong");
            assert!(wrong.starts_with(&format!("the file of keys {shown}: {why}")), "{wrong}");
        }
        let endless = open(std::path::Path::new("/dev/zero")).await;
        let wrong = "the file of keys /dev/zero: it is not a regular file";
        assert_eq!(endless.as_deref(), Some(wrong));
    }
}

/// Whatever becomes of a statement, and of its answer: a key is there once, and is replaced as a whole.
#[tokio::test]
async fn no_failure_of_the_database_leaves_a_key_half_replaced() {
    let Some(place) = Place::cockroach("access_disturbed").await else { return };
    let disturber = place.disturber.as_ref().expect("it is there");
    let (now, store) = (place.clock.now(), &place.store);
    let until = now + SignedDuration::from_hours(1);
    let (template, _) = place.unstored("k", None).await;
    let mut round = 0;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || {
                round += 1;
                let key = || Key {
                    digest: Secret::of_key(Scope::Read).digest(),
                    name: format!("k{round}"),
                    ..template.clone()
                };
                let (first, second) = (key(), key());
                assert!(store.add(&first).await?, "the name is new");
                store.replace(&[first.digest], until, &second).await?;
                store.revoke(second.digest, now).await?;
                Ok::<_, tally_store::Error>([first, second])
            },
            async |when, done: Result<_, tally_store::Error>| {
                let [first, second] = done.unwrap_or_else(|error| panic!("{when}: {error}"));
                let all = store.keys().await.expect("they are read");
                let of = |digest| all.iter().find(|key| key.digest == digest).expect("it is there");
                assert_eq!(of(first.digest).expires, Some(until), "{when}");
                assert_eq!(of(second.digest).revoked, Some(now), "{when}");
            },
        )
        .await;
    assert_eq!(store.keys().await.expect("they are read").len(), 2 * round);
}
