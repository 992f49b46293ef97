//! What lasts: the durable log of every conversation, and what belongs to it — cursors, users, presence,
//! leases, and the installation's secrets.
//!
//! The log is the truth. An entry counts as accepted when [`Store::append`] has returned it, which is after its
//! commit is on disk; everything else (MQTT, sessions, caches) can be rebuilt from here.
//!
//! ```
//! use mqttchat_protocol::{Conversation, EntryKind, MessageId, Party};
//! use mqttchat_store::{NewEntry, Store, StoreOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let store = Store::open(StoreOptions::sqlite(directory.path())).await?;
//! let appended = store
//!     .append(NewEntry {
//!         conversation: Conversation::Public,
//!         kind: EntryKind::Msg,
//!         id: MessageId::parse("m1").ok_or("not an id")?,
//!         from: Party::foreign("lamp"),
//!         name: "Lamp".into(),
//!         data: r#"{"text":"on"}"#.into(),
//!         change: None,
//!         ingest: None,
//!     })
//!     .await?;
//! assert_eq!((appended.entry.seq, appended.fresh), (1, true));
//! assert_eq!(store.head(&Conversation::Public).await?, 1);
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Times are Unix times in milliseconds. Futures of this crate can be dropped at any await; what that means for a
//! write is said at each: one that has taken its place in the writer's queue happens all the same.
//!
//! Readers never wait for the writer, and nobody else's thread is ever blocked: SQLite has a thread for commits,
//! one for checkpoints, and the runtime's blocking threads for reads (see [`StoreOptions::sqlite`] for the files);
//! PostgreSQL a thread and a connection for commits, and a few connections for all else ([`StoreOptions::postgres`]).

mod apikeys;
mod change;
mod clock;
mod content;
mod cursors;
mod error;
mod health;
mod integer;
mod leases;
mod log;
mod marks;
mod operator;
mod options;
mod positions;
mod postgres;
mod presence;
mod queue;
mod rooms;
mod search;
mod secrets;
mod sqlite;
mod users;

use std::sync::Arc;

use mqttchat_protocol::Keyring;

pub use apikeys::{ApiKey, KeyOutcome, NewApiKey, Scopes};
pub use change::Change;
pub use clock::Clock;
pub use cursors::{ConversationSummary, Cursor, Moment, Moved, Undelivered};
pub use error::StoreError;
pub use health::Health;
pub use leases::{Node, NodeLease};
pub use log::{AppendError, Appended, ChangedHead, Done, IngestMark, NewEntry};
pub use operator::Operator;
pub use options::StoreOptions;
pub use rooms::Access;
pub use search::Query;
pub use users::{ClaimOutcome, Standing, User};

use options::Place;
use postgres::Postgres;
use sqlite::Sqlite;

/// The store of one installation. A cheap handle: clones share everything.
///
/// When the last one is dropped, what is queued is still committed, in the background; [`Store::close`] waits for it.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
}

/// Where the data is. Every method of [`Store`] asks the same of each.
enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// Calls the same method on whichever backend a store has.
macro_rules! on_backend {
    ($store:expr, $backend:ident => $call:expr) => {
        match &*$store.backend {
            crate::Backend::Sqlite($backend) => $call,
            crate::Backend::Postgres($backend) => $call,
        }
    };
}
use on_backend;

impl Store {
    /// Opens the store, making or migrating its schema where needed.
    ///
    /// Needs a tokio runtime. Dropping the future may leave the opening to finish in the background.
    ///
    /// # Errors
    /// [`StoreError`], each with a sentence for the operator; nothing is half open then.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        metrics::describe_histogram!(
            "mqttchat_store_commit_seconds",
            metrics::Unit::Seconds,
            "time of one commit"
        );
        metrics::describe_histogram!(
            "mqttchat_store_commit_entries",
            "entries and other writes in one commit"
        );
        metrics::describe_gauge!("mqttchat_store_queue_length", "writes that wait for the writer");
        metrics::describe_counter!(
            "mqttchat_store_errors_total",
            "batches, reads and checkpoints that failed"
        );
        let backend = match options.place {
            Place::Sqlite(directory) => {
                Backend::Sqlite(Sqlite::open(directory, options.clock.unwrap_or_else(Clock::system)).await?)
            }
            Place::Postgres(url) => Backend::Postgres(Postgres::open(&url, options.clock).await?),
        };
        Ok(Self { backend: Arc::new(backend) })
    }

    /// The id of the log: what `seq` counts in (docs/protocol.md §3). Another one than last time says that the
    /// database was replaced or restored, and that no `seq` a client remembers means anything.
    #[must_use]
    pub fn log_id(&self) -> &str {
        on_backend!(self, backend => backend.log_id())
    }

    /// Whether other nodes may write the same store. If not, all that happens to it goes through this process.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match &*self.backend {
            Backend::Sqlite(_) => false,
            Backend::Postgres(_) => true,
        }
    }

    /// The keys derived from the installation's secrets: all clones of what it gives follow [`Store::turn_secrets`].
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        on_backend!(self, backend => backend.keyring())
    }

    /// Lets secrets that were rotated come into use, or out of it, when their time has come; with `read`, looks first
    /// whether they were rotated. To be called every second or so. Says whether one is no longer good.
    ///
    /// # Errors
    /// [`StoreError`] when they can't be read; those that are known stay in use.
    pub async fn turn_secrets(&self, read: bool) -> Result<bool, StoreError> {
        on_backend!(self, backend => backend.turn_secrets(read).await)
    }

    /// How the last write went. While writes fail, the writer tries one of its own once a second, so this turns
    /// good again by itself. Never blocks.
    #[must_use]
    pub fn health(&self) -> Health {
        on_backend!(self, backend => backend.health())
    }

    /// Commits what is queued, then stops. What other handles submit from here on is refused as unavailable.
    ///
    /// Returns when the files are closed and can be opened again. Dropping the future doesn't stop the closing.
    pub async fn close(self) {
        on_backend!(self, backend => backend.close().await);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("log_id", &self.log_id()).finish_non_exhaustive()
    }
}
