//! The one thread that writes: takes what waits, commits it together, and says so.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::batch::{self, Committed, Failed, Witness};
use super::doubt::Doubts;
use super::fault::Fault;
use super::names::Names;
use super::session::{Database, Session};
use super::write::{Verdict, Write, refuse, refuse_all, settle_all};
use super::{changes, room_changes};
use crate::health::HealthCell;
use crate::integer::signed;
use crate::queue::{Queue, Taken};
use crate::{Clock, Health, StoreError};

/// How often a write of our own is tried while writes fail.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How often an idle writer looks whether its connection still is one.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a batch is tried that others are in the way of.
const TRIES: u32 = 10;
/// How long to find out whether a batch was committed whose connection was lost.
const FATE: Duration = Duration::from_secs(5);
/// How long after a vain attempt to connect the next one is made, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The handle of the writer's thread.
pub(super) struct Writer {
    queue: Arc<Queue<Write>>,
    /// The number of the node whose appends these are; 0 while there is none.
    pub(super) node: Arc<AtomicI64>,
    pub(super) doubts: Arc<Doubts>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        database: Arc<Database>,
        health: Arc<HealthCell>,
        clock: Option<Clock>,
    ) -> Result<Self, StoreError> {
        let no_thread = |error: std::io::Error| StoreError::Unavailable(error.to_string());
        let (queue, node) = (Arc::new(Queue::new()), Arc::new(AtomicI64::new(0)));
        let doubts = Arc::new(Doubts::default());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let thread = Thread {
            queue: queue.clone(),
            node: node.clone(),
            state: State {
                database,
                health,
                clock,
                names: Names::default(),
                session: None,
                newest: 0,
                doubts: doubts.clone(),
                back_off: BACK_OFF.0,
                away: None,
            },
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run(&runtime))
            .map_err(no_thread)?;
        Ok(Self { queue, node, doubts, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a write; refuses it when the writer stops.
    pub(super) async fn push(&self, weight: usize, write: Write) {
        if let Err(write) = self.queue.push(weight, write).await {
            refuse(write, &StoreError::closed());
        }
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

/// What the thread owns.
struct Thread {
    queue: Arc<Queue<Write>>,
    node: Arc<AtomicI64>,
    state: State,
}

struct State {
    database: Arc<Database>,
    health: Arc<HealthCell>,
    clock: Option<Clock>,
    names: Names,
    session: Option<Session>,
    back_off: Duration,
    /// The newest position that was committed.
    newest: i64,
    doubts: Arc<Doubts>,
    /// Until when connecting is not tried again, and why.
    away: Option<(Instant, String)>,
}

impl Thread {
    fn run(mut self, runtime: &Runtime) {
        let mut writes = Vec::new();
        loop {
            let patience = if self.state.health.is_ok() { LOOK_EVERY } else { PROBE_EVERY };
            match self.queue.take(&mut writes, Some(patience)) {
                Taken::Batch { weight } => {
                    self.work_off(runtime, std::mem::take(&mut writes));
                    self.queue.release(weight);
                }
                Taken::Nothing => self.idle(runtime),
                Taken::Closed => break,
            }
        }
    }

    fn idle(&mut self, runtime: &Runtime) {
        if !runtime.block_on(self.state.is_alive()) || self.state.doubts.first().is_some() {
            self.work_off(runtime, vec![Write::Probe]);
        }
    }

    /// Commits the writes together, or each alone when one of them can't be.
    fn work_off(&mut self, runtime: &Runtime, writes: Vec<Write>) {
        let length = metrics::gauge!("mqttchat_store_queue_length");
        length.set(count(self.queue.len() + writes.len()));
        let node = Some(self.node.load(Ordering::Relaxed)).filter(|node| *node != 0);
        match runtime.block_on(self.state.commit(&writes, node)) {
            Ok(verdicts) => settle_all(writes, verdicts),
            Err(fault) if writes.len() > 1 && !fault.is_of_environment() => {
                for write in writes {
                    let one = vec![write];
                    match runtime.block_on(self.state.commit(&one, node)) {
                        Ok(verdicts) => settle_all(one, verdicts),
                        Err(fault) => refuse_all(one, &StoreError::from(&fault)),
                    }
                }
            }
            Err(fault) => refuse_all(writes, &StoreError::from(&fault)),
        }
        length.set(count(self.queue.len()));
    }
}

impl State {
    async fn commit(&mut self, writes: &[Write], node: Option<i64>) -> Result<Vec<Verdict>, Fault> {
        let started = Instant::now();
        let given = self.clock.as_ref().map(|clock| signed(clock.now()));
        self.settle_doubts().await;
        match Box::pin(self.try_often(writes, node, given)).await {
            Ok(Committed { verdicts, changed, newest }) => {
                self.newest = newest.map_or(self.newest, |newest| self.newest.max(newest));
                metrics::histogram!("mqttchat_store_commit_seconds").record(started.elapsed());
                metrics::histogram!("mqttchat_store_commit_entries").record(count(writes.len()));
                if changed {
                    self.health.set(Health::Ok);
                }
                self.names.limit();
                Ok(verdicts)
            }
            Err(fault) => {
                metrics::counter!("mqttchat_store_errors_total").increment(1);
                if fault.is_of_environment() {
                    self.health.set(Health::Failing(fault.reason()));
                } else {
                    tracing::error!(error = fault.reason(), writes = writes.len(), "a write failed");
                }
                Err(fault)
            }
        }
    }

    async fn try_often(
        &mut self,
        writes: &[Write],
        node: Option<i64>,
        given: Option<i64>,
    ) -> Result<Committed, Fault> {
        let mut reconnected = false;
        for _ in 0..TRIES {
            let was_open = self.session.is_some();
            match self.try_once(writes, node, given).await {
                Ok(committed) => return Ok(committed),
                Err(Failed::Undone(fault)) if fault.is_passing() => {
                    tracing::debug!(reason = fault.reason(), "a batch is tried again");
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..10))).await;
                }
                // It may have been dead for long; nothing was committed on it.
                Err(Failed::Undone(fault)) if fault.is_of_connection() && was_open && !reconnected => {
                    reconnected = true;
                }
                Err(Failed::Undone(fault)) => return Err(fault),
                Err(Failed::Unknown { fault, committed, witness }) => {
                    tracing::warn!(
                        reason = fault.reason(),
                        "the connection was lost during a commit: looking what became of it"
                    );
                    match self.fate(&witness).await {
                        Some(true) => return Ok(committed),
                        Some(false) => {}
                        None => {
                            self.doubts.open(witness, &committed.verdicts);
                            return Err(fault);
                        }
                    }
                }
            }
        }
        Err(Fault::Contended)
    }

    /// One attempt. Leaves no transaction open.
    async fn try_once(
        &mut self,
        writes: &[Write],
        node: Option<i64>,
        given: Option<i64>,
    ) -> Result<Committed, Failed> {
        self.connect().await?;
        let Some(session) = &self.session else { return Err(Failed::Undone(Fault::Silent)) };
        let done = batch::commit(session, &mut self.names, writes, node, given).await;
        match &done {
            Ok(_) => {}
            Err(Failed::Unknown { .. }) => self.disconnect(),
            Err(Failed::Undone(fault)) => {
                if fault.is_of_connection() || session.run("ROLLBACK").await.is_err() {
                    self.disconnect();
                }
            }
        }
        done
    }

    /// Makes a connection if there is none.
    async fn connect(&mut self) -> Result<(), Fault> {
        if self.session.as_ref().is_some_and(|session| !session.is_closed()) {
            return Ok(());
        }
        if let Some((until, reason)) = &self.away
            && Instant::now() < *until
        {
            return Err(Fault::Away(reason.clone()));
        }
        self.disconnect();
        match self.try_connect().await {
            Ok(session) => {
                (self.session, self.back_off, self.away) = (Some(session), BACK_OFF.0, None);
                Ok(())
            }
            Err(fault) => {
                self.away = Some((Instant::now() + self.back_off, fault.reason()));
                self.back_off = (self.back_off * 2).min(BACK_OFF.1);
                Err(fault)
            }
        }
    }

    async fn try_connect(&self) -> Result<Session, Fault> {
        let session = self.database.connect(&tokio::runtime::Handle::current()).await?;
        self.look_for_losses(&session).await?;
        session.run(batch::SET_UP).await?;
        for sql in [batch::STATEMENTS, changes::STATEMENTS, room_changes::STATEMENTS].concat() {
            session.prepared(sql).await?;
        }
        Ok(session)
    }

    /// A database that has given fewer positions than we have seen committed is one from before that: an earlier state
    /// that was restored, or a replica that had not got everything. Its numbers would be given a second time, so
    /// its log is another one from here on, and all nodes have to start again to say so.
    async fn look_for_losses(&self, session: &Session) -> Result<(), Fault> {
        let rows = session.query("SELECT last_value FROM positions", &[]).await?;
        if rows.first().is_none_or(|row| row.get::<_, i64>(0) >= self.newest) {
            return Ok(());
        }
        tracing::error!(
            "the database has lost entries that were committed: clients will read their history anew"
        );
        let log_id = self.database.log_id.get().map(AsRef::as_ref).unwrap_or_default();
        session
            .query(
                "UPDATE meta SET value = gen_random_uuid()::text WHERE key = 'log' AND value = $1",
                &[&log_id],
            )
            .await?;
        Err(Fault::Replaced)
    }

    /// Forgets the connection, and what may be otherwise where the next one leads.
    fn disconnect(&mut self) {
        self.session = None;
        self.names = Names::default();
    }

    /// Whether the connection answers and writes have worked.
    async fn is_alive(&mut self) -> bool {
        let answers = match &self.session {
            Some(session) => session.query("SELECT 1", &[]).await.is_ok(),
            None => false,
        };
        if !answers {
            self.disconnect();
        }
        answers && self.health.is_ok()
    }

    /// Looks once more what became of commits that nobody could say anything about in time.
    async fn settle_doubts(&mut self) {
        while let Some(witness) = self.doubts.first() {
            // Still going on, or still away.
            let Ok(Some(committed)) = self.ask_fate(&witness).await else { return };
            tracing::info!(committed, "what became of an earlier commit is known now");
            self.doubts.settle_first(committed);
        }
    }

    /// Whether a transaction was committed; `None` when that can't be found out in time.
    async fn fate(&mut self, witness: &Witness) -> Option<bool> {
        let deadline = Instant::now() + FATE;
        while Instant::now() < deadline {
            if let Ok(Some(committed)) = self.ask_fate(witness).await {
                tracing::info!(committed, "what became of the commit is known");
                return Some(committed);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// The same; `None` while it is still going on.
    async fn ask_fate(&mut self, witness: &Witness) -> Result<Option<bool>, Fault> {
        self.connect().await?;
        let Some(session) = &self.session else { return Ok(None) };
        let status = session.query("SELECT pg_xact_status($1::text::xid8)", &[&witness.transaction]).await;
        let status: Option<String> = match status {
            Ok(rows) => rows.first().and_then(|row| row.get(0)),
            // The server crashed before it had written that there is such a transaction.
            Err(Fault::Postgres(error)) if error.code().is_some_and(|code| code.code() == "22023") => None,
            Err(fault) => {
                if fault.is_of_connection() {
                    self.disconnect();
                }
                return Err(fault);
            }
        };
        match (status.as_deref(), &witness.entry) {
            (Some("in progress"), _) => Ok(None),
            // After a crash its number may be another's: the entry itself has to be there.
            (Some("committed"), Some((position, sender, id))) => {
                let found = session
                    .query(
                        "SELECT 1 FROM entries WHERE position = $1 AND sender = $2 AND id = $3",
                        &[position, sender, id],
                    )
                    .await?;
                Ok(Some(!found.is_empty()))
            }
            (status, _) => Ok(Some(status == Some("committed"))),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a metric")]
fn count(length: usize) -> f64 {
    length as f64
}
