//! Many nodes on one PostgreSQL, and the database going away under them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod suite;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, Appended, Health, Store, StoreError, StoreOptions};
use suite::cluster::Cluster;
use suite::cutter::{Cut, Cutter};
use suite::{claim, msg, pair, say, user};

const TTL: Duration = Duration::from_secs(20);

async fn open(address: &str) -> Store {
    Store::open(StoreOptions::postgres(address)).await.unwrap()
}

/// Three nodes that were started at once, on a database without anything, and Ann, Bob and Cleo.
async fn three(address: &str) -> [Store; 3] {
    let (one, two, three) = tokio::join!(open(address), open(address), open(address));
    for name in ["Ann", "Bob", "Cleo"] {
        claim(&one, name).await;
    }
    [one, two, three]
}

/// Sends it until it is stored, as clients do.
async fn insist(store: &Store, entry: mqttchat_store::NewEntry) -> Appended {
    loop {
        match store.append(entry.clone()).await {
            Ok(appended) => return appended,
            Err(AppendError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

/// All entries of a conversation, which are numbered without a hole, their times and positions rising.
async fn log_of(store: &Store, conversation: &Conversation) -> Vec<mqttchat_protocol::Entry> {
    let entries = store.entries_after(conversation, 0, u64::MAX).await.unwrap();
    assert!((1..).zip(&entries).all(|(seq, entry)| entry.seq == seq), "{conversation} has a hole");
    assert!(entries.is_sorted_by(|one, next| one.position < next.position && one.time <= next.time));
    assert_eq!(store.head(conversation).await.unwrap(), entries.len() as u64);
    entries
}

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

/// Appends from three nodes while the database is stopped and started; what was acknowledged has to be there, and
/// what came new must not be there twice.
async fn through_restarts(mode: &str) {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let nodes = three(&address).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..12usize {
        let (node, stop) = (nodes[writer % 3].clone(), stop.clone());
        writers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let conversation = if n % 2 == 0 { Conversation::Public } else { pair("ann", "bob") };
                let id = format!("{writer}-{n}");
                let appended = insist(&node, msg("ann", &conversation, &id, "x")).await;
                acknowledged.push((conversation, id, appended.entry.seq));
            }
            acknowledged
        }));
    }
    for round in 0..3 {
        let before = nodes[0].head(&Conversation::Public).await.unwrap();
        while nodes[0].head(&Conversation::Public).await.unwrap() < before + 50 {
            tokio::task::yield_now().await;
        }
        cluster.stop(mode);
        assert!(nodes[0].head(&Conversation::Public).await.is_err(), "round {round}");
        cluster.start_again();
        say_until_stored(&nodes, round).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut stored = HashSet::new();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    for conversation in [Conversation::Public, pair("ann", "bob")] {
        for entry in log_of(&nodes[1], &conversation).await {
            assert!(stored.insert((conversation.clone(), entry.id.to_string(), entry.seq)));
        }
    }
    for one in acknowledged {
        assert!(stored.contains(&one), "lost: {one:?}");
    }
    assert!(nodes.iter().all(|node| node.health() == Health::Ok));
}

async fn say_until_stored(nodes: &[Store; 3], round: u32) {
    for (number, node) in nodes.iter().enumerate() {
        insist(node, msg("cleo", &Conversation::Public, &format!("back {round} {number}"), "x")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_restarted() {
    through_restarts("fast").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_crashes() {
    through_restarts("immediate").await;
}

/// Cuts connections at every stage of a commit. What was committed all the same is answered as that, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_cut() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let [node, _, _] = three(&address).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (node, stop) = (node.clone(), stop.clone());
        tokio::spawn(async move {
            let mut fresh = 0;
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let entry = msg("ann", &Conversation::Public, &n.to_string(), "x");
                fresh += u64::from(insist(&node, entry).await.fresh);
            }
            fresh
        })
    };
    for _ in 0..30 {
        cluster.sql(
            "chat",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mqttchat'",
        );
        let before = node.head(&Conversation::Public).await;
        while node.head(&Conversation::Public).await.unwrap_or(0) <= before.clone().unwrap_or(0) {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let fresh = writer.await.unwrap();
    assert_eq!(fresh, log_of(&node, &Conversation::Public).await.len() as u64, "each was fresh once");
}

#[tokio::test]
async fn health_turns_without_anybody_writing() {
    let cluster = Cluster::start();
    let store = open(&cluster.database("chat")).await;
    say(&store, "ann", "1").await;
    cluster.stop("fast");
    while store.health() == Health::Ok {
        tokio::task::yield_now().await;
    }
    let refused = store.append(msg("ann", &Conversation::Public, "2", "x")).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    cluster.start_again();
    while store.health() != Health::Ok {
        tokio::task::yield_now().await;
    }
    assert_eq!(say(&store, "ann", "2").await.entry.seq, 2);
}

#[tokio::test]
async fn refused_as_it_is_set_up() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let opened = async || Store::open(StoreOptions::postgres(&address)).await.map(drop).unwrap_err();
    cluster.sql("chat", "ALTER DATABASE chat SET synchronous_commit TO off");
    assert!(matches!(opened().await, StoreError::Setting(said) if said.contains("synchronous_commit")));
    cluster.sql("chat", "ALTER DATABASE chat RESET synchronous_commit");
    cluster.sql("chat", "CREATE SCHEMA mqttchat CREATE TABLE mqttchat.other (a int)");
    assert!(matches!(opened().await, StoreError::Setting(said) if said.contains("schema mqttchat")));
    cluster.sql("chat", "DROP SCHEMA mqttchat CASCADE");
    open(&address).await.close().await;
    cluster.sql("chat", "UPDATE mqttchat.meta SET value = '99' WHERE key = 'schema'");
    assert!(matches!(opened().await, StoreError::NewerSchema { found: 99, supported: 1..99 }));
    cluster.sql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'");
    let latin = Store::open(StoreOptions::postgres(cluster.address("latin"))).await.map(drop).unwrap_err();
    assert!(matches!(latin, StoreError::Setting(said) if said.contains("UTF8")));
    let nonsense =
        Store::open(StoreOptions::postgres("postgres://user:secret@[")).await.map(drop).unwrap_err();
    assert!(matches!(&nonsense, StoreError::Setting(said) if !said.contains("secret")), "{nonsense}");
}

/// Somebody who is not a superuser, with the right to make a schema and no other.
#[tokio::test]
async fn an_ordinary_user_is_enough() {
    let cluster = Cluster::start();
    cluster.database("chat");
    cluster.sql("chat", "CREATE ROLE plain LOGIN");
    cluster.sql("chat", "GRANT CREATE ON DATABASE chat TO plain");
    let address = cluster.address("chat").replace("postgres@", "plain@");
    let store = open(&address).await;
    assert_eq!(say(&store, "ann", "1").await.entry.seq, 1);
}

#[tokio::test]
async fn another_database_in_its_place_is_noticed() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let store = open(&address).await;
    say(&store, "ann", "1").await;
    cluster.sql("postgres", "ALTER DATABASE chat ALLOW_CONNECTIONS false");
    cluster.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chat'");
    cluster.sql("postgres", "CREATE DATABASE copy TEMPLATE chat");
    cluster.sql("postgres", "ALTER DATABASE chat RENAME TO old");
    cluster.sql("postgres", "ALTER DATABASE copy RENAME TO chat");
    let log = store.log_id().to_owned();
    let again = open(&address).await;
    assert_ne!(again.log_id(), log, "a copy may be an older one");
    assert_eq!(again.head(&Conversation::Public).await.unwrap(), 1);
    let refused = store.append(msg("ann", &Conversation::Public, "2", "x")).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(said)) if said.contains("replaced")));
}

#[tokio::test]
async fn a_name_with_the_one_character_that_texts_cannot_hold() {
    let cluster = Cluster::start();
    let store = open(&cluster.database("chat")).await;
    let mut entry = msg("mqtt:lamp", &Conversation::Public, "1", "x\0");
    entry.name = "La\0mp".into();
    let stored = store.append(entry).await.unwrap().entry;
    assert_eq!(&*stored.name, "La\u{fffd}mp");
    assert_eq!(log_of(&store, &Conversation::Public).await, [(*stored).clone()]);
}

/// A server that takes connections and answers nothing holds nobody up for ever, and is written to when it goes on.
#[tokio::test]
async fn the_database_hangs() {
    let cluster = Cluster::start();
    let store = open(&cluster.database("chat")).await;
    say(&store, "ann", "1").await;
    cluster.signal("STOP");
    let hung = tokio::join!(
        store.append(msg("ann", &Conversation::Public, "2", "x")),
        store.head(&Conversation::Public),
        store.acquire_lease("ingest", "a", TTL)
    );
    cluster.signal("CONT");
    assert!(matches!(hung.0, Err(AppendError::Unavailable(_))), "{:?}", hung.0);
    assert!(hung.1.is_err() && hung.2.is_err(), "{hung:?}");
    insist(&store, msg("ann", &Conversation::Public, "2", "x")).await;
    insist(&store, msg("ann", &Conversation::Public, "3", "x")).await;
    assert_eq!(log_of(&store, &Conversation::Public).await.len(), 3);
}

/// The connection is lost at the commit itself: whether it happened is found out, and nobody is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_before_and_after_the_commit() {
    let cluster = Cluster::start();
    cluster.database("chat");
    let cutter = Cutter::before(cluster.socket());
    let store = open(&cutter.address("chat")).await;
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    let conversation = pair("ann", "bob");
    for (round, cut) in (1u64..).zip([Cut::Before, Cut::After, Cut::After, Cut::Before]) {
        let first = msg("ann", &conversation, &format!("{round}"), "x");
        let before = store.head(&conversation).await.unwrap();
        cutter.cut(cut);
        let appended = store.append(first).await.unwrap();
        assert!(cutter.has_cut());
        assert!(appended.fresh, "{cut:?}");
        assert_eq!(appended.entry.seq, before + 1, "{cut:?}");
        cutter.cut(cut);
        assert_eq!(store.set_delivered(&user("bob"), &conversation, round).await.unwrap(), Some(round - 1));
        assert!(cutter.has_cut());
        assert_eq!(store.health(), Health::Ok);
    }
    assert_eq!(log_of(&store, &conversation).await.len(), 4);
}

/// The connection is lost at the commit, and the database with it for so long that nobody can wait for what became of
/// it: what is in the log all the same is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_the_commit_and_away_for_long() {
    let cluster = Cluster::start();
    cluster.database("chat");
    let cutter = Cutter::before(cluster.socket());
    let store = open(&cutter.address("chat")).await;
    let node = store.acquire_node("a", TTL).await.unwrap().name;
    insist(&store, msg("ann", &Conversation::Public, "first", "x")).await;
    for (cut, id) in [(Cut::After, "stored"), (Cut::Before, "lost")] {
        cutter.cut(cut);
        cutter.shut(true);
        let refused = store.append(msg("ann", &Conversation::Public, id, "x")).await;
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{cut:?}: {refused:?}");
        let doubted = store.doubted().unwrap();
        cutter.shut(false);
        if cut == Cut::After {
            let mut late = Vec::new();
            let learnt = store.committed_late(|positions| late.extend_from_slice(positions));
            tokio::time::timeout(Duration::from_secs(30), learnt).await.unwrap();
            assert_eq!(late, [doubted]);
            let left = store.unconfirmed(&node, doubted - 1, 9).await.unwrap();
            assert_eq!((left.len(), left[0].position, left[0].id.as_str()), (1, doubted, id));
        }
        let again = insist(&store, msg("ann", &Conversation::Public, id, "x")).await;
        assert_eq!(again.fresh, cut == Cut::Before);
        assert_eq!(store.doubted(), None);
    }
    assert_eq!(log_of(&store, &Conversation::Public).await.len(), 3);
}

/// A fail-over to a replica that had not got everything: numbers that clients have seen must not be given again.
#[tokio::test]
async fn a_database_that_has_lost_entries_is_another_log() {
    let cluster = Cluster::start();
    let address = cluster.database("chat");
    let store = open(&address).await;
    for n in 0..100 {
        say(&store, "ann", &n.to_string()).await;
    }
    cluster.sql(
        "chat",
        "DELETE FROM mqttchat.entries WHERE seq > 40;
         UPDATE mqttchat.conversations SET head = 40, position = 40 WHERE key = 'public';
         SELECT setval('mqttchat.positions', 40);
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mqttchat'",
    );
    let refused = store.append(msg("ann", &Conversation::Public, "next", "x")).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(said)) if said.contains("restart")));
    assert!(matches!(store.health(), Health::Failing(_)));
    let again = open(&address).await;
    assert_ne!(again.log_id(), store.log_id());
    assert_eq!(say(&again, "ann", "next").await.entry.seq, 41);
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
