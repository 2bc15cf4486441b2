//! Turns: those who ask at the same time are served one after the other, however much each of them asks for.
//!
//! Who asks is the connection that a call came from. A task has it from the one that started it.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

tokio::task_local! {
    static ASKER: Asker;
}

/// Who asks. What nobody asked for is the server's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Asker(u64);

/// What waits, a line for each asker.
#[derive(Debug)]
pub struct Lines<T> {
    lines: HashMap<Asker, VecDeque<T>>,
    /// Those who have a line, in the order of their turns.
    turns: VecDeque<Asker>,
    len: usize,
}

/// Several amounts of which everybody takes some, in turns. Clones are the same.
#[derive(Debug)]
pub struct Turns<const N: usize>(Arc<Shared<N>>);

/// Some of each amount, given back when this is dropped.
#[derive(Debug)]
pub struct Taken<const N: usize> {
    shared: Arc<Shared<N>>,
    amounts: [usize; N],
}

#[derive(Debug)]
struct Shared<const N: usize> {
    max: [usize; N],
    state: Mutex<State<N>>,
}

#[derive(Debug)]
struct State<const N: usize> {
    free: [usize; N],
    waiting: Lines<Waiter<N>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiter<const N: usize> {
    amounts: [usize; N],
    told: oneshot::Sender<Taken<N>>,
}

/// Somebody waits, until this is dropped.
struct Waiting<'a, const N: usize> {
    shared: &'a Arc<Shared<N>>,
    told: oneshot::Receiver<Taken<N>>,
}

// === impl Asker ===

impl Asker {
    /// The connection of this number. 0 is the server itself.
    #[must_use]
    pub fn connection(number: u64) -> Self {
        Self(number)
    }

    /// Who asks for what is being done now.
    #[must_use]
    pub fn current() -> Self {
        ASKER.try_get().unwrap_or_default()
    }

    /// Does this for the asker.
    pub fn asks<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        ASKER.scope(self, work)
    }
}

// === impl Lines ===

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> Lines<T> {
    /// Puts something at the end of an asker's line.
    pub fn push(&mut self, asker: Asker, one: T) {
        let line = self.lines.entry(asker).or_default();
        if line.is_empty() {
            self.turns.push_back(asker);
        }
        line.push_back(one);
        self.len += 1;
    }

    /// What is next.
    #[must_use]
    pub fn next(&self) -> Option<&T> {
        self.lines.get(self.turns.front()?)?.front()
    }

    /// Takes what is next. The asker's next turn comes after those of all others.
    pub fn take(&mut self) -> Option<T> {
        let asker = self.turns.pop_front()?;
        let line = self.lines.get_mut(&asker)?;
        let one = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        self.len -= usize::from(one.is_some());
        one
    }

    /// The first of each line.
    pub fn firsts(&self) -> impl Iterator<Item = &T> {
        self.lines.values().filter_map(VecDeque::front)
    }

    /// How many askers there are.
    #[must_use]
    pub fn askers(&self) -> usize {
        self.turns.len()
    }

    /// How many wait in an asker's line.
    #[must_use]
    pub fn of(&self, asker: Asker) -> usize {
        self.lines.get(&asker).map_or(0, VecDeque::len)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

// === impl Turns ===

impl<const N: usize> Clone for Turns<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<const N: usize> Turns<N> {
    /// All of these amounts are free.
    #[must_use]
    pub fn new(max: [usize; N]) -> Self {
        let state = State { free: max, waiting: Lines::default(), is_closed: false };
        Self(Arc::new(Shared { max, state: Mutex::new(state) }))
    }

    /// Takes some of each, once they are free and it is the asker's turn. More than there is means all.
    /// None once it is closed.
    pub async fn take(&self, amounts: [usize; N]) -> Option<Taken<N>> {
        let shared = &self.0;
        let amounts = std::array::from_fn(|at| amounts[at].min(shared.max[at]));
        let mut waiting = {
            let mut state = shared.lock();
            if state.is_closed {
                return None;
            }
            if state.waiting.is_empty() && state.takes(amounts) {
                return Some(Taken { shared: Arc::clone(shared), amounts });
            }
            let (teller, told) = oneshot::channel();
            state.waiting.push(Asker::current(), Waiter { amounts, told: teller });
            Waiting { shared, told }
        };
        (&mut waiting.told).await.ok()
    }

    /// Whoever waits gets nothing, and nobody will.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// How much of each is taken.
    #[must_use]
    pub fn taken(&self) -> [usize; N] {
        let free = self.0.lock().free;
        std::array::from_fn(|at| self.0.max[at] - free[at])
    }

    /// How many wait who are the current asker, and how many in all.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.waiting.of(Asker::current()), state.waiting.len())
    }
}

// === impl Shared ===

impl<const N: usize> Shared<N> {
    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(self: &Arc<Self>, amounts: [usize; N]) {
        let mut state = self.lock();
        for (free, amount) in state.free.iter_mut().zip(amounts) {
            *free += amount;
        }
        drop(state);
        self.serve();
    }

    /// Serves those whose turn it is, as far as there is enough.
    fn serve(self: &Arc<Self>) {
        let mut served = Vec::new();
        let mut state = self.lock();
        while let Some(next) = state.waiting.next() {
            let (amounts, is_gone) = (next.amounts, next.told.is_closed());
            if !is_gone && !state.takes(amounts) {
                break;
            }
            if let Some(waiter) = state.waiting.take()
                && !is_gone
            {
                served.push((waiter.told, amounts));
            }
        }
        drop(state);
        for (told, amounts) in served {
            // Whoever has gone meanwhile gives it back by dropping it.
            drop(told.send(Taken { shared: Arc::clone(self), amounts }));
        }
    }
}

// === impl State ===

impl<const N: usize> State<N> {
    fn takes(&mut self, amounts: [usize; N]) -> bool {
        let fits = self.free.iter().zip(amounts).all(|(free, amount)| amount <= *free);
        if fits {
            for (free, amount) in self.free.iter_mut().zip(amounts) {
                *free -= amount;
            }
        }
        fits
    }
}

// === impl Taken ===

impl<const N: usize> Taken<N> {
    /// Adds what was taken of the same amounts.
    pub fn merge(&mut self, mut other: Self) {
        for (own, amount) in self.amounts.iter_mut().zip(&mut other.amounts) {
            *own += std::mem::take(amount);
        }
    }

    /// Gives back what is beyond this.
    pub fn keep(&mut self, amounts: [usize; N]) {
        let mut beyond = [0; N];
        for ((own, amount), beyond) in self.amounts.iter_mut().zip(amounts).zip(&mut beyond) {
            *beyond = own.saturating_sub(amount);
            *own -= *beyond;
        }
        self.shared.give(beyond);
    }
}

impl<const N: usize> Drop for Taken<N> {
    fn drop(&mut self) {
        self.shared.give(self.amounts);
    }
}

// === impl Waiting ===

impl<const N: usize> Drop for Waiting<'_, N> {
    fn drop(&mut self) {
        self.told.close();
        // It may have been in the way of others.
        self.shared.serve();
    }
}

#[cfg(test)]
mod tests {
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
        let (order, mut orders) = tokio::sync::mpsc::unbounded_channel();
        let tasks = Tasks::new();
        for (asker, count) in [(1, 5), (2, 1)] {
            for _ in 0..count {
                let (turns, order) = (turns.clone(), order.clone());
                let take = async move {
                    let taken = turns.take([6, 1]).await;
                    order.send(Asker::current().0).expect("it is received");
                    tokio::task::yield_now().await;
                    drop(taken);
                };
                // A task has its asker from the one that started it.
                let inner = tasks.clone();
                let spawn = async move { inner.spawn("take", take).await.expect("no panic") };
                tasks.spawn("ask", Asker::connection(asker).asks(spawn));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(all);
        drop(order);
        let mut served = Vec::new();
        while let Some(asker) = orders.recv().await {
            served.push(asker);
        }
        assert_eq!(served, [1, 2, 1, 1, 1, 1]);
        tasks.finished().await;
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
}
