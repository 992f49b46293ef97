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

/// A room goes at once, however much was said there; what it held follows in steps, after a restart too.
#[tokio::test]
async fn a_large_room_is_deleted_at_once_and_removed_in_steps() {
    const SAID: u32 = 2600;
    let place = fresh();
    let store = Store::open(suite::Place::options(&place)).await.unwrap();
    claim(&store, "Ann").await;
    let ops = suite::room("ops");
    suite::rooms::change(&store, "ann", "ops", suite::rooms::create("Ops", false, &[])).await.unwrap();
    let said = (0..SAID).map(|n| store.append(msg("ann", &ops, &format!("m{n}"), "secret")));
    assert!(futures::future::join_all(said).await.iter().all(Result::is_ok));
    store.append(suite::changes::edit("ann", &ops, "e", "m7", "secret too")).await.unwrap();
    store.append(suite::changes::react("ann", &ops, "r", "m8", "+", true)).await.unwrap();
    store.append(msg("ann", &Conversation::Public, "p", "kept")).await.unwrap();
    suite::rooms::change(&store, "ann", "ops", mqttchat_protocol::RoomChange::Delete).await.unwrap();
    assert_eq!(store.entries_after(&ops, 0, 9).await.unwrap().len(), 1, "only that it is deleted");
    store.close().await;

    let sql = |sql: &str| place.cluster.sql("chat", sql);
    let left = "SELECT count(*) FROM mqttchat.entries";
    assert_ne!(sql(left), "2", "they are not removed with the room");
    let store = Store::open(suite::Place::options(&place)).await.unwrap();
    let (purges, found) = ("SELECT count(*) FROM mqttchat.purges", "SELECT count(*) FROM mqttchat.search");
    while sql(purges) != "0" || sql(found) != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(sql(left), "2");
    for table in ["marks", "edits", "reactions"] {
        assert_eq!(sql(&format!("SELECT count(*) FROM mqttchat.{table}")), "0", "{table}");
    }
    store.close().await;
}
