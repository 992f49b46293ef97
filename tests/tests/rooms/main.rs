//! Rooms and changes of messages, with the real server: on one node, on disk, over MQTT, and on two nodes.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../../crates/store/tests/suite/cluster.rs"]
mod postgres;

mod broker;
mod coming_back;
mod disk;
mod nodes;
mod nodes_changes;
mod steps;
