//! Publishing what the broker didn't confirm, as the log reads now.

use std::sync::Arc;
use std::time::Duration;

use mqttchat_protocol::Entry;
use mqttchat_store::StoreError;
use tokio::time::{sleep, timeout};

use crate::confirm::{Attempt, Confirm, Next};
use crate::hub::Hub;
use crate::link::Link;

/// Entries that are published again at a time.
const PAGE: usize = 200;

/// Publishes that may wait for their PUBACK before another page follows.
const OUTSTANDING_MAX: usize = 500;

/// How long to wait for news before looking again, and while there is no connection.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Publishes again what is left of one node: this one, or a dead one.
pub(crate) struct Publisher<'a> {
    /// Where the log is.
    pub(crate) hub: &'a Hub,
    /// What is left.
    pub(crate) confirm: &'a Confirm,
    /// What publishes it.
    pub(crate) link: &'a Link,
    /// Whose it is.
    pub(crate) node: &'a str,
}

impl Hub {
    /// Publishes again what the broker didn't confirm, for as long as the node runs.
    pub(crate) async fn publish_again(self: Arc<Self>) {
        let publisher = Publisher { hub: &self, confirm: &self.confirm, link: &self.link, node: &self.node };
        let mut connected = self.broker.subscribe();
        loop {
            if connected.wait_for(Result::is_ok).await.is_err() {
                return;
            }
            if let Err(error) = publisher.publish_next().await {
                tracing::warn!(%error, "unconfirmed messages can't be read");
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

impl Publisher<'_> {
    /// Publishes the next page, or waits a while for one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn publish_next(&self) -> Result<(), StoreError> {
        if !self.link.is_connected() {
            sleep(PAUSE).await;
            return Ok(());
        }
        while self.link.is_connected() && self.link.outstanding() > OUTSTANDING_MAX {
            let _ = timeout(LOOK_EVERY, self.link.settled()).await;
        }
        match self.confirm.next(PAGE) {
            Next::Nothing => {
                let _ = timeout(LOOK_EVERY, self.confirm.changed()).await;
                Ok(())
            }
            Next::Positions(positions) => self.publish_positions(&positions).await,
            Next::From(from) => self.read_on(from).await,
        }
    }

    async fn publish_positions(&self, positions: &[u64]) -> Result<(), StoreError> {
        let Some(first) = positions.first() else { return Ok(()) };
        let entries = self.hub.store.unconfirmed(self.node, first - 1, PAGE as u64).await?;
        let secrets = self.hub.secrets(entries.iter().map(|entry| &entry.conversation)).await;
        let last_read = match entries.last() {
            Some(last) if entries.len() == PAGE => last.position,
            _ => u64::MAX,
        };
        for position in positions.iter().take_while(|position| **position <= last_read) {
            let Some(entry) = entries.iter().find(|entry| entry.position == *position) else {
                self.confirm.forget(*position);
                continue;
            };
            let topics = self.hub.topics.msgs(&entry.conversation);
            if let Some(attempt) = self.confirm.again(*position, topics.len()) {
                self.publish(entry, attempt, &topics, secrets.has(&entry.conversation));
            }
        }
        Ok(())
    }

    async fn read_on(&self, from: u64) -> Result<(), StoreError> {
        let entries = self.hub.store.unconfirmed(self.node, from - 1, PAGE as u64).await?;
        let secrets = self.hub.secrets(entries.iter().map(|entry| &entry.conversation)).await;
        let topics: Vec<_> = entries.iter().map(|entry| self.hub.topics.msgs(&entry.conversation)).collect();
        let positions = entries.iter().zip(&topics).map(|(entry, topics)| (entry.position, topics.len()));
        let positions: Vec<_> = positions.collect();
        let attempts = self.confirm.read_on(&positions, entries.len() < PAGE);
        for ((entry, topics), attempt) in entries.iter().zip(&topics).zip(attempts) {
            self.publish(entry, attempt, topics, secrets.has(&entry.conversation));
        }
        Ok(())
    }

    fn publish(&self, entry: &Entry, attempt: Attempt, topics: &[String], bell: bool) {
        metrics::counter!("mqttchat_published_again_total").increment(1);
        let payload = self.hub.payload(entry, entry.to_frame().as_json(), bell);
        self.link.publish_entry(entry.position, attempt, topics, &payload);
    }
}
