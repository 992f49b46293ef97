//! What PostgreSQL refuses, and who is to blame.

use std::error::Error as _;

use mqttchat_tls::{Settings, explain};
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// What words in the database's address are about TLS.
const SETTINGS: Settings = Settings { ca: "sslrootcert", identity: "sslcert and sslkey" };

/// What tokio-postgres says where TLS is demanded of a server that has none.
const NO_TLS: &str = "server does not support TLS";

/// Why a statement, a transaction or a connection failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// PostgreSQL, or the way to it, says so.
    Postgres(tokio_postgres::Error),
    /// It didn't answer in time. What it was doing may go on.
    Silent,
    /// A row holds what can't be.
    Unreadable(String),
    /// It is not the database that was opened.
    Replaced,
    /// It is set up in a way that would lose what is acknowledged, or can't hold what is said; a sentence.
    Setting(String),
    /// It was tried a moment ago, and is tried again in a moment; what was said then.
    Away(String),
    /// Others changed what was counted on while it was done, and did so again each time it was tried.
    Contended,
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl Fault {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// Whether doing the same again may work at once: others were in the way, and this transaction is undone.
    pub(super) fn is_passing(&self) -> bool {
        self.code().is_some_and(|code| {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::UNIQUE_VIOLATION,
                SqlState::LOCK_NOT_AVAILABLE,
            ]
            .contains(code)
        })
    }

    /// Whether the connection is lost, or can't be counted on.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => match error.code() {
                // 08: connection exceptions, 57P: the server goes down, 25P03: it gave up waiting for us.
                Some(code) => {
                    code.code().starts_with("08")
                        || code.code().starts_with("57P")
                        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                        // A replica: after a fail-over, another server may take writes.
                        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                }
                None => true,
            },
            Self::Silent | Self::Replaced | Self::Setting(_) | Self::Away(_) => true,
            Self::Unreadable(_) | Self::Contended => false,
        }
    }

    /// Whether the database or the way to it is to blame, so that every other write fails the same way. Else it is
    /// this one write's own fault.
    pub(super) fn is_of_environment(&self) -> bool {
        self.is_of_connection()
            || self.code().is_some_and(|code| {
                // No room, no memory; cancelled; the disk; no right to.
                ["53", "57", "58", "42", "25"].iter().any(|class| code.code().starts_with(class))
            })
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Unreadable(what) | Self::Setting(what) | Self::Away(what) => what.clone(),
            Self::Silent => "the database doesn't answer".into(),
            Self::Replaced => {
                "the database was restored or replaced while the server runs: restart the server".into()
            }
            Self::Contended => "others keep changing what is being written".into(),
            Self::Postgres(error) => match error.as_db_error() {
                Some(said) if *said.code() == SqlState::DISK_FULL => "the database's disk is full".into(),
                Some(said) => format!("the database says: {}", said.message()),
                None => match explain(error, SETTINGS).ok_or_else(|| error.source()) {
                    Ok(reason) => format!("the database's server {reason}"),
                    Err(Some(source)) if source.to_string() == NO_TLS => {
                        "the database's server offers no TLS: set ssl = on there, or say sslmode=disable"
                            .into()
                    }
                    Err(Some(source)) => format!("the database can't be reached: {source}"),
                    Err(None) => format!("the database can't be reached: {error}"),
                },
            },
        }
    }
}

impl From<&Fault> for StoreError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Unreadable(what) => Self::Corrupt(what.clone()),
            Fault::Setting(what) => Self::Setting(what.clone()),
            other => Self::Unavailable(other.reason()),
        }
    }
}
