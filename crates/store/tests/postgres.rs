//! The behaviour suite on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod suite;

use mqttchat_protocol::Conversation;
use mqttchat_store::{Store, StoreOptions};
use suite::cluster::Cluster;
use suite::{claim, msg};

struct Database {
    cluster: Cluster,
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
    Database { cluster, address }
}

suite::behaviour!(crate::fresh);

/// Statements are planned once, when the tables are small (but larger than ten pages) and were never analyzed.
#[tokio::test]
async fn what_somebody_said_before_costs_nothing() {
    const ROUNDS: usize = 15;
    const TOGETHER: usize = 200;
    let place = fresh();
    let store = Store::open(suite::Place::options(&place)).await.unwrap();
    claim(&store, "Ann").await;
    for round in 0..ROUNDS {
        let entry = |n| msg("ann", &Conversation::Public, &format!("{round}-{n}"), &"x".repeat(100));
        let appended = (0..TOGETHER).map(|n| store.append(entry(n)));
        assert!(futures::future::join_all(appended).await.iter().all(|done| done.as_ref().unwrap().fresh));
    }
    // A connection that ends says what it has read.
    store.close().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mqttchat'";
    while place.cluster.sql("chat", sessions) != "0" {
        tokio::task::yield_now().await;
    }
    let read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'entries_id_sender_key'";
    let read: usize = place.cluster.sql("chat", read).parse().unwrap();
    assert!(read < ROUNDS * TOGETHER, "{read} entries were read to find out that the ids are new");
}
