//! The behaviour suite on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod suite;

use mqttchat_store::StoreOptions;
use suite::cluster::Cluster;

struct Database {
    _cluster: Cluster,
    address: String,
}

impl suite::Place for Database {
    fn options(&self) -> StoreOptions {
        StoreOptions::postgres(&self.address)
    }
}

fn fresh() -> Database {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    Database { _cluster: cluster, address }
}

suite::behaviour!(crate::fresh);
