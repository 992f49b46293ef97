//! Cursors that other nodes have moved: who has got and read what there, told to those here.
//!
//! The store says it, each move once, whatever becomes of the broker or of the node that made it. MQTT only says that it
//! is worth looking before the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqttchat_store::{Moment, Moved, StoreError};
use tokio::time::{sleep, timeout};

use crate::hub::Hub;

/// How often the store is asked when nothing rings.
const MOVES_EVERY: Duration = Duration::from_millis(500);

/// How long it is left alone after that: what moves together is asked for together.
const PAUSE: Duration = Duration::from_millis(10);

/// How often old moves are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(30);

impl Hub {
    /// Something has moved on another node: it is looked for at once.
    pub(crate) fn rung_move(&self) {
        self.moved.notify_one();
    }

    /// Tells of cursors that other nodes move, for as long as the node runs.
    pub(crate) async fn tell_moves(self: Arc<Self>) {
        let mut seen = None;
        let mut left = Vec::new();
        let mut forgot = Instant::now();
        loop {
            if let Err(error) = self.tell_moves_once(&mut seen, &mut left).await {
                tracing::warn!(%error, "who has got what can't be told yet");
            }
            if forgot.elapsed() >= FORGET_EVERY {
                forgot = Instant::now();
                if let Err(error) = self.store.forget_moves().await {
                    tracing::warn!(%error, "what was told can't be forgotten");
                }
            }
            sleep(PAUSE).await;
            let _ = timeout(MOVES_EVERY, self.moved.notified()).await;
        }
    }

    /// `seen`: up to when it has been looked; `left`: what of it is still to be told, the oldest first.
    async fn tell_moves_once(
        &self,
        seen: &mut Option<Moment>,
        left: &mut Vec<Moved>,
    ) -> Result<(), StoreError> {
        // Bounded: whatever is left waits for the store, and nobody moves a cursor without it.
        if left.is_empty() {
            let (now, moved) = self.store.moves_since(seen.as_ref()).await?;
            (*seen, *left) = (Some(now), moved);
        }
        let mut waiting = std::mem::take(left).into_iter();
        for moved in waiting.by_ref() {
            if let Err((error, rest)) = self.tell_moved(moved).await {
                left.push(rest);
                left.extend(waiting);
                return Err(error);
            }
        }
        Ok(())
    }
}
