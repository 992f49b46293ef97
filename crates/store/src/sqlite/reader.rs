//! Reads: a few connections, each used by one blocking thread of the runtime at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::open_reader;
use super::fault::Fault;
use crate::StoreError;

/// How many read at the same time. More wait, in order.
const READERS: u32 = 4;

/// Connections that only read. The write-ahead log lets them, whatever the writer does.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    room: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), room: Arc::new(Semaphore::new(READERS as usize)) }
    }

    /// Runs `work` in a transaction: all it sees is of one moment, and includes every commit before this call.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(permit) = self.room.clone().acquire_owned().await else { return Err(StoreError::closed()) };
        let (idle, path) = (self.idle.clone(), self.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            // Kept here and not with the caller, who may be gone before the read is done.
            let _permit = permit;
            let open = lock(&idle).pop();
            let connection = open.map_or_else(|| open_reader(&path), Ok)?;
            let result = in_transaction(&connection, work);
            if result.is_ok() {
                lock(&idle).push(connection);
            }
            result
        });
        match reading.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(fault)) => {
                metrics::counter!("mqttchat_store_errors_total").increment(1);
                Err(StoreError::from(&fault))
            }
            Err(_) => Err(StoreError::Unavailable("a read was broken off".into())),
        }
    }

    /// Waits for those that read, and closes all connections.
    pub(super) async fn close(&self) {
        let all = self.room.acquire_many(READERS).await;
        self.room.close();
        drop(all);
        lock(&self.idle).clear();
    }
}

fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.unchecked_transaction()?;
    let value = work(&transaction)?;
    transaction.finish()?;
    Ok(value)
}

fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
