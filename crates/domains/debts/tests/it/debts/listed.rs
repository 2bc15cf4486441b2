//! Lists of debts, a page at a time.

use super::*;

on_every_backend!(pages_have_each_debt_once_and_the_overdue_ones_first);

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
            assert_eq!(page.counts, [1, 2, 2, 1], "new, up, down and paused");
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
