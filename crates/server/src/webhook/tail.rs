//! Reading the log from where it was told last.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, stream};
use mqttchat_protocol::Entry;
use mqttchat_store::{Store, StoreError};
use tokio::time::sleep;

use super::event::{Event, Kind, reader};
use super::post::{Poster, Told};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the store is left alone when it failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Entries that are read at once; behind those that are told whole the position stands.
const PAGE: u64 = 64;

/// Events that are posted side by side.
const POSTS_AT_ONCE: usize = 8;

/// How old an event may be, in ms: one that couldn't be told in a day isn't told any more.
const AGE_MAX: u64 = 24 * 3600 * 1000;

/// How long to wait before an event is posted again: from this, doubled each time, up to that.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);

/// The log, for one kind of event.
pub(super) struct Tail {
    store: Store,
    kind: Kind,
    /// How old an entry has to be.
    age: Duration,
    poster: Arc<Poster>,
}

/// Marks where the log stands when the webhook is there for the first time: what was said before isn't told.
pub(super) async fn begin(store: &Store, kind: Kind) -> Result<(), StoreError> {
    let name = format!("webhook {}", kind.as_str());
    if store.position(&name).await?.is_none() {
        store.set_position(&name, store.last_position().await?).await?;
    }
    Ok(())
}

impl Tail {
    pub(super) fn new(store: &Store, kind: Kind, after: Duration, poster: &Arc<Poster>) -> Self {
        let age = if kind == Kind::Undelivered { after } else { Duration::ZERO };
        Self { store: store.clone(), kind, age, poster: poster.clone() }
    }

    /// Tells what happens, until it is dropped.
    pub(super) async fn follow(self) {
        loop {
            match self.round().await {
                Ok(true) => {}
                Ok(false) => sleep(LOOK_EVERY).await,
                Err(error) => {
                    tracing::warn!(%error, "the webhook can't read the log");
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Tells a page of each node's entries; `false` when there was none.
    async fn round(&self) -> Result<bool, StoreError> {
        let mut told = false;
        for node in self.store.nodes().await? {
            told |= self.tell_node(&node.name).await?;
        }
        Ok(told)
    }

    async fn tell_node(&self, node: &str) -> Result<bool, StoreError> {
        let name = format!("webhook {} {node}", self.kind.as_str());
        let begun = self.store.position(&format!("webhook {}", self.kind.as_str())).await?.unwrap_or(0);
        let after = self.store.position(&name).await?.unwrap_or(0).max(begun);
        let mut entries = self.store.unconfirmed(node, after, PAGE).await?;
        let now = now_ms();
        let due = |entry: &Entry| entry.time + self.age.as_millis() as u64 <= now;
        let many = entries.iter().take_while(|entry| due(entry)).count();
        entries.truncate(many);
        let Some(last) = entries.last().map(|entry| entry.position) else { return Ok(false) };
        let mut events = Vec::new();
        for entry in entries.iter().filter(|entry| self.kind.concerns(entry)) {
            if now.saturating_sub(entry.time) < AGE_MAX && !self.is_settled(entry).await? {
                events.push(Event::new(self.kind, entry, self.store.log_id()));
            }
        }
        stream::iter(events)
            .for_each_concurrent(POSTS_AT_ONCE, |event| async move { self.tell(&event).await })
            .await;
        self.store.set_position(&name, last).await?;
        Ok(true)
    }

    /// Whether there is nothing to tell any more: its reader has got it.
    async fn is_settled(&self, entry: &Entry) -> Result<bool, StoreError> {
        let Some(reader) = reader(entry).filter(|_| self.kind == Kind::Undelivered) else { return Ok(false) };
        let cursors = self.store.cursors(&entry.conversation).await?;
        Ok(cursors.iter().any(|cursor| cursor.user == reader && cursor.delivered >= entry.seq))
    }

    /// Posts an event until it is taken, refused for what it is, or too old.
    async fn tell(&self, event: &Event) {
        let mut pause = AGAIN_AFTER;
        let mut attempts = 0_u32;
        loop {
            let told = self.poster.post(event).await;
            metrics::counter!("mqttchat_webhook_total", "result" => told.label()).increment(1);
            attempts += 1;
            match told {
                Told::Taken => return,
                Told::Refused(status) => {
                    tracing::warn!(event = event.id, status, "the webhook doesn't want this event");
                    return;
                }
                Told::Failed(reason) if now_ms().saturating_sub(event.time) > AGE_MAX => {
                    tracing::error!(
                        event = event.id,
                        reason,
                        "an event couldn't be told for a day; it is given up"
                    );
                    return;
                }
                Told::Failed(reason) => {
                    // The first time, and about every ten minutes.
                    if attempts % 10 == 1 {
                        tracing::warn!(reason, attempts, "the webhook can't be reached; trying again");
                    }
                }
            }
            // Not all at once.
            sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }
}

/// Unix time in ms.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
