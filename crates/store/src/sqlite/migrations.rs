//! The schema and how it came about.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use crate::StoreError;

/// Says in the file's header whose database it is: "mqch".
const APPLICATION: i64 = 0x6d71_6368;

/// Each brings the schema from the version before to its own, the first to version 1. Only ever added to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_log.sql"),
    include_str!("migrations/0002_rooms.sql"),
    include_str!("migrations/0003_apikeys.sql"),
    include_str!("migrations/0004_search.sql"),
    include_str!("migrations/0005_blocks.sql"),
];

fn supported() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Looks whether a database is empty (`true`), or ours and not from a later version (`false`), changing nothing.
///
/// # Errors
/// When it is neither.
pub(super) fn is_new(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let opening = |error: rusqlite::Error| Fault::from(error).while_opening(path);
    let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(opening);
    let tables = ask("SELECT count(*) FROM sqlite_schema")?;
    let application = ask("PRAGMA application_id")?;
    let found = ask("PRAGMA user_version")?;
    if tables == 0 && application == 0 && found == 0 {
        return Ok(true);
    }
    if application != APPLICATION || found < 1 {
        return Err(StoreError::NotOurs(path.to_owned()));
    }
    let supported = supported();
    if found > supported { Err(StoreError::NewerSchema { found, supported }) } else { Ok(false) }
}

/// Whether a database is ours, and its schema the newest that is known here.
pub(super) fn is_newest(connection: &Connection) -> bool {
    let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).ok();
    ask("PRAGMA application_id") == Some(APPLICATION) && ask("PRAGMA user_version") == Some(supported())
}

/// Brings the schema to the newest version, each step whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (version, sql) in (1i64..).zip(MIGRATIONS) {
        if version <= found {
            continue;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
        tracing::info!(version, "database schema migrated");
    }
    Ok(())
}
