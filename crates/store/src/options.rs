//! Where the store is.

use std::path::PathBuf;

use crate::{Clock, StoreError};

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    pub(crate) place: Place,
    pub(crate) clock: Option<Clock>,
}

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(Box<str>),
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
        Self { place: Place::Sqlite(directory.into()), clock: None }
    }

    /// A PostgreSQL database (13 or newer), which any number of nodes may share, by its address:
    /// `postgres://user:password@host:port/database`, or as `key=value` words; several hosts, of which the one that
    /// takes writes is used (so a fail-over is followed), and unix sockets (`host=%2Frun%2Fpostgresql`) too.
    ///
    /// - All is in the schema `mqttchat`, made at the first opening: the user needs the right to create it.
    /// - The secrets are a row of it. Whoever can read the database can speak as anybody.
    /// - `synchronous_commit` and `fsync` must be on, the encoding UTF8; else opening is refused. Turned off later,
    ///   `synchronous_commit` stays on for connections that there are, and new ones are refused.
    /// - Without a [`StoreOptions::clock`], the time is the database's, so that nodes whose clocks differ agree.
    /// - TLS is as libpq's `sslmode` says: `prefer` (the default; encrypted where the server can, and nothing is checked),
    ///   `disable`, `require`, `verify-ca`, `verify-full`. `sslrootcert` names the authorities to trust (without it those of
    ///   this machine), `sslcert` and `sslkey` the client's own certificate; files in PEM, named in a URL. Among words
    ///   `sslmode` can be `disable`, `prefer` and `require`.
    /// - A database restored from a dump is noticed ([`crate::Store::log_id`]). So is, by the nodes that run, one that has
    ///   lost what they saw committed: a replica that had not got everything, an earlier state. Where no node ran
    ///   meanwhile nothing can tell: before they start again, say
    ///   `UPDATE mqttchat.meta SET value = gen_random_uuid() WHERE key = 'log'`.
    /// - A pooler in between has to keep a connection to one session (`PgBouncer`: `pool_mode = session`).
    pub fn postgres(url: impl AsRef<str>) -> Self {
        Self { place: Place::Postgres(url.as_ref().into()), clock: None }
    }

    /// Looks at the address of a PostgreSQL database, and at the files that it names, without connecting.
    ///
    /// # Errors
    /// [`StoreError::Setting`], with a sentence for the operator.
    pub fn check(&self) -> Result<(), StoreError> {
        match &self.place {
            Place::Sqlite(_) => Ok(()),
            Place::Postgres(url) => crate::postgres::check(url),
        }
    }

    /// Takes the time from `clock`. Without one it is the system's, or the database server's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut options = f.debug_struct("StoreOptions");
        match &self.place {
            Place::Sqlite(directory) => options.field("sqlite", directory),
            // The address may hold a password.
            Place::Postgres(_) => options.field("postgres", &"…"),
        };
        options.finish_non_exhaustive()
    }
}
