//! Merges and forgets: where counts go, what comes later, and what is refused.

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::selection::PathIs;
use tonic::Code;

use crate::backend::{Backend, NOW, one_day};
use crate::changing::{
    batch, counted_ids, customer, expected, forgotten, is_gone, merge, merged, of, path, prefix,
    record, selection, start, sums,
};
use crate::conformance::on_every_backend;
use crate::recording::Recording;
use crate::server::{Counting, get};

on_every_backend!(crate::changes:
    a_merge_moves_all_that_is_counted,
    what_comes_later_follows_a_merge,
    a_dry_run_changes_nothing,
    mistakes_are_refused,
    merges_follow_each_other_but_not_in_a_circle,
    a_circle_through_several_fields_holds_nothing_up,
);

/// Requests of two users and others in each of the places where counts are.
async fn fill(backend: &Backend, counting: &Counting) {
    let requests = [(of("/users/7", ""), 3), (of("/users/8", ""), 4), (of("/other", ""), 5)];
    // A pruned day, a rolled-up day, an open day, and rows.
    for time in ["2015-05-17T10:00:00Z", "2015-05-18T10:00:00Z"] {
        record(counting, time, &requests).await;
        backend.roll_up(one_day(&time[..10])).await;
    }
    backend.execute("UPDATE tally_request_calendar SET pruned_at = rolled_up_at").await;
    backend.execute("DELETE FROM tally_request_days").await;
    for time in ["2015-05-19T10:00:00Z", "2015-05-20T10:00:00Z"] {
        record(counting, time, &requests).await;
        backend.roll_up(one_day(&time[..10])).await;
    }
    record(counting, "2030-06-14T10:00:00Z", &requests).await;
    backend.store.fold().await.unwrap();
    record(counting, NOW, &requests).await;
}

async fn a_merge_moves_all_that_is_counted(backend: Backend) {
    let counting = start(&backend).await;
    fill(&backend, &counting).await;
    let before = backend.rolled_up().await.len();
    let answer = merged(&counting, merge(prefix("/users/"), "/users/{id}")).await.unwrap();
    assert_eq!((answer.series, answer.requests, answer.is_kept), (2, 42, true));
    let all = expected(&[("/users/{id}", "", 42), ("/other", "", 30)]);
    assert_eq!(sums(&counting).await, all);
    assert_eq!(backend.audit().await, 72);
    // What is in days and months is there at once; rows follow when they are folded.
    assert_eq!(backend.rolled_up().await.len(), before / 3 * 2);
    backend.store.fold().await.unwrap();
    assert_eq!(sums(&counting).await, all);
    assert_eq!(counted_ids(&backend).await, 2, "nothing is left under the old ids");
    assert_eq!(backend.audit().await, 72);
    let view = backend.view().await;
    assert!(view.iter().all(|one| ["/users/{id}", "/other"].contains(&&*one.1)), "{view:?}");
    // Again it finds nothing to do.
    let again = merged(&counting, merge(prefix("/users/"), "/users/{id}")).await.unwrap();
    assert_eq!((again.series, again.requests), (0, 0));
    assert_eq!(backend.count("tally_request_changes").await, 1);
}

async fn what_comes_later_follows_a_merge(backend: Backend) {
    let counting = start(&backend).await;
    let mut stream = Recording::start(&counting).await;
    stream.send(batch(1, NOW, &[(of("/users/7", ""), 3)]));
    stream.acknowledged(1).await.unwrap();
    merged(&counting, merge(prefix("/users/"), "/users/{id}")).await.unwrap();
    // The stream has named its series before, and goes on.
    stream.send(proto::Batch { series: Vec::new(), ..batch(2, NOW, &[(of("/users/7", ""), 2)]) });
    stream.acknowledged(2).await.unwrap();
    // The same name again, a name that never was, and by count.v1.
    record(&counting, NOW, &[(of("/users/7", ""), 4), (of("/users/9", ""), 1)]).await;
    counting.add(vec![get("/users/10", NOW), get("/users", NOW)]).await.unwrap();
    let all = expected(&[("/users/{id}", "", 11), ("/users", "", 1)]);
    assert_eq!(sums(&counting).await, all);
    assert_eq!(backend.count("tally_request_series").await, 2);
    assert_eq!(backend.audit().await, 12);
    // A server that starts later knows it too.
    counting.stop().await;
    let counting = start(&backend).await;
    counting.add(vec![get("/users/7", NOW), get("/users/11", NOW)]).await.unwrap();
    assert_eq!(sums(&counting).await[&(String::new(), "/users/{id}".into(), String::new())], 13);
    assert_eq!(backend.count("tally_request_series").await, 2);
}

async fn a_dry_run_changes_nothing(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/u/1", ""), 1), (of("/u/2", ""), 2), (of("/v", ""), 4)]).await;
    let before = backend.everything().await;
    let request = proto::MergeRequest { dry_run: true, ..merge(prefix("/u/"), "/u/{id}") };
    let answer = merged(&counting, request).await.unwrap();
    let moved = answer.moved.iter().map(|one| {
        (one.series.as_ref().map(|one| one.path.as_str()).unwrap_or_default(), one.requests)
    });
    assert_eq!(moved.collect::<Vec<_>>(), [("/u/2", 2), ("/u/1", 1)]);
    assert_eq!((answer.series, answer.requests), (2, 3));
    let request = proto::ForgetRequest {
        selection: selection(prefix("/u/")),
        dry_run: true,
        ..Default::default()
    };
    let answer = counting.book_client().await.forget(request).await.unwrap().into_inner();
    assert_eq!((answer.series, answer.requests), (2, 3));
    assert_eq!(backend.everything().await, before);
}

async fn mistakes_are_refused(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", "x"), 1), (of("/b", ""), 2)]).await;
    let empty = proto::Selection::default();
    let regex = |text: &str| selection(PathIs::PathRegex(text.into())).unwrap();
    for (selection, code, words) in [
        (empty, Code::InvalidArgument, "selection: is empty"),
        (selection(path("")).unwrap(), Code::InvalidArgument, "path: is empty"),
        (customer(""), Code::InvalidArgument, "customer: is empty"),
        (customer("_other"), Code::InvalidArgument, "_other is Tally's own"),
        (customer(&"x".repeat(300)), Code::InvalidArgument, "300 bytes"),
        (selection(prefix("/")).unwrap(), Code::FailedPrecondition, "every path"),
        (regex("."), Code::FailedPrecondition, "everything"),
        (regex("("), Code::InvalidArgument, "path_regex"),
        (regex("(a{1000}){1000}"), Code::InvalidArgument, "path_regex"),
        (regex(&"a".repeat(2_000)), Code::InvalidArgument, "path_regex: has 2000 bytes"),
    ] {
        let refused = forgotten(&counting, selection).await.expect_err(words);
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(words), "{words}: {}", refused.message());
    }
    let nothing = proto::MergeRequest { into_path: None, ..merge(path("/a"), "") };
    for (request, code, words) in [
        (nothing, Code::InvalidArgument, "into: is empty"),
        (merge(path("/a"), ""), Code::InvalidArgument, "into_path: is empty"),
        (merge(path("/a"), "/a"), Code::InvalidArgument, "into itself"),
        (merge(path("/typo"), "/b"), Code::NotFound, "spelling"),
        (merge(PathIs::PathRegex(".".into()), "/b"), Code::FailedPrecondition, "everything"),
        (merge(path("/a"), "_other"), Code::InvalidArgument, "_other is Tally's own"),
        (merge(path("/a"), &"x".repeat(3_000)), Code::InvalidArgument, "into_path"),
    ] {
        let refused = merged(&counting, request).await.expect_err(words);
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(words), "{words}: {}", refused.message());
    }
    assert_eq!(sums(&counting).await, expected(&[("/a", "x", 1), ("/b", "", 2)]));
    assert_eq!(backend.count("tally_request_changes").await, 0);
    // All of it, if that is what is wanted.
    let request = proto::ForgetRequest {
        selection: selection(prefix("/")),
        everything: true,
        ..Default::default()
    };
    counting.book_client().await.forget(request).await.unwrap();
    assert_eq!(sums(&counting).await, expected(&[("_forgotten", "x", 1), ("_forgotten", "", 2)]));
}

async fn merges_follow_each_other_but_not_in_a_circle(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", ""), 1), (of("/b", ""), 2), (of("/c", ""), 4)]).await;
    merged(&counting, merge(path("/a"), "/b")).await.unwrap();
    for from in ["/b", "/c"] {
        let refused = merged(&counting, merge(path(from), "/a")).await;
        let refused = refused.expect_err("a circle, or a chain");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("counts under path \"/b\""), "{refused}");
    }
    merged(&counting, merge(path("/b"), "/c")).await.unwrap();
    counting.add(vec![get("/a", NOW), get("/b", NOW)]).await.unwrap();
    assert_eq!(sums(&counting).await, expected(&[("/c", "", 9)]));
    assert_eq!(backend.audit().await, 9);
}

/// Each of these merges changes another field than the one before, and the last ones lead back.
async fn a_circle_through_several_fields_holds_nothing_up(backend: Backend) {
    let counting = start(&backend).await;
    let named = |service: &str, path: &str, customer: &str| proto::Series {
        service: service.into(),
        ..of(path, customer)
    };
    let steps = [
        (("t0", "/c0", "k1"), ("", "", "k0")),
        (("t0", "/c1", "k1"), ("", "/c0", "")),
        (("t1", "/c1", "k1"), ("t0", "", "")),
        (("t1", "/c1", "k0"), ("", "", "k1")),
        (("t1", "/c0", "k0"), ("", "/c1", "")),
        (("t0", "/c0", "k0"), ("t1", "", "")),
    ];
    let into = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut refused = Vec::new();
    for ((service, path, customer), (into_service, into_path, into_customer)) in steps {
        record(&counting, NOW, &[(named(service, path, customer), 1)]).await;
        let selection = proto::Selection {
            path_is: Some(PathIs::Path(path.into())),
            service: Some(service.into()),
            customer: Some(customer.into()),
        };
        let request = proto::MergeRequest {
            selection: Some(selection),
            into_service: into(into_service),
            into_path: into(into_path),
            into_customer: into(into_customer),
            ..Default::default()
        };
        if let Err(error) = merged(&counting, request).await {
            refused.push(error.code());
        }
    }
    assert_eq!(refused, [Code::FailedPrecondition], "the one that would close it");
    record(&counting, NOW, &[(named("t0", "/c0", "k1"), 10), (of("/other", "eve"), 1)]).await;
    forgotten(&counting, customer("eve")).await.unwrap();
    counting.service.keeper().tick().await.unwrap();
    assert_eq!(backend.audit().await, 17);
    is_gone(&backend, "eve").await;
}
