//! Where the store is.

use std::path::PathBuf;

use crate::Clock;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub(crate) place: Place,
    pub(crate) clock: Clock,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Sqlite(PathBuf),
}

impl StoreOptions {
    /// A SQLite database in `directory`, which is made (mode 0700) when it isn't there.
    ///
    /// | file | what |
    /// | --- | --- |
    /// | `mqttchat.db`, `-wal`, `-shm` | the database, mode 0600 |
    /// | `secret` | the master secrets, mode 0600: keep it with the database, and apart from its backups |
    /// | `mqttchat.mark` | how far the log had come: tells an older database put in its place (see [`crate::Store::log_id`]) |
    /// | `mqttchat.lock` | locked while a server runs on the directory |
    ///
    /// To put a backup in place, stop the server and remove `mqttchat.db-wal` and `-shm` first: left beside another
    /// database, SQLite would take them for its own.
    pub fn sqlite(directory: impl Into<PathBuf>) -> Self {
        Self { place: Place::Sqlite(directory.into()), clock: Clock::system() }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}
