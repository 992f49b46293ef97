//! The same message again.

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, IngestMark, NewEntry};

use super::{Place, claim, hold_up, msg, open, pair, room, say, user};

fn with_data(data: &str) -> NewEntry {
    NewEntry { data: data.into(), ..msg("ann", &Conversation::Public, "m", "") }
}

pub async fn the_same_again(place: &impl Place) {
    let store = open(place).await;
    let first = say(&store, "ann", "m1").await;
    say(&store, "bob", "m2").await;
    let again = say(&store, "ann", "m1").await;
    assert!(first.fresh && !again.fresh);
    assert_eq!(again.entry, first.entry);
    let renamed = NewEntry { name: "Ann the Great".into(), ..msg("ann", &Conversation::Public, "m1", "m1") };
    assert_eq!(store.append(renamed).await.unwrap().entry, first.entry, "another name is the same message");
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), 2);
}

pub async fn spelled_otherwise(place: &impl Place) {
    let store = open(place).await;
    let first = store.append(with_data(r#"{"text":"a","n":{"b":1,"c":[10,null]}}"#)).await.unwrap();
    let again = store.append(with_data(r#"{"n":{"c":[1e1,null],"b":1.0},"text":"\u0061"}"#)).await.unwrap();
    assert!(!again.fresh);
    assert_eq!(again.entry, first.entry);
}

pub async fn something_else_under_the_same_id(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    store.append(with_data(r#"{"text":"a"}"#)).await.unwrap();
    for other in [r#"{"text":"b"}"#, r#"{"text":"a","more":1}"#, "{}"] {
        assert_eq!(store.append(with_data(other)).await, Err(AppendError::IdConflict), "{other}");
    }
    for elsewhere in [pair("ann", "ann"), pair("ann", "nobody"), room("none")] {
        let entry = NewEntry { conversation: elsewhere, ..with_data(r#"{"text":"a"}"#) };
        assert_eq!(
            store.append(entry).await,
            Err(AppendError::IdConflict),
            "the id is claimed before the rest"
        );
    }
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), 1);
}

pub async fn ids_are_each_senders_own(place: &impl Place) {
    let store = open(place).await;
    assert_eq!(say(&store, "ann", "1").await.entry.seq, 1);
    assert_eq!(say(&store, "bob", "1").await.entry.seq, 2);
    assert_eq!(say(&store, "mqtt:ann", "1").await.entry.seq, 3);
}

pub async fn at_the_same_instant_from_fifty_tasks(place: &impl Place) {
    let store = open(place).await;
    for round in 1..=5u64 {
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { say(&store, "ann", &format!("m{round}")).await })
            })
            .collect();
        let mut fresh = 0;
        for task in tasks {
            let appended = task.await.unwrap();
            assert_eq!(appended.entry.seq, round);
            fresh += u32::from(appended.fresh);
        }
        assert_eq!(fresh, 1);
    }
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), 5);
}

pub async fn twice_in_one_commit(place: &impl Place) {
    let store = open(place).await;
    let held = hold_up(&store).await;
    let appends = futures::future::join_all([
        store.append(with_data(r#"{"n":1}"#)),
        store.append(with_data(r#"{"n":1.0}"#)),
        store.append(with_data(r#"{"n":2}"#)),
    ]);
    let (outcomes, ()) = tokio::join!(appends, async { drop(held) });
    let [Ok(first), Ok(second), Err(AppendError::IdConflict)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(first.fresh && !second.fresh);
    assert_eq!(first.entry, second.entry);
}

pub async fn again_after_reopening(place: &impl Place) {
    let store = open(place).await;
    let first = say(&store, "ann", "m1").await;
    store.close().await;
    let store = open(place).await;
    let again = say(&store, "ann", "m1").await;
    assert!(!again.fresh);
    assert_eq!(again.entry, first.entry);
    assert_eq!(say(&store, "ann", "m2").await.entry.seq, 2);
}

pub async fn a_refused_id_is_still_free(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    assert_eq!(store.append(msg("ann", &pair("ann", "bob"), "m1", "x")).await, Err(AppendError::NotFound));
    assert!(say(&store, "ann", "m1").await.fresh);
}

pub async fn a_conflict_leaves_nothing_behind(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    say(&store, "ann", "m1").await;
    let conflict = store.append(msg("ann", &pair("ann", "bob"), "m1", "m1")).await;
    assert_eq!(conflict, Err(AppendError::IdConflict));
    let list = store.conversations(&user("bob"), None, 9).await.unwrap();
    assert_eq!(list.len(), 1, "only the public one: {list:?}");
    assert_eq!(list[0].conversation, Conversation::Public);
}

fn published(session: u64, packet: u16, redelivered: bool, message_id: &str, text: &str) -> NewEntry {
    let ingest = Some(IngestMark { session, packet, redelivered });
    NewEntry { ingest, ..msg("mqtt:lamp", &Conversation::Public, message_id, text) }
}

pub async fn redelivered_publishes(place: &impl Place) {
    let store = open(place).await;
    let session = store.ingest_session(false).await.unwrap();
    let first = store.append(published(session, 5, false, "a", "on")).await.unwrap();
    store.close().await;

    let store = open(place).await;
    assert_eq!(store.ingest_session(true).await.unwrap(), session);
    let again = store.append(published(session, 5, true, "b", "on")).await.unwrap();
    assert!(!again.fresh);
    assert_eq!(again.entry, first.entry);
    // The packet id was used again since, for something that never got here.
    assert!(store.append(published(session, 5, true, "c", "off")).await.unwrap().fresh);
    assert!(store.append(published(session, 6, true, "d", "off")).await.unwrap().fresh, "another packet");
    assert!(store.append(published(session, 5, false, "e", "off")).await.unwrap().fresh, "not redelivered");
    assert!(!store.append(published(session, 5, true, "f", "off")).await.unwrap().fresh);
    let next = store.ingest_session(false).await.unwrap();
    assert!(next > session);
    assert!(store.append(published(next, 5, true, "g", "off")).await.unwrap().fresh, "another session");
}

pub async fn redelivered_before_the_first_is_committed(place: &impl Place) {
    let store = open(place).await;
    let session = store.ingest_session(true).await.unwrap();
    let held = hold_up(&store).await;
    let appends = futures::future::join_all([
        store.append(published(session, 5, false, "a", "on")),
        store.append(published(session, 5, true, "b", "on")),
    ]);
    let (outcomes, ()) = tokio::join!(appends, async { drop(held) });
    let [Ok(first), Ok(second)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(first.fresh && !second.fresh);
    assert_eq!(first.entry, second.entry);
}
