//! Whether the database is still the one it was: how a restored or replaced file is noticed.
//!
//! The log's id stands in the database, so an older copy put back in its place would carry the same id, and
//! give numbers a second time that clients have seen already. Two witnesses outside of the rows tell:
//!
//! - **The file.** The database remembers its own file's inode and birth time. Any copy, restored or moved to
//!   another disk, is another file.
//! - **The mark.** `mqttchat.mark`, beside the database, holds the log's id and the last position, written
//!   after the commit, at most once a second and when the store is closed. A database whose contents were overwritten
//!   in place with an older copy is behind it.
//!
//! Either one gives the log a new id: clients are told by a `gap` with `reset` and read it anew. That costs them one
//! page of history where it wasn't necessary (a directory moved to another machine), and never hides a hole. What no
//! witness in the same place can see is a snapshot of the whole disk put back: whoever does that copies the database
//! file once (`cp mqttchat.db copy && mv copy mqttchat.db`), which makes it another file.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use uuid::Uuid;

use super::directory::{Directory, open_owner_only};
use super::fault::Fault;
use crate::StoreError;
use crate::integer::unsigned;

/// How often it is written at most.
pub(super) const MARK_EVERY: Duration = Duration::from_secs(1);

/// How far the log has come, in a file of its own.
pub(super) struct Mark {
    file: File,
    log_id: Box<str>,
    identity: String,
    position: u64,
    written_position: u64,
    written: Instant,
}

impl Mark {
    /// Looks whether the database is the one it was, gives it a new log id if not, and brings the mark up to date.
    pub(super) fn settle(connection: &mut Connection, directory: &Directory) -> Result<Self, StoreError> {
        let (path, database) = (directory.mark(), directory.database());
        let file = open_owner_only(&path)?;
        let identity = file_identity(&database).map_err(|error| StoreError::file(&database, &error))?;
        let marked = read(&path).map_err(|error| StoreError::file(&path, &error))?;
        let (log_id, position) =
            settle_log_id(connection, &identity, marked).map_err(|fault| fault.while_opening(&database))?;
        let mut mark = Self {
            file,
            log_id: log_id.into(),
            identity,
            position,
            written_position: 0,
            written: Instant::now(),
        };
        mark.write().map_err(|error| StoreError::file(&path, &error))?;
        Ok(mark)
    }

    pub(super) fn log_id(&self) -> &str {
        &self.log_id
    }

    /// Whether a path still leads to the database file that was opened.
    pub(super) fn is_of(&self, database: &Path) -> bool {
        file_identity(database).is_ok_and(|identity| identity == self.identity)
    }

    /// Notes the last committed position; writes it when the last time is long enough ago.
    pub(super) fn note(&mut self, position: u64) {
        self.position = self.position.max(position);
        if self.written.elapsed() >= MARK_EVERY {
            self.flush();
        }
    }

    /// Whether something noted is not written yet.
    pub(super) fn is_behind(&self) -> bool {
        self.position != self.written_position
    }

    /// Writes what is noted. A failure is not worth stopping for: the next one may do.
    pub(super) fn flush(&mut self) {
        if self.is_behind()
            && let Err(error) = self.write()
        {
            tracing::debug!(%error, "the log's mark can't be written");
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.written = Instant::now();
        // Always the same length, in place, well within one sector: there is never half of it.
        self.file.write_all_at(format!("{} {:020}\n", self.log_id, self.position).as_bytes(), 0)?;
        self.written_position = self.position;
        Ok(())
    }
}

/// The log id and position that were written there; `None` when nothing readable was.
fn read(path: &Path) -> std::io::Result<Option<(String, u64)>> {
    let text = String::from_utf8(fs::read(path)?).unwrap_or_default();
    let mut words = text.split_whitespace();
    Ok(words.next().map(str::to_owned).zip(words.next().and_then(|position| position.parse().ok())))
}

/// What a file is, other than by its name.
fn file_identity(path: &Path) -> std::io::Result<String> {
    let metadata = fs::metadata(path)?;
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Ok(format!("{}:{}", metadata.ino(), born.map_or(0, |born| born.as_nanos())))
}

fn settle_log_id(
    connection: &mut Connection,
    identity: &str,
    marked: Option<(String, u64)>,
) -> Result<(String, u64), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let position =
        unsigned(
            transaction.query_row("SELECT coalesce(max(position), 0) FROM entries", [], |row| row.get(0))?,
        );
    let known = log_id(&transaction)?;
    let same_file = meta(&transaction, "file")?.is_some_and(|file| file == identity);
    let log_id = match known {
        Some(known) if same_file && marked.is_none_or(|(id, marked)| id == known && marked <= position) => {
            known
        }
        known => {
            if known.is_some() {
                tracing::warn!(
                    "the database was restored, replaced or moved: clients will read their history anew"
                );
            }
            let new = Uuid::new_v4().to_string();
            set_meta(&transaction, "log", &new)?;
            set_meta(&transaction, "file", identity)?;
            new
        }
    };
    transaction.commit()?;
    Ok((log_id, position))
}

/// The log id that a database holds.
pub(super) fn log_id(connection: &Connection) -> Result<Option<String>, Fault> {
    meta(connection, "log")
}

/// A value of the database's few settings.
pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, Fault> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// Sets a value of the database's few settings.
pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute([key, value])?;
    Ok(())
}
