//! The database as a command opens it that runs beside the server: one connection, without the directory's lock.
//!
//! The server stays the only one that writes the log, so all that it remembers of it holds. What is written here it
//! reads with its next question; the two take turns by SQLite's own locks.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqttchat_protocol::{DisplayName, Keyring, UserId};
use rusqlite::{Connection, TransactionBehavior};

use super::directory::Directory;
use super::fault::Fault;
use super::{apikeys, connection, migrations, users};
use crate::{ApiKey, Clock, KeyOutcome, NewApiKey, StoreError, User};

/// A connection beside the server's.
pub(crate) struct Beside {
    directory: Directory,
    keyring: Keyring,
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

impl Beside {
    /// Whether there is a database, or something that keeps anybody from seeing whether there is.
    pub(crate) fn exists(directory: &Path) -> bool {
        match Directory::at(directory).database().metadata() {
            Ok(file) => file.len() > 0,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    /// Whether there is a database with the schema that this program knows.
    pub(crate) fn is_ready(directory: &Path) -> bool {
        let path = Directory::at(directory).database();
        path.is_file()
            && connection::open_reader(&path).is_ok_and(|connection| migrations::is_newest(&connection))
    }

    pub(crate) fn open(directory: &Path, clock: Clock) -> Result<Self, StoreError> {
        let directory = Directory::at(directory);
        let path = directory.database();
        let connection = connection::reopen(&path).map_err(|fault| fault.while_opening(&path))?;
        let keyring = Keyring::new(&directory.secrets(false)?.at(clock.now()));
        Ok(Self { directory, keyring, path, connection: Arc::new(Mutex::new(connection)), clock })
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

    pub(crate) fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Rotates the secrets. The transaction is what two commands at once take turns by.
    pub(crate) async fn rotate_secrets(&self, grace: Duration) -> Result<(), StoreError> {
        let directory = self.directory.clone();
        self.work(move |connection, now| {
            let rotate = || directory.secrets(false)?.rotate(grace, now).write(&directory.secret());
            match rotate() {
                Ok(()) => users::count_revocation(connection).map(Ok),
                Err(error) => Ok(Err(error)),
            }
        })
        .await?
    }

    pub(crate) async fn set_blocked(&self, id: &UserId, blocked: bool) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.work(move |connection, _| users::set_blocked(connection, &id, blocked)).await
    }

    pub(crate) async fn renew_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.work(move |connection, _| users::renew(connection, &id)).await
    }

    pub(crate) async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.work(move |connection, _| users::one(connection, &id)).await
    }

    pub(crate) async fn users_page(&self, after: Option<&str>, limit: u64) -> Result<Vec<User>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.work(move |connection, _| users::page(connection, &after, limit)).await
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
