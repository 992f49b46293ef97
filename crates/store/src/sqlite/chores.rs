//! What can wait a moment: indexing messages for searches, removing what deleted rooms held, and wiping what was
//! deleted from the write-ahead log.
//!
//! It is done by the writer, between batches and when there are none, a little at a time, so that no commit waits for it
//! for long. Each little is a transaction of its own, whose commit is not waited for on the disk: what a crash takes of
//! it is done again.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::fault::Fault;
use super::search::{self, BELOW, from_row, index_next};
use crate::integer::{signed, unsigned};

/// How long one turn takes, about.
const TURN: Duration = Duration::from_millis(10);
/// How long new messages wait to be indexed together.
const GATHER: Duration = Duration::from_millis(250);
/// While commits come one after the other: how much longer than a turn the writer is theirs after it.
const SHARE: u32 = 9;
/// How long to wait before the next turn when there is more to do and nobody else wants the writer.
const BREATH: Duration = Duration::from_millis(1);
/// How long to wait after a turn that failed.
const PAUSE: Duration = Duration::from_secs(2);
/// How long what was deleted may stand in the write-ahead log when there is little else to do, and at most.
const WIPE_AFTER: Duration = Duration::from_secs(1);
const WIPE_WITHIN: Duration = Duration::from_secs(10);
/// How long closing the database may take for removing what deleted rooms held, and one transaction of that. What is left
/// goes when it is opened again.
const LAST: Duration = Duration::from_millis(500);
const LAST_TURN: Duration = Duration::from_millis(100);
/// How many entries are read at once, and go at once.
const ENTRIES: i64 = 2000;
const GONE_AT_ONCE: i64 = 100;

/// What there is to do.
pub(super) struct Chores {
    /// The position up to which entries are indexed.
    indexed: u64,
    /// Whether more is known to be left than what was appended since.
    more: bool,
    /// Since when something that was deleted stands in the write-ahead log.
    deleted: Option<Instant>,
    /// When the last turn ended, and how long it took.
    last: Instant,
    took: Duration,
    failed: bool,
}

impl Chores {
    pub(super) fn new() -> Self {
        // There may be something left from before.
        let now = Instant::now();
        Self { indexed: 0, more: true, deleted: Some(now), last: now, took: Duration::ZERO, failed: false }
    }

    /// Notes that a message or a room was deleted.
    pub(super) fn deleted(&mut self) {
        self.more = true;
        self.deleted.get_or_insert_with(Instant::now);
    }

    /// Whether it is time to wipe the write-ahead log: everything else is done, or it has been put off for long.
    pub(super) fn wipes(&self, position: Option<u64>) -> bool {
        let waits = |longest| self.deleted.is_some_and(|since| since.elapsed() >= longest);
        waits(WIPE_WITHIN) || (waits(WIPE_AFTER) && self.is_done(position))
    }

    /// Notes whether the log has been wiped. If not, because somebody reads an old state, it is tried again.
    pub(super) fn wiped(&mut self, done: bool) {
        self.deleted = if done { None } else { Some(Instant::now()) };
    }

    fn is_done(&self, position: Option<u64>) -> bool {
        !self.more && position.is_none_or(|position| position <= self.indexed)
    }

    /// How long to wait for something else to do before a turn; `None` when nothing is left. `position`: the newest.
    pub(super) fn patience(&self, position: Option<u64>) -> Option<Duration> {
        if self.is_done(position) {
            return self.deleted.map(|since| WIPE_AFTER.saturating_sub(since.elapsed()));
        }
        let pause = match (self.failed, self.more) {
            (true, _) => PAUSE,
            (_, true) => return Some(BREATH),
            _ => GATHER,
        };
        Some(pause.saturating_sub(self.last.elapsed()))
    }

    /// Whether it is time for a turn when there is nothing else to do.
    pub(super) fn is_ready(&self, position: Option<u64>) -> bool {
        self.patience(position).is_some_and(|patience| patience <= BREATH)
    }

    /// Whether it is time for a turn between two batches.
    pub(super) fn is_due(&self, position: Option<u64>) -> bool {
        self.patience(position).is_some()
            && self.last.elapsed() >= if self.failed { PAUSE } else { GATHER.max(self.took * SHARE) }
    }

    /// One turn. Leaves the connection as it was, or in a transaction or with another setting: then it is spoiled.
    pub(super) fn turn(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let started = Instant::now();
        // Spoiled until the setting is back: whoever is told that something is stored counts on it.
        let done = connection
            .execute_batch("PRAGMA synchronous = NORMAL")
            .map_err(Fault::from)
            .and_then(|()| self.work(connection, || started.elapsed() < TURN));
        let restored = connection.execute_batch("PRAGMA synchronous = FULL");
        (self.last, self.took, self.failed) = (Instant::now(), started.elapsed(), done.is_err());
        done?;
        Ok(restored?)
    }

    /// Tries again later.
    pub(super) fn put_off(&mut self) {
        (self.last, self.failed) = (Instant::now(), true);
    }

    fn work(&mut self, connection: &mut Connection, go_on: impl Fn() -> bool) -> Result<(), Fault> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut purged, mut deleted) = (true, false);
        while purged && go_on() {
            purged = purge(&transaction)?;
            deleted |= purged;
        }
        let (indexed, more) =
            if purged { (self.indexed, true) } else { index_next(&transaction, ENTRIES, go_on)? };
        transaction.commit()?;
        (self.indexed, self.more) = (indexed, more);
        if deleted {
            self.deleted.get_or_insert_with(Instant::now);
        }
        Ok(())
    }
}

/// Removes what deleted rooms held before the database is closed, with a bound.
pub(super) fn finish(connection: &mut Connection) -> Result<(), Fault> {
    let started = Instant::now();
    let mut more = true;
    while more && started.elapsed() < LAST {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let turn = Instant::now();
        while more && turn.elapsed() < LAST_TURN {
            more = purge(&transaction)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Removes some of what a deleted room held, from everywhere. Says whether there was something.
fn purge(connection: &Connection) -> Result<bool, Fault> {
    let room: Option<(i64, i64)> = connection
        .prepare_cached("SELECT conversation, below FROM purges LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((room, below)) = room else { return Ok(false) };
    let indexed = search::indexed(connection)?;
    let mut statement = connection.prepare_cached(BELOW)?;
    let gone = statement
        .query_map(params![room, below, GONE_AT_ONCE], |row| Ok(from_row(row)))?
        .map(|entry| entry?)
        .collect::<Result<Vec<_>, Fault>>()?;
    if gone.is_empty() {
        connection.prepare_cached("DELETE FROM purges WHERE conversation = ?1")?.execute([room])?;
    }
    for entry in &gone {
        if unsigned(entry.position) <= indexed {
            search::remove(connection, entry)?;
        }
        for sql in [
            "DELETE FROM reactions WHERE target = ?1",
            "DELETE FROM edits WHERE target = ?1",
            "DELETE FROM marks WHERE position = ?1",
            "DELETE FROM entries WHERE position = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([entry.position])?;
        }
    }
    Ok(true)
}

/// Has all entries of a conversation below a `seq` removed, soon.
pub(super) fn purge_below(connection: &Connection, conversation: i64, below: u64) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO purges (conversation, below) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET below = excluded.below",
    )?;
    statement.execute([conversation, signed(below)])?;
    Ok(())
}
