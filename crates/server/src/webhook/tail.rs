//! Reading the log from where it was told last.

use std::collections::{HashMap, HashSet};
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

/// Entries that are read at once; behind those that are told and settled the position stands.
const PAGE: u64 = 64;

/// Events that are posted side by side.
const POSTS_AT_ONCE: usize = 8;

/// How old an event may be, in ms: one that couldn't be told in a day isn't told any more.
const AGE_MAX: u64 = 24 * 3600 * 1000;

/// How old an entry of a shared store has to be, in ms, before nothing can appear before it any more: PostgreSQL may
/// finish a commit after the connection for it was lost and others have gone on.
const SETTLED_AFTER: u64 = 10_000;

/// How long to wait before an event is posted again: from this, doubled each time, up to that.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);

/// How far a node's entries are told.
struct Progress {
    /// All of them up to here; it is stored.
    settled: u64,
    /// And these behind it.
    told: HashSet<u64>,
}

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
        let mut nodes = HashMap::new();
        loop {
            if let Err(error) = self.round(&mut nodes).await {
                tracing::warn!(%error, "the webhook can't read the log");
                sleep(STORE_PAUSE).await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Tells what there is of each node.
    async fn round(&self, nodes: &mut HashMap<String, Progress>) -> Result<(), StoreError> {
        for node in self.store.nodes().await? {
            let name = format!("webhook {} {}", self.kind.as_str(), node.name);
            let progress = match nodes.get_mut(&name) {
                Some(progress) => progress,
                None => {
                    let begun = self.store.position(&format!("webhook {}", self.kind.as_str())).await?;
                    let settled = self.store.position(&name).await?.max(begun).unwrap_or(0);
                    nodes.entry(name.clone()).or_insert(Progress { settled, told: HashSet::new() })
                }
            };
            self.tell_node(&node.name, &name, progress).await?;
        }
        Ok(())
    }

    /// Tells what there is of one node, page by page.
    async fn tell_node(&self, node: &str, name: &str, progress: &mut Progress) -> Result<(), StoreError> {
        let mut after = progress.settled;
        let settles = if self.store.is_shared() { SETTLED_AFTER } else { 0 };
        // Behind an entry that is not settled nothing is.
        let mut all_settled = true;
        loop {
            let mut entries = self.store.unconfirmed(node, after, PAGE).await?;
            let (now, whole) = (now_ms(), entries.len() as u64 == PAGE);
            let age = self.age.as_millis() as u64;
            let many = entries.iter().take_while(|entry| entry.time + age <= now).count();
            let whole = whole && many == entries.len();
            entries.truncate(many);
            let Some(last) = entries.last() else { return Ok(()) };
            after = last.position;
            self.tell_all(&entries, &progress.told, now).await?;
            progress.told.extend(entries.iter().map(|entry| entry.position));
            if all_settled {
                let count = entries.iter().take_while(|entry| entry.time + settles <= now).count();
                all_settled = count == entries.len();
                if let Some(last) = count.checked_sub(1).and_then(|at| entries.get(at)) {
                    progress.settled = last.position;
                    progress.told.retain(|told| *told > last.position);
                    self.store.set_position(name, last.position).await?;
                }
            }
            if !whole {
                return Ok(());
            }
        }
    }

    /// Posts what is to be told of a page and has not been told.
    async fn tell_all(&self, entries: &[Entry], told: &HashSet<u64>, now: u64) -> Result<(), StoreError> {
        let mut events = Vec::new();
        for entry in
            entries.iter().filter(|entry| self.kind.concerns(entry) && !told.contains(&entry.position))
        {
            if now.saturating_sub(entry.time) < AGE_MAX && !self.is_delivered(entry).await? {
                events.push(Event::new(self.kind, entry, self.store.log_id()));
            }
        }
        stream::iter(events)
            .for_each_concurrent(POSTS_AT_ONCE, |event| async move { self.tell(&event).await })
            .await;
        Ok(())
    }

    /// Whether there is nothing to tell any more: its reader has got it.
    async fn is_delivered(&self, entry: &Entry) -> Result<bool, StoreError> {
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
