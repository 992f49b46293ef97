//! The database as a command opens it that runs beside the server: one connection, without the directory's lock.
//!
//! The server stays the only one that writes the log, so all that it remembers of it holds. What is written here it
//! reads with its next question; the two take turns by SQLite's own locks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mqttchat_protocol::{DisplayName, UserId};
use rusqlite::{Connection, TransactionBehavior};

use super::directory::Directory;
use super::fault::Fault;
use super::{apikeys, connection, migrations};
use crate::{ApiKey, Clock, KeyOutcome, NewApiKey, StoreError};

/// A connection beside the server's.
pub(crate) struct Beside {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

impl Beside {
    /// Whether there is a database with the schema that this program knows.
    pub(crate) fn is_ready(directory: &Path) -> bool {
        let path = Directory::at(directory).database();
        path.is_file()
            && connection::open_reader(&path).is_ok_and(|connection| migrations::is_newest(&connection))
    }

    pub(crate) fn open(directory: &Path, clock: Clock) -> Result<Self, StoreError> {
        let path = Directory::at(directory).database();
        let connection = connection::reopen(&path).map_err(|fault| fault.while_opening(&path))?;
        Ok(Self { path, connection: Arc::new(Mutex::new(connection)), clock })
    }

    /// Does something in one transaction, on a thread that may wait.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, u64) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (connection, path, now) = (self.connection.clone(), self.path.clone(), self.clock.now());
        let working = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            in_transaction(&mut connection, |connection| work(connection, now))
                .map_err(|fault| fault.while_opening(&path))
        });
        working.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    pub(crate) async fn create_apikey(
        &self,
        new: &NewApiKey,
        user: &UserId,
    ) -> Result<KeyOutcome, StoreError> {
        let (new, user) = (new.clone(), user.clone());
        self.work(move |connection, now| apikeys::create(connection, &new, &user, now)).await
    }

    pub(crate) async fn apikeys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.work(|connection, _| apikeys::list(connection)).await
    }

    pub(crate) async fn revoke_apikey(&self, name: &DisplayName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.work(move |connection, now| apikeys::revoke(connection, &name, now)).await
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
