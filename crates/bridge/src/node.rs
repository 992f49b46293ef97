//! What keeps a node going: its own MQTT client, presence told in time, positions stored, its lease kept.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mqttchat_protocol::{PersonState, ServerFrame, UserId};
use mqttchat_tls::SharedTls;
use rustls::ClientConfig;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::hub::{Hub, far_future, now_ms};
use crate::link::{Connection, Dial, Link, Listener};
use crate::roster::LocalChange;
use crate::sequencer::Sequencer;

/// How often somebody's coming and going is looked for: changes of up to this long come in one presence frame
/// (docs/protocol.md "presence").
const PRESENCE_EVERY: Duration = Duration::from_millis(250);

/// How often the confirmed position is stored.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// A node's lease, and how often it is renewed (docs/mqtt.md "Presence").
pub(crate) const NODE_TTL: Duration = Duration::from_secs(20);
const NODE_RENEW: Duration = Duration::from_secs(5);

/// How often conversations that nobody reads are dropped from memory.
const CLEAN_EVERY: Duration = Duration::from_secs(10);

/// Publishes of the node's client that may wait for their PUBACK.
const INFLIGHT: u16 = 1000;

struct HubListener(Weak<Hub>);

impl Listener for HubListener {
    fn connected(&self) {
        if let Some(hub) = self.0.upgrade() {
            tracing::info!("connected to the broker");
            metrics::gauge!("mqttchat_broker_connected").set(1);
            drop(hub.broker.send_replace(Ok(())));
            if hub.is_cluster() {
                hub.say_snapshot();
                hub.link.subscribe(hub.room_filters());
            }
        }
    }

    fn lost(&self, reason: &str) {
        let Some(hub) = self.0.upgrade() else { return };
        metrics::gauge!("mqttchat_broker_connected").set(0);
        let before = hub.broker.send_replace(Err(reason.to_owned()));
        if before.as_ref().err().map(String::as_str) != Some(reason) {
            tracing::warn!(reason, "the broker is away; messages are accepted and delivered from the log");
        }
    }

    fn message(&self, link: &Link, _connection: Connection, publish: rumqttc::Publish) {
        if let Some(hub) = self.0.upgrade() {
            hub.rung(link, &publish);
        }
    }
}

impl Hub {
    /// Runs the node's own client.
    pub(crate) async fn run_link(self: Arc<Self>) {
        let (link, listener) = (self.link.clone(), Arc::new(HubListener(Arc::downgrade(&self))));
        let mut attempt = 0_u32;
        let dial = move || {
            // Another id each time: the broker may not have seen the end of the connection before.
            attempt = attempt % 100 + 1;
            Some(self.own_dial(&format!("hub{attempt}"), self.topics.hub_filters().to_vec()))
        };
        link.run(None, dial, listener).await;
    }

    /// How a client of the node itself connects.
    pub(crate) fn own_dial(&self, role: &str, filters: Vec<String>) -> Dial {
        Dial {
            target: self.target(),
            tls: self.tls(),
            login: self.login(),
            client_id: self.client_id(role),
            will: None,
            filters,
            keep_alive: Duration::from_secs(10),
            inflight: INFLIGHT,
            queue: usize::from(INFLIGHT),
            persistent: false,
            hang_up: self.hangs_up(),
        }
    }

    /// TLS to the broker, as its files were when they were read last.
    pub(crate) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.options.mqtt.tls.as_ref().map(SharedTls::current)
    }

    /// Stores the position below which everything is confirmed, and keeps the figures.
    pub(crate) async fn keep_positions(self: Arc<Self>) {
        let mut stored = self.confirmed_low();
        let mut ticks = interval(CONFIRM_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            metrics::gauge!("mqttchat_sessions").set(self.people.session_count() as f64);
            metrics::gauge!("mqttchat_users").set(self.people.user_count() as f64);
            metrics::gauge!("mqttchat_unconfirmed").set(self.confirm.outstanding() as f64);
            let low = self.confirmed_low();
            if low != stored {
                match self.store.set_confirmed(&self.node, low).await {
                    Ok(()) => stored = low,
                    Err(error) => tracing::warn!(%error, "the confirmed position can't be stored"),
                }
            }
        }
    }

    /// The position up to which everything is confirmed that may be in the log.
    pub(crate) fn confirmed_low(&self) -> u64 {
        // Asked on both sides: a doubt may begin or end in between.
        let before = self.store.doubted();
        let low = self.confirm.low();
        let doubted = before.into_iter().chain(self.store.doubted()).min();
        doubted.map_or(low, |position| low.min(position - 1))
    }

    /// Has published what turns out to be in the log though its author was told otherwise, for as long as the node runs.
    pub(crate) async fn publish_late(self: Arc<Self>) {
        loop {
            self.store
                .committed_late(|positions| {
                    tracing::info!(entries = positions.len(), "entries were stored that nobody was told of");
                    positions.iter().for_each(|position| self.confirm.late(*position));
                })
                .await;
        }
    }

    /// Keeps the node's lease.
    pub(crate) async fn keep_lease(self: Arc<Self>, lease: String) {
        let mut ticks = interval(NODE_RENEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.store.renew_lease(&lease, &self.incarnation, NODE_TTL).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::error!(
                        lease,
                        "this node was silent for so long that another has taken its place"
                    );
                    self.fenced.notify_one();
                    return;
                }
                Err(error) => tracing::warn!(%error, "the node's lease can't be renewed"),
            }
        }
    }

    /// Tells presence and ends typing, in time.
    pub(crate) async fn keep_presence(self: Arc<Self>) {
        let mut ticks = interval(PRESENCE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cleaned = Instant::now();
        // Conversations with something to tell that were told of a moment ago, and when their time is.
        let mut waiting: Vec<(Instant, Arc<Sequencer>)> = Vec::new();
        loop {
            let due = waiting.iter().map(|(due, _)| *due).min();
            tokio::select! {
                _ = ticks.tick() => {}
                () = sleep_until(due.unwrap_or_else(far_future).into()), if due.is_some() => {
                    let now = Instant::now();
                    waiting = self.tell_rosters(waiting.into_iter().map(|(_, sequencer)| sequencer), now);
                    continue;
                }
            }
            let now = Instant::now();
            self.end_typing(now);
            self.tell_readings(now);
            waiting = self.tell_rosters(self.active(), now);
            self.tell_states(now);
            if now.duration_since(cleaned) >= CLEAN_EVERY {
                cleaned = now;
                self.drop_idle_sequencers();
            }
        }
    }

    /// One frame for each conversation in which somebody came or went. Returns those whose time hasn't come yet.
    fn tell_rosters(
        &self,
        sequencers: impl IntoIterator<Item = Arc<Sequencer>>,
        now: Instant,
    ) -> Vec<(Instant, Arc<Sequencer>)> {
        let mut waiting = Vec::new();
        for sequencer in sequencers {
            let mut roster = sequencer.roster();
            roster.expire(now);
            let local = roster.take_local_changes();
            let from = roster.announced();
            let due = roster.due_after(now);
            let change = if due.is_none() { roster.unannounced(now_ms()) } else { None };
            if let Some((change, version)) = &change {
                let dest = sequencer.conversation.dest_for(&mqttchat_protocol::Party::foreign(""));
                let frame = ServerFrame::Presence { dest: &dest, data: change }.to_frame();
                sequencer.pass_presence(frame, from, *version);
                roster.announce(*version, now);
            }
            drop(roster);
            if self.is_cluster() && !local.is_empty() {
                self.say_changes(Some(&sequencer.conversation), &local);
            }
            if change.is_some() {
                metrics::counter!("mqttchat_presence_frames_total")
                    .increment(sequencer.reader_count() as u64);
                self.wake(&sequencer);
            }
            waiting.extend(due.map(|due| (due, sequencer)));
        }
        waiting
    }

    /// Who came online and went offline, for those who want to know, for the store, and for the broker.
    fn tell_states(&self, now: Instant) {
        let changes = self.people.changes(now);
        if changes.online.is_empty() && changes.offline.is_empty() {
            return;
        }
        if self.is_cluster() {
            let change = |user: &UserId, name: &Arc<str>, left_at| LocalChange {
                user: user.clone(),
                name: name.clone(),
                left_at,
            };
            let online = changes.online.iter().map(|(user, name)| change(user, name, None));
            // Nobody shows a name of those who have gone.
            let nobody = Arc::from("");
            let offline = changes.offline.iter().map(|(user, left_at)| change(user, &nobody, Some(*left_at)));
            self.say_changes(None, &online.chain(offline).collect::<Vec<_>>());
        }
        let online: Vec<UserId> = changes.online.into_iter().map(|(user, _)| user).collect();
        for user in online.iter().filter(|user| !self.peers.has(user)) {
            self.tell_state(user, PersonState::Online, now_ms());
        }
        for (user, left_at) in changes.offline.iter().filter(|(user, _)| !self.peers.has(user)) {
            self.tell_state(user, PersonState::Offline, *left_at);
        }
        self.store_states(&online, &changes.offline);
        self.publish_offline(changes.offline.into_iter().filter(|(user, _)| !self.peers.has(user)));
    }

    /// Tells those who have joined a private conversation with `user` how they are.
    pub(crate) fn tell_state(&self, user: &UserId, state: PersonState, last_seen: u64) {
        let frame = ServerFrame::Status { from: user, state, last_seen }.to_frame();
        for conversation in self.people.watchers(user) {
            if let Some(sequencer) = self.known_sequencer(&conversation) {
                sequencer.pass(frame.clone(), Some(user.clone()));
                self.wake(&sequencer);
            }
        }
    }
}
