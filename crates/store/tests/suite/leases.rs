//! Who may.

use std::time::Duration;

use super::{Place, open};

const LONG: Duration = Duration::from_secs(3600);

pub async fn one_owner_at_a_time(place: &impl Place) {
    let store = open(place).await;
    let acquire = async |name, owner| store.acquire_lease(name, owner, LONG).await.unwrap();
    assert!(acquire("ingest", "a").await);
    assert!(!acquire("ingest", "b").await);
    assert!(acquire("ingest", "a").await, "one's own");
    assert!(acquire("other", "b").await);
    assert!(store.renew_lease("ingest", "a", LONG).await.unwrap());
    assert!(!store.renew_lease("ingest", "b", LONG).await.unwrap());
    assert!(!store.renew_lease("none", "a", LONG).await.unwrap());
}

pub async fn run_out_and_taken(place: &impl Place) {
    let store = open(place).await;
    assert!(store.acquire_lease("ingest", "a", Duration::ZERO).await.unwrap());
    assert!(store.acquire_lease("ingest", "b", LONG).await.unwrap());
    assert!(!store.renew_lease("ingest", "a", LONG).await.unwrap());
    assert!(!store.acquire_lease("ingest", "a", LONG).await.unwrap());
}

pub async fn run_out_and_still_renewed(place: &impl Place) {
    let store = open(place).await;
    assert!(store.acquire_lease("ingest", "a", Duration::ZERO).await.unwrap());
    assert!(store.renew_lease("ingest", "a", LONG).await.unwrap(), "nobody else came");
    assert!(!store.acquire_lease("ingest", "b", LONG).await.unwrap());
}

pub async fn given_back(place: &impl Place) {
    let store = open(place).await;
    assert!(store.acquire_lease("ingest", "a", LONG).await.unwrap());
    store.release_lease("ingest", "b").await.unwrap();
    assert!(!store.acquire_lease("ingest", "b", LONG).await.unwrap(), "not b's to give");
    store.release_lease("ingest", "a").await.unwrap();
    assert!(!store.renew_lease("ingest", "a", LONG).await.unwrap(), "no longer a's");
    assert!(store.acquire_lease("ingest", "b", LONG).await.unwrap());
}

pub async fn the_lowest_free_node(place: &impl Place) {
    let store = open(place).await;
    let acquire = async |incarnation| store.acquire_node(incarnation, LONG).await.unwrap().name;
    assert_eq!(acquire("a").await, "n1");
    assert_eq!(acquire("b").await, "n2");
    assert_eq!(acquire("c").await, "n3");
    store.release_lease("node/n2", "b").await.unwrap();
    assert_eq!(acquire("d").await, "n2");
    assert_eq!(acquire("e").await, "n4");
}

pub async fn nodes_and_whether_they_live(place: &impl Place) {
    let store = open(place).await;
    assert!(store.nodes().await.unwrap().is_empty());
    let one = store.acquire_node("a", LONG).await.unwrap();
    store.acquire_node("b", LONG).await.unwrap();
    store.release_lease(&one.lease(), &one.incarnation).await.unwrap();
    let nodes = store.nodes().await.unwrap();
    let nodes: Vec<_> = nodes.iter().map(|node| (&*node.name, &*node.incarnation, node.alive)).collect();
    assert_eq!(nodes, [("n1", "a", false), ("n2", "b", true)]);
}
