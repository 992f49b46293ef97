//! Positions: how far somebody has come who reads the whole log, such as the webhook.

use crate::{Store, StoreError, on_backend};

impl Store {
    /// How far a reader has come, by the name that it gave itself; `None` when it has never said so.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn position(&self, reader: &str) -> Result<Option<u64>, StoreError> {
        on_backend!(self, backend => backend.position(&key(reader)).await)
    }

    /// Remembers how far a reader has come.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn set_position(&self, reader: &str, position: u64) -> Result<(), StoreError> {
        on_backend!(self, backend => backend.set_position(&key(reader), position).await)
    }

    /// The highest position of an entry at this moment; 0 when there is none. On a shared store one that is lower may
    /// still become visible.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn last_position(&self) -> Result<u64, StoreError> {
        on_backend!(self, backend => backend.last_position().await)
    }
}

/// Where it stands among the store's settings.
fn key(reader: &str) -> String {
    format!("position of {reader}")
}
