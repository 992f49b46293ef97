//! Users who are locked out, tokens that are replaced, secrets that are rotated: beside a store that is open.

use std::time::Duration;

use mqttchat_protocol::{Conversation, Token};
use mqttchat_store::{AppendError, Operator, Standing, Store};

use super::{HandClock, Place, claim, msg, open, say, user};

pub async fn nothing_of_a_blocked_user_is_stored(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    say(&store, "ann", "m1").await;
    let operator = Operator::open(place.options()).await.unwrap();
    let before = store.revocations().await.unwrap();
    assert!(operator.set_blocked(&user("ann"), true).await.unwrap().unwrap().blocked);
    let counted = store.revocations().await.unwrap();
    assert!(counted > before);
    for message in ["m2", "m1"] {
        let refused = store.append(msg("ann", &Conversation::Public, message, message)).await;
        assert!(matches!(refused, Err(AppendError::Blocked)), "{refused:?}");
    }
    say(&store, "bob", "m3").await;
    let standing = |id: &str, blocked| Standing { id: user(id), serial: 1, blocked, blocks: blocked.into() };
    let mut standings = store.standings(&[user("bob"), user("ann"), user("eve")]).await.unwrap();
    standings.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(standings, [standing("ann", true), standing("bob", false)]);
    assert!(!store.set_blocked(&user("ann"), false).await.unwrap().unwrap().blocked);
    say(&store, "ann", "m4").await;
    let ann = store.user(&user("ann")).await.unwrap().unwrap();
    assert_eq!((ann.blocked, ann.blocks), (false, 1), "who was let in again was locked out nevertheless");
    assert!(store.revocations().await.unwrap() > counted);
    assert_eq!(store.set_blocked(&user("eve"), true).await.unwrap(), None);
    assert_eq!(operator.set_blocked(&user("eve"), true).await.unwrap(), None);
}

pub async fn commands_see_whether_it_is_there(place: &impl Place) {
    assert!(!Operator::exists(&place.options()).await.unwrap());
    assert!(!Operator::exists(&place.options()).await.unwrap(), "looking makes nothing");
    open(place).await.close().await;
    assert!(Operator::exists(&place.options()).await.unwrap());
}

pub async fn a_new_serial_for_each_token(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let operator = Operator::open(place.options()).await.unwrap();
    let before = store.revocations().await.unwrap();
    assert_eq!(operator.renew_user(&user("ann")).await.unwrap().unwrap().serial, 2);
    assert_eq!(operator.renew_user(&user("ann")).await.unwrap().unwrap().serial, 3);
    assert_eq!(store.user(&user("ann")).await.unwrap().unwrap().serial, 3);
    assert!(store.revocations().await.unwrap() >= before + 2);
    assert_eq!(operator.renew_user(&user("eve")).await.unwrap(), None);
    let token = Token { user: user("ann"), serial: 3 }.issue(&operator.keyring());
    assert!(Token::verify(&token, &store.keyring()).is_ok());
    let page = operator.users_page(None, 10).await.unwrap();
    assert_eq!((page.len(), operator.user(&user("ann")).await.unwrap().as_ref()), (1, page.first()));
}

pub async fn rotated_secrets_in_their_time(place: &impl Place) {
    let clock = HandClock::at(1_000_000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let operator = Operator::open(place.options().clock(clock.clock())).await.unwrap();
    let (keys, ann) = (store.keyring(), Token { user: user("ann"), serial: 1 });
    let old = ann.issue(&keys);
    let before = store.revocations().await.unwrap();
    operator.rotate_secrets(Duration::from_secs(60)).await.unwrap();
    assert!(store.revocations().await.unwrap() > before);
    store.turn_secrets(true).await.unwrap();
    assert_eq!(ann.issue(&keys), old, "until every node knows the new one");
    clock.set(1_010_000);
    store.turn_secrets(false).await.unwrap();
    let new = ann.issue(&keys);
    assert!(new != old && Token::verify(&old, &keys).is_ok() && Token::verify(&new, &keys).is_ok());
    clock.set(1_070_000);
    store.turn_secrets(false).await.unwrap();
    assert!(Token::verify(&old, &keys).is_err() && Token::verify(&new, &keys).is_ok());
    operator.rotate_secrets(Duration::ZERO).await.unwrap();
    store.turn_secrets(true).await.unwrap();
    assert!(Token::verify(&new, &keys).is_err(), "without a grace at once");
    let newest = ann.issue(&keys);
    store.close().await;
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    assert!(Token::verify(&newest, &store.keyring()).is_ok());
}
