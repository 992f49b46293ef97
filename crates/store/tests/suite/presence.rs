//! Who was there last when.

use std::time::Duration;

use mqttchat_store::Store;

use super::{HandClock, Place, claim, open, user};

const TTL: Duration = Duration::from_secs(20);

async fn last_seen(store: &Store, id: &str) -> u64 {
    store.user(&user(id)).await.unwrap().unwrap().last_seen
}

pub async fn last_seen_when_gone(place: &impl Place) {
    let clock = HandClock::at(100);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    store.set_presence("n1", &[user("ann"), user("bob")], &[]).await.unwrap();
    store.set_presence("n1", &[], &[(user("ann"), 250)]).await.unwrap();
    assert_eq!((last_seen(&store, "ann").await, last_seen(&store, "bob").await), (250, 100));
    store.set_presence("n1", &[user("ann")], &[(user("bob"), 50)]).await.unwrap();
    assert_eq!((last_seen(&store, "ann").await, last_seen(&store, "bob").await), (250, 100), "never back");
    let gone = store.recover_presence("n1").await.unwrap();
    assert_eq!(
        gone.into_iter().map(|(user, _)| user).collect::<Vec<_>>(),
        [user("ann")],
        "bob went properly"
    );
}

pub async fn on_two_nodes(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let ann = [user("ann")];
    store.set_presence("n1", &ann, &[]).await.unwrap();
    store.set_presence("n1", &ann, &[]).await.unwrap();
    store.set_presence("n2", &ann, &[]).await.unwrap();
    assert_eq!(store.recover_presence("n1").await.unwrap().len(), 1);
    assert_eq!(store.recover_presence("n2").await.unwrap().len(), 1, "each node has its own");
    assert_eq!(store.recover_presence("n2").await.unwrap().len(), 0);
}

pub async fn after_a_crash(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let node = store.acquire_node("first", TTL).await.unwrap();
    store.set_presence(&node.name, &[user("ann")], &[]).await.unwrap();
    assert!(store.renew_lease(&node.lease(), "first", TTL).await.unwrap());
    let heartbeat = store.nodes().await.unwrap()[0].renewed;
    // The process ends without a word; on a store of many nodes its lease runs out, else the next one is alone.
    assert!(store.renew_lease(&node.lease(), "first", Duration::ZERO).await.unwrap());
    let heartbeat_at_last = store.nodes().await.unwrap()[0].renewed;
    store.close().await;

    let store = open(place).await;
    let again = store.acquire_node("second", TTL).await.unwrap();
    assert_eq!(again.name, node.name, "the same node again");
    let gone = store.recover_presence(&again.name).await.unwrap();
    assert_eq!(gone, [(user("ann"), heartbeat_at_last)]);
    assert!(heartbeat_at_last >= heartbeat);
    assert_eq!(last_seen(&store, "ann").await, heartbeat_at_last);
}

pub async fn unknown_users_are_skipped(place: &impl Place) {
    let store = open(place).await;
    store.set_presence("n1", &[user("nobody")], &[(user("nobody"), 5)]).await.unwrap();
    assert!(store.recover_presence("n1").await.unwrap().is_empty());
    assert_eq!(store.user(&user("nobody")).await.unwrap(), None);
}
