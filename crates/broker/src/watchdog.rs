//! Probing every listener, and starting again what does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rumqttd::RouterConfig;
use tokio::time::{self, Instant, MissedTickBehavior};
use tracing::{error, info, warn};

use crate::core::Core;
use crate::error::BrokerError;
use crate::listener::Listener;
use crate::probe::ProbeError;

/// How long a probe may take. A thousand clients that connect at once keep a listener busy for seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Silent rounds before a restart. A socket that is closed without an answer needs no second opinion.
const SILENT_ROUNDS: u32 = 2;
/// At least this long between two new routers, each of which throws out every client.
const ROUTER_PAUSE: Duration = Duration::from_secs(30);

/// How often something was started again, for [`EmbeddedBroker::restarts`](crate::EmbeddedBroker::restarts).
#[derive(Debug, Default)]
pub(crate) struct Restarts(AtomicU64);

impl Restarts {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Watched {
    listener: Listener,
    silent: u32,
}

/// Owns the router and the listeners while the broker runs.
pub(crate) struct Watchdog {
    id: usize,
    router: RouterConfig,
    listeners: Vec<Watched>,
    core: Core,
    router_started: Option<Instant>,
    restarts: Arc<Restarts>,
}

impl Watchdog {
    pub(crate) fn new(
        id: usize,
        router: RouterConfig,
        core: Core,
        listeners: Vec<Listener>,
        restarts: Arc<Restarts>,
    ) -> Self {
        let listeners = listeners.into_iter().map(|listener| Watched { listener, silent: 0 }).collect();
        Self { id, router, listeners, core, router_started: None, restarts }
    }

    /// Watches until dropped. After that only [`stop`](Self::stop) makes sense.
    pub(crate) async fn run(&mut self, every: Duration) {
        let mut rounds = time::interval(every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate, and everything has just been probed.
        rounds.tick().await;
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.core.ended() => {}
            }
            self.round().await;
        }
    }

    /// Closes all ports and connections.
    pub(crate) async fn stop(mut self) {
        for Watched { listener, .. } in &mut self.listeners {
            listener.stop().await;
        }
        self.core.stop().await;
    }

    async fn round(&mut self) {
        let mut beyond_help = false;
        for watched in &mut self.listeners {
            if self.core.is_alive() {
                beyond_help |= !watched.attend(&self.core, &self.restarts).await;
            }
        }
        let waited = self.router_started.is_none_or(|started| started.elapsed() >= ROUTER_PAUSE);
        if !self.core.is_alive() {
            error!("the broker's router has ended, starting a new one; all clients have to connect again");
        } else if !beyond_help {
            return;
        } else if waited {
            error!("a new listener does not help, starting a new router; all clients have to connect again");
        } else {
            warn!("a new listener does not help, and the router is new: waiting before it is replaced again");
            return;
        }
        self.new_router().await;
    }

    /// A new router with new threads, and all listeners on it. All connections are closed.
    async fn new_router(&mut self) {
        for Watched { listener, .. } in &mut self.listeners {
            listener.stop().await;
        }
        match Core::start(self.id, self.router.clone()) {
            // The old one is dropped: nobody waits for threads that may never end.
            Ok(core) => self.core = core,
            Err(error) => {
                error!(%error, "no new router can be started");
                time::sleep(PATIENCE).await;
                return;
            }
        }
        self.router_started = Some(Instant::now());
        self.restarts.add();
        for Watched { listener, silent } in &mut self.listeners {
            *silent = 0;
            if let Err(error) = listener.restart(&self.core).await {
                error!(listener = listener.name(), %error, "listener cannot be started again");
            }
        }
        info!("the broker has a new router");
    }
}

impl Watched {
    /// One probe, and a restart if that is what it takes. False if the restart did not help.
    async fn attend(&mut self, core: &Core, restarts: &Restarts) -> bool {
        let listener = &mut self.listener;
        let Err(problem) = listener.check(core, PATIENCE).await else {
            self.silent = 0;
            return true;
        };
        if matches!(problem, ProbeError::NoRouter) {
            return true;
        }
        let address = listener.address();
        if matches!(problem, ProbeError::Silent(_)) {
            self.silent += 1;
            if self.silent < SILENT_ROUNDS {
                warn!(listener = listener.name(), %address, %problem, "listener is slow");
                return true;
            }
        }
        self.silent = 0;
        warn!(listener = listener.name(), %address, %problem, "listener lets nobody in, starting it again");
        restarts.add();
        match listener.restart(core).await {
            Ok(()) => {
                info!(listener = listener.name(), %address, "listener answers again");
                true
            }
            Err(error) => {
                error!(listener = listener.name(), %error, "listener cannot be started again");
                // Somebody took the port in between: no fault of the router, so the next round tries again.
                matches!(error, BrokerError::AddressInUse { .. })
            }
        }
    }
}
