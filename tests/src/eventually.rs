//! Waiting for a condition that has no event to wait for.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::PATIENCE;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `poll` until it gives something, for at most [`PATIENCE`].
///
/// `Ok(None)` means "not yet"; an error ends the waiting at once. `what` completes the sentence
/// "waited 30 s for …".
///
/// # Errors
/// The error of `poll`, or a sentence with `what` when the time is over.
pub async fn eventually<T>(what: &str, mut poll: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = tokio::time::timeout_at(deadline, poll()).await;
        let waited = || format!("waited {} s for {what}", PATIENCE.as_secs());
        if let Some(found) = answer.with_context(waited)?? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!(waited());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
