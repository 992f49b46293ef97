//! The database goes away under them: restarted, crashed, cut off, hanging, replaced.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, Health, Store, StoreError, StoreOptions};

use crate::suite::cluster::Cluster;
use crate::suite::cutter::{Cut, Cutter};
use crate::suite::{claim, msg, pair, say, user};
use crate::{TTL, insist, log_of, open, three};

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
        // Looked at before each commit; where the database came back in between, a moment later.
        let settled = async {
            while store.doubted().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();
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
