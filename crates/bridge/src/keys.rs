//! API keys on this node: whom they speak for, and the end of streams whose key was revoked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mqttchat_protocol::{ApiSecret, ErrorCode, Frame, Refusal};
use mqttchat_store::ApiKey;
use tokio::sync::{Notify, watch};

use crate::auth::{Denied, store_away};
use crate::hub::{Hub, now_ms};
use crate::transport::{Event, Transport};

/// How often the keys of open streams are looked at: a revoked one ends them within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const REVOKED: &str = "this API key was revoked";

/// The keys under which streams are open.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    open: Mutex<HashMap<u64, Open>>,
    /// Rung when there is one again.
    more: Notify,
}

#[derive(Debug)]
struct Open {
    streams: usize,
    revoked: watch::Sender<bool>,
}

impl Keys {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// The key of this text. Asked anew for each request, so a revoked one is of no use from then on.
    ///
    /// # Errors
    /// [`Denied`]: it is none, or was revoked, or the store can't be asked.
    pub(crate) async fn apikey(self: &Arc<Self>, text: &str) -> Result<ApiKey, Denied> {
        let key = match ApiSecret::parse(text) {
            Some(secret) => self.store.apikey(&secret).await.map_err(store_away)?,
            None => None,
        };
        let unauthorized = |reason: &str| Denied::Unauthorized(reason.to_owned());
        let key = key.ok_or_else(|| unauthorized("this API key is unknown here, or was revoked"))?;
        if key.blocked {
            return Err(unauthorized("this user has been blocked by the operator"));
        }
        if key.is_use_news(now_ms()) {
            let (hub, id) = (self.clone(), key.id);
            tokio::spawn(async move {
                if let Err(error) = hub.store.use_apikey(id).await {
                    tracing::debug!(%error, "the use of an api key can't be noted");
                }
            });
        }
        Ok(key)
    }

    /// Ends streams whose key was revoked, for as long as the node runs.
    pub(crate) async fn watch_keys(self: Arc<Self>) {
        loop {
            let ids: Vec<u64> = self.keys_in_use.open().keys().copied().collect();
            if ids.is_empty() {
                self.keys_in_use.more.notified().await;
                continue;
            }
            match self.store.revoked_apikeys(&ids).await {
                Ok(revoked) => {
                    let open = self.keys_in_use.open();
                    for stream in revoked.iter().filter_map(|id| open.get(id)) {
                        stream.revoked.send_replace(true);
                    }
                }
                // Without the store nothing new can be read either.
                Err(error) => tracing::debug!(%error, "the api keys of streams can't be looked at"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A stream that lasts no longer than its key.
pub(crate) struct Revocable<T> {
    transport: T,
    key: Option<Held>,
}

/// A key's place among those in use; given back when dropped.
struct Held {
    hub: Arc<Hub>,
    id: u64,
    revoked: watch::Receiver<bool>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = self.hub.keys_in_use.open();
        if let Some(known) = open.get_mut(&self.id) {
            known.streams -= 1;
            if known.streams == 0 {
                open.remove(&self.id);
            }
        }
    }
}

impl<T> Revocable<T> {
    /// Watches over the key that a transport was opened with, if it was one.
    pub(crate) fn new(hub: &Arc<Hub>, transport: T, key: Option<u64>) -> Self {
        let key = key.map(|id| {
            let mut open = hub.keys_in_use.open();
            let known =
                open.entry(id).or_insert_with(|| Open { streams: 0, revoked: watch::channel(false).0 });
            known.streams += 1;
            let revoked = known.revoked.subscribe();
            drop(open);
            hub.keys_in_use.more.notify_one();
            Held { hub: hub.clone(), id, revoked }
        });
        Self { transport, key }
    }
}

impl<T: Transport> Transport for Revocable<T> {
    fn feed(&mut self, frame: Frame) {
        self.transport.feed(frame);
    }

    fn backlog(&self) -> usize {
        self.transport.backlog()
    }

    fn last_progress(&self) -> Instant {
        self.transport.last_progress()
    }

    fn last_heard(&self) -> Instant {
        self.transport.last_heard()
    }

    fn ping(&mut self) {
        self.transport.ping();
    }

    async fn drive(&mut self, read: bool) -> Event {
        let Some(key) = &mut self.key else { return self.transport.drive(read).await };
        tokio::select! {
            biased;
            // The sender is there for as long as this receiver's place is.
            _ = key.revoked.wait_for(|revoked| *revoked) => {}
            event = self.transport.drive(read) => return event,
        }
        self.transport.feed(Refusal::new(ErrorCode::Unauthorized, REVOKED).to_frame());
        self.transport.close(4401, REVOKED).await;
        Event::Closed
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.transport.close(code, reason).await;
    }
}
