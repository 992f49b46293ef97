//! How far everybody is.

use mqttchat_protocol::Conversation;
use mqttchat_store::{Cursor, Store, Undelivered};

use super::{Place, claim, msg, open, pair, room, say, user};

async fn ann_and_bob(place: &impl Place) -> (Store, Conversation) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    (store, pair("ann", "bob"))
}

async fn send(store: &Store, from: &str, conversation: &Conversation, count: u32) {
    for n in 0..count {
        let message_id = format!("{conversation}-{}-{n}", store.head(conversation).await.unwrap());
        store.append(msg(from, conversation, &message_id, "x")).await.unwrap();
    }
}

fn cursor(id: &str, delivered: u64, read: u64) -> Cursor {
    Cursor { user: user(id), delivered, read }
}

pub async fn own_entries_are_delivered(place: &impl Place) {
    let (store, conversation) = ann_and_bob(place).await;
    assert_eq!(store.cursors(&conversation).await.unwrap(), []);
    send(&store, "ann", &conversation, 2).await;
    assert_eq!(store.cursors(&conversation).await.unwrap(), [cursor("ann", 2, 0), cursor("bob", 0, 0)]);
    send(&store, "bob", &conversation, 1).await;
    assert_eq!(store.cursors(&conversation).await.unwrap(), [cursor("ann", 2, 0), cursor("bob", 3, 0)]);
}

pub async fn delivered_moves_forward_only(place: &impl Place) {
    let (store, conversation) = ann_and_bob(place).await;
    assert_eq!(store.set_delivered(&user("bob"), &conversation, 1).await.unwrap(), None, "nothing is there");
    send(&store, "ann", &conversation, 5).await;
    let set = async |id, seq| store.set_delivered(&user(id), &conversation, seq).await.unwrap();
    assert_eq!(set("bob", 3).await, Some(0));
    assert_eq!(set("bob", 3).await, None);
    assert_eq!(set("bob", 2).await, None);
    assert_eq!(set("bob", 99).await, Some(3));
    assert_eq!(store.cursors(&conversation).await.unwrap()[1], cursor("bob", 5, 0), "not beyond the head");
    assert_eq!(set("bob", 100).await, None);
    claim(&store, "Cleo").await;
    assert_eq!(set("cleo", 5).await, None, "somebody else's conversation");
    assert_eq!(set("nobody", 5).await, None);
    assert_eq!(store.set_delivered(&user("bob"), &Conversation::Public, 1).await.unwrap(), None);
    assert_eq!(store.cursors(&conversation).await.unwrap().len(), 2);
}

/// Whoever moves the cursor tells the authors: each entry has to be in exactly one interval.
pub async fn delivered_once_by_all_that_move_it(place: &impl Place) {
    const ENTRIES: u64 = 60;
    let (store, conversation) = ann_and_bob(place).await;
    send(&store, "ann", &conversation, u32::try_from(ENTRIES).unwrap()).await;
    let movers = (1..=ENTRIES).map(|seq| {
        let (store, conversation) = (store.clone(), conversation.clone());
        tokio::spawn(async move {
            let before = store.set_delivered(&user("bob"), &conversation, seq).await.unwrap();
            before.map_or(0..0, |before| before..seq)
        })
    });
    let movers: Vec<_> = movers.collect();
    let answer = store.append(msg("bob", &conversation, "answer", "x")).await.unwrap();
    let mut told: Vec<u64> = answer.delivered_before.map_or(0..0, |before| before..ENTRIES).collect();
    for mover in movers {
        told.extend(mover.await.unwrap());
    }
    told.sort_unstable();
    assert_eq!(told, (0..ENTRIES).collect::<Vec<_>>());
}

pub async fn an_answer_delivers_what_is_before_it(place: &impl Place) {
    let (store, conversation) = ann_and_bob(place).await;
    let append =
        async |from, id| store.append(msg(from, &conversation, id, "x")).await.unwrap().delivered_before;
    assert_eq!(append("ann", "1").await, None);
    assert_eq!(append("ann", "2").await, None);
    store.set_delivered(&user("bob"), &conversation, 1).await.unwrap();
    assert_eq!(append("bob", "1").await, Some(1));
    assert_eq!(append("bob", "1").await, None, "once");
    assert_eq!(append("bob", "2").await, None, "nothing is between");
    let held = super::hold_up(&store).await;
    let together = futures::future::join_all([
        append("ann", "3"),
        append("bob", "3"),
        append("ann", "4"),
        append("bob", "4"),
    ]);
    let (together, ()) = tokio::join!(together, async { drop(held) });
    assert_eq!(together, [Some(2), Some(4), Some(5), Some(6)]);
    assert_eq!(
        store.append(msg("mqtt:lamp", &pair("mqtt:lamp", "ann"), "1", "x")).await.unwrap().delivered_before,
        None
    );
}

pub async fn read_moves_forward_only(place: &impl Place) {
    let (store, conversation) = ann_and_bob(place).await;
    send(&store, "ann", &conversation, 3).await;
    let set = async |id, seq| store.set_read(&user(id), &conversation, seq).await.unwrap();
    assert_eq!(set("bob", 2).await, Some(2));
    assert_eq!(set("bob", 1).await, None);
    assert_eq!(set("bob", 99).await, Some(3), "the head");
    assert_eq!(set("bob", 4).await, None);
    assert_eq!(set("nobody", 1).await, None);
    claim(&store, "Cleo").await;
    assert_eq!(set("cleo", 1).await, None, "somebody else's conversation");
    assert_eq!(store.cursors(&conversation).await.unwrap(), [cursor("ann", 3, 0), cursor("bob", 0, 3)]);
    let read_in =
        async |conversation: Conversation| store.set_read(&user("bob"), &conversation, 1).await.unwrap();
    assert_eq!(read_in(room("none")).await, None);
    assert_eq!(read_in(Conversation::Public).await, None, "nothing is there");
    say(&store, "ann", "1").await;
    assert_eq!(read_in(Conversation::Public).await, Some(1));
    assert_eq!(store.cursors(&Conversation::Public).await.unwrap(), [cursor("bob", 0, 1)]);
}

pub async fn notes_to_oneself(place: &impl Place) {
    let (store, _) = ann_and_bob(place).await;
    let notes = pair("ann", "ann");
    send(&store, "ann", &notes, 2).await;
    assert_eq!(store.cursors(&notes).await.unwrap(), [cursor("ann", 2, 0)]);
    assert!(store.undelivered(&user("ann"), None).await.unwrap().is_empty());
}

pub async fn undelivered_conversations(place: &impl Place) {
    let (store, with_bob) = ann_and_bob(place).await;
    claim(&store, "Cleo").await;
    let (with_cleo, with_lamp) = (pair("ann", "cleo"), pair("mqtt:lamp", "ann"));
    send(&store, "bob", &with_bob, 3).await;
    send(&store, "cleo", &with_cleo, 1).await;
    send(&store, "mqtt:lamp", &with_lamp, 2).await;
    say(&store, "bob", "public").await;
    let ann = user("ann");
    let waiting = |conversation: &Conversation, delivered, head| Undelivered {
        conversation: conversation.clone(),
        delivered,
        head,
    };
    let mut all = vec![waiting(&with_bob, 0, 3), waiting(&with_cleo, 0, 1), waiting(&with_lamp, 0, 2)];
    assert_eq!(store.undelivered(&ann, None).await.unwrap(), all);
    store.set_delivered(&ann, &with_bob, 2).await.unwrap();
    store.set_delivered(&ann, &with_cleo, 1).await.unwrap();
    all = vec![waiting(&with_bob, 2, 3), waiting(&with_lamp, 0, 2)];
    assert_eq!(store.undelivered(&ann, None).await.unwrap(), all);
    assert!(store.undelivered(&user("bob"), None).await.unwrap().is_empty(), "one's own are delivered");
    assert!(store.undelivered(&user("nobody"), None).await.unwrap().is_empty());
    let oldest = store.entries_after(&with_bob, 0, 1).await.unwrap()[0].position;
    let newest = store.newest_position().await.unwrap();
    let with_cleo_too = [waiting(&with_bob, 2, 3), waiting(&with_cleo, 1, 1), waiting(&with_lamp, 0, 2)];
    assert_eq!(store.undelivered(&ann, Some(oldest)).await.unwrap(), with_cleo_too, "whatever came lately");
    assert_eq!(store.undelivered(&ann, Some(newest)).await.unwrap(), all);
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.undelivered(&ann, None).await.unwrap(), all);
}

pub async fn a_users_conversations(place: &impl Place) {
    let (store, with_bob) = ann_and_bob(place).await;
    send(&store, "ann", &with_bob, 2).await;
    send(&store, "bob", &with_bob, 1).await;
    send(&store, "ann", &pair("ann", "ann"), 1).await;
    send(&store, "mqtt:lamp", &pair("mqtt:lamp", "ann"), 1).await;
    store.set_read(&user("ann"), &with_bob, 1).await.unwrap();
    let list = store.conversations(&user("ann"), None, 9).await.unwrap();
    let lines: Vec<_> = list
        .iter()
        .map(|line| (line.dest.to_string(), line.title.as_deref(), line.head, line.read, line.delivered))
        .collect();
    assert_eq!(
        lines,
        [
            ("private/ann".to_owned(), Some("Ann"), 1, 1, 1),
            ("private/bob".to_owned(), Some("Bob"), 3, 2, 2),
            ("private/mqtt:lamp".to_owned(), Some("mqtt:lamp"), 1, 0, 0),
            ("public".to_owned(), None, 0, 0, 0),
        ]
    );
    let newest = store.entries_before(&with_bob, None, 1).await.unwrap().pop();
    assert_eq!(list[1].last, newest);
    assert_eq!(list[1].conversation, with_bob);
    assert_eq!(list[3].last, None);
    let of_bob = store.conversations(&user("bob"), None, 9).await.unwrap();
    assert_eq!(of_bob[0].dest.to_string(), "private/ann");
    assert_eq!((of_bob[0].read, of_bob[0].delivered, of_bob.len()), (3, 3, 2), "writing is reading");
    send(&store, "ann", &with_bob, 1).await;
    assert_eq!(
        store.conversations(&user("bob"), None, 1).await.unwrap()[0].read,
        3,
        "what came after it is not read"
    );
    store.set_read(&user("bob"), &with_bob, 4).await.unwrap();
    assert_eq!(store.conversations(&user("bob"), None, 1).await.unwrap()[0].read, 4);
    say(&store, "cleo", "c").await;
    say(&store, "bob", "b").await;
    say(&store, "cleo", "d").await;
    let public = store.conversations(&user("bob"), Some("private/ann"), 1).await.unwrap();
    assert_eq!((public[0].head, public[0].read), (3, 2));
}

pub async fn pages_of_conversations(place: &impl Place) {
    let (store, _) = ann_and_bob(place).await;
    for name in ["Cleo", "Dan", "Eve"] {
        claim(&store, name).await;
        send(&store, "ann", &pair("ann", &name.to_lowercase()), 1).await;
    }
    say(&store, "ann", "1").await;
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = store.conversations(&user("ann"), after.as_deref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.dest.to_string());
        all.extend(page.into_iter().map(|line| line.dest.to_string()));
    }
    assert_eq!(all, ["private/cleo", "private/dan", "private/eve", "public"]);
}
