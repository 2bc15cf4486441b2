//! Forgets: that names are gone, also from earlier changes, and do not come back.

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::selection::PathIs;
use tally_testkit::eventually;
use tonic::Code;

use crate::LIMIT;
use crate::backend::{Backend, NOW, OLD, TODAY, one_day};
use crate::changing::{
    customer, expected, forgotten, is_gone, merge, merged, of, path, prefix, record, selection,
    start, sums,
};
use crate::conformance::on_every_backend;

on_every_backend!(crate::forgetting:
    a_forgotten_customer_is_gone,
    a_forgotten_prefix_or_regex_is_gone,
    a_forgotten_name_is_in_no_earlier_merge,
    nothing_is_merged_into_a_name_that_a_regex_forgot,
    what_a_regex_forgot_stays_forgotten_whatever_is_changed_later,
    a_regex_that_spells_a_name_is_removed_by_hand,
);

async fn a_forgotten_customer_is_gone(backend: Backend) {
    let counting = start(&backend).await;
    let requests = [(of("/a", "ann@x"), 3), (of("/b", "ann@x"), 4), (of("/a", "bob"), 5)];
    for day in [OLD, TODAY] {
        record(&counting, &format!("{day}T10:00:00Z"), &requests).await;
        backend.roll_up(one_day(OLD)).await;
    }
    let answer = forgotten(&counting, customer("ann@x")).await.unwrap();
    assert_eq!((answer.series, answer.requests, answer.is_kept), (2, 14, true));
    let all = [("/a", "_forgotten", 6), ("/b", "_forgotten", 8), ("/a", "bob", 10)];
    assert_eq!(sums(&counting).await, expected(&all));
    is_gone(&backend, "ann").await;
    // What comes later is never stored under the name, with any path.
    record(&counting, NOW, &[(of("/a", "ann@x"), 1), (of("/c", "ann@x"), 1)]).await;
    is_gone(&backend, "ann").await;
    let all = [
        ("/a", "_forgotten", 7),
        ("/b", "_forgotten", 8),
        ("/a", "bob", 10),
        ("/c", "_forgotten", 1),
    ];
    assert_eq!(sums(&counting).await, expected(&all));
    assert_eq!(backend.audit().await, 26);
    // Repeating it notes nothing, and finds nothing.
    let again = forgotten(&counting, customer("ann@x")).await.unwrap();
    assert_eq!((again.series, again.requests), (0, 0));
    assert_eq!(backend.count("tally_request_changes").await, 1);
    let noted = "SELECT kind || ' ' || selected, series, requests, seq, coalesce(customer, '') \
                 FROM tally_request_changes";
    let noted = backend.lines(noted).await.remove(0);
    assert_eq!((&*noted.0, noted.1, noted.2), ("forget customer", 2, 14));
    assert!(noted.4.starts_with("hash:5:"), "{noted:?}");
}

async fn a_forgotten_prefix_or_regex_is_gone(backend: Backend) {
    let counting = start(&backend).await;
    let requests = [
        (of("/u/ann/x", ""), 1),
        (of("/u/ann/y", ""), 2),
        (of("/u/bob", ""), 4),
        (of("/v", ""), 8),
    ];
    record(&counting, NOW, &requests).await;
    let of_prefix = selection(prefix("/u/ann/")).unwrap();
    assert!(forgotten(&counting, of_prefix).await.unwrap().is_kept);
    is_gone(&backend, "ann").await;
    let of_regex = selection(PathIs::PathRegex("^/u/b.b$".into())).unwrap();
    let answer = forgotten(&counting, of_regex).await.unwrap();
    assert_eq!((answer.series, answer.is_kept), (1, false));
    is_gone(&backend, "bob").await;
    is_gone(&backend, "b.b").await;
    record(&counting, NOW, &[(of("/u/ann/z", ""), 16), (of("/u/bob", ""), 32)]).await;
    // The very series that was forgotten stays forgotten, even by a regex.
    is_gone(&backend, "ann").await;
    is_gone(&backend, "bob").await;
    assert_eq!(sums(&counting).await, expected(&[("_forgotten", "", 55), ("/v", "", 8)]));
    assert_eq!(backend.audit().await, 63);
}

async fn a_forgotten_name_is_in_no_earlier_merge(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", "ann@old"), 1), (of("/u/eve/x", "bob"), 2)]).await;
    let of_customer = |from: &str, into: &str| proto::MergeRequest {
        selection: Some(customer(from)),
        into_customer: Some(into.into()),
        ..Default::default()
    };
    merged(&counting, of_customer("ann@old", "ann@new")).await.unwrap();
    merged(&counting, merge(prefix("/u/eve/"), "/u/eve/all")).await.unwrap();
    // A name that is forgotten only together with another one.
    let of_zoe = || proto::Selection { path_is: Some(path("/u/zoe")), ..customer("zoe@x") };
    let by_both = proto::MergeRequest {
        selection: Some(of_zoe()),
        into_customer: Some("zed".into()),
        ..merge(path(""), "/u/zed")
    };
    record(&counting, NOW, &[(of("/u/zoe", "zoe@x"), 16)]).await;
    merged(&counting, by_both).await.unwrap();
    for selection in [
        customer("ann@new"),
        customer("ann@old"),
        proto::Selection { path_is: Some(prefix("/u/eve/")), ..Default::default() },
        of_zoe(),
    ] {
        forgotten(&counting, selection).await.unwrap();
    }
    is_gone(&backend, "ann@").await;
    is_gone(&backend, "eve").await;
    is_gone(&backend, "zoe").await;
    // What comes later goes where it did.
    record(&counting, NOW, &[(of("/a", "ann@old"), 4), (of("/u/eve/y", "bob"), 8)]).await;
    record(&counting, NOW, &[(of("/u/zoe", "zoe@x"), 32)]).await;
    let all = [("/a", "_forgotten", 5), ("_forgotten", "bob", 10), ("/u/zed", "zed", 48)];
    assert_eq!(sums(&counting).await, expected(&all));
    is_gone(&backend, "ann@").await;
    is_gone(&backend, "eve").await;
    is_gone(&backend, "zoe").await;
}

/// Of a regex only the ids of series stay, and another series of the same path was never counted.
async fn nothing_is_merged_into_a_name_that_a_regex_forgot(backend: Backend) {
    let counting = start(&backend).await;
    let failed = |path: &str| proto::Series { status: 500, ..of(path, "") };
    let requests = [(of("/u/bob", ""), 1), (of("/x", ""), 2), (failed("/y"), 4), (failed("/z"), 8)];
    record(&counting, NOW, &requests).await;
    let of_regex = selection(PathIs::PathRegex("^/u/b.b$".into())).unwrap();
    forgotten(&counting, of_regex).await.unwrap();
    for from in ["/x", "/y"] {
        for dry_run in [true, false] {
            let request = proto::MergeRequest { dry_run, ..merge(path(from), "/u/bob") };
            let refused = merged(&counting, request).await.expect_err("its name is forgotten");
            assert_eq!(refused.code(), Code::FailedPrecondition, "{from}: {refused}");
            assert!(refused.message().contains("into: this was forgotten"), "{refused}");
        }
    }
    is_gone(&backend, "bob").await;
    merged(&counting, merge(path("/y"), "/z")).await.unwrap();
    assert_eq!(
        sums(&counting).await,
        expected(&[("_forgotten", "", 1), ("/x", "", 2), ("/z", "", 12)])
    );
}

/// After a regex, the ids are all that is kept. A later change of another field must not lead past them.
async fn what_a_regex_forgot_stays_forgotten_whatever_is_changed_later(backend: Backend) {
    let counting = start(&backend).await;
    let bob = of("/u/bob", "c1");
    let carl = proto::Series { service: "old".into(), ..of("/u/carl", "") };
    let requests = [(bob.clone(), 1), (carl.clone(), 2), (of("/v", ""), 16)];
    record(&counting, NOW, &requests).await;
    let of_regex = selection(PathIs::PathRegex("^/u/(bob|carl)$".into())).unwrap();
    forgotten(&counting, of_regex).await.unwrap();
    forgotten(&counting, customer("c1")).await.unwrap();
    let request = proto::MergeRequest {
        selection: Some(proto::Selection { service: Some("old".into()), ..Default::default() }),
        into_service: Some("new".into()),
        author: "ann".into(),
        ..Default::default()
    };
    merged(&counting, request).await.unwrap();
    for again in [false, true] {
        if again {
            counting.service.keeper().tick().await.expect("the duties");
        }
        record(&counting, NOW, &[(bob.clone(), 4), (carl.clone(), 8)]).await;
        is_gone(&backend, "bob").await;
        is_gone(&backend, "carl").await;
    }
    let mut all = expected(&[("_forgotten", "_forgotten", 9), ("/v", "", 16)]);
    all.insert(("new".into(), "_forgotten".into(), String::new()), 18);
    assert_eq!(sums(&counting).await, all);
    assert_eq!(backend.audit().await, 43);
}

/// What the docs say about the one place where a forgotten name can stay.
async fn a_regex_that_spells_a_name_is_removed_by_hand(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/u/ann", ""), 1), (of("/v", ""), 2)]).await;
    let by_regex = merge(PathIs::PathRegex("^/u/(ann|bob)$".into()), "/u/vip");
    merged(&counting, by_regex).await.unwrap();
    forgotten(&counting, selection(path("/u/ann")).unwrap()).await.unwrap();
    let of_change = "UPDATE tally_request_changes SET service = NULL, path = NULL, customer = NULL \
                     WHERE seq = 1";
    backend.execute(of_change).await;
    is_gone(&backend, "ann").await;
    counting.stop().await;
    let counting = start(&backend).await;
    // What was merged stays so, and what comes later is only forgotten.
    record(&counting, NOW, &[(of("/u/ann", ""), 4), (of("/u/bob", ""), 8)]).await;
    let failed = proto::Series { status: 500, ..of("/u/ann", "") };
    record(&counting, NOW, &[(failed, 16)]).await;
    is_gone(&backend, "ann").await;
    let all = [("/u/vip", "", 1), ("/u/bob", "", 8), ("_forgotten", "", 20), ("/v", "", 2)];
    assert_eq!(sums(&counting).await, expected(&all));
    assert_eq!(backend.audit().await, 31);
}

/// What the docs promise of a file: nothing is left after VACUUM.
#[tokio::test]
async fn a_forgotten_name_is_not_in_a_file_that_was_vacuumed() {
    let backend = Backend::sqlite("vacuum").await.unwrap();
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", "ann@example.com"), 3)]).await;
    forgotten(&counting, customer("ann@example.com")).await.unwrap();
    counting.stop().await;
    rusqlite::Connection::open(backend.file()).unwrap().execute_batch("VACUUM").unwrap();
    let has_name = || {
        let files = std::fs::read_dir(backend.file().parent().unwrap()).unwrap();
        let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.unwrap().path());
        let mut all = files.filter_map(|file| read(file).ok());
        all.any(|bytes| bytes.windows(8).any(|some| some == b"ann@exam"))
    };
    // A log is moved by the last of the connections, which are still being closed.
    eventually("the name is gone", LIMIT, async || {
        let file = rusqlite::Connection::open(backend.file()).unwrap();
        let _ = file.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        !has_name()
    })
    .await;
}
