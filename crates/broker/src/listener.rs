//! One rumqttd listener: start it, know that it answers, start it again.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rumqttd::{LinkType, ServerSettings};
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};
use tracing::{debug, warn};

use crate::core::{Core, Elsewhere, Side};
use crate::credentials::Credentials;
use crate::error::BrokerError;
use crate::probe::{Probe, ProbeError};

/// How long a started listener may take to answer.
const READY: Duration = Duration::from_secs(10);
/// Pause between two tries while a listener starts; doubled each time.
const RETRY: Duration = Duration::from_millis(2);
/// A listener that has answered so often, but with a closed socket, will not come round.
const REFUSALS: u32 = 4;
/// How often another port is tried when somebody else was quicker.
const PORTS: usize = 20;

/// Why a listener's task ended.
struct Ended {
    taken: bool,
    reason: String,
}

/// A listener of rumqttd. Its address stays the same over restarts.
pub(crate) struct Listener {
    settings: ServerSettings,
    /// The configuration left the port to us, so until the first start succeeds another one may be taken.
    any_port: bool,
    probe: Probe,
    side: Side,
    task: Option<Task>,
}

impl Listener {
    /// A listener that lets in only `credentials`; `client_id` is its probe's own.
    pub(crate) fn new(
        mut settings: ServerSettings,
        credentials: &Credentials,
        client_id: String,
        side: Side,
    ) -> Self {
        let login = (credentials.user.clone(), credentials.password.clone());
        settings.connections.auth = Some(std::iter::once(login).collect());
        let any_port = settings.listen.port() == 0;
        Self { settings, any_port, probe: Probe::new(client_id, credentials.clone()), side, task: None }
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where it listens; port 0 before the first start.
    pub(crate) fn address(&self) -> SocketAddr {
        self.settings.listen
    }

    /// Starts listening and returns once a probe was let in.
    ///
    /// rumqttd takes no socket that is already bound, so a free port is looked for first. Somebody else may
    /// take it in between: then rumqttd's task ends at once, and another port is tried. The probe's password is only
    /// ours, so another broker on that port cannot be mistaken for this one.
    pub(crate) async fn start(&mut self, core: &Core) -> Result<(), BrokerError> {
        let mut tries = if self.any_port { PORTS } else { 1 };
        loop {
            if self.any_port {
                self.settings.listen.set_port(free_port(self.settings.listen)?);
            }
            tries -= 1;
            match self.launch(core).await {
                Err(BrokerError::AddressInUse { address }) if tries > 0 => {
                    debug!(%address, "port was taken by somebody else, trying another");
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    self.any_port = false;
                    return Ok(());
                }
            }
        }
    }

    /// Lets go of the socket and starts again on the same address. Connections that exist are not touched.
    pub(crate) async fn restart(&mut self, core: &Core) -> Result<(), BrokerError> {
        self.stop().await;
        self.start(core).await
    }

    /// Stops accepting; returns when the socket is closed.
    pub(crate) async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.stop().await;
        }
    }

    /// Whether a client is let in within `limit`.
    pub(crate) async fn check(&self, core: &Core, limit: Duration) -> Result<(), ProbeError> {
        tokio::select! {
            outcome = self.probe.run(self.address(), limit) => outcome,
            () = core.ended() => Err(ProbeError::NoRouter),
        }
    }

    async fn launch(&mut self, core: &Core) -> Result<(), BrokerError> {
        let address = self.address();
        let mut server = core.server(self.settings.clone());
        let listening = async move {
            match server.start(LinkType::Remote).await {
                Ok(()) => Ended { taken: false, reason: "the listener ended".to_owned() },
                Err(error) => {
                    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
                    let taken = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::AddrInUse);
                    Ended { taken, reason: error.to_string() }
                }
            }
        };
        let task = tokio::spawn(Elsewhere::new(core.threads(self.side), listening));
        self.ready(core, address, Task(task)).await
    }

    async fn ready(&mut self, core: &Core, address: SocketAddr, mut task: Task) -> Result<(), BrokerError> {
        let deadline = Instant::now() + READY;
        let (mut pause, mut refusals) = (RETRY, 0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let outcome = tokio::select! {
                // First, since whoever else listens there may answer too.
                biased;
                ended = &mut task.0 => return Err(match ended {
                    Ok(Ended { taken: true, .. }) => BrokerError::AddressInUse { address },
                    Ok(Ended { reason, .. }) => BrokerError::Listen { address, reason },
                    Err(error) => BrokerError::Listen { address, reason: error.to_string() },
                }),
                () = core.ended() => Err(ProbeError::NoRouter),
                outcome = self.probe.run(address, left) => outcome,
            };
            let Err(problem) = outcome else {
                self.task = Some(task);
                return Ok(());
            };
            refusals += u32::from(!matches!(problem, ProbeError::Connection(_)));
            if matches!(problem, ProbeError::NoRouter) || refusals >= REFUSALS || Instant::now() >= deadline {
                warn!(listener = self.name(), %address, %problem, "listener was started and lets nobody in");
                task.stop().await;
                return Err(BrokerError::NotReady { address });
            }
            time::sleep(pause).await;
            pause *= 2;
        }
    }
}

/// rumqttd's accept loop, aborted when dropped.
struct Task(JoinHandle<Ended>);

impl Task {
    /// Returns when the socket is closed.
    async fn stop(mut self) {
        self.0.abort();
        // The outcome is only that it was cancelled, or ended before.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A port that was free a moment ago.
fn free_port(address: SocketAddr) -> Result<u16, BrokerError> {
    let bound = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    bound
        .map(|bound| bound.port())
        .map_err(|error| BrokerError::Listen { address, reason: error.to_string() })
}
