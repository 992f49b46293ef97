//! The store as an operator's command opens it: beside a server that may be running on it.

use std::time::Duration;

use mqttchat_protocol::{DisplayName, Keyring, UserId};

use crate::options::Place;
use crate::postgres::Postgres;
use crate::sqlite::Beside;
use crate::{ApiKey, Clock, KeyOutcome, NewApiKey, Store, StoreError, StoreOptions, User};

/// What an operator changes while servers run. It takes no part in the log: it is no node, and appends nothing.
pub struct Operator {
    backend: Backend,
}

enum Backend {
    Sqlite(Beside),
    Postgres(Box<Postgres>),
}

/// Calls the same method on whichever backend it is.
macro_rules! on {
    ($operator:expr, $backend:ident => $call:expr) => {
        match &$operator.backend {
            Backend::Sqlite($backend) => $call,
            Backend::Postgres($backend) => $call,
        }
    };
}

impl Operator {
    /// Whether a server, or a command, has made a store there already. Nothing is made or changed.
    ///
    /// # Errors
    /// [`StoreError`] when a database can't be asked.
    pub async fn exists(options: &StoreOptions) -> Result<bool, StoreError> {
        match &options.place {
            Place::Sqlite(directory) => Ok(Beside::exists(directory)),
            Place::Postgres(url) => Postgres::exists(url).await,
        }
    }

    /// Opens the store; where there is none yet, or an older one that nobody uses, it is made or migrated.
    ///
    /// # Errors
    /// [`StoreError`], each with a sentence for the operator.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let backend = match options.place.clone() {
            Place::Sqlite(directory) => {
                if !Beside::is_ready(&directory) {
                    Store::open(options.clone()).await?.close().await;
                }
                let clock = options.clock.unwrap_or_else(Clock::system);
                Backend::Sqlite(Beside::open(&directory, clock)?)
            }
            Place::Postgres(url) => Backend::Postgres(Box::new(Postgres::open(&url, options.clock).await?)),
        };
        Ok(Self { backend })
    }

    /// Makes a key, and its user where there is none yet.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn create_apikey(&self, new: &NewApiKey) -> Result<KeyOutcome, StoreError> {
        let Some(user) = new.user() else { return Ok(KeyOutcome::NoUser) };
        on!(self, backend => backend.create_apikey(new, &user).await)
    }

    /// All keys, revoked ones too, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn apikeys(&self) -> Result<Vec<ApiKey>, StoreError> {
        on!(self, backend => backend.apikeys().await)
    }

    /// Revokes the key of this name; `false` when there is none that isn't. Servers that run know it within a second.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn revoke_apikey(&self, name: &DisplayName) -> Result<bool, StoreError> {
        on!(self, backend => backend.revoke_apikey(name).await)
    }

    /// Locks a user out, or lets them in again; `None` when there is no such user. Servers that run know it within a
    /// second.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn set_blocked(&self, id: &UserId, blocked: bool) -> Result<Option<User>, StoreError> {
        on!(self, backend => backend.set_blocked(id, blocked).await)
    }

    /// Ends the tokens of a guest: what is issued for the returned `serial` is valid from here on. `None` when there is
    /// no such user. Servers that run know it within a second.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn renew_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        on!(self, backend => backend.renew_user(id).await)
    }

    /// A user by id.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        on!(self, backend => backend.user(id).await)
    }

    /// Users by id, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn users_page(&self, after: Option<&str>, limit: u64) -> Result<Vec<User>, StoreError> {
        on!(self, backend => backend.users_page(after, limit).await)
    }

    /// The keys derived from the installation's secrets.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        on!(self, backend => backend.keyring())
    }

    /// Makes a new master secret. Servers that run know it within a second and sign with it after ten; what was signed
    /// with those before is good for as long as `grace`, or, without any, no longer.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn rotate_secrets(&self, grace: Duration) -> Result<(), StoreError> {
        on!(self, backend => backend.rotate_secrets(grace).await)
    }

    /// Closes it. Dropping it does the same in the background.
    pub async fn close(self) {
        match self.backend {
            Backend::Sqlite(beside) => drop(beside),
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operator")
    }
}
