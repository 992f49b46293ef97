//! The data directory: its files, and the lock that keeps a second server out.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::secrets::Secrets;

/// A data directory.
#[derive(Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes the directory where it isn't there, and locks it until the file is dropped, or the process is gone.
    pub(super) fn lock(path: &Path) -> Result<(Self, File), StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| StoreError::file(path, &error))?;
        let directory = Self(path.to_owned());
        let lock_path = directory.0.join("mqttchat.lock");
        let lock = open_owner_only(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => Ok((directory, lock)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(directory.0)),
            Err(TryLockError::Error(error)) => Err(StoreError::file(&lock_path, &error)),
        }
    }

    /// A directory that nobody locks, if it is there.
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The database file.
    pub(super) fn database(&self) -> PathBuf {
        self.0.join("mqttchat.db")
    }

    /// The file that remembers how far the log has come.
    pub(super) fn mark(&self) -> PathBuf {
        self.0.join("mqttchat.mark")
    }

    /// The file of the secrets.
    pub(super) fn secret(&self) -> PathBuf {
        self.0.join("secret")
    }

    /// Reads the secrets; makes them when the database is new and there are none yet.
    pub(super) fn secrets(&self, new_database: bool) -> Result<Secrets, StoreError> {
        let path = self.secret();
        match Secrets::load(&path)? {
            Some(secrets) => Ok(secrets),
            None if new_database => Secrets::create(&path),
            None => Err(StoreError::MissingSecret(path)),
        }
    }
}

/// Opens a file for reading and writing; makes it, mode 0600, where it isn't there.
pub(super) fn open_owner_only(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::file(path, &error))
}
