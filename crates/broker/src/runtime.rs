//! Threads of the broker's own.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::BrokerError;

/// How long a stop waits for tasks to notice.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// A tokio runtime apart from the server's.
///
/// rumqttd waits for its router with blocking calls inside of async tasks, and starts a task for each connection
/// without giving out a handle. In a runtime of its own the first delays nobody else, and dropping the runtime ends
/// the second.
pub(crate) struct Threads {
    handle: Handle,
    /// Only `None` once dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts `workers` threads called `name`.
    pub(crate) fn start(name: &str, workers: usize) -> Result<Arc<Self>, BrokerError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(1)
            .thread_name(name)
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| BrokerError::Runtime { source })?;
        Ok(Arc::new(Self { handle: runtime.handle().clone(), runtime: Some(runtime) }))
    }

    /// Where to spawn.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends all tasks and closes all sockets, waiting for that up to a second, unless somebody else still holds them.
    pub(crate) async fn stop(self: Arc<Self>) {
        let Some(mut threads) = Arc::into_inner(self) else { return };
        if let Some(runtime) = threads.runtime.take() {
            let waited = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(SHUTDOWN)).await;
            if let Err(error) = waited {
                tracing::warn!(%error, "could not wait for the broker's threads");
            }
        }
    }
}

impl Drop for Threads {
    /// Ends the tasks without waiting, because a runtime must not be waited for in async code.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
