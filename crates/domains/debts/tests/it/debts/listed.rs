//! Lists of debts, a page at a time.

use super::*;

on_every_backend!(
    pages_have_each_debt_once_and_the_overdue_ones_first,
    late_debts_are_found_and_counted
);

async fn pages_have_each_debt_once_and_the_overdue_ones_first(backend: &Backend) {
    let server = &backend.one;
    for slug in ["e", "d", "c", "b", "a"] {
        server.add(hourly(slug)).await.expect("added");
    }
    let pause = proto::PauseDebtRequest { debt: "c".to_owned() };
    server.service.pause_debt(asked(pause)).await.expect("paused");
    server.sweep_until("06:00:00", "06:50:00").await;
    for slug in ["d", "b"] {
        server.paid(pay(slug)).await.expect("paid");
    }
    server.sweep_until("06:50:00", "07:10:00").await;
    server.add(hourly("f")).await.expect("added");
    for limit in 1..=7 {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = proto::ListDebtsRequest { limit, after, ..Default::default() };
            let page = server.list(request).await;
            assert_eq!(page.counts, [1, 2, 2, 1, 0], "new, up, down, paused and late");
            all.extend(slugs(&page).into_iter().map(str::to_owned));
            after = page.next;
            if after.is_empty() {
                break;
            }
        }
        assert_eq!(all, ["a", "e", "b", "c", "d", "f"], "{limit} a page");
    }
    use proto::Status::{Down, Paused, Up};
    for (statuses, found) in [
        (vec![Paused, Down, Down, Paused], vec!["a", "e", "c"]),
        (vec![Up], vec!["b", "d"]),
        (vec![Down], vec!["a", "e"]),
    ] {
        let statuses: Vec<i32> = statuses.into_iter().map(i32::from).collect();
        let request = proto::ListDebtsRequest { statuses, limit: 1, ..Default::default() };
        let first = server.list(request.clone()).await;
        let rest =
            server.list(proto::ListDebtsRequest { after: first.next.clone(), limit: 9, ..request });
        assert_eq!([slugs(&first), slugs(&rest.await)].concat(), found);
    }
}

async fn late_debts_are_found_and_counted(backend: &Backend) {
    use proto::Status::{Late, New, Paused, Up};
    let server = &backend.one;
    for slug in ["e", "d", "c", "b", "a"] {
        server.add(hourly(slug)).await.expect("added");
    }
    server.sweep("06:00:00").await;
    server.paid(pay("d")).await.expect("paid");
    let pause = proto::PauseDebtRequest { debt: "c".to_owned() };
    server.service.pause_debt(asked(pause)).await.expect("paused");
    server.sweep_until("06:00:10", "06:59:50").await;
    server.paid(pay("e")).await.expect("paid");
    server.add(hourly("f")).await.expect("added");
    // What is due now has not come, and is not overdue yet.
    server.sweep("07:00:00").await;
    for (statuses, by_slug, found) in [
        (vec![], false, "a b d c e f"),
        (vec![], true, "a b c d e f"),
        (vec![Late], false, "a b d"),
        (vec![Late], true, "a b d"),
        (vec![Late, Up], false, "a b d e"),
        (vec![Late, Up], true, "a b d e"),
        (vec![Up], false, "e"),
        (vec![New, Paused], false, "c f"),
        (vec![New, Paused], true, "c f"),
    ] {
        let statuses: Vec<i32> = statuses.into_iter().map(i32::from).collect();
        for limit in [1, 2, 9] {
            let (mut all, mut after) = (Vec::new(), String::new());
            loop {
                let request = proto::ListDebtsRequest {
                    statuses: statuses.clone(),
                    by_slug,
                    limit,
                    after,
                    ..Default::default()
                };
                let page = server.list(request).await;
                assert_eq!(page.counts, [1, 1, 0, 1, 3], "new, up, down, paused and late");
                all.extend(slugs(&page).into_iter().map(str::to_owned));
                after = page.next;
                if after.is_empty() {
                    break;
                }
            }
            assert_eq!(all.join(" "), found, "{statuses:?}, by slug: {by_slug}, {limit} a page");
        }
    }
    for (slug, status) in [("a", Late), ("d", Late), ("c", Paused), ("e", Up), ("f", New)] {
        assert_eq!(server.status(slug).await, status, "{slug}");
    }
    assert_eq!(server.paid(pay("a")).await.expect("paid").debt.expect("a debt").status(), Up);
}
