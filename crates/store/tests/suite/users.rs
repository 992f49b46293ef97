//! Who there is.

use mqttchat_protocol::DisplayName;
use mqttchat_store::{ClaimOutcome, Store};

use super::{HandClock, Place, claim, open, user};

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

pub async fn an_id_is_claimed_once(place: &impl Place) {
    let clock = HandClock::at(5_000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let ann = claim(&store, "Ann").await;
    assert_eq!((ann.id.as_str(), &*ann.name, &*ann.issuer), ("ann", "Ann", "guest"));
    assert_eq!((ann.serial, ann.blocked, ann.created, ann.last_seen), (1, false, 5_000, 5_000));
    let again = store.claim_user(&user("ann"), &name("ANN!"), "https://issuer.example").await.unwrap();
    assert_eq!(again, ClaimOutcome::Taken);
    assert_eq!(store.user(&user("ann")).await.unwrap(), Some(ann));
    assert_eq!(store.user(&user("bob")).await.unwrap(), None);
}

pub async fn claimed_by_one_of_many(place: &impl Place) {
    let store = open(place).await;
    let claims = (0..50).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            store.claim_user(&user("ann"), &name(&format!("Ann {n}")), "guest").await.unwrap()
        })
    });
    let mut created = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        if let ClaimOutcome::Created(user) = claim.await.unwrap() {
            created.push(user);
        }
    }
    assert_eq!(created.len(), 1);
    assert_eq!(store.user(&user("ann")).await.unwrap(), created.pop());
}

pub async fn renamed(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    assert!(store.rename_user(&user("ann"), &name("Änn 🦀")).await.unwrap());
    assert_eq!(&*store.user(&user("ann")).await.unwrap().unwrap().name, "Änn 🦀");
    assert!(!store.rename_user(&user("bob"), &name("Bob")).await.unwrap());
}

pub async fn free_names(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    assert_eq!(store.free_name(&name("Ann")).await.unwrap().as_str(), "Ann 2");
    // Its id is the one of "Ann 2".
    claim(&store, "ann-2").await;
    assert_eq!(store.free_name(&name("Ann")).await.unwrap().as_str(), "Ann 3");
    futures::future::join_all((3..=300).map(async |n| claim(&store, &format!("Ann {n}")).await)).await;
    let free = store.free_name(&name("Ann")).await.unwrap();
    assert_eq!(free.as_str(), "Ann 301");
    claim(&store, free.as_str()).await;
    let long = "x".repeat(64);
    claim(&store, &long).await;
    let free = store.free_name(&name(&long)).await.unwrap();
    assert_ne!(free.as_str(), long);
    claim(&store, free.as_str()).await;
}

pub async fn pages_by_id(place: &impl Place) {
    let store = open(place).await;
    for name in ["Dan", "Ann", "Cleo", "Bob"] {
        claim(&store, name).await;
    }
    super::say(&store, "mqtt:lamp", "1").await;
    let ids = async |after, limit| {
        let users = store.users_page(after, limit).await.unwrap();
        users.into_iter().map(|user| user.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 2).await, ["ann", "bob"]);
    assert_eq!(ids(Some("bob"), 9).await, ["cleo", "dan"]);
    assert_eq!(ids(Some("b"), 1).await, ["bob"]);
    assert_eq!(ids(Some("dan"), 9).await, [""; 0]);
}

pub async fn the_most_recent(place: &impl Place) {
    let clock = HandClock::default();
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    for (time, name) in [(10, "Ann"), (20, "Bob"), (30, "Cleo")] {
        clock.set(time);
        claim(&store, name).await;
    }
    store.set_presence("n1", &[], &[(user("ann"), 40)]).await.unwrap();
    let ids: Vec<_> =
        store.users_recent(2).await.unwrap().into_iter().map(|user| user.id.to_string()).collect();
    assert_eq!(ids, ["ann", "cleo"]);
}

pub async fn users_survive_reopening(place: &impl Place) {
    let store = open(place).await;
    let ann = claim(&store, "Ann").await;
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.user(&user("ann")).await.unwrap(), Some(ann));
    assert_eq!(store.claim_user(&user("ann"), &name("Ann"), "guest").await.unwrap(), ClaimOutcome::Taken);
}
