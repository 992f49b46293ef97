//! The writer's queue: bounded in bytes, in order, emptied a batch at a time.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// How much waits or is being committed, in bytes. Nothing weighs less than 256, so it bounds the count too.
pub(crate) const QUEUE_BYTES: usize = 8 << 20;
/// How much is committed together. More waits for the next commit, so that nobody waits for a very large one.
const BATCH_BYTES: usize = 2 << 20;
const BATCH_LEN: usize = 4096;

/// A queue from many tasks to one thread.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    room: Semaphore,
}

struct State<T> {
    waiting: VecDeque<(usize, T)>,
    parked: bool,
    closed: bool,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A batch. This much is to be [released](Queue::release) when it is done with.
    Batch {
        /// Its weight.
        weight: usize,
    },
    /// Nothing came in the time given.
    Nothing,
    /// Nothing will ever come again.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), parked: false, closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), room: Semaphore::new(QUEUE_BYTES) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, waiting for room in the order of calls. Gives it back when the queue is closed.
    pub(crate) async fn push(&self, weight: usize, item: T) -> Result<(), T> {
        // Something larger than the queue waits until it is empty, not for ever.
        let weight = weight.min(QUEUE_BYTES);
        let Ok(permit) = self.room.acquire_many(u32::try_from(weight).unwrap_or(u32::MAX)).await else {
            return Err(item);
        };
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        permit.forget();
        state.waiting.push_back((weight, item));
        if std::mem::take(&mut state.parked) {
            drop(state);
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Fills `batch` with what waits, waiting for something for as long as `patience` lasts. For one thread only.
    pub(crate) fn take(&self, batch: &mut Vec<T>, patience: Option<Duration>) -> Taken {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            state.parked = true;
            state = match patience {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (guard, timed_out) =
                        self.ready.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    state = guard;
                    if timed_out.timed_out() && state.waiting.is_empty() && !state.closed {
                        state.parked = false;
                        return Taken::Nothing;
                    }
                    state
                }
            };
        }
        state.parked = false;
        let mut weight = 0;
        while batch.len() < BATCH_LEN && weight < BATCH_BYTES {
            let Some((one, item)) = state.waiting.pop_front() else { break };
            weight += one;
            batch.push(item);
        }
        Taken::Batch { weight }
    }

    /// Makes room again.
    pub(crate) fn release(&self, weight: usize) {
        self.room.add_permits(weight);
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Lets nothing in any more. What is in can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn waits_when_full_and_goes_on_in_order() {
        let queue = Queue::new();
        queue.push(QUEUE_BYTES - 10, 1).await.unwrap();
        let mut large = pin!(queue.push(20, 2));
        let mut small = pin!(queue.push(5, 3));
        assert!(poll_once(large.as_mut()).is_pending());
        assert!(poll_once(small.as_mut()).is_pending(), "the small one must not overtake");
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch, None), Taken::Batch { weight: QUEUE_BYTES - 10 });
        queue.release(QUEUE_BYTES - 10);
        large.await.unwrap();
        small.await.unwrap();
        assert_eq!(queue.take(&mut batch, None), Taken::Batch { weight: 25 });
        assert_eq!(batch, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_batch_is_bounded() {
        let queue = Queue::new();
        for item in 0..BATCH_LEN + 1 {
            queue.push(256, item).await.unwrap();
        }
        let mut batch = Vec::new();
        queue.take(&mut batch, None);
        assert_eq!((batch.len(), queue.len()), (BATCH_LEN, 1));
    }

    #[tokio::test]
    async fn something_larger_than_the_queue_gets_in() {
        let queue = Queue::new();
        queue.push(QUEUE_BYTES * 2, ()).await.unwrap();
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch, None), Taken::Batch { weight: QUEUE_BYTES });
    }

    #[tokio::test]
    async fn closed_lets_out_but_not_in() {
        let queue = Queue::new();
        queue.push(QUEUE_BYTES, 1).await.unwrap();
        let mut waiting = pin!(queue.push(1, 2));
        assert!(poll_once(waiting.as_mut()).is_pending());
        queue.close();
        assert_eq!(waiting.await, Err(2));
        assert_eq!(queue.push(1, 3).await, Err(3));
        let mut batch = Vec::new();
        assert!(matches!(queue.take(&mut batch, None), Taken::Batch { .. }));
        assert_eq!(queue.take(&mut batch, None), Taken::Closed);
        assert_eq!(batch, [1]);
    }

    #[test]
    fn nothing_comes() {
        let queue = Queue::<()>::new();
        assert_eq!(queue.take(&mut Vec::new(), Some(Duration::from_millis(1))), Taken::Nothing);
    }
}
