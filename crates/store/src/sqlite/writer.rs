//! The one thread that writes: takes what waits, commits it together, and says so.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::batch::{Batch, Known};
use super::checkpoint::{Checkpointer, checkpoint};
use super::chores::{self, Chores};
use super::connection;
use super::fault::Fault;
use super::mark::{self, MARK_EVERY, Mark};
use crate::health::HealthCell;
use crate::queue::{Queue, Taken};
use crate::{Clock, Health, StoreError};

/// How often a write of our own is tried while writes fail.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// One write that waits for its commit.
pub(super) trait Write: Send {
    /// Does it inside the batch's transaction. Called again, in another one, when that is rolled back because of
    /// some other write of the batch.
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault>;

    /// Says what became of it: after the commit, or when there will be none.
    fn settle(self: Box<Self>, committed: Result<(), &StoreError>);
}

/// The handle of the writer's thread.
pub(super) struct Writer {
    queue: Arc<Queue<Box<dyn Write>>>,
    health: Arc<HealthCell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        clock: Clock,
        mark: Mark,
        lock: File,
    ) -> Result<Self, StoreError> {
        let (queue, health) = (Arc::new(Queue::new()), Arc::new(HealthCell::new()));
        let no_thread = |error: std::io::Error| StoreError::file(path, &error);
        let checkpointer = Checkpointer::start(path.to_owned()).map_err(no_thread)?;
        let mut thread = Thread {
            queue: queue.clone(),
            health: health.clone(),
            path: path.to_owned(),
            clock,
            mark,
            checkpointer,
            known: Known::default(),
            chores: Chores::new(),
            connection: None,
            _lock: lock,
        };
        thread.adopt(connection).map_err(|fault| fault.while_opening(path))?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(no_thread)?;
        Ok(Self { queue, health, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn health(&self) -> Health {
        self.health.get()
    }

    /// Queues a write; gives it back when the writer stops.
    pub(super) async fn push(&self, weight: usize, write: Box<dyn Write>) -> Result<(), Box<dyn Write>> {
        self.queue.push(weight, write).await
    }

    /// Queues a piece of work and waits until it is committed. `weight`: what it holds, in bytes.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let job = Box::new(Job { work, value: None, reply });
        self.push(weight + 256, job).await.map_err(|_| StoreError::closed())?;
        outcome.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Lets nothing in any more, and waits until what is in is committed and all is closed.
    pub(super) async fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It catches its panics; there is nothing to learn from how it ended.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Work whose value goes back to whoever waits for it.
struct Job<T, W> {
    work: W,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, W: FnMut(&mut Batch<'_>) -> Result<T, Fault> + Send> Write for Job<T, W> {
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        batch.settle_cursors()?;
        self.value = Some((self.work)(batch)?);
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<(), &StoreError>) {
        let Self { value, reply, .. } = *self;
        // Whoever asked may be gone.
        let _ =
            reply.send(committed.map_err(Clone::clone).and_then(|()| value.ok_or_else(StoreError::closed)));
    }
}

/// What the thread owns.
struct Thread {
    queue: Arc<Queue<Box<dyn Write>>>,
    health: Arc<HealthCell>,
    path: PathBuf,
    clock: Clock,
    mark: Mark,
    checkpointer: Checkpointer,
    known: Known,
    chores: Chores,
    /// `None` after a failure that may have spoiled it, until the next batch opens another.
    connection: Option<Connection>,
    /// Unlocked by being closed, when everything else is.
    _lock: File,
}

impl Thread {
    fn run(mut self) {
        let mut writes = Vec::new();
        loop {
            match self.queue.take(&mut writes, self.patience()) {
                Taken::Batch { weight } => {
                    self.work_off(&mut writes);
                    self.queue.release(weight);
                    if let Some(connection) = &self.connection {
                        self.checkpointer.after_commit(connection);
                    }
                    if self.chores.is_due(self.known.position) {
                        self.do_chores();
                    }
                }
                Taken::Nothing => self.idle(),
                Taken::Closed => break,
            }
        }
        self.finish();
    }

    /// How long to wait for work before there is something of our own to do.
    fn patience(&self) -> Option<Duration> {
        if !self.health.is_ok() {
            return Some(PROBE_EVERY);
        }
        let mark = self.mark.is_behind().then_some(MARK_EVERY);
        [mark, self.chores.patience(self.known.position)].into_iter().flatten().min()
    }

    fn idle(&mut self) {
        if !self.health.is_ok() {
            self.mark.flush();
            self.work_off(&mut vec![Box::new(Probe)]);
        } else if self.chores.is_ready(self.known.position) {
            self.do_chores();
        } else {
            self.mark.flush();
        }
    }

    fn do_chores(&mut self) {
        let done = self.open().and_then(|()| match &mut self.connection {
            Some(connection) => self.chores.turn(connection),
            None => Err(Fault::Replaced),
        });
        if let Err(fault) = done {
            chores_failed(&fault, "messages can't be indexed or removed for good now; it is tried again");
            self.chores.put_off();
            self.connection.take_if(|connection| !is_whole(connection));
        }
        if let Some(connection) = &self.connection {
            self.checkpointer.after_commit(connection);
            if self.chores.wipes(self.known.position) {
                self.chores.wiped(self.checkpointer.wipe(connection));
            }
        }
    }

    /// Commits the writes together, or each alone when one of them can't be.
    fn work_off(&mut self, writes: &mut Vec<Box<dyn Write>>) {
        let length = metrics::gauge!("mqttchat_store_queue_length");
        length.set(count(self.queue.len() + writes.len()));
        match self.commit(writes) {
            Err(fault) if writes.len() > 1 && !fault.is_of_environment() => {
                for mut write in writes.drain(..) {
                    let error = self.commit(std::slice::from_mut(&mut write)).err();
                    settle(write, error.as_ref().map(StoreError::from).as_ref());
                }
            }
            result => {
                let error = result.as_ref().err().map(StoreError::from);
                for write in writes.drain(..) {
                    settle(write, error.as_ref());
                }
            }
        }
        length.set(count(self.queue.len()));
    }

    fn commit(&mut self, writes: &mut [Box<dyn Write>]) -> Result<(), Fault> {
        let (started, node) = (Instant::now(), self.known.node);
        match self.try_commit(writes) {
            Ok(changed) => {
                metrics::histogram!("mqttchat_store_commit_seconds").record(started.elapsed());
                metrics::histogram!("mqttchat_store_commit_entries").record(count(writes.len()));
                if changed {
                    self.health.set(Health::Ok);
                }
                if let Some(position) = self.known.position {
                    self.mark.note(position);
                }
                if std::mem::take(&mut self.known.chores) {
                    self.chores.deleted();
                }
                self.known.limit();
                Ok(())
            }
            Err(fault) => {
                metrics::counter!("mqttchat_store_errors_total").increment(1);
                // What the disk says counts, from the next batch on.
                self.known = Known::nothing_but(node);
                if fault.spoils_connection()
                    || self.connection.as_ref().is_some_and(|open| !open.is_autocommit())
                {
                    self.connection = None;
                }
                let error = StoreError::from(&fault);
                if fault.is_of_environment() {
                    self.health.set(Health::Failing(error.to_string()));
                } else {
                    tracing::error!(%error, writes = writes.len(), "a write failed");
                }
                Err(fault)
            }
        }
    }

    /// One transaction; says whether it changed anything.
    fn try_commit(&mut self, writes: &mut [Box<dyn Write>]) -> Result<bool, Fault> {
        self.open()?;
        let Some(connection) = &mut self.connection else { return Err(Fault::Replaced) };
        let before = connection.total_changes();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Batch::new(&transaction, &mut self.known, self.clock.now());
        for write in writes {
            write.apply(&mut batch)?;
        }
        batch.settle_cursors()?;
        transaction.commit()?;
        Ok(connection.total_changes() != before)
    }

    /// Makes sure that there is a connection.
    fn open(&mut self) -> Result<(), Fault> {
        if self.connection.is_some() {
            return Ok(());
        }
        // Looked at first: beside another file, SQLite would take the log of this one for its own.
        if self.path.exists() && !self.mark.is_of(&self.path) {
            return Err(Fault::Replaced);
        }
        self.adopt(connection::reopen(&self.path)?)
    }

    /// Goes on with this connection, if it is to the same database as ever.
    fn adopt(&mut self, mut connection: Connection) -> Result<(), Fault> {
        if mark::log_id(&connection)?.as_deref() != Some(self.mark.log_id()) {
            return Err(Fault::Replaced);
        }
        self.checkpointer.watch(&mut connection)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn finish(mut self) {
        self.checkpointer.stop();
        self.mark.flush();
        if let Some(mut connection) = self.connection.take() {
            if let Err(fault) = chores::finish(&mut connection) {
                chores_failed(
                    &fault,
                    "what was deleted can't be removed for good now; the next start does it",
                );
            }
            checkpoint(&connection, "TRUNCATE");
        }
    }
}

fn chores_failed(fault: &Fault, what: &'static str) {
    metrics::counter!("mqttchat_store_errors_total").increment(1);
    tracing::warn!(error = %StoreError::from(fault), "{what}");
}

/// Whether a connection is in no transaction, and waits for the disk when it commits.
fn is_whole(connection: &Connection) -> bool {
    connection.is_autocommit()
        && connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).is_ok_and(|level: i64| level == 2)
}

/// A write that tells whether writes work.
struct Probe;

impl Write for Probe {
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        let now = batch.now().to_string();
        mark::set_meta(batch.connection(), "probe", &now)
    }

    fn settle(self: Box<Self>, _: Result<(), &StoreError>) {}
}

/// Tells a write its outcome. What it calls is others' code, and must not end the writer.
fn settle(write: Box<dyn Write>, error: Option<&StoreError>) {
    let told = catch_unwind(AssertUnwindSafe(|| write.settle(error.map_or(Ok(()), Err))));
    if told.is_err() {
        tracing::error!("whoever waited for a commit panicked");
    }
}

#[allow(clippy::cast_precision_loss, reason = "a metric")]
fn count(length: usize) -> f64 {
    length as f64
}
