//! What SQLite refuses, and who is to blame.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::StoreError;

/// Why a statement or a transaction failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite says so.
    Sqlite(rusqlite::Error),
    /// A row holds what can't be.
    Unreadable(String),
    /// The file under the connection is no longer the database that was opened.
    Replaced,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Unreadable(_) | Self::Replaced => None,
        }
    }

    /// Whether the disk, the file or the machine is to blame, so that every other write fails the same way. Else
    /// it is this one write's own fault.
    pub(super) fn is_of_environment(&self) -> bool {
        match self {
            Self::Replaced => true,
            Self::Unreadable(_) => false,
            Self::Sqlite(_) => !matches!(
                self.code(),
                None | Some(
                    ErrorCode::TooBig
                        | ErrorCode::ConstraintViolation
                        | ErrorCode::TypeMismatch
                        | ErrorCode::ApiMisuse
                        | ErrorCode::ParameterOutOfRange
                        | ErrorCode::Unknown
                )
            ),
        }
    }

    /// Whether the connection may be in a state that only a new one is sure to be free of.
    pub(super) fn spoils_connection(&self) -> bool {
        self.is_of_environment()
            && !matches!(
                self.code(),
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            )
    }

    /// What it means while the database at `path` is being opened.
    pub(super) fn while_opening(&self, path: &Path) -> StoreError {
        match self.code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotOurs(path.to_owned()),
            _ => StoreError::File { path: path.to_owned(), reason: self.reason() },
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Unreadable(what) => what.clone(),
            Self::Replaced => "the database file was replaced while the server runs: restart it".into(),
            Self::Sqlite(error) => match self.code() {
                Some(ErrorCode::DiskFull) => "the disk is full".into(),
                Some(ErrorCode::ReadOnly) => "the database is read-only".into(),
                Some(ErrorCode::SystemIoFailure) => format!("the disk fails: {error}"),
                Some(ErrorCode::CannotOpen) => format!("the database file can't be opened: {error}"),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    "another program keeps the database locked".into()
                }
                Some(ErrorCode::DatabaseCorrupt) => format!("the database file is damaged: {error}"),
                _ => error.to_string(),
            },
        }
    }
}

impl From<&Fault> for StoreError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Unreadable(what) => Self::Corrupt(what.clone()),
            other => Self::Unavailable(other.reason()),
        }
    }
}
