//! What somebody tries who means no good.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../../crates/store/tests/suite/cluster.rs"]
mod postgres;

mod limits;
mod listening;
mod names;
mod origins;
mod requests;
mod slow;
mod stuck;
mod timeouts;
