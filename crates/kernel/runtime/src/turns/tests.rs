//! Turns and lines.

use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::Tasks;

/// Waits as long as a taker who has no turn waits for certain, because the clock is paused.
async fn take(turns: &Turns<2>, amounts: [usize; 2]) -> Option<Taken<2>> {
    timeout(Duration::from_secs(1), turns.take(amounts)).await.ok().flatten()
}

#[test]
fn lines_are_served_in_turns() {
    let mut lines = Lines::default();
    let [a, b, c] = [1, 2, 3].map(Asker::connection);
    for (asker, name) in [(a, "a1"), (a, "a2"), (a, "a3"), (b, "b1"), (c, "c1"), (b, "b2")] {
        lines.push(asker, name);
    }
    assert_eq!((lines.len(), lines.askers(), lines.of(a)), (6, 3, 3));
    let served: Vec<_> = std::iter::from_fn(|| lines.take()).collect();
    assert_eq!(served, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    assert!(lines.is_empty() && lines.askers() == 0 && lines.next().is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_asks_for_much_keeps_nobody_out() {
    let turns = Turns::new([10, 10]);
    let all = turns.take([10, 3]).await.expect("free");
    let mut waiting = Vec::new();
    for (asker, count) in [(1, 5), (2, 1)] {
        for _ in 0..count {
            let line_up = async { turns.line_up([6, 1], 5, 6).expect("few wait") };
            let place = Asker::connection(asker).asks(line_up).await;
            waiting.push((asker, Box::pin(place.turn())));
        }
    }
    assert_eq!(turns.waiting(), (0, 6));
    drop(all);
    let mut served = Vec::new();
    while !waiting.is_empty() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut turns = waiting.iter_mut().map(|(_, turn)| turn.as_mut().poll(cx));
        let at = turns.position(|turn| turn.is_ready()).expect("it is somebody's turn");
        served.push(waiting.remove(at).0);
    }
    assert_eq!(served, [1, 2, 1, 1, 1, 1]);
    assert_eq!((turns.taken(), turns.waiting()), ([0, 0], (0, 0)));
}

/// Otherwise many who ask for little would keep one out who asks for much.
#[tokio::test]
async fn nobody_passes_one_who_waits() {
    let turns = Turns::new([2, 2]);
    let line_up = |asker, amounts| {
        let turns = turns.clone();
        Asker::connection(asker).asks(async move { turns.line_up(amounts, 9, 9).expect("few") })
    };
    let held = turns.take([1, 1]).await.expect("free");
    let (large, small) = (line_up(1, [2, 2]).await, line_up(2, [1, 1]).await);
    assert_eq!(turns.taken(), [1, 1], "there is room for the small one, which came later");
    drop(held);
    drop(large.turn().await.expect("its turn"));
    drop(small.turn().await.expect("its turn"));
    assert_eq!(turns.taken(), [0, 0]);
}

/// What a task asks for is asked for by the one that started it.
#[tokio::test]
async fn a_task_asks_for_the_one_that_started_it() {
    let start = async { Tasks::new().spawn("of it", async { Asker::current() }).await };
    let asker = Asker::connection(7).asks(start).await.expect("no panic");
    assert_eq!(asker, Asker::connection(7));
}

/// Even if nobody has begun to wait for its turn.
#[tokio::test]
async fn lines_have_an_end() {
    let turns = Turns::new([1, 1]);
    let line_up = |asker| {
        let turns = turns.clone();
        Asker::connection(asker).asks(async move { turns.line_up([1, 1], 2, 3) })
    };
    let held = line_up(1).await.expect("it is free");
    let (first, second) = (line_up(1).await.expect("few"), line_up(1).await.expect("few"));
    assert!(line_up(1).await.is_none(), "two of its own wait");
    let other = line_up(2).await.expect("few");
    assert!(line_up(3).await.is_none(), "three wait");
    drop((first, held.turn().await.expect("it is free")));
    let third = line_up(3).await.expect("one has gone, and one has its turn");
    drop((second, other, third));
    assert_eq!((turns.taken(), turns.waiting()), ([0, 0], (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_in_nobodys_way() {
    let turns = Turns::new([10, 10]);
    let mut held = turns.take([8, 1]).await.expect("free");
    let (large, small) = tokio::join!(take(&turns, [9, 1]), async {
        tokio::task::yield_now().await;
        timeout(Duration::from_secs(9), turns.take([2, 1])).await.ok().flatten()
    });
    assert!(large.is_none() && small.is_some(), "the large one has gone");
    held.merge(small.expect("it is there"));
    assert_eq!(turns.taken(), [10, 2]);
    held.keep([3, 5]);
    assert_eq!(turns.taken(), [3, 2]);
    let rest = take(&turns, [100, 1]).await;
    assert!(rest.is_none(), "more than all is all");
    drop(held);
    let all = take(&turns, [100, 1]).await.expect("all are free");
    assert_eq!(turns.taken(), [10, 1]);
    let (waiting, ()) = tokio::join!(turns.take([1, 1]), async { turns.close() });
    assert!(waiting.is_none() && turns.take([0, 0]).await.is_none());
    drop(all);
    assert_eq!(turns.taken(), [0, 0]);
}
