//! Edits, deletions and reactions.

use mqttchat_protocol::{Conversation, Entry, EntryKind, Target};
use mqttchat_store::{AppendError, Appended, Change, NewEntry, Store};
use serde_json::{Value, json};

use super::rooms::{change, create, ops, say_in};
use super::{HandClock, Place, claim, id, msg, open, pair, party, room, say, user};

fn target(message_id: &str, author: Option<&str>) -> Target {
    Target { id: id(message_id), author: author.map(party) }
}

fn entry(
    from: &str,
    conversation: &Conversation,
    message_id: &str,
    kind: EntryKind,
    data: &Value,
    change: Change,
) -> NewEntry {
    NewEntry {
        kind,
        data: data.to_string().into(),
        change: Some(change),
        ..msg(from, conversation, message_id, "")
    }
}

pub fn edit(from: &str, conversation: &Conversation, message_id: &str, of: &str, text: &str) -> NewEntry {
    let data = json!({ "target": of, "text": text });
    entry(from, conversation, message_id, EntryKind::Edit, &data, Change::Edit(target(of, None)))
}

pub fn delete(from: &str, conversation: &Conversation, message_id: &str, of: &str) -> NewEntry {
    let data = json!({ "target": of });
    entry(from, conversation, message_id, EntryKind::Delete, &data, Change::Delete(target(of, None)))
}

pub fn react(
    from: &str,
    conversation: &Conversation,
    message_id: &str,
    of: &str,
    emoji: &str,
    on: bool,
) -> NewEntry {
    let change = Change::React { target: target(of, None), emoji: emoji.into(), on };
    let data = json!({ "target": of, "emoji": emoji, "on": on });
    entry(from, conversation, message_id, EntryKind::React, &data, change)
}

fn data(entry: &Entry) -> Value {
    serde_json::from_str(&entry.data).unwrap()
}

async fn all(store: &Store, conversation: &Conversation) -> Vec<Entry> {
    let entries = store.entries_after(conversation, 0, 99).await.unwrap();
    assert_eq!(store.entries_before(conversation, None, 99).await.unwrap(), entries);
    for entry in &entries {
        let alone = store.entry_by_id(&entry.from, &entry.id).await.unwrap();
        assert_eq!(alone.as_ref(), Some(entry));
    }
    entries
}

const PUBLIC: Conversation = Conversation::Public;

fn refused(outcome: Result<Appended, AppendError>) -> AppendError {
    outcome.unwrap_err()
}

pub async fn an_edit_is_an_entry_and_the_present_text(place: &impl Place) {
    let clock = HandClock::at(1000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let mut first = msg("ann", &PUBLIC, "m1", "teh");
    first.data = r#"{"text":"teh","n":[1,2.5e-7],"x":null}"#.into();
    store.append(first.clone()).await.unwrap();
    clock.set(2000);
    let change = edit("ann", &PUBLIC, "e1", "m1", "the");
    let edited = store.append(change.clone()).await.unwrap();
    assert_eq!((edited.entry.seq, edited.fresh), (2, true));
    assert_eq!(data(&edited.entry), json!({ "target": "m1", "text": "the", "seq": 1 }));
    let entries = all(&store, &PUBLIC).await;
    assert_eq!(entries[1], *edited.entry);
    assert_eq!(data(&entries[0]), json!({ "text": "the", "n": [1, 2.5e-7], "x": null }));
    assert_eq!(entries[0].marks.as_ref().unwrap().edited, Some(2000));
    assert!(!store.append(change).await.unwrap().fresh);
    assert!(!store.append(first).await.unwrap().fresh, "the message as it was first sent");
    assert_eq!(store.append(msg("ann", &PUBLIC, "m1", "the")).await, Err(AppendError::IdConflict));
    assert_eq!(
        refused(store.append(edit("ann", &PUBLIC, "e1", "m1", "thee")).await),
        AppendError::IdConflict
    );
    store.append(edit("ann", &PUBLIC, "e2", "m1", "their")).await.unwrap();
    store.close().await;
    let store = open(place).await;
    assert_eq!(data(&all(&store, &PUBLIC).await[0])["text"], "their");
    let summary = store.conversations(&user("ann"), None, 9).await.unwrap();
    assert_eq!(summary[0].last.as_ref().map(|last| last.seq), Some(3));
}

pub async fn who_may_change_a_message(place: &impl Place) {
    let store = ops(place, false).await;
    let ops = room("ops");
    say(&store, "bob", "m1").await;
    store.append(msg("bob", &ops, "m2", "x")).await.unwrap();
    store.append(msg("bob", &pair("ann", "bob"), "m3", "x")).await.unwrap();
    for (by, place, of) in [("ann", &PUBLIC, "m1"), ("ann", &ops, "m2"), ("ann", &pair("ann", "bob"), "m3")] {
        let outcome = refused(store.append(edit(by, place, "c", of, "y")).await);
        assert!(matches!(outcome, AppendError::Forbidden(_)), "{outcome:?}");
    }
    for (by, place, of) in [("ann", &PUBLIC, "m1"), ("ann", &pair("ann", "bob"), "m3")] {
        let outcome = refused(store.append(delete(by, place, "c", of)).await);
        assert!(matches!(outcome, AppendError::Forbidden(_)), "{outcome:?}");
    }
    for stranger in ["cleo", "mqtt:lamp"] {
        for new in [
            edit(stranger, &ops, "c", "m2", "y"),
            delete(stranger, &ops, "c", "m2"),
            react(stranger, &ops, "c", "m2", "👍", true),
            react(stranger, &pair("ann", "bob"), "c", "m3", "👍", true),
        ] {
            assert_eq!(refused(store.append(new).await), AppendError::NotFound);
        }
    }
    store.append(react("cleo", &PUBLIC, "r1", "m1", "👍", true)).await.unwrap();
    store.append(react("ann", &pair("ann", "bob"), "r2", "m3", "👍", true)).await.unwrap();
    store.append(delete("ann", &ops, "d1", "m2")).await.unwrap();
    store.append(edit("bob", &PUBLIC, "e1", "m1", "y")).await.unwrap();
    assert_eq!(
        store.cursors(&pair("ann", "bob")).await.unwrap()[0].delivered,
        2,
        "one's own entry is delivered"
    );
}

pub async fn targets_that_are_none(place: &impl Place) {
    let store = ops(place, false).await;
    store.append(msg("bob", &room("ops"), "m", "x")).await.unwrap();
    store.append(msg("ann", &PUBLIC, "m", "a")).await.unwrap();
    store.append(msg("mqtt:lamp", &PUBLIC, "m", "b")).await.unwrap();
    let bad = async |new: NewEntry| {
        let error = refused(store.append(new).await);
        let AppendError::BadTarget(reason) = error else { panic!("{error:?}") };
        reason
    };
    assert!(bad(edit("ann", &PUBLIC, "e", "m", "y")).await.contains("data.author"));
    bad(edit("ann", &PUBLIC, "e", "none", "y")).await;
    bad(edit("ann", &room("ops"), "e", "r", "y")).await;
    bad(react("ann", &pair("ann", "ann"), "e", "m", "x", true)).await;
    for nothing_said in
        [edit("ann", &pair("ann", "bob"), "e", "m", "y"), delete("bob", &pair("ann", "bob"), "e", "m")]
    {
        bad(nothing_said).await;
    }
    let with_nobody = store.append(react("ann", &pair("ann", "nobody"), "e", "m", "x", true)).await;
    assert!(matches!(refused(with_nobody), AppendError::NotFound));
    assert_eq!(
        store.conversations(&user("ann"), None, 9).await.unwrap().len(),
        2,
        "what was refused makes none"
    );
    let mut narrowed = edit("ann", &PUBLIC, "e", "m", "y");
    narrowed.change = Some(Change::Edit(target("m", Some("ann"))));
    let edited = store.append(narrowed).await.unwrap();
    assert_eq!(data(&edited.entry)["seq"], 1);
    bad(edit("ann", &PUBLIC, "e2", "e", "an edit is no message")).await;
    assert_eq!(
        all(&store, &PUBLIC).await.iter().map(|entry| data(entry)["text"].clone()).collect::<Vec<_>>(),
        ["y", "b", "y"]
    );
}

pub async fn deleted_is_gone(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let first = msg("ann", &PUBLIC, "m1", "secret one");
    store.append(first.clone()).await.unwrap();
    let change = edit("ann", &PUBLIC, "e1", "m1", "secret two");
    store.append(change.clone()).await.unwrap();
    store.append(react("bob", &PUBLIC, "r1", "m1", "👍", true)).await.unwrap();
    let gone = delete("ann", &PUBLIC, "d1", "m1");
    let deleted = store.append(gone.clone()).await.unwrap();
    assert_eq!(data(&deleted.entry), json!({ "target": "m1", "seq": 1 }));
    let entries = all(&store, &PUBLIC).await;
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((&*entries[0].data, entries[0].marks.as_ref().unwrap().deleted), ("{}", true));
    assert!(entries[0].marks.as_ref().unwrap().reactions.is_empty());
    assert_eq!(entries[0].marks.as_ref().unwrap().edited, None);
    assert_eq!(data(&entries[1]), json!({ "target": "m1", "seq": 1 }));
    assert_eq!(entries[3], *deleted.entry);
    assert!(!entries.iter().any(|entry| entry.data.contains("secret")));
    for again in [first, change, gone] {
        let again = store.append(again).await.unwrap();
        assert!(!again.fresh && !again.entry.data.contains("secret"), "{again:?}");
    }
    for late in [
        edit("ann", &PUBLIC, "late", "m1", "secret three"),
        delete("ann", &PUBLIC, "late", "m1"),
        react("bob", &PUBLIC, "late", "m1", "👍", true),
    ] {
        assert!(matches!(refused(store.append(late).await), AppendError::BadTarget(_)));
    }
    assert_eq!(store.head(&PUBLIC).await.unwrap(), 4);
    let elsewhere = msg("ann", &pair("ann", "ann"), "m1", "secret one");
    assert_eq!(refused(store.append(elsewhere).await), AppendError::IdConflict);
    store.close().await;
    assert_eq!(all(&open(place).await, &PUBLIC).await, entries);
}

pub async fn reactions_add_up(place: &impl Place) {
    let store = open(place).await;
    say(&store, "ann", "m1").await;
    let seq = async |new| store.append(new).await.unwrap().entry.seq;
    assert_eq!(seq(react("cleo", &PUBLIC, "1", "m1", "👍", true)).await, 2);
    assert_eq!(seq(react("bob", &PUBLIC, "1", "m1", "👍", true)).await, 3);
    assert_eq!(seq(react("bob", &PUBLIC, "2", "m1", "🎉", true)).await, 4);
    assert_eq!(
        seq(react("bob", &PUBLIC, "3", "m1", "👍", true)).await,
        5,
        "again changes nothing, but is an entry"
    );
    assert_eq!(seq(react("ann", &PUBLIC, "1", "m1", "💤", false)).await, 6);
    let reactions = async |store: &Store| all(store, &PUBLIC).await[0].marks.clone().unwrap().reactions;
    assert_eq!(
        reactions(&store).await.into_iter().collect::<Vec<_>>(),
        [("🎉".to_owned(), vec![party("bob")]), ("👍".to_owned(), vec![party("bob"), party("cleo")])]
    );
    seq(react("bob", &PUBLIC, "4", "m1", "👍", false)).await;
    seq(react("bob", &PUBLIC, "5", "m1", "🎉", false)).await;
    seq(react("cleo", &PUBLIC, "2", "m1", "👍", false)).await;
    assert_eq!(all(&store, &PUBLIC).await[0].marks, None);
    seq(react("cleo", &PUBLIC, "3", "m1", "👍", true)).await;
    seq(edit("ann", &PUBLIC, "e", "m1", "now")).await;
    let marks = all(&store, &PUBLIC).await[0].marks.clone().unwrap();
    assert!(marks.edited.is_some() && marks.reactions.len() == 1);
    for n in 1..50 {
        seq(react("bob", &PUBLIC, &format!("many{n}"), "m1", &format!("e{n}"), true)).await;
    }
    let one_more = refused(store.append(react("bob", &PUBLIC, "51", "m1", "e51", true)).await);
    assert!(matches!(one_more, AppendError::Conflict(_)));
    seq(react("bob", &PUBLIC, "51", "m1", "👍", true)).await;
}

/// What comes together is done one after the other.
pub async fn changes_in_one_commit(place: &impl Place) {
    let store = open(place).await;
    let held = super::hold_up(&store).await;
    let appends = futures::future::join_all([
        store.append(msg("ann", &PUBLIC, "m", "one")),
        store.append(edit("ann", &PUBLIC, "e1", "m", "two")),
        store.append(react("bob", &PUBLIC, "r1", "m", "👍", true)),
        store.append(edit("ann", &PUBLIC, "e2", "m", "three")),
        store.append(edit("ann", &PUBLIC, "e1", "m", "two")),
        store.append(msg("ann", &PUBLIC, "n", "kept")),
        store.append(delete("ann", &PUBLIC, "d1", "m")),
        store.append(edit("ann", &PUBLIC, "e3", "m", "four")),
        store.append(edit("ann", &PUBLIC, "e4", "n", "kept and changed")),
        store.append(react("bob", &PUBLIC, "r2", "n", "👍", true)),
    ]);
    let (outcomes, ()) = tokio::join!(appends, async { drop(held) });
    let seqs: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().ok().map(|o| o.entry.seq)).collect();
    // The first is what held the writer up.
    assert_eq!(seqs, [Some(2), Some(3), Some(4), Some(5), Some(3), Some(6), Some(7), None, Some(8), Some(9)]);
    let entries = all(&store, &PUBLIC).await;
    let texts: Vec<_> = entries[1..].iter().map(|entry| data(entry)["text"].clone()).collect();
    let (kept, changed) = (json!("kept and changed"), json!("kept and changed"));
    assert_eq!(
        texts,
        [json!(null), json!(null), json!(null), json!(null), kept, json!(null), changed, json!(null)]
    );
    assert_eq!(entries[5].marks.as_ref().unwrap().reactions["👍"], [party("bob")]);
}

pub async fn changes_in_a_room_go_with_it(place: &impl Place) {
    let store = ops(place, false).await;
    let ops = room("ops");
    let first = say_in(&store, "bob", "ops", "secret").await.unwrap().entry;
    store.append(edit("bob", &ops, "e", first.id.as_str(), "secret too")).await.unwrap();
    store.append(react("ann", &ops, "r", first.id.as_str(), "👍", true)).await.unwrap();
    change(&store, "ann", "ops", mqttchat_protocol::RoomChange::Delete).await.unwrap();
    change(&store, "ann", "ops", create("Ops", false, &["bob"])).await.unwrap();
    let late = store.append(edit("bob", &ops, "e2", first.id.as_str(), "secret still")).await;
    assert!(matches!(late, Err(AppendError::BadTarget(_))));
    assert_eq!(store.entries_after(&ops, 0, 99).await.unwrap().len(), 1);
}
