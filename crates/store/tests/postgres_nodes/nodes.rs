//! They write one log, and each finishes what another leaves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqttchat_protocol::Conversation;
use mqttchat_store::AppendError;

use crate::suite::cluster::Cluster;
use crate::suite::{self, msg, pair, say, user};
use crate::{TTL, log_of, three};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_log_without_holes() {
    const EACH: u64 = 60;
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    assert!(nodes.iter().all(|node| node.is_shared() && node.log_id() == nodes[0].log_id()));
    let conversations = [Conversation::Public, pair("ann", "bob"), pair("ann", "cleo"), pair("ann", "ann")];
    let mut writers = Vec::new();
    for writer in 0..30usize {
        let (node, conversations) = (nodes[writer % 3].clone(), conversations.clone());
        writers.push(tokio::spawn(async move {
            for n in 0..EACH {
                let conversation = &conversations[(writer + usize::try_from(n).unwrap()) % 4];
                let appended = node.append(msg("ann", conversation, &format!("{writer}-{n}"), "x")).await;
                assert!(appended.unwrap().fresh);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut total = 0;
    for conversation in &conversations {
        let mut newest_of: HashMap<String, u64> = HashMap::new();
        for entry in log_of(&nodes[0], conversation).await {
            let (writer, n) = entry.id.as_str().split_once('-').unwrap();
            let before = newest_of.insert(writer.to_owned(), n.parse().unwrap());
            assert!(before.is_none_or(|before| before < n.parse().unwrap()), "{writer} is out of order");
            total += 1;
        }
    }
    assert_eq!(total, 30 * EACH);
    let changed = nodes[1].changed_heads(0, 99).await.unwrap();
    assert!(changed.is_sorted_by_key(|changed| changed.position));
    for conversation in &conversations {
        let head = nodes[2].head(conversation).await.unwrap();
        assert!(changed.iter().any(|c| c.conversation == *conversation && c.head == head));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_entry_for_each_id_on_all_nodes_at_once() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    for round in 0..40 {
        // The same on all nodes; elsewhere on each; and in opposite order, so that each waits for the others.
        let ids = [format!("a{round}"), format!("b{round}")];
        let send = async |node: usize, place: Conversation, id: &str| {
            nodes[node].append(msg("ann", &place, id, "x")).await
        };
        let same = tokio::join!(
            send(0, Conversation::Public, &ids[0]),
            send(1, Conversation::Public, &ids[0]),
            send(2, Conversation::Public, &ids[0])
        );
        let same = [same.0.unwrap(), same.1.unwrap(), same.2.unwrap()];
        assert_eq!(same.iter().filter(|appended| appended.fresh).count(), 1);
        assert!(same.iter().all(|appended| appended.entry == same[0].entry));
        let elsewhere = tokio::join!(
            send(0, pair("ann", "bob"), &ids[1]),
            send(1, pair("ann", "cleo"), &ids[1]),
            send(2, Conversation::Public, &ids[1])
        );
        let elsewhere = [elsewhere.0, elsewhere.1, elsewhere.2];
        assert_eq!(elsewhere.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{elsewhere:?}");
        assert_eq!(
            elsewhere.iter().filter(|outcome| **outcome == Err(AppendError::IdConflict)).count(),
            2,
            "{elsewhere:?}"
        );
    }
    let mut ids = HashSet::new();
    for conversation in [Conversation::Public, pair("ann", "bob"), pair("ann", "cleo")] {
        for entry in log_of(&nodes[0], &conversation).await {
            assert!(ids.insert(entry.id.to_string()), "{} is there twice", entry.id);
        }
    }
    assert_eq!(ids.len(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_claims_and_cursors_on_all_nodes_at_once() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    let claims = (0..30).map(|n| {
        let node = nodes[n % 3].clone();
        let name = mqttchat_protocol::DisplayName::parse("Dan").unwrap();
        async move { node.claim_user(&user("dan"), &name, "guest").await.unwrap() }
    });
    let created = futures::future::join_all(claims).await;
    let created = created.iter().filter(|outcome| **outcome != mqttchat_store::ClaimOutcome::Taken).count();
    assert_eq!(created, 1);

    let conversation = pair("ann", "bob");
    for n in 0..60 {
        nodes[n % 3].append(msg("ann", &conversation, &n.to_string(), "x")).await.unwrap();
    }
    let moves = (1..=60u64).map(|seq| {
        let (node, conversation) = (nodes[usize::try_from(seq % 3).unwrap()].clone(), conversation.clone());
        async move {
            let before = node.set_delivered(&user("bob"), &conversation, seq).await.unwrap();
            before.map_or(0..0, |before| before..seq)
        }
    });
    let mut told: Vec<u64> = futures::future::join_all(moves).await.into_iter().flatten().collect();
    told.sort_unstable();
    assert_eq!(told, (0..60).collect::<Vec<_>>(), "each entry is in exactly one interval");
}

/// Those who move them, who looks and the database all run at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_move_of_a_cursor_is_seen_once_by_every_other_node() {
    const ENTRIES: u64 = 200;
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    for (node, name) in nodes.iter().zip(["one", "two", "three"]) {
        node.acquire_node(name, TTL).await.unwrap();
    }
    let (mut seen, none) = nodes[2].moves_since(None).await.unwrap();
    assert!(none.is_empty(), "there is nothing before the first moment");
    let conversation = pair("ann", "bob");
    let moving = Arc::new(AtomicBool::new(true));
    let movers = {
        let ([one, two, three], conversation, moving) = (nodes.clone(), conversation.clone(), moving.clone());
        tokio::spawn(async move {
            for n in 0..ENTRIES {
                one.append(msg("ann", &conversation, &n.to_string(), "x")).await.unwrap();
            }
            let moves = (1..=ENTRIES).map(|seq| {
                let node = if seq % 2 == 0 { &one } else { &two };
                let conversation = &conversation;
                async move { node.set_delivered(&user("bob"), conversation, seq).await.unwrap() }
            });
            futures::future::join_all(moves).await;
            one.set_read(&user("bob"), &conversation, 3).await.unwrap();
            two.set_read(&user("bob"), &Conversation::Public, 1).await.unwrap();
            three.set_read(&user("ann"), &conversation, 4).await.unwrap();
            moving.store(false, Ordering::SeqCst);
        })
    };
    let mut moves = Vec::new();
    loop {
        let last = !moving.load(Ordering::SeqCst);
        let (now, moved) = nodes[2].moves_since(Some(&seen)).await.unwrap();
        seen = now;
        moves.extend(moved);
        if last {
            break;
        }
    }
    movers.await.unwrap();
    assert!(moves.iter().all(|moved| moved.user == user("bob") && moved.conversation == conversation));
    let delivered = moves.iter().filter_map(|moved| Some(moved.after?..moved.upto));
    let mut told: Vec<u64> = delivered.flatten().collect();
    told.sort_unstable();
    assert_eq!(told, (0..ENTRIES).collect::<Vec<_>>(), "each entry is in exactly one interval");
    let read: Vec<_> = moves.iter().filter(|moved| moved.after.is_none()).map(|moved| moved.upto).collect();
    assert_eq!(read, [3], "what oneself has moved is known, and nobody is told who reads in public");

    let count = || cluster.sql("chat", "SELECT count(*) > 0 FROM mqttchat.moves");
    nodes[0].forget_moves().await.unwrap();
    assert_eq!(count(), "t", "it is only a moment ago");
    cluster.sql("chat", "UPDATE mqttchat.moves SET at = at - interval '2 minutes'");
    nodes[0].forget_moves().await.unwrap();
    assert_eq!(count(), "f");
}

#[tokio::test]
async fn nodes_and_what_a_dead_one_leaves() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let [one, two, _] = three(&address).await;
    let first = one.acquire_node("first", TTL).await.unwrap();
    let second = two.acquire_node("second", TTL).await.unwrap();
    assert_eq!((first.name.as_str(), second.name.as_str()), ("n1", "n2"));
    let entries = [say(&one, "ann", "1").await.entry, say(&one, "ann", "2").await.entry];
    say(&two, "ann", "3").await;
    one.set_presence("n1", &[user("ann")], &[]).await.unwrap();
    one.set_confirmed("n1", entries[0].position).await.unwrap();
    assert!(one.renew_lease(&first.lease(), "first", Duration::ZERO).await.unwrap());
    one.close().await;

    let nodes = two.nodes().await.unwrap();
    let alive: Vec<_> = nodes.iter().map(|node| (&*node.name, node.alive)).collect();
    assert_eq!(alive, [("n1", false), ("n2", true)]);
    let confirmed = two.confirmed("n1").await.unwrap();
    assert_eq!(two.unconfirmed("n1", confirmed, 9).await.unwrap(), [(*entries[1]).clone()]);
    two.set_confirmed("n1", entries[1].position).await.unwrap();
    assert!(two.unconfirmed("n1", two.confirmed("n1").await.unwrap(), 9).await.unwrap().is_empty());
    assert_eq!(two.recover_presence("n1").await.unwrap(), [(user("ann"), nodes[0].renewed)]);
    assert!(two.recover_presence("n1").await.unwrap().is_empty());
}

/// Whoever is removed on one node while they send on others: what is stored stands before the removal in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_stored_after_a_removal_on_any_node() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    let create = suite::rooms::create("Ops", false, &[]);
    suite::rooms::change(&nodes[0], "ann", "ops", create).await.unwrap();
    let (mut stored, mut refused) = (0, 0);
    for _ in 0..15 {
        suite::rooms::change(&nodes[0], "ann", "ops", suite::rooms::add("bob")).await.unwrap();
        let sends = (0..10).map(|n| suite::rooms::say_in(&nodes[1 + n % 2], "bob", "ops", "hi"));
        let (sent, removed) = tokio::join!(
            futures::future::join_all(sends),
            suite::rooms::change(&nodes[0], "ann", "ops", suite::rooms::remove("bob")),
        );
        let removed = removed.unwrap().entry.seq;
        for outcome in sent {
            match outcome {
                Ok(appended) => {
                    assert!(appended.entry.seq < removed);
                    stored += 1;
                }
                Err(AppendError::NotFound) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(
            suite::rooms::say_in(&nodes[1], "bob", "ops", "late").await,
            Err(AppendError::NotFound),
            "another node knows at once"
        );
    }
    assert_eq!(stored + refused, 150);
    assert!(log_of(&nodes[2], &suite::room("ops")).await.len() as u64 == 31 + stored);
}

/// Changes of one message on all nodes at once come to what their order in the log says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_message_on_all_nodes_at_once() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    for round in 0..15 {
        let of = format!("m{round}");
        say(&nodes[0], "ann", &of).await;
        let place = Conversation::Public;
        let edits = (0..6).map(|n| {
            let edit = suite::changes::edit("ann", &place, &format!("{of}-{n}"), &of, &format!("text {n}"));
            nodes[n % 3].append(edit)
        });
        let reacts = ["bob", "cleo"].into_iter().enumerate().map(|(n, who)| {
            nodes[n].append(suite::changes::react(who, &place, &format!("r{round}"), &of, "👍", true))
        });
        let (edited, reacted) =
            tokio::join!(futures::future::join_all(edits), futures::future::join_all(reacts));
        assert!(reacted.iter().all(Result::is_ok));
        let last = edited.into_iter().map(|outcome| outcome.unwrap().entry).max_by_key(|entry| entry.seq);
        let message = nodes[1].entry_by_id(&suite::party("ann"), &suite::id(&of)).await.unwrap().unwrap();
        let text = |data: &str| serde_json::from_str::<serde_json::Value>(data).unwrap()["text"].clone();
        assert_eq!(text(&message.data), text(&last.unwrap().data));
        assert_eq!(message.marks.unwrap().reactions["👍"].len(), 2);
        let deletes = (0..3)
            .map(|n| nodes[n].append(suite::changes::delete("ann", &place, &format!("d{round}-{n}"), &of)));
        let deleted = futures::future::join_all(deletes).await;
        assert_eq!(deleted.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{deleted:?}");
    }
    assert!(!log_of(&nodes[0], &Conversation::Public).await.iter().any(|entry| entry.data.contains("text")));
}
