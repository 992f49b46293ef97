//! Many nodes on one PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod faults;
mod nodes;
#[path = "../suite/mod.rs"]
mod suite;

use std::time::Duration;

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, Appended, Store, StoreOptions};
use suite::claim;

const TTL: Duration = Duration::from_secs(20);

async fn open(address: &str) -> Store {
    Store::open(StoreOptions::postgres(address)).await.unwrap()
}

/// Three nodes that were started at once, on a database without anything, and Ann, Bob and Cleo.
async fn three(address: &str) -> [Store; 3] {
    let (one, two, three) = tokio::join!(open(address), open(address), open(address));
    for name in ["Ann", "Bob", "Cleo"] {
        claim(&one, name).await;
    }
    [one, two, three]
}

/// Sends it until it is stored, as clients do.
async fn insist(store: &Store, entry: mqttchat_store::NewEntry) -> Appended {
    loop {
        match store.append(entry.clone()).await {
            Ok(appended) => return appended,
            Err(AppendError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

/// All entries of a conversation, which are numbered without a hole, their times and positions rising.
async fn log_of(store: &Store, conversation: &Conversation) -> Vec<mqttchat_protocol::Entry> {
    let entries = store.entries_after(conversation, 0, u64::MAX).await.unwrap();
    assert!((1..).zip(&entries).all(|(seq, entry)| entry.seq == seq), "{conversation} has a hole");
    assert!(entries.is_sorted_by(|one, next| one.position < next.position && one.time <= next.time));
    assert_eq!(store.head(conversation).await.unwrap(), entries.len() as u64);
    entries
}
