//! People talk while servers, brokers and connections die, and nothing that was acknowledged is lost.

mod broker;
mod checker;
mod clock;
mod database;
mod disk;
mod fsync;
mod garbage;
mod lies;
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../../crates/store/tests/suite/cluster.rs"]
mod postgres;
mod read_only;
mod replayed;
mod runs;
mod stuck;
