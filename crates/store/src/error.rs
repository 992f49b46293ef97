//! What can go wrong with the store.

use std::path::{Path, PathBuf};

/// Why the store can't be opened, read or written. Each is one sentence for the operator; none is for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database was written by a later version of this program.
    #[error(
        "the database has schema version {found} and this program knows versions up to {supported}: \
         it was written by a newer mqttchat, use that one"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version known here.
        supported: i64,
    },
    /// Another server runs on the same data directory.
    #[error("the data directory {} is in use by another mqttchat", .0.display())]
    InUse(PathBuf),
    /// The file is something else than a database of this program.
    #[error("{} is not a database of mqttchat", .0.display())]
    NotOurs(PathBuf),
    /// There is a database, but not the secrets that belong to it.
    #[error("the database is there but its secret file {} is missing: restore it from where it was kept", .0.display())]
    MissingSecret(PathBuf),
    /// The secret file can't be read as one.
    #[error("the secret file {}: {reason}", path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or directory can't be made, read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The database is not set up as it has to be; the sentence says what to change.
    #[error("{0}")]
    Setting(String),
    /// The store can't be read or written now; it may be able to later (disk full, read-only, closed, …).
    /// A write that ends so may or may not have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store holds something that this program didn't write, or that the disk has damaged.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

impl StoreError {
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::File { path: path.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn closed() -> Self {
        Self::Unavailable("it is closed".into())
    }
}
