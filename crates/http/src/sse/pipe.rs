//! What is on its way from a session to the body of a response.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures::Stream;

/// Both ends share it.
#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    progress: Instant,
    /// The session will feed nothing more.
    ended: bool,
    /// The connection will take nothing more.
    dropped: bool,
    taker: Option<Waker>,
    feeder: Option<Waker>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
            progress: Instant::now(),
            ended: false,
            dropped: false,
            taker: None,
            feeder: None,
        }
    }
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, unless nobody takes it any more. Its size is the session's to bound.
    pub(super) fn push(&self, chunk: Bytes) {
        let mut state = self.state();
        if state.dropped || state.ended {
            return;
        }
        if state.bytes == 0 {
            state.progress = Instant::now();
        }
        state.bytes += chunk.len();
        state.chunks.push_back(chunk);
        if let Some(taker) = state.taker.take() {
            taker.wake();
        }
    }

    /// Ends it behind what is in it, or with `now` at once.
    pub(super) fn end(&self, now: bool) {
        let mut state = self.state();
        state.ended = true;
        if now {
            state.chunks.clear();
            state.bytes = 0;
        }
        if let Some(taker) = state.taker.take() {
            taker.wake();
        }
    }

    /// Bytes that nobody has taken yet.
    pub(super) fn backlog(&self) -> usize {
        self.state().bytes
    }

    /// When something was last taken, or put into an empty pipe.
    pub(super) fn progress(&self) -> Instant {
        self.state().progress
    }

    /// Ready when nothing is in it, with whether somebody is still there to take more; with `waits`, only when nobody is.
    pub(super) fn poll_taken(&self, cx: &mut Context<'_>, waits: bool) -> Poll<bool> {
        let mut state = self.state();
        if state.dropped {
            return Poll::Ready(false);
        }
        if state.chunks.is_empty() && !waits {
            return Poll::Ready(true);
        }
        state.feeder = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The body of a response that goes on for as long as the session does.
#[derive(Debug)]
pub(crate) struct EventBody(pub(super) Arc<Pipe>);

impl Stream for EventBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state();
        let Some(chunk) = state.chunks.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.taker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= chunk.len();
        state.progress = Instant::now();
        if let Some(feeder) = state.feeder.take() {
            feeder.wake();
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.dropped = true;
        state.chunks.clear();
        state.bytes = 0;
        if let Some(feeder) = state.feeder.take() {
            feeder.wake();
        }
    }
}
