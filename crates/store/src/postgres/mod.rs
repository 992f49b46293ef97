//! The store in a PostgreSQL database, which any number of nodes share.
//!
//! | who | does |
//! | --- | --- |
//! | `writer` | one thread, one connection: commits the appends and cursors that wait, a batch at a time |
//! | `batch`, `plan`, `names` | one batch: what it reads and locks, what each write comes to, the numbers it needs |
//! | `changes`, `room_changes` | the same for messages and rooms that are changed |
//! | `doubt` | batches of which nobody could say in time whether they were committed |
//! | `indexer` | a task that keeps the full-text index, on one node at a time |
//! | `purger` | a task that removes what deleted rooms held |
//! | `pool` | a few connections for reads, and for all other writes |
//! | `session`, `encryption`, `migrations` | connecting: TLS, settings, schema, secrets, is it the same log |
//! | `apikeys`, `log`, `rooms`, `search`, `users`, `presence`, `cursors`, `leases` | the questions and writes of each |

mod apikeys;
mod batch;
mod changes;
mod cursors;
mod doubt;
mod encryption;
mod fault;
mod indexer;
mod leases;
mod log;
mod migrations;
mod names;
mod plan;
mod pool;
mod presence;
mod purger;
mod room_changes;
mod rooms;
mod rows;
mod search;
mod session;
mod time;
mod users;
mod write;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use mqttchat_protocol::{Conversation, Keyring, Party, UserId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::health::HealthCell;
use crate::integer::signed;
use crate::secrets::{Keeper, Secrets};
use crate::{Clock, Done, Health, NewEntry, StoreError};

use indexer::Indexer;
use pool::Pool;
use purger::Purger;
use session::Database;
use users::COUNT_REVOCATION;
use write::{Move, Which, Write};
use writer::Writer;

/// A store in a PostgreSQL database.
pub(crate) struct Postgres {
    writer: Writer,
    pool: Arc<Pool>,
    tasks: [JoinHandle<()>; 2],
    health: Arc<HealthCell>,
    clock: Option<Clock>,
    log_id: Box<str>,
    keeper: Keeper,
}

/// Whether an address can be used, and the files that it names.
pub(crate) fn check(url: &str) -> Result<(), StoreError> {
    Database::parse(url).map(drop)
}

impl Postgres {
    /// Whether a store was made in this database already.
    pub(crate) async fn exists(url: &str) -> Result<bool, StoreError> {
        let session = Database::parse(url)?.connect_to_any(&Handle::current()).await;
        let exists = migrations::was_run(&session.map_err(|fault| StoreError::from(&fault))?).await;
        exists.map_err(|fault| StoreError::from(&fault))
    }

    pub(crate) async fn open(url: &str, clock: Option<Clock>) -> Result<Self, StoreError> {
        let database = Arc::new(Database::parse(url)?);
        let runtime = Handle::current();
        let session = database.connect_to_any(&runtime).await.map_err(|fault| StoreError::from(&fault))?;
        let migrations::Installation { log_id, secrets } = migrations::settle(&session).await?;
        // Set once, here; it is of this very database.
        let _ = database.log_id.set(log_id.clone());
        let health = Arc::new(HealthCell::new());
        let writer = Writer::start(database.clone(), health.clone(), clock.clone())?;
        let pool = Arc::new(Pool::new(database, health.clone(), runtime));
        let tasks =
            [tokio::spawn(Indexer::new(pool.clone()).run()), tokio::spawn(Purger::new(pool.clone()).run())];
        let keeper = Keeper::new(secrets, clock.as_ref().map_or_else(|| Clock::system().now(), Clock::now));
        Ok(Self { writer, pool, tasks, health, clock, log_id, keeper })
    }

    pub(crate) fn log_id(&self) -> &str {
        &self.log_id
    }

    pub(crate) fn keyring(&self) -> Keyring {
        self.keeper.keyring()
    }

    pub(crate) async fn turn_secrets(&self, read: bool) -> Result<bool, StoreError> {
        let read = if read { Some(parse_secrets(&self.read_secrets().await?)?) } else { None };
        Ok(self.keeper.turn(read, self.now()))
    }

    pub(crate) async fn rotate_secrets(&self, grace: Duration) -> Result<(), StoreError> {
        loop {
            let before = self.read_secrets().await?;
            let after = parse_secrets(&before)?.rotate(grace, self.now()).to_text();
            let sql = "UPDATE meta SET value = $2 WHERE key = 'secret' AND value = $1 RETURNING 1";
            let rows = self.pool.write(&[(sql, &[&before, &after]), (COUNT_REVOCATION, &[])]).await?;
            // Otherwise another command was faster.
            if rows.first().is_some_and(|rows| !rows.is_empty()) {
                return Ok(());
            }
        }
    }

    async fn read_secrets(&self) -> Result<String, StoreError> {
        let rows = self.pool.read("SELECT value FROM meta WHERE key = 'secret'", &[]).await?;
        rows::all(&rows, |row| rows::value(row, 0))?
            .pop()
            .ok_or_else(|| StoreError::Corrupt("there is no secret in the table meta".to_owned()))
    }

    /// The time, where a whole second is near enough.
    fn now(&self) -> u64 {
        self.clock.as_ref().map_or_else(|| Clock::system().now(), Clock::now)
    }

    pub(crate) fn health(&self) -> Health {
        self.health.get()
    }

    pub(crate) fn doubted(&self) -> Option<u64> {
        self.writer.doubts.lowest()
    }

    pub(crate) async fn committed_late(&self, take: impl FnOnce(&[u64])) {
        self.writer.doubts.late(take).await;
    }

    pub(crate) async fn close(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.pool.close().await;
        self.writer.close().await;
    }

    pub(crate) async fn submit(&self, mut entry: NewEntry, done: Done) {
        if entry.name.contains('\0') {
            // The one character that PostgreSQL's texts can't hold; in JSON it is always escaped.
            entry.name = entry.name.replace('\0', "\u{fffd}").into();
        }
        self.writer.push(entry.weight(), Write::Append { entry, done }).await;
    }

    pub(crate) async fn set_delivered(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        if !matches!(conversation, Conversation::Pair(..)) {
            return Ok(None);
        }
        self.move_cursor(Which::Delivered, user, conversation, seq).await
    }

    pub(crate) async fn set_read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        self.move_cursor(Which::Read, user, conversation, seq).await
    }

    async fn move_cursor(
        &self,
        which: Which,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        if which == Which::Read
            && let Conversation::Room(room) = conversation
            && self.room_access(room, &user.into()).await? == crate::Access::None
        {
            return Ok(None);
        }
        let user = Party::from(user);
        if !conversation.has(&user) {
            return Ok(None);
        }
        let (reply, outcome) = oneshot::channel();
        let to = Move { which, user, conversation: conversation.clone(), seq, reply };
        self.writer.push(384, Write::Move(to)).await;
        outcome.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// The time to give to statements, where it is not the database's.
    fn hand(&self) -> Option<i64> {
        self.clock.as_ref().map(|clock| signed(clock.now()))
    }
}

fn parse_secrets(text: &str) -> Result<Secrets, StoreError> {
    Secrets::parse(text)
        .map_err(|reason| StoreError::Corrupt(format!("the secret in the table meta: {reason}")))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
