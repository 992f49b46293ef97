//! Moving the write-ahead log into the database, without commits waiting for it.
//!
//! A passive checkpoint runs beside the writer on a thread and connection of its own: neither waits for the other.
//! It can't start the log over while commits keep coming, so under steady load the writer does the small rest
//! itself, once in a while, between two batches; and if even that has been in vain for long, because the disk is slow
//! or somebody always reads, commits wait until it is done (see [`Checkpointer::after_commit`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::connection::{self, BUSY};
use super::fault::Fault;

/// How many pages (4 KiB) the log grows by before a checkpoint is asked for.
const STEP: u32 = 1000;
/// From how many pages on the writer does the rest itself, so that the log can start over: 32 MiB.
const LARGE: u32 = 8 * STEP;
/// From how many pages on commits wait for it: 96 MiB.
const HUGE: u32 = 24 * STEP;

/// How long wiping the log waits for reads to end.
const WIPE_PATIENCE: Duration = Duration::from_millis(50);

/// The writer's side.
pub(super) struct Checkpointer {
    pages: Arc<AtomicU32>,
    asked: u32,
    /// Held by whoever runs a checkpoint: two at a time only get in each other's way.
    turn: Arc<Mutex<()>>,
    request: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf) -> std::io::Result<Self> {
        let (request, requests) = sync_channel(1);
        let turn = Arc::new(Mutex::new(()));
        let its_turn = turn.clone();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || serve(&path, &its_turn, &requests))?;
        Ok(Self { pages: Arc::default(), asked: 0, turn, request: Some(request), thread: Some(thread) })
    }

    /// Has the connection say after each commit how long the log is.
    pub(super) fn watch(&self, connection: &mut Connection) -> Result<(), Fault> {
        let pages = self.pages.clone();
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, now: i32| {
            pages.store(u32::try_from(now).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(())
    }

    /// Between two batches: asks for a checkpoint when the log has grown, and finishes one when it is large.
    pub(super) fn after_commit(&mut self, connection: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked {
            // The log has started over.
            self.asked = 0;
        }
        if pages < self.asked + STEP {
            return;
        }
        if pages < LARGE {
            self.asked = pages;
            if let Some(request) = &self.request {
                // Full: it is at it.
                let _ = request.try_send(());
            }
            return;
        }
        // Nearly all of it is in the database already; nothing is added meanwhile, so this gets to the end.
        let (turn, mode) = if pages < HUGE {
            // But not while a read holds on to an old state. Then the next step tries again.
            (self.turn.try_lock().ok(), "PASSIVE")
        } else {
            // Waits for that read too. Reads that begin now don't use the log any more.
            (Some(self.turn.lock().unwrap_or_else(PoisonError::into_inner)), "RESTART")
        };
        if turn.is_some() {
            self.asked = pages;
            checkpoint(connection, mode);
        }
    }

    /// Moves all of the log into the database and empties it, so that nothing deleted is left there. Says whether it is
    /// empty: not while a read holds on to an old state, which it waits for only a little.
    pub(super) fn wipe(&mut self, connection: &Connection) -> bool {
        let Ok(_turn) = self.turn.try_lock() else { return false };
        let busy = |timeout| connection.busy_timeout(timeout);
        let result = busy(WIPE_PATIENCE).and_then(|()| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        });
        match (result, busy(BUSY)) {
            (Ok(busy), Ok(())) => {
                self.asked = 0;
                busy == 0
            }
            (Err(error), _) | (_, Err(error)) => {
                failed(&error.into());
                false
            }
        }
    }

    /// Stops the thread and closes its connection.
    pub(super) fn stop(&mut self) {
        self.request = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(path: &Path, turn: &Mutex<()>, requests: &Receiver<()>) {
    let mut open = None;
    while requests.recv().is_ok() {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        match open.take().map_or_else(|| connection::reopen(path), Ok) {
            Ok(connection) => {
                if checkpoint(&connection, "PASSIVE") {
                    open = Some(connection);
                }
            }
            Err(fault) => failed(&fault),
        }
    }
}

/// Runs a checkpoint; says whether it went well, not whether it got to the end.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> bool {
    let result = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    if let Err(error) = result {
        failed(&error.into());
        return false;
    }
    true
}

fn failed(fault: &Fault) {
    metrics::counter!("mqttchat_store_errors_total").increment(1);
    tracing::warn!(error = %crate::StoreError::from(fault), "checkpoint failed");
}
