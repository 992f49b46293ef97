//! The router, and the threads that serve connections to it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use rumqttd::protocol::v4::V4;
use rumqttd::{Router, RouterConfig, Server, ServerSettings};

use tokio::time;

use crate::error::BrokerError;
use crate::runtime::Threads;

/// Threads for the bridge's connections; more than two have nothing to do, since all share one router thread.
const MAX_WORKERS: usize = 2;

/// How often is looked whether the router is alive.
const LOOK: Duration = Duration::from_millis(250);

/// Whose connections a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Bridge,
    Devices,
}

/// A running router and its threads; both are replaced together.
///
/// A connection waits for the router by blocking its thread. If the router ends at that moment the thread waits for ever,
/// so with a new router there are new threads too, and those of devices are not those of the bridge. If that happens to
/// all threads, nothing can close the old connections; then clients notice by their keep-alive that theirs is dead.
///
/// rumqttd keeps the type of its router's channel private, so what is needed of it is held as closures. A router's
/// thread cannot be ended: it keeps its own channel open. After a stop it sleeps, with what it holds, until the process
/// ends.
pub(crate) struct Core {
    serve: Box<dyn Fn(ServerSettings) -> Server<V4> + Send + Sync>,
    alive: Box<dyn Fn() -> bool + Send + Sync>,
    bridge: Arc<Threads>,
    devices: Arc<Threads>,
}

impl Core {
    /// Starts a router in a thread of its own.
    pub(crate) fn start(id: usize, config: RouterConfig) -> Result<Self, BrokerError> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let bridge = Threads::start("broker-bridge", workers)?;
        let devices = Threads::start("broker-devices", 1)?;
        let link = Router::new(id, config).spawn();
        let watched = link.clone();
        Ok(Self {
            serve: Box::new(move |settings| Server::new(settings, link.clone(), V4)),
            alive: Box::new(move || !watched.is_disconnected()),
            bridge,
            devices,
        })
    }

    /// A listener of this router, not yet started.
    pub(crate) fn server(&self, settings: ServerSettings) -> Server<V4> {
        (self.serve)(settings)
    }

    /// Where the connections of a listener belong.
    pub(crate) fn threads(&self, side: Side) -> Arc<Threads> {
        match side {
            Side::Bridge => Arc::clone(&self.bridge),
            Side::Devices => Arc::clone(&self.devices),
        }
    }

    /// False once the router's thread has ended, which it only does by a panic.
    pub(crate) fn is_alive(&self) -> bool {
        (self.alive)()
    }

    /// Returns when the router's thread has ended. Cancel safe.
    pub(crate) async fn ended(&self) {
        // Its channel gives no sign when it closes, so it is looked at; that is one atomic read.
        while self.is_alive() {
            time::sleep(LOOK).await;
        }
    }

    /// Closes all connections.
    pub(crate) async fn stop(self) {
        // Devices first, so that the last that reaches the router is not a stranger's.
        self.devices.stop().await;
        self.bridge.stop().await;
    }
}

/// Runs a future here, while all that it spawns and opens belongs to other threads.
///
/// So a listener can always be aborted, whatever has become of the threads of its connections. Those live at least as
/// long as the future: rumqttd's loop would spin for ever on a socket whose threads are gone.
pub(crate) struct Elsewhere<F> {
    // Dropped first.
    future: Pin<Box<F>>,
    threads: Arc<Threads>,
}

impl<F> Elsewhere<F> {
    pub(crate) fn new(threads: Arc<Threads>, future: F) -> Self {
        Self { future: Box::pin(future), threads }
    }
}

impl<F: Future> Future for Elsewhere<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let _entered = this.threads.handle().enter();
        this.future.as_mut().poll(context)
    }
}
