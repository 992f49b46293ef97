//! Several nodes on one store: what MQTT didn't bring is noticed, and what a dead node left is finished.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mqttchat_protocol::Conversation;
use mqttchat_store::StoreError;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::again::Publisher;
use crate::confirm::Confirm;
use crate::hub::Hub;
use crate::link::{Connection, Link, Listener};

/// How often the heads of conversations are compared (docs/mqtt.md "The way of one message").
const HEADS_EVERY: Duration = Duration::from_millis(500);

/// Positions can become visible out of order: those of this long before are looked at again.
const OVERLAP: Duration = Duration::from_secs(5);

/// Positions below the newest that may still become visible when a node starts.
const UNSETTLED: u64 = 10_000;

/// Conversations that are compared at once.
const HEADS_PAGE: u64 = 1000;

/// How often nodes are looked after, and how long the one who finishes for a dead node has for it.
const NODES_EVERY: Duration = Duration::from_secs(2);
const SUCCESSOR_TTL: Duration = Duration::from_secs(30);

/// A client that only publishes.
struct Quiet;

impl Listener for Quiet {
    fn message(&self, _link: &Link, _connection: Connection, _publish: rumqttc::Publish) {}
}

impl Hub {
    /// The position up to which every entry has been in the log for some seconds.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Finds that position out when the node starts, before anybody asks.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn settle_positions(&self) -> Result<(), StoreError> {
        let newest = self.store.newest_position().await?;
        self.settled.store(newest.saturating_sub(UNSETTLED), Ordering::Release);
        Ok(())
    }

    /// Compares the heads of conversations with what has come, for as long as the node runs.
    pub(crate) async fn compare_heads(self: Arc<Self>) {
        let mut ticks = interval(HEADS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: VecDeque<(Instant, u64)> = VecDeque::new();
        let mut floor = self.settled();
        loop {
            ticks.tick().await;
            match self.compare_heads_once(floor).await {
                Ok(newest) => seen.push_back((Instant::now(), newest)),
                Err(error) => tracing::warn!(%error, "the heads of conversations can't be compared"),
            }
            while let Some((at, position)) = seen.front().copied()
                && at.elapsed() >= OVERLAP
            {
                floor = floor.max(position);
                self.settled.store(floor, Ordering::Release);
                seen.pop_front();
            }
        }
    }

    async fn compare_heads_once(self: &Arc<Self>, floor: u64) -> Result<u64, StoreError> {
        let mut after = floor;
        loop {
            let changed = self.store.changed_heads(after, HEADS_PAGE).await?;
            for change in &changed {
                after = after.max(change.position);
                self.rung_head(&change.conversation, change.head);
            }
            if (changed.len() as u64) < HEADS_PAGE {
                return Ok(after);
            }
        }
    }

    /// The log of a conversation reaches up to `head`.
    fn rung_head(self: &Arc<Self>, conversation: &Conversation, head: u64) {
        let Some(sequencer) = self.reading(conversation) else { return };
        if sequencer.ring_for(head) {
            self.repair(&sequencer);
        }
    }

    /// Looks after the other nodes, for as long as this one runs.
    pub(crate) async fn watch_nodes(self: Arc<Self>) {
        let mut ticks = interval(NODES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.say_alive();
            let nodes = match self.store.nodes().await {
                Ok(nodes) => nodes,
                Err(error) => {
                    tracing::warn!(%error, "it can't be seen which nodes are alive");
                    continue;
                }
            };
            for node in nodes.into_iter().filter(|node| !node.alive && node.name != self.node) {
                self.forget_node(&node.name.as_str().into());
                if let Err(error) = self.succeed(&node.name).await {
                    tracing::warn!(%error, node = node.name, "what a dead node left can't be finished yet");
                }
            }
        }
    }

    /// Finishes what a dead node left: its people are offline, and what the broker didn't confirm is published.
    async fn succeed(self: &Arc<Self>, node: &str) -> Result<(), StoreError> {
        let confirmed = self.store.confirmed(node).await?;
        let left = !self.store.unconfirmed(node, confirmed, 1).await?.is_empty();
        let lease = format!("successor/{node}");
        if !self.store.acquire_lease(&lease, &self.incarnation, SUCCESSOR_TTL).await? {
            return Ok(());
        }
        let gone = self.store.recover_presence(node).await?;
        if !gone.is_empty() {
            tracing::info!(node, people = gone.len(), "a node is dead: its people are offline");
            self.publish_offline(gone.into_iter().filter(|(user, _)| !self.is_anywhere(user)));
        }
        if left {
            self.publish_for(node, confirmed, &lease).await?;
        }
        self.store.release_lease(&lease, &self.incarnation).await
    }

    async fn publish_for(
        self: &Arc<Self>,
        node: &str,
        confirmed: u64,
        lease: &str,
    ) -> Result<(), StoreError> {
        let confirm = Arc::new(Confirm::new(confirmed));
        let link = Link::new(confirm.clone());
        let (hub, role) = (self.clone(), format!("for-{node}"));
        let client = link.clone().run(None, move || Some(hub.own_dial(&role, Vec::new())), Arc::new(Quiet));
        let publisher = Publisher { hub: self, confirm: &confirm, link: &link, node };
        let work = async {
            let started = Instant::now();
            loop {
                publisher.publish_next().await?;
                let low = confirm.low();
                self.store.set_confirmed(node, low).await?;
                if confirm.is_done() || started.elapsed() > SUCCESSOR_TTL {
                    tracing::info!(node, "what a dead node left is published");
                    return Ok(());
                }
                self.store.renew_lease(lease, &self.incarnation, SUCCESSOR_TTL).await?;
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = client => Ok(()),
            done = work => done,
        }
    }
}
