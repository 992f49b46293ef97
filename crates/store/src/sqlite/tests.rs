//! What happens when commits fail. Faults are set up on the writer's own connection.

use std::time::Duration;

use mqttchat_protocol::{Conversation, EntryKind, MessageId, Party, UserId};
use tempfile::TempDir;

use super::Sqlite;
use crate::{AppendError, Appended, Backend, Health, NewEntry, Store, StoreError, StoreOptions};

async fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::sqlite(directory.path())).await.unwrap();
    (directory, store)
}

fn sqlite(store: &Store) -> &Sqlite {
    let Backend::Sqlite(sqlite) = &*store.backend else { panic!("not on SQLite") };
    sqlite
}

/// Runs SQL on the writer's connection, inside a batch.
async fn on_writer(store: &Store, sql: &str) -> Result<(), StoreError> {
    let sql = sql.to_owned();
    sqlite(store).writer.write(0, move |batch| Ok(batch.connection().execute_batch(&sql)?)).await
}

fn entry(id: &str, text: &str) -> NewEntry {
    NewEntry {
        conversation: Conversation::Public,
        kind: EntryKind::Msg,
        id: MessageId::parse(id).unwrap(),
        from: Party::parse("ann").unwrap(),
        name: "Ann".into(),
        data: format!(r#"{{"text":"{text}"}}"#).into(),
        change: None,
        ingest: None,
    }
}

async fn say(store: &Store, id: &str) -> Result<Appended, AppendError> {
    store.append(entry(id, "x")).await
}

/// Holds the writer up until what this gives is dropped; what waits then is one batch.
async fn hold_up(store: &Store) -> std::sync::mpsc::Sender<()> {
    let (let_go, held) = std::sync::mpsc::channel();
    let (reached, at_it) = tokio::sync::oneshot::channel();
    let done = Box::new(move |_| {
        reached.send(()).unwrap();
        let _ = held.recv();
    });
    store.submit(entry("held up", "x"), done).await;
    at_it.await.unwrap();
    let_go
}

async fn fill(store: &Store) -> (u64, String) {
    let text = "x".repeat(50_000);
    for n in 0.. {
        match store.append(entry(&format!("fill{n}"), &text)).await {
            Ok(appended) => assert_eq!(appended.entry.seq, n + 1),
            Err(AppendError::Unavailable(reason)) => return (n, reason),
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_full_disk_and_room_again() {
    let (_directory, store) = open().await;
    on_writer(&store, "PRAGMA max_page_count = 100").await.unwrap();
    let (stored, reason) = fill(&store).await;
    assert!(stored > 0);
    assert_eq!(reason, "the disk is full");
    assert_eq!(store.health(), Health::Failing("the store is unavailable: the disk is full".into()));
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), stored, "reads go on");
    on_writer(&store, "PRAGMA max_page_count = 100000").await.unwrap();
    let failed = store.append(entry(&format!("fill{stored}"), &"x".repeat(50_000))).await.unwrap();
    assert_eq!(
        (failed.entry.seq, failed.fresh),
        (stored + 1, true),
        "the same id, stored once, without a hole"
    );
    assert_eq!(store.health(), Health::Ok);
}

#[tokio::test]
async fn health_recovers_without_anybody_writing() {
    let (_directory, store) = open().await;
    on_writer(&store, "PRAGMA max_page_count = 100").await.unwrap();
    fill(&store).await;
    assert!(matches!(store.health(), Health::Failing(_)));
    on_writer(&store, "PRAGMA max_page_count = 100000").await.unwrap();
    assert!(matches!(store.health(), Health::Failing(_)), "nothing was written yet");
    tokio::time::timeout(Duration::from_secs(30), async {
        while store.health() != Health::Ok {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_read_only_database_and_a_writable_one_again() {
    let (_directory, store) = open().await;
    say(&store, "1").await.unwrap();
    on_writer(&store, "PRAGMA query_only = ON").await.unwrap();
    assert_eq!(say(&store, "2").await, Err(AppendError::Unavailable("the database is read-only".into())));
    // Only this connection was: the next batch opens another.
    assert_eq!(say(&store, "2").await.unwrap().entry.seq, 2);
}

#[tokio::test]
async fn one_bad_write_harms_none_of_its_batch() {
    let (_directory, store) = open().await;
    let ann = UserId::parse("ann").unwrap();
    let bad = on_writer(&store, "INSERT INTO entries SELECT 9, 99, 1, 1, 'msg', 99, 'x', 'x', NULL, '{}'");
    let held = hold_up(&store).await;
    let (first, bad, second, read, ()) = tokio::join!(
        say(&store, "1"),
        bad,
        say(&store, "2"),
        store.set_read(&ann, &Conversation::Public, 1),
        async { drop(held) }
    );
    assert!(matches!(bad, Err(StoreError::Unavailable(_))), "{bad:?}");
    assert_eq!((first.unwrap().entry.seq, second.unwrap().entry.seq), (2, 3));
    assert_eq!(read, Ok(None));
    assert_eq!(say(&store, "3").await.unwrap().entry.seq, 4);
    assert_eq!(store.health(), Health::Ok, "the store is well");
}

#[tokio::test]
async fn a_failed_commit_counts_for_nothing() {
    let (_directory, store) = open().await;
    let node = store.acquire_node("first", Duration::from_secs(60)).await.unwrap();
    let held = hold_up(&store).await;
    // The commit itself fails: a foreign key that is only checked there.
    let bad = "PRAGMA defer_foreign_keys = ON;
               INSERT INTO entries SELECT 99, 99, 1, 1, 'msg', 99, 'x', 'x', NULL, '{}'";
    let (one, bad, other, ()) =
        tokio::join!(say(&store, "2"), on_writer(&store, bad), say(&store, "3"), async { drop(held) });
    assert!(bad.is_err());
    assert_eq!((one.unwrap().entry.seq, other.unwrap().entry.seq), (2, 3));
    let entries = store.entries_after(&Conversation::Public, 0, 9).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(store.unconfirmed(&node.name, 0, 9).await.unwrap(), entries, "still the same node's");
}

#[tokio::test]
async fn a_database_replaced_while_it_runs_is_not_written_to() {
    let (directory, store) = open().await;
    say(&store, "1").await.unwrap();
    let (other, another) = open().await;
    another.close().await;
    let database = directory.path().join("mqttchat.db");
    std::fs::rename(&database, directory.path().join("aside")).unwrap();
    std::fs::copy(other.path().join("mqttchat.db"), &database).unwrap();
    // A fault that makes it open the file again.
    on_writer(&store, "PRAGMA query_only = ON").await.unwrap();
    say(&store, "2").await.unwrap_err();
    for _ in 0..2 {
        let Err(AppendError::Unavailable(reason)) = say(&store, "2").await else {
            panic!("stored somewhere")
        };
        assert!(reason.contains("replaced"), "{reason}");
    }
}

#[tokio::test]
async fn readers_dont_wait_for_a_commit() {
    let (_directory, store) = open().await;
    say(&store, "1").await.unwrap();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (reached, at_it) = tokio::sync::oneshot::channel();
    let mut reached = Some(reached);
    let writing = sqlite(&store).writer.write(0, move |batch| {
        batch.connection().execute("UPDATE conversations SET key = key", [])?;
        if let Some(reached) = reached.take() {
            reached.send(()).unwrap();
        }
        let _ = held.recv();
        Ok(())
    });
    let reading = async {
        at_it.await.unwrap();
        let head = store.head(&Conversation::Public).await;
        drop(let_go);
        head
    };
    let (written, head) = tokio::join!(writing, reading);
    assert_eq!((written, head), (Ok(()), Ok(1)));
}

#[tokio::test]
async fn the_log_file_starts_over_under_load() {
    let (directory, store) = open().await;
    let text = "x".repeat(100_000);
    // Somebody reads all the time, each read a while before the one before has ended.
    let reads = (0..3).map(|_| {
        let store = store.clone();
        tokio::spawn(
            async move { while store.entries_before(&Conversation::Public, None, 5).await.is_ok() {} },
        )
    });
    let reads: Vec<_> = reads.collect();
    // 2,000 times 100 KB through a log that is to stay below 96 MiB and what a batch adds.
    let wal = directory.path().join("mqttchat.db-wal");
    for n in 0..20 {
        let appends = (0..100).map(|m| store.append(entry(&format!("{n}-{m}"), &text)));
        assert!(futures::future::join_all(appends).await.iter().all(Result::is_ok));
        let length = std::fs::metadata(&wal).unwrap().len();
        assert!(length < 104 << 20, "{length} bytes");
    }
    store.close().await;
    for read in reads {
        read.await.unwrap();
    }
    assert!(!wal.exists(), "all of it is in the database");
}

#[tokio::test]
async fn connections_are_set_up_to_keep_what_is_acknowledged() {
    let (_directory, store) = open().await;
    let ask = |batch: &mut super::batch::Batch<'_>| {
        let pragma = |name: &str| {
            batch.connection().query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
        };
        let mode: String = batch.connection().query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        Ok((mode, pragma("synchronous")?, pragma("foreign_keys")?, pragma("wal_autocheckpoint")?))
    };
    let expected = ("wal".to_owned(), 2, 1, 0);
    assert_eq!(sqlite(&store).writer.write(0, ask).await.unwrap(), expected);
    // After a fault the connection is another.
    on_writer(&store, "PRAGMA query_only = ON").await.unwrap();
    say(&store, "1").await.unwrap_err();
    assert_eq!(sqlite(&store).writer.write(0, ask).await.unwrap(), expected);
}

/// What is asked often must find what it wants, not look through a table.
#[tokio::test]
async fn questions_use_indexes() {
    let (_directory, store) = open().await;
    let plans = sqlite(&store)
        .readers
        .read(|connection| {
            let mut plans = Vec::new();
            let questions = [
                super::log::QUESTIONS,
                super::cursors::QUESTIONS,
                super::rooms::QUESTIONS,
                super::changes::QUESTIONS,
                super::search::QUESTIONS,
            ];
            for sql in questions.concat() {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let nulls = rusqlite::params_from_iter(vec![None::<i64>; statement.parameter_count()]);
                let steps = statement.query_map(nulls, |row| row.get::<_, String>(3))?;
                plans.push((sql, steps.collect::<Result<Vec<_>, _>>()?));
            }
            Ok(plans)
        })
        .await
        .unwrap();
    for (sql, plan) in plans {
        let own = ["SCAN mine", "SCAN page"];
        let scans: Vec<_> = plan
            .iter()
            .filter(|step| {
                step.contains("SCAN") && !own.contains(&step.as_str()) && !step.starts_with("SCAN (subquery")
            })
            .collect();
        assert!(scans.is_empty(), "{sql}\n{plan:#?}");
    }
}
