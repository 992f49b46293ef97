//! Rooms, and who may do what there.

use mqttchat_protocol::{Conversation, EntryKind, Party, Room, RoomChange, RoomId};
use mqttchat_store::{Access, AppendError, Appended, Change, NewEntry, Store};

use super::{HandClock, Place, claim, msg, open, pair, party, room, say, user};

/// An entry that changes a room.
pub fn room_entry(from: &str, room_id: &str, message_id: &str, change: RoomChange) -> NewEntry {
    let data = match &change {
        RoomChange::Create { title, open, members } => {
            serde_json::json!({ "change": "create", "title": title, "open": open, "members": members })
        }
        RoomChange::Update { title, open } => {
            serde_json::json!({ "change": "update", "title": title, "open": open })
        }
        RoomChange::Delete => serde_json::json!({ "change": "delete" }),
        RoomChange::AddMember(user) => serde_json::json!({ "change": "add", "user": user }),
        RoomChange::RemoveMember(user) => serde_json::json!({ "change": "remove", "user": user }),
    };
    NewEntry {
        kind: EntryKind::Room,
        data: data.to_string().into(),
        change: Some(Change::Room(change)),
        ..msg(from, &room(room_id), message_id, "")
    }
}

pub fn create(title: &str, open: bool, members: &[&str]) -> RoomChange {
    RoomChange::Create {
        title: title.into(),
        open,
        members: members.iter().map(|member| user(member)).collect(),
    }
}

pub fn add(member: &str) -> RoomChange {
    RoomChange::AddMember(user(member))
}

pub fn remove(member: &str) -> RoomChange {
    RoomChange::RemoveMember(user(member))
}

pub async fn change(
    store: &Store,
    from: &str,
    room_id: &str,
    change: RoomChange,
) -> Result<Appended, AppendError> {
    let id = uuid::Uuid::new_v4().to_string();
    store.append(room_entry(from, room_id, &id, change)).await
}

pub async fn say_in(store: &Store, from: &str, room_id: &str, text: &str) -> Result<Appended, AppendError> {
    let id = uuid::Uuid::new_v4().to_string();
    store.append(msg(from, &room(room_id), &id, text)).await
}

/// Ann's closed room ops, with Bob; Cleo is a stranger to it.
pub async fn ops(place: &impl Place, open_to_all: bool) -> Store {
    let store = open(place).await;
    for name in ["Ann", "Bob", "Cleo", "Dan"] {
        claim(&store, name).await;
    }
    change(&store, "ann", "ops", create("Ops", open_to_all, &["bob"])).await.unwrap();
    store
}

fn id(room_id: &str) -> RoomId {
    RoomId::parse(room_id).unwrap()
}

async fn the_room(store: &Store, room_id: &str) -> Room {
    store.room(&id(room_id)).await.unwrap().unwrap()
}

async fn access(store: &Store, room_id: &str, who: &str) -> Access {
    store.room_access(&id(room_id), &party(who)).await.unwrap()
}

fn data(appended: &Appended) -> serde_json::Value {
    serde_json::from_str(&appended.entry.data).unwrap()
}

pub async fn made_and_read_again(place: &impl Place) {
    let clock = HandClock::at(1000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    for name in ["Ann", "Bob", "Cleo"] {
        claim(&store, name).await;
    }
    assert_eq!(store.room(&id("ops")).await.unwrap(), None);
    let made = room_entry("bob", "ops", "r1", create("Ops ü", false, &["cleo", "ann", "cleo"]));
    let appended = store.append(made.clone()).await.unwrap();
    let room = Room {
        id: id("ops"),
        title: "Ops ü".into(),
        open: false,
        owner: user("bob"),
        members: vec![user("ann"), user("bob"), user("cleo")],
        created: 1000,
        modified: 1000,
        head: 1,
    };
    assert_eq!(store.room(&id("ops")).await.unwrap(), Some(room.clone()));
    assert_eq!((appended.entry.seq, appended.entry.kind), (1, EntryKind::Room));
    assert_eq!(data(&appended)["room"], serde_json::to_value(&room).unwrap());
    assert_eq!(data(&appended)["title"], "Ops ü");
    assert_eq!(
        store.entries_after(&super::room("ops"), 0, 9).await.unwrap(),
        [(*appended.entry).clone()],
        "what is read is what was answered"
    );
    let again = store.append(made).await.unwrap();
    assert_eq!((again.fresh, &again.entry), (false, &appended.entry), "the same id again");
    clock.set(2000);
    say_in(&store, "ann", "ops", "hi").await.unwrap();
    assert_eq!((the_room(&store, "ops").await.modified, the_room(&store, "ops").await.head), (1000, 2));
    let update = RoomChange::Update { title: Some("Operations".into()), open: Some(true) };
    let updated = change(&store, "bob", "ops", update).await.unwrap();
    store.close().await;
    let store = open(place).await;
    let now = Room { title: "Operations".into(), open: true, modified: 2000, head: 3, ..room };
    assert_eq!(the_room(&store, "ops").await, now);
    assert_eq!(data(&updated)["room"], serde_json::to_value(&now).unwrap());
}

pub async fn only_one_of_a_name(place: &impl Place) {
    let store = ops(place, false).await;
    for by in ["ann", "cleo"] {
        let again = change(&store, by, "ops", create("Ops", true, &[])).await;
        assert!(matches!(again, Err(AppendError::Conflict(_))), "{again:?}");
    }
    let made = change(&store, "ann", "lab", create("Lab", true, &["nobody"])).await;
    assert_eq!(made, Err(AppendError::NoSuchUser));
    let made = change(&store, "nobody", "lab", create("Lab", true, &[])).await;
    assert_eq!(made, Err(AppendError::NoSuchUser));
    assert_eq!(store.room(&id("lab")).await.unwrap(), None);
    assert_eq!(store.head(&room("lab")).await.unwrap(), 0);
    let creates =
        (0..20).map(|n| {
            let store = store.clone();
            async move {
                change(&store, if n % 2 == 0 { "bob" } else { "cleo" }, "lab", create("L", true, &[])).await
            }
        });
    let outcomes = futures::future::join_all(creates).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(store.head(&room("lab")).await.unwrap(), 1);
}

pub async fn who_may_write(place: &impl Place) {
    let store = ops(place, false).await;
    assert_eq!(access(&store, "ops", "ann").await, Access::Owner);
    assert_eq!(access(&store, "ops", "bob").await, Access::Member);
    for stranger in ["cleo", "nobody", "mqtt:lamp"] {
        assert_eq!(access(&store, "ops", stranger).await, Access::None);
        assert_eq!(say_in(&store, stranger, "ops", "hi").await, Err(AppendError::NotFound), "{stranger}");
        assert_eq!(access(&store, "none", stranger).await, Access::None);
    }
    assert_eq!(say_in(&store, "bob", "ops", "hi").await.unwrap().entry.seq, 2);
    let to = async |open| {
        change(&store, "ann", "ops", RoomChange::Update { title: None, open: Some(open) }).await.unwrap()
    };
    to(true).await;
    for (stranger, seq) in [("cleo", 4), ("mqtt:lamp", 5), ("mqtt:door", 6)] {
        assert_eq!(access(&store, "ops", stranger).await, Access::Open);
        assert_eq!(say_in(&store, stranger, "ops", "hi").await.unwrap().entry.seq, seq);
    }
    to(false).await;
    assert_eq!(say_in(&store, "cleo", "ops", "hi").await, Err(AppendError::NotFound));
    assert_eq!(say_in(&store, "mqtt:lamp", "ops", "hi").await, Err(AppendError::NotFound));
    assert_eq!(store.set_read(&user("cleo"), &room("ops"), 5).await.unwrap(), None);
    assert_eq!(store.set_read(&user("bob"), &room("ops"), 5).await.unwrap(), Some(5));
    assert_eq!(store.head(&room("ops")).await.unwrap(), 7);
}

pub async fn members_come_and_go(place: &impl Place) {
    let store = ops(place, false).await;
    let members = async || -> Vec<String> {
        let members = store.members(&id("ops"), None, 99).await.unwrap();
        members.iter().map(|member| member.id.to_string()).collect()
    };
    assert_eq!(members().await, ["ann", "bob"]);
    let added = change(&store, "ann", "ops", add("cleo")).await.unwrap();
    assert_eq!(data(&added)["room"]["members"], serde_json::json!(["ann", "bob", "cleo"]));
    assert_eq!(data(&added)["user"], "cleo");
    let before = say_in(&store, "cleo", "ops", "hi").await.unwrap();
    assert!(matches!(change(&store, "ann", "ops", add("cleo")).await, Err(AppendError::Conflict(_))));
    assert_eq!(change(&store, "ann", "ops", add("nobody")).await, Err(AppendError::NoSuchUser));
    assert_eq!(change(&store, "dan", "ops", add("dan")).await, Err(AppendError::NotFound));
    assert!(matches!(change(&store, "bob", "ops", add("dan")).await, Err(AppendError::Forbidden(_))));
    change(&store, "ann", "ops", remove("bob")).await.unwrap();
    change(&store, "cleo", "ops", remove("cleo")).await.unwrap();
    assert_eq!(members().await, ["ann"]);
    assert_eq!(say_in(&store, "cleo", "ops", "hi").await, Err(AppendError::NotFound));
    let again = store.append(msg("cleo", &room("ops"), before.entry.id.as_str(), "hi")).await.unwrap();
    assert_eq!((again.fresh, again.entry.seq), (false, before.entry.seq), "what was stored is answered");
    assert!(matches!(change(&store, "ann", "ops", remove("ann")).await, Err(AppendError::Conflict(_))));
    assert!(matches!(change(&store, "ann", "ops", remove("dan")).await, Err(AppendError::Conflict(_))));
    change(&store, "ann", "ops", add("dan")).await.unwrap();
    assert_eq!(
        say_in(&store, "dan", "ops", "hi").await.unwrap().entry.seq,
        store.head(&room("ops")).await.unwrap()
    );
    change(&store, "ann", "lobby", create("Lobby", true, &[])).await.unwrap();
    change(&store, "bob", "lobby", add("bob")).await.unwrap();
    assert!(matches!(change(&store, "bob", "lobby", add("cleo")).await, Err(AppendError::Forbidden(_))));
    let page = store.members(&id("lobby"), Some(&user("ann")), 1).await.unwrap();
    assert_eq!((page.len(), &*page[0].name), (1, "Bob"));
    assert!(store.members(&id("none"), None, 9).await.unwrap().is_empty());
}

/// One batch sees what the entries before have changed, and so do many tasks at once.
pub async fn changes_count_at_once(place: &impl Place) {
    let store = ops(place, false).await;
    let held = super::hold_up(&store).await;
    let appends = futures::future::join_all([
        store.append(msg("cleo", &room("ops"), "1", "too early")),
        store.append(room_entry("ann", "ops", "2", add("cleo"))),
        store.append(msg("cleo", &room("ops"), "3", "hi")),
        store.append(room_entry("ann", "ops", "4", remove("cleo"))),
        store.append(msg("cleo", &room("ops"), "5", "too late")),
        store.append(room_entry("ann", "ops", "4", remove("cleo"))),
        store.append(room_entry("ann", "ops", "6", RoomChange::Delete)),
        store.append(msg("bob", &room("ops"), "7", "gone")),
        store.append(room_entry("bob", "ops", "8", create("New", false, &[]))),
        store.append(msg("ann", &room("ops"), "9", "a stranger now")),
        store.append(msg("bob", &room("ops"), "10", "mine")),
    ]);
    let (outcomes, ()) = tokio::join!(appends, async { drop(held) });
    let seqs: Vec<_> =
        outcomes.into_iter().map(|outcome| outcome.map(|appended| appended.entry.seq).ok()).collect();
    let expected = [None, Some(2), Some(3), Some(4), None, Some(4), Some(5), None, Some(6), None, Some(7)];
    assert_eq!(seqs, expected);
    let left = store.entries_after(&room("ops"), 0, 9).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [6, 7]);
}

pub async fn deleted_and_made_again(place: &impl Place) {
    let store = ops(place, false).await;
    for n in 0..5 {
        say_in(&store, "bob", "ops", &format!("secret {n}")).await.unwrap();
    }
    let other = say(&store, "bob", "elsewhere").await;
    assert!(matches!(change(&store, "bob", "ops", RoomChange::Delete).await, Err(AppendError::Forbidden(_))));
    assert_eq!(change(&store, "cleo", "ops", RoomChange::Delete).await, Err(AppendError::NotFound));
    let before = the_room(&store, "ops").await;
    let delete = room_entry("ann", "ops", "delete", RoomChange::Delete);
    let deleted = store.append(delete.clone()).await.unwrap();
    assert_eq!(deleted.entry.seq, 7);
    assert_eq!(data(&deleted)["room"]["members"], serde_json::to_value(&before.members).unwrap());
    assert_eq!(store.room(&id("ops")).await.unwrap(), None);
    assert!(store.rooms(&user("ann"), None, 9).await.unwrap().is_empty());
    assert!(store.members(&id("ops"), None, 9).await.unwrap().is_empty());
    assert_eq!(access(&store, "ops", "ann").await, Access::None);
    assert_eq!(store.head(&room("ops")).await.unwrap(), 7);
    let seqs = async |store: &Store| -> Vec<u64> {
        let after = store.entries_after(&room("ops"), 0, 99).await.unwrap();
        assert_eq!(after, store.entries_before(&room("ops"), None, 99).await.unwrap());
        after.iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(seqs(&store).await, [7], "that it is deleted can be read");
    assert_eq!(say_in(&store, "ann", "ops", "hi").await, Err(AppendError::NotFound));
    assert!(!store.append(delete.clone()).await.unwrap().fresh);
    store.close().await;
    let store = open(place).await;
    let position = say(&store, "ann", "next").await.entry.position;
    assert!(position > deleted.entry.position && deleted.entry.position > other.entry.position);
    assert_eq!(seqs(&store).await, [7]);
    let made = change(&store, "cleo", "ops", create("Ops", true, &[])).await.unwrap();
    assert_eq!(made.entry.seq, 8, "numbers are not used again");
    assert_eq!(seqs(&store).await, [8]);
    let again = store.append(delete).await.unwrap();
    assert_eq!((again.fresh, again.entry.seq), (false, 7), "not deleted a second time");
    assert_eq!(the_room(&store, "ops").await.owner, user("cleo"));
    say_in(&store, "ann", "ops", "hi").await.unwrap();
    change(&store, "cleo", "ops", RoomChange::Delete).await.unwrap();
    assert_eq!(seqs(&store).await, [10]);
}

pub async fn listed(place: &impl Place) {
    let store = ops(place, false).await;
    for (by, room_id, open) in [("cleo", "b-open", true), ("cleo", "closed", false), ("dan", "a_open", true)]
    {
        change(&store, by, room_id, create(room_id, open, &[])).await.unwrap();
    }
    let rooms = async |who: &str, after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(id);
        let rooms = store.rooms(&user(who), after.as_ref(), limit).await.unwrap();
        rooms.iter().map(|room| room.id.to_string()).collect()
    };
    assert_eq!(rooms("ann", None, 9).await, ["a_open", "b-open", "ops"]);
    assert_eq!(rooms("cleo", None, 9).await, ["a_open", "b-open", "closed"]);
    assert_eq!(rooms("nobody", None, 9).await, ["a_open", "b-open"]);
    assert_eq!(rooms("cleo", Some("a_open"), 1).await, ["b-open"]);
    assert_eq!(rooms("cleo", Some("closed"), 9).await, [""; 0]);
    say_in(&store, "bob", "ops", "newest").await.unwrap();
    let list = store.conversations(&user("bob"), None, 9).await.unwrap();
    let lines: Vec<_> =
        list.iter().map(|line| (line.dest.to_string(), line.title.as_deref(), line.head)).collect();
    assert_eq!(lines, [("public".to_owned(), None, 0), ("rooms/ops".to_owned(), Some("Ops"), 2)]);
    assert!(list[1].last.as_ref().unwrap().data.contains("newest"));
    let of_dan = store.conversations(&user("dan"), None, 9).await.unwrap();
    assert_eq!(
        of_dan.iter().map(|line| line.dest.to_string()).collect::<Vec<_>>(),
        ["public", "rooms/a_open"]
    );
}

pub async fn unread_of_private_ones_and_rooms(place: &impl Place) {
    let store = ops(place, false).await;
    change(&store, "dan", "lobby", create("Lobby", true, &[])).await.unwrap();
    let with_bob = pair("ann", "bob");
    let unread = async |who: &str| store.unread(&user(who)).await.unwrap();
    assert_eq!(unread("ann").await, []);
    let send = async |from: &str, conversation: &Conversation, times| {
        for _ in 0..times {
            let id = uuid::Uuid::new_v4().to_string();
            store.append(msg(from, conversation, &id, "x")).await.unwrap();
        }
    };
    send("bob", &with_bob, 3).await;
    send("bob", &room("ops"), 2).await;
    send("bob", &room("lobby"), 1).await;
    send("bob", &Conversation::Public, 1).await;
    send("ann", &pair("ann", "ann"), 2).await;
    assert_eq!(unread("ann").await, [(with_bob.clone(), 3), (room("ops"), 2)]);
    assert_eq!(unread("bob").await, []);
    assert_eq!(unread("dan").await, [(room("lobby"), 1)]);
    store.set_read(&user("ann"), &with_bob, 2).await.unwrap();
    assert_eq!(unread("ann").await, [(with_bob.clone(), 1), (room("ops"), 2)]);
    send("ann", &room("ops"), 1).await;
    send("bob", &room("ops"), 1).await;
    assert_eq!(unread("ann").await, [(with_bob.clone(), 1), (room("ops"), 1)], "above what she wrote");
    send("bob", &with_bob, 1005).await;
    assert_eq!(unread("ann").await[0], (with_bob, 1000));
    change(&store, "ann", "ops", RoomChange::Delete).await.unwrap();
    assert_eq!(unread("ann").await.len(), 1);
    assert_eq!(unread("nobody").await, []);
}

pub async fn strangers_change_nothing(place: &impl Place) {
    let store = ops(place, true).await;
    for what in [create("Ops", true, &[]), add("cleo"), RoomChange::Delete] {
        let outcome = change(&store, "mqtt:lamp", "ops", what).await;
        assert!(matches!(outcome, Err(AppendError::Forbidden(_))), "{outcome:?}");
    }
    let elsewhere =
        NewEntry { conversation: Conversation::Public, ..room_entry("ann", "x", "1", RoomChange::Delete) };
    assert_eq!(store.append(elsewhere).await, Err(AppendError::NotFound));
    assert_eq!(store.room_access(&id("ops"), &Party::foreign("lamp")).await.unwrap(), Access::Open);
}
