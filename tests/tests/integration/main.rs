//! The server with everything around it: both brokers, crashes, stops, outages and wrong settings.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../../crates/store/tests/suite/cluster.rs"]
mod postgres;

mod access;
mod compose;
mod crash;
mod crowd;
mod devices;
mod encrypted;
mod https;
mod outage;
mod outsiders;
mod secrets;
mod settings;
mod slow;
mod stopping;
