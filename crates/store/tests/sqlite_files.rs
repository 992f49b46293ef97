//! The files of a SQLite store: what belongs together, who may open it, and whether it is still the same log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod suite;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use mqttchat_protocol::{Conversation, Token};
use mqttchat_store::{Store, StoreError, StoreOptions};
use rusqlite::Connection;
use suite::changes::{delete, edit};
use suite::{msg, say, user};

async fn open(directory: &Path) -> Store {
    Store::open(StoreOptions::sqlite(directory)).await.unwrap()
}

async fn refused(directory: &Path) -> StoreError {
    Store::open(StoreOptions::sqlite(directory)).await.unwrap_err()
}

/// Makes a store with so many entries, closes it, and says its log id.
async fn filled(directory: &Path, entries: u32) -> String {
    let store = open(directory).await;
    for n in 0..entries {
        say(&store, "ann", &format!("{n}-{}", uuid::Uuid::new_v4())).await;
    }
    let log = store.log_id().to_owned();
    store.close().await;
    log
}

async fn log_id(directory: &Path) -> String {
    filled(directory, 0).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn everything_is_the_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b");
    let store = open(&directory).await;
    say(&store, "ann", "1").await;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    store.close().await;
    let mut left: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["mqttchat.db", "mqttchat.lock", "mqttchat.mark", "secret"],
        "a closed store is one database file"
    );
}

#[tokio::test]
async fn one_server_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).await;
    let error = refused(directory.path()).await;
    assert_eq!(error, StoreError::InUse(directory.path().to_owned()));
    assert!(error.to_string().contains(&directory.path().display().to_string()));
    say(&first, "ann", "1").await;
    first.close().await;
    assert_eq!(open(directory.path()).await.head(&Conversation::Public).await.unwrap(), 1);
}

#[tokio::test]
async fn a_database_without_its_secret() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 1).await;
    let (secret, kept) = (directory.path().join("secret"), directory.path().join("kept"));
    fs::rename(&secret, &kept).unwrap();
    assert_eq!(refused(directory.path()).await, StoreError::MissingSecret(secret.clone()));
    assert!(!secret.exists(), "none is made up");
    fs::rename(&kept, &secret).unwrap();
    assert_eq!(log_id(directory.path()).await, log);
}

#[tokio::test]
async fn a_secret_without_its_database_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let token = Token { user: user("ann"), serial: 1 }.issue(&store.keyring());
    let log = store.log_id().to_owned();
    store.close().await;
    fs::remove_file(directory.path().join("mqttchat.db")).unwrap();
    let store = open(directory.path()).await;
    Token::verify(&token, &store.keyring()).unwrap();
    assert_ne!(store.log_id(), log);
}

#[tokio::test]
async fn a_secret_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 0).await;
    let secret = directory.path().join("secret");
    for content in [&b""[..], b"1 abc", b"\xff\xfe"] {
        fs::write(&secret, content).unwrap();
        assert!(matches!(refused(directory.path()).await, StoreError::BadSecret { .. }), "{content:?}");
        assert_eq!(fs::read(&secret).unwrap(), content, "left as it is");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 1).await;
    let database = directory.path().join("mqttchat.db");
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&database).unwrap();
    let error = refused(directory.path()).await;
    assert!(matches!(error, StoreError::NewerSchema { found: 99, supported: 1.. }), "{error:?}");
    assert!(error.to_string().contains("99"));
    assert_eq!(fs::read(&database).unwrap(), before);
}

#[tokio::test]
async fn something_else_than_our_database() {
    for what in ["text", "stranger's"] {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("mqttchat.db");
        if what == "text" {
            fs::write(&database, "this is not a database, it is only called so ".repeat(100)).unwrap();
        } else {
            Connection::open(&database).unwrap().execute_batch("CREATE TABLE recipes (id INTEGER)").unwrap();
        }
        let before = fs::read(&database).unwrap();
        assert_eq!(refused(directory.path()).await, StoreError::NotOurs(database.clone()), "{what}");
        assert_eq!(fs::read(&database).unwrap(), before, "{what}");
        assert!(!directory.path().join("secret").exists(), "{what}");
    }
}

#[tokio::test]
async fn a_directory_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refused(&path).await;
        assert!(matches!(error, StoreError::File { .. }), "{error:?}");
        assert!(error.to_string().contains("file"), "{error}");
    }
}

#[tokio::test]
async fn the_same_log_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let log = filled(directory.path(), 3).await;
    assert_eq!(log_id(directory.path()).await, log);
    // Without its mark it is still the file that it was.
    fs::remove_file(directory.path().join("mqttchat.mark")).unwrap();
    assert_eq!(log_id(directory.path()).await, log);
    fs::write(directory.path().join("mqttchat.mark"), "\0\0\0").unwrap();
    assert_eq!(log_id(directory.path()).await, log);
}

#[tokio::test]
async fn an_older_copy_put_in_its_place_is_another_log() {
    let directory = tempfile::tempdir().unwrap();
    let (database, backup) = (directory.path().join("mqttchat.db"), directory.path().join("backup"));
    let log = filled(directory.path(), 3).await;
    fs::copy(&database, &backup).unwrap();
    assert_eq!(filled(directory.path(), 2).await, log);

    // Written over the file: only its contents are older.
    fs::write(&database, fs::read(&backup).unwrap()).unwrap();
    let restored = log_id(directory.path()).await;
    assert_ne!(restored, log);
    assert_eq!(log_id(directory.path()).await, restored, "and stays it");

    // Put in the place of the file, with as many entries as before.
    fs::copy(&database, &backup).unwrap();
    fs::rename(&backup, &database).unwrap();
    let replaced = log_id(directory.path()).await;
    assert_ne!(replaced, restored);
    assert_eq!(log_id(directory.path()).await, replaced, "and stays it");
    assert_eq!(open(directory.path()).await.head(&Conversation::Public).await.unwrap(), 3);
}

#[tokio::test]
async fn a_whole_directory_restored_is_another_log() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, backup) = (parent.path().join("data"), parent.path().join("backup"));
    let log = filled(&directory, 2).await;
    fs::create_dir(&backup).unwrap();
    for file in fs::read_dir(&directory).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), backup.join(file.file_name())).unwrap();
    }
    filled(&directory, 2).await;
    fs::remove_dir_all(&directory).unwrap();
    fs::rename(&backup, &directory).unwrap();
    assert_ne!(log_id(&directory).await, log);
}

#[tokio::test]
async fn opening_ends_the_leases_of_those_before() {
    let directory = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(3600);
    let store = open(directory.path()).await;
    assert_eq!(store.acquire_node("first", long).await.unwrap().name, "n1");
    assert!(store.acquire_lease("ingest", "first", long).await.unwrap());
    store.close().await;
    let store = open(directory.path()).await;
    assert!(!store.nodes().await.unwrap()[0].alive);
    assert_eq!(store.acquire_node("second", long).await.unwrap().name, "n1");
    assert!(store.acquire_lease("ingest", "second", long).await.unwrap());
}

/// What was deleted is in no file any more: not as a text, and not as a word of the index.
#[tokio::test]
async fn what_is_deleted_is_gone_from_the_disk() {
    use suite::rooms::{change, create, say_in};
    let directory = tempfile::tempdir().unwrap();
    let place = Conversation::Public;
    let store = open(directory.path()).await;
    suite::claim(&store, "Ann").await;
    change(&store, "ann", "ops", create("Ops", true, &[])).await.unwrap();
    for n in 0..30 {
        let text = format!("plain words around firstsecret{n}");
        store.append(msg("ann", &place, &format!("m{n}"), &text)).await.unwrap();
        say_in(&store, "ann", "ops", &format!("thirdsecret{n}")).await.unwrap();
    }
    suite::search::settled(&store).await;
    for n in 0..30 {
        let text = format!("secondsecret{n}");
        store.append(edit("ann", &place, &format!("e{n}"), &format!("m{n}"), &text)).await.unwrap();
    }
    suite::search::settled(&store).await;
    store.close().await;
    let holds = |word: &str| {
        let bytes = fs::read(directory.path().join("mqttchat.db")).unwrap();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    };
    assert!(["firstsecret", "secondsecret", "thirdsecret"].iter().all(|word| holds(word)));
    let store = open(directory.path()).await;
    for n in 0..30 {
        store.append(delete("ann", &place, &format!("d{n}"), &format!("m{n}"))).await.unwrap();
    }
    change(&store, "ann", "ops", mqttchat_protocol::RoomChange::Delete).await.unwrap();
    let database = Connection::open(directory.path().join("mqttchat.db")).unwrap();
    let left = || database.query_row("SELECT count(*) FROM purges", [], |row| row.get::<_, i64>(0)).unwrap();
    while left() > 0 {
        tokio::task::yield_now().await;
    }
    suite::search::settled(&store).await;
    drop(database);
    store.close().await;
    for word in ["firstsecret", "secondsecret", "thirdsecret"] {
        assert!(!holds(word), "{word}");
    }
}

/// Closed in the moment after a room was deleted, its texts once stayed until the database was opened again.
#[tokio::test]
async fn what_a_deleted_room_held_is_gone_when_the_database_is_closed() {
    use suite::rooms::{change, create, say_in};
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    suite::claim(&store, "Ann").await;
    change(&store, "ann", "ops", create("Ops", true, &[])).await.unwrap();
    for n in 0..300 {
        say_in(&store, "ann", "ops", &format!("unspeakable{n}")).await.unwrap();
    }
    assert!(holds(directory.path(), "unspeakable"));
    change(&store, "ann", "ops", mqttchat_protocol::RoomChange::Delete).await.unwrap();
    store.close().await;
    assert!(!holds(directory.path(), "unspeakable"));
}

/// Whether a text stands in any file of the directory.
fn holds(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// Found in the write-ahead log long after its message was deleted.
#[tokio::test]
async fn a_deleted_text_is_soon_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store.append(msg("ann", &Conversation::Public, "m1", "unspeakable")).await.unwrap();
    store.append(edit("ann", &Conversation::Public, "m2", "m1", "unspeakable too")).await.unwrap();
    assert!(holds(directory.path(), "unspeakable"));
    store.append(delete("ann", &Conversation::Public, "m3", "m1")).await.unwrap();
    let gone = async {
        while holds(directory.path(), "unspeakable") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the text is still there");
    assert_eq!(say(&store, "ann", "m4").await.entry.seq, 4);
    store.close().await;
}
