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

/// A place in the line, until this is dropped.
#[derive(Debug)]
pub struct Place<const N: usize> {
    shared: Arc<Shared<N>>,
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
        self.line_up(amounts, usize::MAX, usize::MAX)?.turn().await
    }

    /// Takes a place in the line at once; its turn is when [`take`](Self::take) would return. None if the
    /// asker would wait and so many of its own wait already, or so many in all.
    pub fn line_up(&self, amounts: [usize; N], own_max: usize, all_max: usize) -> Option<Place<N>> {
        let (shared, asker) = (Arc::clone(&self.0), Asker::current());
        let amounts = std::array::from_fn(|at| amounts[at].min(shared.max[at]));
        let (teller, told) = oneshot::channel();
        let mut state = shared.lock();
        let is_free = !state.is_closed && state.waiting.is_empty() && state.takes(amounts);
        if is_free {
            let taken = Taken { shared: Arc::clone(&shared), amounts };
            teller.send(taken).expect("its receiver is here");
        } else if state.waiting.of(asker) >= own_max || state.waiting.len() >= all_max {
            return None;
        } else if !state.is_closed {
            state.waiting.push(asker, Waiter { amounts, told: teller });
        }
        drop(state);
        Some(Place { shared, told })
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

// === impl Place ===

impl<const N: usize> Place<N> {
    /// Waits for its turn. None once all is closed.
    pub async fn turn(mut self) -> Option<Taken<N>> {
        (&mut self.told).await.ok()
    }
}

impl<const N: usize> Drop for Place<N> {
    fn drop(&mut self) {
        self.told.close();
        // It may have been in the way of others.
        self.shared.serve();
    }
}

#[cfg(test)]
mod tests;
