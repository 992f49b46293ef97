//! The MQTT client of one session: its Last Will, its subscription, and what that brings.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mqttchat_protocol::PersonState;
use serde_json::json;

use crate::hub::{Hub, now_ms};
use crate::link::{Connection, Dial, Link, Listener};
use crate::mail::Handle;

/// Publishes of one session that may wait for their PUBACK; with more, the node publishes them.
const INFLIGHT: u16 = 16;

/// A session is seldom alone on its host: its silence is noticed elsewhere.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A client id in use; given back when dropped.
struct Slot {
    hub: Arc<Hub>,
    number: u32,
}

impl Slot {
    fn take(hub: &Arc<Hub>) -> Option<Self> {
        let number = hub.slots.take(Instant::now())?;
        Some(Self { hub: hub.clone(), number })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.hub.slots.give_back(self.number, Instant::now());
    }
}

struct SessionListener {
    hub: Weak<Hub>,
    handle: Weak<Handle>,
}

impl Listener for SessionListener {
    fn connected(&self) {
        if let (Some(hub), Some(handle)) = (self.hub.upgrade(), self.handle.upgrade()) {
            hub.publish_status(&handle, PersonState::Online);
        }
    }

    fn message(&self, link: &Link, _connection: Connection, publish: rumqttc::Publish) {
        if let Some(hub) = self.hub.upgrade() {
            hub.rung(link, &publish);
        }
    }
}

impl Hub {
    /// Starts the MQTT client of a session. The session is usable before it is connected.
    pub(crate) fn start_link(self: &Arc<Self>, handle: &Arc<Handle>) {
        let (hub, link) = (self.clone(), handle.link.clone());
        let listener = SessionListener { hub: Arc::downgrade(self), handle: Arc::downgrade(handle) };
        let (user, session) = (handle.who.user.clone(), handle.id.clone());
        let mut slot: Option<Slot> = None;
        tokio::spawn(async move {
            let gate = hub.clone();
            let dial = move || {
                // The id of the connection before is rested; while the broker is away, the node's own client finds
                // out when it is back.
                drop(slot.take());
                if hub.broker.borrow().is_err() {
                    return None;
                }
                let number = slot.insert(Slot::take(&hub)?).number;
                let client_id = hub.client_id(&format!("s{number}"));
                Some(Dial {
                    target: hub.target(),
                    tls: hub.tls(),
                    login: hub.login(),
                    client_id,
                    will: Some(hub.status(&user, &session, PersonState::Offline, now_ms())),
                    filters: vec![hub.topics.private_filter(&user)],
                    keep_alive: KEEP_ALIVE,
                    inflight: INFLIGHT,
                    queue: usize::from(INFLIGHT),
                    persistent: false,
                    hang_up: hub.hangs_up(),
                })
            };
            link.run(Some(&gate.dials), dial, Arc::new(listener)).await;
        });
    }

    /// A user's status as it goes over MQTT: its topic, and the signed payload.
    pub(crate) fn status(
        &self,
        user: &mqttchat_protocol::UserId,
        session: &str,
        state: PersonState,
        last_seen: u64,
    ) -> (String, bytes::Bytes) {
        let topic = self.topics.status(user);
        let status = json!({ "type": "status", "user": user, "session": session, "state": state, "last_seen": last_seen });
        let payload = self.seal_passing(status.to_string().as_bytes(), &topic);
        (topic, payload.into())
    }

    /// Publishes a session's user as online or offline, retained.
    pub(crate) fn publish_status(&self, handle: &Handle, state: PersonState) {
        let (topic, payload) = self.status(&handle.who.user, &handle.id, state, now_ms());
        self.link_of(handle).publish_state(topic, payload.to_vec(), true);
    }

    /// What publishes for a session: its own client, or the node's while that is not connected.
    pub(crate) fn link_of<'a>(&'a self, handle: &'a Handle) -> &'a Link {
        if handle.link.is_connected() { &handle.link } else { &self.link }
    }
}
