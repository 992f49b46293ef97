//! What was acknowledged is there, however the process ends.
//!
//! Each test runs itself again as a child process, which appends until it is stopped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod suite;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, Health, Store, StoreOptions};
use suite::{claim, msg, pair};

const DIRECTORY: &str = "STORE_CRASH_DIRECTORY";
/// The address of a database, in place of a directory.
const POSTGRES: &str = "STORE_CRASH_POSTGRES";

fn directory_of_child() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(Into::into)
}

/// Says something to the parent: a line that can't be mistaken for the test harness's own.
fn say_to_parent(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@ {line}").unwrap();
    out.flush().unwrap();
}

/// The test `name` once more, on a PostgreSQL.
fn node(name: &str, address: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(POSTGRES, address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = said(child.stdout.take().unwrap());
    (child, lines)
}

/// The test `name` once more, as a child, through a shell command that ends in `"$@"`.
fn child(name: &str, directory: &Path, shell: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new("sh")
        .args(["-c", shell, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = said(child.stdout.take().unwrap());
    (child, lines)
}

fn said(out: ChildStdout) -> impl Iterator<Item = String> {
    BufReader::new(out)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| Some(line.strip_prefix("@ ")?.to_owned()))
}

async fn open(directory: &Path) -> Store {
    Store::open(StoreOptions::sqlite(directory)).await.unwrap()
}

/// Appends from 20 tasks without end, and says each `conversation id seq` once it is acknowledged.
async fn append_and_say(store: Store) {
    say_to_parent(&format!("log {}", store.log_id()));
    let run = uuid::Uuid::new_v4();
    let writers: Vec<_> = (0..20)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let conversation = if n % 2 == 0 { Conversation::Public } else { pair("ann", "bob") };
                    let id = format!("{run}-{writer}-{n}");
                    let entry = store.append(msg("ann", &conversation, &id, "x")).await.unwrap().entry;
                    say_to_parent(&format!("{conversation} {id} {}", entry.seq));
                }
            })
        })
        .collect();
    futures::future::join_all(writers).await;
}

#[tokio::test]
async fn acknowledged_survives_sigkill() {
    if let Some(directory) = directory_of_child() {
        append_and_say(open(&directory).await).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    let log = format!("log {}", store.log_id());
    store.close().await;
    let mut acknowledged = Vec::new();
    for round in 0..10usize {
        let (mut child, mut lines) = child("acknowledged_survives_sigkill", directory.path(), r#"exec "$@""#);
        assert_eq!(lines.next(), Some(log.clone()), "a crash doesn't make another log");
        acknowledged.extend(lines.by_ref().take(1 + round * 97));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines);
    }
    let store = open(directory.path()).await;
    check(&store, &acknowledged).await;
}

/// Killed between a commit and its indexing, again and again: the next one to open it makes up for that.
#[tokio::test]
async fn what_was_acknowledged_is_found_after_sigkill() {
    const NAME: &str = "what_was_acknowledged_is_found_after_sigkill";
    if let Some(directory) = directory_of_child() {
        let store = open(&directory).await;
        for n in 0.. {
            let word = format!("w{}", uuid::Uuid::new_v4().simple());
            let id = format!("{word}-{n}");
            store.append(msg("ann", &Conversation::Public, &id, &format!("it says {word}"))).await.unwrap();
            if n % 3 == 0 {
                let edit = suite::changes::edit(
                    "ann",
                    &Conversation::Public,
                    &format!("e{id}"),
                    &id,
                    &format!("now {word}"),
                );
                store.append(edit).await.unwrap();
            }
            say_to_parent(&word);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut words: Vec<String> = Vec::new();
    for round in 0..5usize {
        let (mut child, mut lines) = child(NAME, directory.path(), r#"exec "$@""#);
        words.extend(lines.by_ref().take(20 + round * 30));
        child.kill().unwrap();
        child.wait().unwrap();
        // The last one may be cut off where it was killed.
        words.extend(lines.filter(|line| line.len() == 33));
    }
    let store = open(directory.path()).await;
    suite::search::settled(&store).await;
    assert!(words.len() >= 400);
    for word in &words {
        let query = mqttchat_store::Query::parse(word).unwrap();
        let found = store.search(&suite::party("bob"), &query, None, 9).await.unwrap();
        assert_eq!(found.len(), 1, "{word}");
    }
    let query = mqttchat_store::Query::parse("it says").unwrap();
    let left = store.search(&suite::party("bob"), &query, None, 9999).await.unwrap();
    assert!(
        left.iter().all(|entry| entry.data.contains("it says")),
        "texts before an edit are found no more"
    );
}

/// What was acknowledged is there, once, in an order without a hole.
async fn check(store: &Store, acknowledged: &[String]) {
    let mut stored = std::collections::HashSet::new();
    for conversation in [Conversation::Public, pair("ann", "bob")] {
        let entries = store.entries_after(&conversation, 0, u64::MAX).await.unwrap();
        for (expected, entry) in (1..).zip(&entries) {
            assert_eq!(entry.seq, expected, "{conversation} has a hole");
            assert!(stored.insert(format!("{conversation} {} {}", entry.id, entry.seq)));
        }
    }
    assert!(acknowledged.len() > 4000, "{}", acknowledged.len());
    for line in acknowledged {
        // The last one may be cut off where it was killed.
        assert!(stored.contains(line) || !line.ends_with(|c: char| c.is_ascii_digit()), "lost: {line}");
    }
    let delivered = store.cursors(&pair("ann", "bob")).await.unwrap()[0].delivered;
    assert_eq!(delivered, store.head(&pair("ann", "bob")).await.unwrap(), "in the entry's own transaction");
}

/// Two nodes append, one of which is killed again and again: it loses nothing, and keeps nothing locked.
#[tokio::test]
async fn a_node_is_killed_on_postgresql() {
    const NAME: &str = "a_node_is_killed_on_postgresql";
    if let Ok(address) = std::env::var(POSTGRES) {
        append_and_say(Store::open(StoreOptions::postgres(address)).await.unwrap()).await;
    }
    let cluster = suite::cluster::Cluster::start();
    let address = cluster.database("chat");
    let store = Store::open(StoreOptions::postgres(&address)).await.unwrap();
    claim(&store, "Ann").await;
    claim(&store, "Bob").await;
    let log = format!("log {}", store.log_id());
    let (mut other, mut lines_of_other) = node(NAME, &address);
    assert_eq!(lines_of_other.next(), Some(log.clone()));
    let lines_of_other = std::thread::spawn(move || lines_of_other.collect::<Vec<_>>());
    let mut acknowledged = Vec::new();
    for round in 0..8usize {
        let (mut child, mut lines) = node(NAME, &address);
        assert_eq!(lines.next(), Some(log.clone()));
        acknowledged.extend(lines.by_ref().take(1 + round * 97));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines);
        let appended = store.append(msg("ann", &Conversation::Public, &format!("{round}"), "x")).await;
        assert!(appended.unwrap().fresh);
    }
    // Stopped in the middle of whatever it does, it holds the others up for some seconds at most.
    let pid = other.id().to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    assert!(store.append(msg("ann", &Conversation::Public, "stopped", "x")).await.unwrap().fresh);
    other.kill().unwrap();
    other.wait().unwrap();
    acknowledged.extend(lines_of_other.join().unwrap());
    assert!(acknowledged.len() > 3000, "{}", acknowledged.len());
    check(&store, &acknowledged).await;
}

/// Appends until that fails, then until it works again.
async fn append_through_trouble(directory: &Path) {
    let store = open(directory).await;
    let text = "x".repeat(10_000);
    let mut seq = 0;
    let append = async |n: u64| store.append(msg("ann", &Conversation::Public, &n.to_string(), &text)).await;
    for n in 0.. {
        match append(n).await {
            Ok(appended) => seq = appended.entry.seq,
            Err(AppendError::Unavailable(reason)) => {
                assert!(matches!(store.health(), Health::Failing(_)));
                assert_eq!(store.head(&Conversation::Public).await.unwrap(), seq, "reads go on");
                say_to_parent(&format!("failed {seq} {reason}"));
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    for n in 1_000_000.. {
        if let Ok(appended) = append(n).await {
            assert_eq!(appended.entry.seq, seq + 1, "what failed took no number");
            assert_eq!(store.health(), Health::Ok);
            say_to_parent("works again");
            break;
        }
        tokio::task::yield_now().await;
    }
    store.close().await;
}

/// No room for a file to grow: what a full disk looks like to a process, but for the error's number.
#[tokio::test]
async fn recovers_when_files_can_grow_again() {
    if let Some(directory) = directory_of_child() {
        return append_through_trouble(&directory).await;
    }
    let directory = tempfile::tempdir().unwrap();
    // In units of 512 bytes: half a megabyte. The signal that comes with it is ignored, so that writes just fail.
    let limited = r#"trap '' XFSZ; ulimit -S -f 1024; exec "$@""#;
    let (mut child, mut lines) = child("recovers_when_files_can_grow_again", directory.path(), limited);
    let failed = lines.next().unwrap();
    assert!(failed.starts_with("failed "), "{failed}");
    let pid = child.id().to_string();
    let raised =
        Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:unlimited"]).status().unwrap();
    assert!(raised.success());
    assert_eq!(lines.next().as_deref(), Some("works again"));
    assert!(child.wait().unwrap().success());
    let seq: u64 = failed.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(seq > 1, "{failed}");
    assert_eq!(open(directory.path()).await.head(&Conversation::Public).await.unwrap(), seq + 1);
}
