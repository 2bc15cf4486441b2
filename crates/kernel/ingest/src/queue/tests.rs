//! The queue by itself.

use super::*;

#[derive(Debug)]
struct Three;

impl Rows for Three {
    fn rows(&self) -> usize {
        3
    }
    fn bytes(&self) -> usize {
        3
    }
}

fn size<R, O>(taken: Option<Taken<R, O>>) -> usize {
    taken.map_or(0, |taken| taken.chunks.len())
}

fn limits(rows_max: u32) -> Limits {
    Limits { rows_max, bytes_max: 1000, wait_max: Duration::from_millis(50) }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_gives_the_rows_back() {
    let queue = Queue::new(limits(4));
    let receipt = Receipt::<()>::new();
    queue.push(Three, &receipt).await.expect("room for three");
    assert!(queue.push(Three, &receipt).await.is_err());
    drop(queue.batch(10, 0).await);
    queue.push(Three, &receipt).await.expect("room again");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_larger_than_the_queue_passes_alone() {
    let queue = Queue::new(limits(2));
    let receipt = Receipt::<()>::new();
    queue.push(Three, &receipt).await.expect("takes the whole queue");
    assert!(queue.push(Three, &receipt).await.is_err());
}

/// Also when a batch took the whole queue because it was thought to be larger.
#[tokio::test(start_paused = true)]
async fn what_is_not_needed_is_given_back() {
    let queue = Queue::<Three, ()>::new(limits(6));
    let mut room = queue.reserve(100, 10).await.expect("all of it");
    assert_eq!(queue.rows(), 6);
    room.keep(4, 3);
    assert_eq!(queue.rows(), 4);
    let other = queue.reserve(2, 997).await.expect("what was given back");
    room.keep(5, 5);
    assert_eq!(queue.rows(), 6);
    drop((room, other));
    assert_eq!(queue.rows(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_was_taken_counts_until_it_is_given_back() {
    let queue = Queue::new(limits(6));
    let receipt = Receipt::<()>::new();
    let mut room = queue.reserve(3, 3).await.expect("room for three");
    room.merge(queue.reserve(3, 3).await.expect("room for three more"));
    assert_eq!(queue.rows(), 6);
    assert!(queue.reserve(1, 1).await.is_none());
    queue.push_into(room, Three, 3, &receipt).expect("a place of its own");
    drop(queue.batch(10, 0).await);
    assert_eq!(queue.rows(), 0);
}

#[tokio::test]
async fn a_batch_takes_what_waits_up_to_the_limit() {
    let queue = Queue::new(limits(100));
    let receipt = Receipt::<()>::new();
    for _ in 0..5 {
        queue.push(Three, &receipt).await.expect("room");
    }
    let sizes = [queue.batch(7, 0).await, queue.batch(100, 0).await];
    assert_eq!(sizes.map(size), [3, 2]);
}

/// Nothing but updates.
#[derive(Debug)]
struct Updates;

impl Rows for Updates {
    fn rows(&self) -> usize {
        1
    }
    fn updates(&self) -> usize {
        BATCH_UPDATES_MAX / 4
    }
    fn bytes(&self) -> usize {
        1
    }
}

#[tokio::test]
async fn a_batch_changes_no_more_than_it_may() {
    let queue = Queue::new(limits(100));
    let receipt = Receipt::<()>::new();
    for _ in 0..10 {
        queue.push(Updates, &receipt).await.expect("room");
    }
    for size in [4, 4, 2] {
        assert_eq!(self::size(queue.batch(100, 0).await), size);
    }
}

/// Many rows of somebody.
#[derive(Debug)]
struct Of(u64);

impl Rows for Of {
    fn rows(&self) -> usize {
        TURN_ROWS_MIN / 2 + 1
    }
    fn bytes(&self) -> usize {
        1
    }
}

/// However much one of them has sent before the others, and a batch is no longer than a turn.
#[tokio::test]
async fn those_who_send_at_the_same_time_have_turns() {
    let queue = Queue::new(limits(10_000));
    let receipt = Receipt::<()>::new();
    for (sender, chunks) in [(1, 4), (2, 1), (3, 2)] {
        for _ in 0..chunks {
            let push = queue.push(Of(sender), &receipt);
            Asker::connection(sender).asks(push).await.expect("room");
        }
    }
    queue.writing.wrote(TURN_ROWS_MIN, TURN);
    for senders in [&[1, 2][..], &[3, 1], &[3, 1, 1]] {
        let taken = queue.batch(10_000, 0).await.expect("some wait");
        let of: Vec<_> = taken.chunks.iter().map(|chunk| chunk.rows.0).collect();
        assert_eq!(of, senders);
    }
}

/// Until it ends, or enough rows wait, or a moment is over.
#[tokio::test(start_paused = true)]
async fn a_small_batch_waits_for_another_one() {
    let queue = Queue::new(limits(1_000));
    let receipt = Receipt::<()>::new();
    let push = async || queue.push(Three, &receipt).await.expect("room");
    push().await;
    let first = queue.batch(100, 9).await.expect("alone, it does not wait");
    push().await;
    let (second, ()) = tokio::join!(queue.batch(100, 9), async {
        push().await;
        drop(first);
    });
    let second = second.expect("chunks");
    assert_eq!(second.chunks.len(), 2);
    for _ in 0..3 {
        push().await;
    }
    let begun = Instant::now();
    assert_eq!(size(queue.batch(100, 9).await), 3, "enough rows");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    push().await;
    assert_eq!(size(queue.batch(100, 9).await), 1);
    assert_eq!(begun.elapsed(), JOIN_WAIT_MAX);
    push().await;
    queue.close();
    assert_eq!(size(queue.batch(100, 9).await), 1);
    assert_eq!(begun.elapsed(), JOIN_WAIT_MAX);
    drop(second);
}

#[tokio::test]
async fn a_closed_queue_ends_when_it_is_empty() {
    let queue = Queue::new(limits(100));
    let receipt = Receipt::<()>::new();
    queue.push(Three, &receipt).await.expect("room");
    queue.close();
    assert!(queue.push(Three, &receipt).await.is_err());
    assert_eq!(size(queue.batch(10, 0).await), 1);
    assert!(queue.batch(10, 0).await.is_none());
    assert!(queue.batch(10, 0).await.is_none());
}
