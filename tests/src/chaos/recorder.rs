//! Where all clients of a run write down what happens to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::history::{Record, What};

/// A history that is still being written. One lock puts everything into one order.
#[derive(Debug, Clone)]
pub struct Recorder {
    begun: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { begun: Instant::now(), records: Arc::default() }
    }
}

impl Recorder {
    /// Adds what has happened just now.
    pub fn note(&self, what: What) {
        let mut records = self.lock();
        let at = self.now();
        records.push(Record { at, what });
    }

    /// What time it is, in ms since the run began.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How often something like this has happened.
    #[must_use]
    pub fn count(&self, like: impl Fn(&What) -> bool) -> usize {
        self.lock().iter().filter(|record| like(&record.what)).count()
    }

    /// Takes everything out.
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
