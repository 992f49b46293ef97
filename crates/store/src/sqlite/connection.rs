//! Connections, set up for what they are for.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::directory::open_owner_only;
use super::fault::Fault;
use crate::StoreError;

/// How long to wait for another program (a backup, an operator's tool) that writes. Nobody else ever locks it.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps compiled; more than there are.
const STATEMENTS: usize = 128;

fn open(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection stays with one thread at a time, so SQLite's own mutexes are not needed.
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Opens the database to look whether it is one of ours, making an empty file where there is none.
/// Nothing is changed yet.
pub(super) fn create(path: &Path) -> Result<Connection, StoreError> {
    // Made here and not by SQLite: others may look into a directory that was there before us.
    drop(open_owner_only(path)?);
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| Fault::from(error).while_opening(path))
}

/// Sets a connection up for writing.
pub(super) fn prepare(connection: &Connection) -> Result<(), Fault> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Unreadable(format!(
            "its journal mode stays {mode}: this file system can't do WAL"
        )));
    }
    // FULL: a commit returns when the log is on disk. Checkpoints are ours (see `checkpoint`); the log file is
    // kept at its size, which saves the file system's own journal, but not above 64 MiB after a large burst.
    // What is deleted is overwritten: a message taken back is gone from the file.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;",
    )?;
    Ok(())
}

/// Opens the writer's connection again. The database has to be there.
pub(super) fn reopen(path: &Path) -> Result<Connection, Fault> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Opens a connection that only reads, with a page cache of 2 MiB at most.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch(
        "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
    )?;
    Ok(connection)
}
