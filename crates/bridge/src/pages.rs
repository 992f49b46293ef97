//! How large the answers with lists in them may be: the more waits for clients that don't take it, the shorter they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of entries in one answer. Those that don't fit are asked for again with other bounds.
pub(crate) const ANSWER_MAX: usize = 1 << 20;

/// So many there may always be: some hundred messages of the usual length.
pub(crate) const ANSWER_MIN: usize = 64 << 10;

/// Bytes of answers that may wait on a node before each is as short as it can be.
const UNTAKEN_MAX: usize = 8 << 20;

/// The part of what is left that one answer may have.
const PART: usize = 8;

/// Answers that are being made at a time: what is read for them is in memory more than once.
const AT_ONCE: usize = 4;

/// Answers that wait for less than this are not counted.
const SMALL: usize = 4 << 10;

/// The answers of a node that are being made, and those that their clients haven't taken.
#[derive(Debug)]
pub(crate) struct Pages {
    untaken: Arc<AtomicUsize>,
    turns: Semaphore,
}

impl Default for Pages {
    fn default() -> Self {
        Self { untaken: Arc::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

/// The turn to make an answer.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Bytes of entries that the answer may have, [`ANSWER_MIN`] to [`ANSWER_MAX`].
    pub(crate) bytes: usize,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Pages {
    /// Waits, in order, for the turn to make an answer. Cancel safe.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        // It is never closed.
        let permit = self.turns.acquire().await.ok();
        let left = UNTAKEN_MAX.saturating_sub(self.untaken.load(Ordering::Relaxed));
        Turn { bytes: (left / PART).clamp(ANSWER_MIN, ANSWER_MAX), _permit: permit }
    }

    /// A share of what waits, of nothing yet.
    pub(crate) fn share(&self) -> Untaken {
        Untaken { all: self.untaken.clone(), bytes: 0 }
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(crate) fn untaken(&self) -> usize {
        self.untaken.load(Ordering::Relaxed)
    }
}

/// What waits for one client. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Untaken {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Untaken {
    /// So much waits now.
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = if bytes < SMALL { 0 } else { bytes };
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => {
                self.all.fetch_add(more, Ordering::Relaxed);
            }
            None => {
                self.all.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// An answer that counts for as long as its bytes are there.
#[derive(Debug)]
pub(crate) struct Counted {
    answer: Vec<u8>,
    _untaken: Untaken,
}

impl Counted {
    pub(crate) fn new(pages: &Pages, answer: Vec<u8>) -> Self {
        let mut untaken = pages.share();
        untaken.set(answer.len());
        Self { answer, _untaken: untaken }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_more_waits_the_shorter() {
        let pages = Pages::default();
        assert_eq!(pages.turn().await.bytes, ANSWER_MAX);
        let mut waiting = pages.share();
        waiting.set(UNTAKEN_MAX / 4 * 3);
        assert_eq!(pages.turn().await.bytes, UNTAKEN_MAX / 4 / PART);
        waiting.set(UNTAKEN_MAX * 2);
        assert_eq!(pages.turn().await.bytes, ANSWER_MIN);
        drop(waiting);
        assert_eq!((pages.untaken(), pages.turn().await.bytes), (0, ANSWER_MAX));
    }

    #[tokio::test]
    async fn an_answer_counts_for_as_long_as_it_is_there() {
        let pages = Pages::default();
        let answer = bytes::Bytes::from_owner(Counted::new(&pages, vec![b'x'; 10_000]));
        let rest = answer.slice(5000..);
        drop(answer);
        assert_eq!((rest.len(), pages.untaken()), (5000, 10_000));
        drop(rest);
        assert_eq!(pages.untaken(), 0);
        let small = Counted::new(&pages, vec![b'x'; 100]);
        assert_eq!((small.as_ref().len(), pages.untaken()), (100, 0));
    }

    #[tokio::test]
    async fn few_are_made_at_a_time() {
        let pages = Pages::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(pages.turn().await);
        }
        let next = pages.turn();
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
        turns.pop();
        assert!(futures::poll!(&mut next).is_ready());
    }
}
