//! Appending and reading.

use std::collections::HashMap;
use std::time::Duration;

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, Store};

use super::{HandClock, Place, claim, id, msg, open, pair, party, room, say};

pub async fn numbers_without_holes(place: &impl Place) {
    let store = open(place).await;
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), 0);
    let mut last = 0;
    for n in 1..=3 {
        let appended = say(&store, "ann", &format!("m{n}")).await;
        assert!(appended.fresh);
        assert_eq!(appended.entry.seq, n);
        assert!(appended.entry.position > last);
        last = appended.entry.position;
        assert_eq!(store.head(&Conversation::Public).await.unwrap(), n);
    }
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    let private = store.append(msg("ann", &pair("ann", "bob"), "p1", "hi")).await.unwrap();
    assert_eq!(private.entry.seq, 1);
    assert!(private.entry.position > last);
    let heads = [pair("bob", "ann"), room("ops"), Conversation::Public, pair("ann", "zoe")];
    assert_eq!(store.heads(&heads).await.unwrap(), [1, 0, 3, 0]);
}

pub async fn pages(place: &impl Place) {
    let store = open(place).await;
    for n in 1..=10 {
        say(&store, "ann", &format!("m{n}")).await;
    }
    let public = Conversation::Public;
    let after = async |after, limit| seqs(&store.entries_after(&public, after, limit).await.unwrap());
    let before = async |before, limit| seqs(&store.entries_before(&public, before, limit).await.unwrap());
    assert_eq!(after(0, 3).await, [1, 2, 3]);
    assert_eq!(after(8, 3).await, [9, 10]);
    assert_eq!(after(10, 3).await, [0; 0]);
    assert_eq!(after(u64::MAX, u64::MAX).await, [0; 0]);
    assert_eq!(after(0, 0).await, [0; 0]);
    assert_eq!(before(None, 3).await, [8, 9, 10]);
    assert_eq!(before(Some(4), 2).await, [2, 3]);
    assert_eq!(before(Some(3), 9).await, [1, 2]);
    assert_eq!(before(Some(1), 9).await, [0; 0]);
    assert_eq!(before(Some(0), 9).await, [0; 0]);
    assert_eq!(before(Some(u64::MAX), 1).await, [10]);
    assert!(store.entries_before(&room("none"), None, 9).await.unwrap().is_empty());
}

pub async fn pages_bounded_in_bytes(place: &impl Place) {
    let store = open(place).await;
    for n in 1..=40 {
        say(&store, "ann", &format!("m{n:02}")).await;
    }
    let public = Conversation::Public;
    let each = store.entries_after(&public, 0, 1).await.unwrap()[0].data.len();
    let after = async |after, limit, bytes| {
        seqs(&store.entries_after_within(&public, after, limit, bytes).await.unwrap())
    };
    let before = async |before, limit, bytes| {
        seqs(&store.entries_before_within(&public, before, limit, bytes).await.unwrap())
    };
    let to = |from: u64, to: u64| (from..=to).collect::<Vec<_>>();
    assert_eq!(after(0, 99, usize::MAX).await, to(1, 40));
    assert_eq!(before(None, 99, usize::MAX).await, to(1, 40));
    assert_eq!(after(0, 35, usize::MAX).await, to(1, 35));
    assert_eq!(before(Some(40), 35, usize::MAX).await, to(5, 39));
    assert_eq!(after(3, 99, 30 * each).await, to(4, 33), "up to the one that reaches it");
    assert_eq!(before(None, 99, 30 * each - 1).await, to(11, 40));
    assert_eq!(after(0, 99, 30 * each + 1).await, to(1, 31));
    assert_eq!(after(0, 99, 1).await, to(1, 2), "never only the first");
    assert_eq!(before(Some(9), 99, 0).await, to(7, 8));
    assert_eq!(after(39, 99, 1).await, to(40, 40));
    assert_eq!((after(40, 99, 1).await, after(0, 0, 1).await), (vec![], vec![]));
}

fn seqs(entries: &[mqttchat_protocol::Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

pub async fn what_was_said_comes_back(place: &impl Place) {
    let clock = HandClock::at(1_700_000_000_123);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let mut new = msg("mqtt:lamp", &Conversation::Public, "i d~!", "");
    new.name = "Làmp \"7\" 🦀 小明".into();
    new.data = serde_json::json!({ "text": "ü\u{0}\n\"'; DROP TABLE entries; --", "n": [1, 2.5e-7, null] })
        .to_string()
        .into();
    let stored = store.append(new.clone()).await.unwrap().entry;
    assert_eq!((stored.seq, stored.time), (1, 1_700_000_000_123));
    assert_eq!((&stored.conversation, stored.kind, &stored.id), (&new.conversation, new.kind, &new.id));
    assert_eq!((&stored.from, &stored.name, &stored.data), (&new.from, &new.name, &new.data));
    let large = msg("ann", &Conversation::Public, "large", &"x".repeat(1 << 20));
    let large = store.append(large).await.unwrap().entry;

    assert_eq!(
        store.entries_after(&Conversation::Public, 0, 9).await.unwrap(),
        [(*stored).clone(), (*large).clone()]
    );
    assert_eq!(store.entries_before(&Conversation::Public, None, 1).await.unwrap(), [(*large).clone()]);
    assert_eq!(store.entry_by_id(&party("mqtt:lamp"), &id("i d~!")).await.unwrap(), Some((*stored).clone()));
    assert_eq!(store.entry_by_id(&party("ann"), &id("i d~!")).await.unwrap(), None);
    assert_eq!(store.entry_by_id(&party("zoe"), &id("i d~!")).await.unwrap(), None);
}

pub async fn survives_reopening(place: &impl Place) {
    let store = open(place).await;
    let log = store.log_id().to_owned();
    let token = mqttchat_protocol::Token { user: super::user("ann"), serial: 1 }.issue(&store.keyring());
    let first = say(&store, "ann", "m1").await.entry;
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.log_id(), log);
    mqttchat_protocol::Token::verify(&token, &store.keyring()).unwrap();
    assert_eq!(store.entries_after(&Conversation::Public, 0, 9).await.unwrap(), [(*first).clone()]);
    let second = say(&store, "ann", "m2").await.entry;
    assert_eq!(second.seq, 2);
    assert!(second.position > first.position);
}

pub async fn order_under_concurrency(place: &impl Place) {
    const WRITERS: u64 = 20;
    const EACH: u64 = 50;
    let store = open(place).await;
    let names = ["Ann", "Bob", "Cleo"];
    for name in names {
        claim(&store, name).await;
    }
    let conversations = [Conversation::Public, pair("ann", "bob"), pair("ann", "cleo"), pair("ann", "ann")];
    let writers = (0..WRITERS).map(|writer| {
        let (store, conversations) = (store.clone(), conversations.clone());
        tokio::spawn(async move {
            for n in 0..EACH {
                let conversation = &conversations[usize::try_from((writer + n) % 4).unwrap()];
                store.append(msg("ann", conversation, &format!("{writer}-{n}"), "x")).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let (mut total, mut positions) = (0, Vec::new());
    for conversation in &conversations {
        let entries = store.entries_after(conversation, 0, u64::MAX).await.unwrap();
        let mut newest_of: HashMap<String, u64> = HashMap::new();
        for (expected, entry) in (1..).zip(&entries) {
            assert_eq!(entry.seq, expected, "{conversation}");
            let (writer, n) = entry.id.as_str().split_once('-').unwrap();
            let before = newest_of.insert(writer.to_owned(), n.parse().unwrap());
            assert!(before.is_none_or(|before| before < n.parse().unwrap()), "{writer} is out of order");
            positions.push((entry.position, entry.time));
        }
        assert!(entries.is_sorted_by(|one, next| one.position < next.position && one.time <= next.time));
        assert_eq!(store.head(conversation).await.unwrap(), entries.len() as u64);
        total += entries.len() as u64;
    }
    assert_eq!(total, WRITERS * EACH);
    positions.sort_unstable();
    positions.dedup_by_key(|(position, _)| *position);
    assert_eq!(positions.len() as u64, total, "no position is given twice");
}

pub async fn a_refused_entry_takes_no_number(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let held = super::hold_up(&store).await;
    let outcomes = futures::future::join_all([
        store.append(msg("ann", &Conversation::Public, "1", "")),
        store.append(msg("ann", &room("none"), "2", "")),
        store.append(msg("ann", &Conversation::Public, "1", "other")),
        store.append(msg("ann", &pair("ann", "nobody"), "3", "")),
        store.append(msg("ann", &Conversation::Public, "4", "")),
    ]);
    let let_go = async { drop(held) };
    let (outcomes, ()) = tokio::join!(outcomes, let_go);
    let seqs: Vec<_> =
        outcomes.into_iter().map(|outcome| outcome.map(|appended| appended.entry.seq)).collect();
    // The first is what held the writer up.
    assert_eq!(
        seqs,
        [Ok(2), Err(AppendError::NotFound), Err(AppendError::IdConflict), Err(AppendError::NotFound), Ok(3)]
    );
}

pub async fn private_conversations_need_users(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let to_bob = msg("ann", &pair("ann", "bob"), "1", "hi");
    assert_eq!(store.append(to_bob.clone()).await, Err(AppendError::NotFound));
    claim(&store, "Bob").await;
    assert_eq!(store.append(to_bob).await.unwrap().entry.seq, 1);
    let back = store.append(msg("bob", &pair("ann", "bob"), "1", "hi")).await.unwrap();
    assert_eq!(back.entry.seq, 2, "a pair has one log");
    let stranger = msg("zoe", &pair("zoe", "ann"), "1", "hi");
    assert_eq!(store.append(stranger).await, Err(AppendError::NotFound), "an author who is no user");
    claim(&store, "Zoe").await;
    let between = msg("zoe", &pair("ann", "bob"), "2", "hi");
    assert_eq!(store.append(between).await, Err(AppendError::NotFound), "somebody else's conversation");
}

pub async fn strangers_write_one_way(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let conversation = pair("mqtt:lamp", "ann");
    let lamp = msg("mqtt:lamp", &conversation, "1", "on");
    assert_eq!(store.append(lamp).await.unwrap().entry.seq, 1);
    assert_eq!(store.append(msg("ann", &conversation, "1", "off")).await, Err(AppendError::NotFound));
    let to_nobody = msg("mqtt:lamp", &pair("mqtt:lamp", "bob"), "2", "on");
    assert_eq!(store.append(to_nobody).await, Err(AppendError::NotFound));
    for to in ["mqtt:lamp", "mqtt:door"] {
        let to_a_stranger = msg("mqtt:lamp", &pair("mqtt:lamp", to), "2", "on");
        assert_eq!(store.append(to_a_stranger).await, Err(AppendError::NotFound), "{to}");
    }
    assert_eq!(store.head(&conversation).await.unwrap(), 1);
}

pub async fn rooms_have_to_be_there(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    for _ in 0..2 {
        assert_eq!(store.append(msg("ann", &room("ops"), "1", "hi")).await, Err(AppendError::NotFound));
    }
    assert_eq!(store.head(&room("ops")).await.unwrap(), 0);
}

pub async fn time_never_runs_backwards(place: &impl Place) {
    let clock = HandClock::at(10_000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    claim(&store, "Ann").await;
    let time = async |store: &Store, message_id: &str| say(store, "ann", message_id).await.entry.time;
    assert_eq!(time(&store, "1").await, 10_000);
    clock.set(4_000);
    assert_eq!(time(&store, "2").await, 10_000);
    let notes = store.append(msg("ann", &pair("ann", "ann"), "n", "")).await.unwrap();
    assert_eq!(notes.entry.time, 4_000, "each conversation has its own time");
    clock.set(3_000);
    store.close().await;
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    assert_eq!(time(&store, "3").await, 10_000);
    clock.set(3_610_000);
    assert_eq!(time(&store, "4").await, 3_610_000);
    clock.set(10_001);
    assert_eq!(time(&store, "5").await, 3_610_000);
}

pub async fn unconfirmed_entries_of_a_node(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    say(&store, "ann", "nobody's").await;
    let node = store.acquire_node("first", Duration::from_secs(20)).await.unwrap();
    let one = say(&store, "ann", "1").await.entry;
    let two = store.append(msg("ann", &pair("ann", "ann"), "2", "")).await.unwrap().entry;
    let three = say(&store, "ann", "3").await.entry;
    let unconfirmed = async |after, limit| {
        let entries = store.unconfirmed(&node.name, after, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(unconfirmed(0, 9).await, ["1", "2", "3"]);
    assert_eq!(unconfirmed(0, 2).await, ["1", "2"]);
    assert_eq!(unconfirmed(one.position, 9).await, ["2", "3"]);
    assert_eq!(unconfirmed(three.position, 9).await, [""; 0]);
    assert_eq!(store.unconfirmed(&node.name, one.position, 1).await.unwrap(), [(*two).clone()]);
    assert!(store.unconfirmed("n99", 0, 9).await.unwrap().is_empty());
}

pub async fn how_far_readers_have_come(place: &impl Place) {
    let store = open(place).await;
    assert_eq!((store.position("a").await.unwrap(), store.last_position().await.unwrap()), (None, 0));
    let entry = say(&store, "ann", "m1").await.entry;
    assert_eq!(store.last_position().await.unwrap(), entry.position);
    store.set_position("a", 7).await.unwrap();
    store.set_position("a", 5).await.unwrap();
    let positions = (store.position("a").await.unwrap(), store.position("b").await.unwrap());
    assert_eq!(positions, (Some(5), None));
}

pub async fn confirmed_never_moves_back(place: &impl Place) {
    let store = open(place).await;
    let node = store.acquire_node("first", Duration::from_secs(20)).await.unwrap().name;
    assert_eq!(store.confirmed(&node).await.unwrap(), 0);
    store.set_confirmed(&node, 7).await.unwrap();
    store.set_confirmed(&node, 5).await.unwrap();
    assert_eq!(store.confirmed(&node).await.unwrap(), 7);
    assert_eq!(store.confirmed("n99").await.unwrap(), 0);
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.confirmed(&node).await.unwrap(), 7);
}

pub async fn heads_that_changed(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    let with_bob = pair("ann", "bob");
    let changed = async |after, limit| {
        let changed = store.changed_heads(after, limit).await.unwrap();
        changed.into_iter().map(|c| (c.conversation, c.head, c.position)).collect::<Vec<_>>()
    };
    assert_eq!(changed(0, 9).await, []);
    let first = say(&store, "ann", "1").await.entry.position;
    let private = store.append(msg("ann", &with_bob, "p", "x")).await.unwrap().entry.position;
    let in_private = (with_bob.clone(), 1, private);
    assert_eq!(changed(0, 9).await, [(Conversation::Public, 1, first), in_private.clone()]);
    assert_eq!(changed(first, 9).await, std::slice::from_ref(&in_private));
    let second = say(&store, "ann", "2").await.entry.position;
    let in_public = (Conversation::Public, 2, second);
    assert_eq!(changed(0, 9).await, [in_private.clone(), in_public.clone()]);
    assert_eq!(changed(0, 1).await, [in_private]);
    assert_eq!(changed(private, 9).await, [in_public]);
    assert_eq!(changed(second, 9).await, []);
    assert_eq!(changed(u64::MAX, u64::MAX).await, []);
}
