//! The node's figures for `/metrics`.

use metrics::{Counter, counter, describe_counter, describe_gauge};

/// Counters of the hot path, looked up once.
pub(crate) struct Figures {
    /// Messages that are on disk.
    pub(crate) accepted: Counter,
    /// Messages handed to sessions.
    pub(crate) deliveries: Counter,
}

impl Figures {
    pub(crate) fn new() -> Self {
        Self {
            accepted: counter!("mqttchat_messages_accepted_total"),
            deliveries: counter!("mqttchat_deliveries_total"),
        }
    }
}

/// Tells what each figure is.
pub(crate) fn describe() {
    describe_gauge!("mqttchat_sessions", "open sessions");
    describe_gauge!("mqttchat_users", "users with a session here");
    describe_gauge!("mqttchat_unconfirmed", "entries that the broker has not confirmed");
    describe_gauge!("mqttchat_broker_connected", "1 while the node's client is connected to the broker");
    describe_gauge!(
        "mqttchat_ingest_listening",
        "1 while this node is the one that takes strangers' messages in, and is subscribed to them"
    );
    describe_counter!("mqttchat_joins_total", "conversations joined");
    describe_counter!("mqttchat_messages_accepted_total", "messages that are on disk");
    describe_counter!("mqttchat_deliveries_total", "messages handed to sessions");
    describe_counter!("mqttchat_presence_frames_total", "presence frames, one for each reader");
    describe_counter!("mqttchat_rate_limited_total", "messages refused for their rate");
    describe_counter!(
        "mqttchat_holes_filled_total",
        "entries read from the store because MQTT didn't bring them"
    );
    describe_counter!(
        "mqttchat_published_again_total",
        "entries published again because the broker didn't confirm them"
    );
    describe_counter!(
        "mqttchat_forged_total",
        "payloads on topics of typing, receipts, status and presence that no server of this installation signed"
    );
    describe_counter!("mqttchat_ingest_total", "what strangers published, by what came of it");
}
