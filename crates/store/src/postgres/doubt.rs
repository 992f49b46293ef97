//! Commits whose connection was lost, and of which nobody could say in time what became of them.
//!
//! Those who waited for them were told that the store is unavailable, which is true either way. But what they stored
//! after all is in the log, and has to be told to everybody as anything else in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::batch::Witness;
use super::write::Verdict;

/// What is doubted. As a rule nothing: the writer looks what became of such a commit before it makes another.
#[derive(Default)]
pub(super) struct Doubts {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    open: Vec<Doubt>,
    /// Positions that turned out to be in the log, and that nobody has taken yet.
    late: Vec<u64>,
}

struct Doubt {
    witness: Arc<Witness>,
    positions: Vec<u64>,
}

impl Doubts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a commit for later. One that stores no entry needs no remembering.
    pub(super) fn open(&self, witness: Witness, verdicts: &[Verdict]) {
        let stored = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Stored { position, .. } => Some(*position),
            _ => None,
        });
        let positions: Vec<_> = stored.collect();
        if !positions.is_empty() {
            self.state().open.push(Doubt { witness: Arc::new(witness), positions });
        }
    }

    /// The oldest commit that is still doubted.
    pub(super) fn first(&self) -> Option<Arc<Witness>> {
        self.state().open.first().map(|doubt| doubt.witness.clone())
    }

    /// Ends the oldest doubt.
    pub(super) fn settle_first(&self, committed: bool) {
        let mut state = self.state();
        if state.open.is_empty() {
            return;
        }
        let doubt = state.open.remove(0);
        if committed {
            state.late.extend(doubt.positions);
            self.news.notify_one();
        }
    }

    /// The lowest position that is doubted, or was and nobody has taken yet.
    pub(super) fn lowest(&self) -> Option<u64> {
        let state = self.state();
        let doubted = state.open.iter().flat_map(|doubt| &doubt.positions);
        doubted.chain(&state.late).min().copied()
    }

    /// Waits for positions that turned out to be in the log. They count as doubted until `take` has returned. Cancel
    /// safe.
    pub(super) async fn late(&self, take: impl FnOnce(&[u64])) {
        loop {
            let news = self.news.notified();
            {
                let mut state = self.state();
                if !state.late.is_empty() {
                    take(&state.late);
                    return state.late.clear();
                }
            }
            news.await;
        }
    }
}
