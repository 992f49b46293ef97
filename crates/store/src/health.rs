//! Whether the store takes writes.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How the last write went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was committed, or none was tried yet.
    Ok,
    /// It failed; the sentence says why, for the operator.
    Failing(String),
}

/// The [`Health`] that a writer sets and anybody reads.
#[derive(Debug)]
pub(crate) struct HealthCell(Mutex<Health>);

impl HealthCell {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Health::Ok))
    }

    pub(crate) fn get(&self) -> Health {
        self.lock().clone()
    }

    pub(crate) fn is_ok(&self) -> bool {
        *self.lock() == Health::Ok
    }

    /// Sets it and logs when it turns: once, not for each write that fails.
    pub(crate) fn set(&self, health: Health) {
        let before = std::mem::replace(&mut *self.lock(), health.clone());
        match (before, health) {
            (Health::Ok, Health::Failing(reason)) => tracing::error!(reason, "the store takes no writes"),
            (Health::Failing(_), Health::Ok) => tracing::info!("the store takes writes again"),
            (Health::Failing(before), Health::Failing(reason)) if before != reason => {
                tracing::error!(reason, "the store still takes no writes");
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
