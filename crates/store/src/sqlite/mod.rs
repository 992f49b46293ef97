//! The store in a SQLite database.
//!
//! | who | does |
//! | --- | --- |
//! | `writer` | one thread, one connection: commits what waits, a batch at a time |
//! | `batch`, `append`, `changes`, `room_changes` | what a write does inside the batch's transaction |
//! | `chores` | what the writer does when there is time: indexing for searches, removing what deleted rooms held |
//! | `checkpoint` | a thread that moves the write-ahead log into the database meanwhile |
//! | `reader` | a few connections for reads, on the runtime's blocking threads |
//! | `directory`, `connection`, `migrations`, `mark` | opening: files and lock, pragmas, schema, is it the same log |
//! | `log`, `rooms`, `search`, `users`, `presence`, `cursors`, `leases` | the questions and writes of each |

mod apikeys;
mod append;
mod batch;
mod beside;
mod changes;
mod checkpoint;
mod chores;
mod connection;
mod cursors;
mod directory;
mod fault;
mod leases;
mod log;
mod mark;
mod migrations;
mod presence;
mod reader;
mod room_changes;
mod rooms;
mod rows;
mod search;
#[cfg(test)]
mod tests;
mod users;
mod writer;

use std::path::PathBuf;

use mqttchat_protocol::Keyring;

use crate::secrets::Keeper;
use crate::{Clock, Done, Health, NewEntry, StoreError};

pub(crate) use beside::Beside;

use append::Append;
use directory::Directory;
use mark::Mark;
use reader::Readers;
use writer::Writer;

/// A store in a SQLite database.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Readers,
    clock: Clock,
    log_id: Box<str>,
    directory: Directory,
    keeper: Keeper,
}

impl Sqlite {
    pub(crate) async fn open(directory: PathBuf, clock: Clock) -> Result<Self, StoreError> {
        tokio::task::spawn_blocking(move || Self::open_blocking(&directory, clock))
            .await
            .unwrap_or_else(|_| Err(StoreError::closed()))
    }

    fn open_blocking(directory: &std::path::Path, clock: Clock) -> Result<Self, StoreError> {
        let (directory, lock) = Directory::lock(directory)?;
        let database = directory.database();
        let mut connection = connection::create(&database)?;
        let secrets = directory.secrets(migrations::is_new(&connection, &database)?)?;
        connection::prepare(&connection).map_err(|fault| fault.while_opening(&database))?;
        migrations::migrate(&mut connection).map_err(|fault| fault.while_opening(&database))?;
        let mark = Mark::settle(&mut connection, &directory)?;
        let log_id = mark.log_id().into();
        leases::end_all(&connection).map_err(|fault| fault.while_opening(&database))?;
        let writer = Writer::start(connection, &database, clock.clone(), mark, lock)?;
        let keeper = Keeper::new(secrets, clock.now());
        Ok(Self { writer, readers: Readers::new(database), clock, log_id, directory, keeper })
    }

    pub(crate) fn log_id(&self) -> &str {
        &self.log_id
    }

    pub(crate) fn keyring(&self) -> Keyring {
        self.keeper.keyring()
    }

    pub(crate) async fn turn_secrets(&self, read: bool) -> Result<bool, StoreError> {
        let read = if read {
            let directory = self.directory.clone();
            let reading = tokio::task::spawn_blocking(move || directory.secrets(false));
            Some(reading.await.unwrap_or_else(|_| Err(StoreError::closed()))?)
        } else {
            None
        };
        Ok(self.keeper.turn(read, self.clock.now()))
    }

    pub(crate) fn health(&self) -> Health {
        self.writer.health()
    }

    pub(crate) async fn close(&self) {
        // The last connection to close takes the write-ahead log with it, and only the writer's can.
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) async fn submit(&self, entry: NewEntry, done: Done) {
        let weight = entry.weight();
        if let Err(append) = self.writer.push(weight, Box::new(Append::new(entry, done))).await {
            append.settle(Err(&StoreError::closed()));
        }
    }
}
