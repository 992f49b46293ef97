//! Who is online, as it is kept in the store and retained on the broker. What can't be written now is written later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqttchat_protocol::{PersonState, UserId};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::hub::Hub;

/// How long to wait before a write is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Users whose state may wait for the broker; more are not told of, until they come or go again.
const UNPUBLISHED_MAX: usize = 10_000;

/// Publishes of states that may wait for their PUBACK.
const INFLIGHT_MAX: usize = 400;

/// States to be written; `None` is online, `Some` offline since then, Unix time in ms.
#[derive(Debug, Default)]
pub(crate) struct States {
    unstored: Mutex<HashMap<UserId, Option<u64>>>,
    stored: Notify,
    unpublished: Mutex<HashMap<UserId, u64>>,
    published: Notify,
}

impl States {
    fn unstored(&self) -> MutexGuard<'_, HashMap<UserId, Option<u64>>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts back what couldn't be stored, under whatever has come since.
    fn merge(&self, older: HashMap<UserId, Option<u64>>) {
        let mut unstored = self.unstored();
        for (user, at) in older {
            unstored.entry(user).or_insert(at);
        }
    }

    fn unpublished(&self) -> MutexGuard<'_, HashMap<UserId, u64>> {
        self.unpublished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Has it stored who came and went, soon.
    pub(crate) fn store_states(&self, online: &[UserId], offline: &[(UserId, u64)]) {
        let mut unstored = self.states.unstored();
        unstored.extend(online.iter().map(|user| (user.clone(), None)));
        unstored.extend(offline.iter().map(|(user, at)| (user.clone(), Some(*at))));
        drop(unstored);
        self.states.stored.notify_one();
    }

    /// Has it published who is offline, soon. Sessions publish themselves that their users are online.
    pub(crate) fn publish_offline(&self, offline: impl IntoIterator<Item = (UserId, u64)>) {
        let mut unpublished = self.states.unpublished();
        for (user, at) in offline {
            if unpublished.len() < UNPUBLISHED_MAX {
                unpublished.insert(user, at);
            }
        }
        drop(unpublished);
        self.states.published.notify_one();
    }

    /// Stores states, for as long as the node runs.
    pub(crate) async fn keep_states(self: Arc<Self>) {
        loop {
            self.states.stored.notified().await;
            let unstored = std::mem::take(&mut *self.states.unstored());
            if unstored.is_empty() {
                continue;
            }
            let online: Vec<_> =
                unstored.iter().filter(|(_, at)| at.is_none()).map(|(user, _)| user.clone()).collect();
            let offline: Vec<_> =
                unstored.iter().filter_map(|(user, at)| Some((user.clone(), (*at)?))).collect();
            if let Err(error) = self.store.set_presence(&self.node, &online, &offline).await {
                tracing::warn!(%error, "who is online can't be stored; trying again");
                self.states.merge(unstored);
                self.states.stored.notify_one();
                sleep(PAUSE).await;
            }
        }
    }

    /// Publishes states, for as long as the node runs.
    pub(crate) async fn publish_states(self: Arc<Self>) {
        let mut connected = self.broker.subscribe();
        loop {
            self.states.published.notified().await;
            if connected.wait_for(Result::is_ok).await.is_err() {
                return;
            }
            let unpublished = std::mem::take(&mut *self.states.unpublished());
            for (user, at) in unpublished {
                while self.link.is_connected() && self.link.outstanding() > INFLIGHT_MAX {
                    let _ = timeout(PAUSE, self.link.settled()).await;
                }
                if self.is_anywhere(&user) {
                    continue;
                }
                let (topic, payload) = self.status(&user, "", PersonState::Offline, at);
                if !self.link.publish_state(topic, payload.to_vec(), true) {
                    self.publish_offline([(user, at)]);
                    sleep(PAUSE / 10).await;
                }
            }
        }
    }
}
