//! The broker as its user sees it: start, addresses, stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttd::ServerSettings;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::Plan;
use crate::core::{Core, Side};
use crate::credentials::Credentials;
use crate::error::BrokerError;
use crate::gate::{Gate, GateSettings};
use crate::listener::Listener;
use crate::options::{BrokerOptions, DeviceListener};
use crate::runtime::Threads;
use crate::watchdog::{Restarts, Watchdog};

/// Devices may have this part of all connections.
const DEVICE_SHARE: usize = 4;
/// Connections kept for the watchdog and for clients that have just left.
const RESERVE: usize = 16;

/// A running embedded broker. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct EmbeddedBroker {
    addresses: Vec<SocketAddr>,
    devices: Option<SocketAddr>,
    credentials: Credentials,
    client_limit: usize,
    max_packet_size: usize,
    restarts: Arc<Restarts>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl EmbeddedBroker {
    /// Starts the broker; returns when every listener has let a probe in.
    ///
    /// Has to be called in a tokio runtime, in which the watchdog then runs; the broker itself has threads of
    /// its own. Not cancel safe: dropping the future may leave the router's thread asleep until the process ends.
    ///
    /// # Errors
    /// [`BrokerError`]: a configuration that cannot be read or cannot work, an address in use (never for the
    /// listeners whose port is left to us), a listener that does not answer within 10 s.
    pub async fn start(options: BrokerOptions) -> Result<Self, BrokerError> {
        let plan = Plan::load(options.config.as_deref())?;
        // The only address that somebody may have taken is tried first, before anything runs.
        let gate = match options.devices {
            Some(devices) => Some(GatePlan::bind(devices, &plan).await?),
            None => None,
        };
        let device_limit = gate.as_ref().map_or(0, |gate| gate.limit);
        let client_limit = plan.router.max_connections - device_limit - plan.bridge.len() - RESERVE;
        let max_packet_size =
            plan.bridge.iter().map(|listener| listener.connections.max_payload_size).min().unwrap_or(0);

        let core = Core::start(plan.id, plan.router.clone())?;
        let credentials = Credentials::random("bridge");
        let mut listeners = Vec::new();
        for (index, settings) in plan.bridge.into_iter().enumerate() {
            let probe = format!("broker-probe-{index}");
            let mut listener = Listener::new(settings, &credentials, probe, Side::Bridge);
            listener.start(&core).await?;
            listeners.push(listener);
        }
        let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
        let mut devices = None;
        let mut gate_threads = None;
        if let Some(gate) = gate {
            devices = Some(gate.address);
            let (listener, threads) = gate.open(&core).await?;
            listeners.push(listener);
            gate_threads = Some(threads);
        }
        info!(listeners = addresses.len(), devices = ?devices, "the embedded broker is ready");

        let restarts = Arc::new(Restarts::default());
        let mut watchdog = Watchdog::new(plan.id, plan.router, core, listeners, Arc::clone(&restarts));
        let (stop, stopped) = oneshot::channel();
        let every = options.probe_every;
        let running = tokio::spawn(async move {
            tokio::select! {
                // Sent, or its sender dropped: both mean to stop.
                _ = stopped => {}
                () = watchdog.run(every) => {}
            }
            if let Some(threads) = gate_threads {
                threads.stop().await;
            }
            watchdog.stop().await;
        });
        Ok(Self { addresses, devices, credentials, client_limit, max_packet_size, restarts, stop, running })
    }

    /// The listeners for the bridge, which spreads its clients over them; they stay the same while the broker runs.
    ///
    /// rumqttd is not gentle with clients. These have to:
    /// - use ids from `[a-z0-9-]` that are used again and again, do not begin with
    ///   [`RESERVED_CLIENT_ID_PREFIX`](crate::RESERVED_CLIENT_ID_PREFIX), and are never used by two at a time;
    /// - be at most [`client_limit`](Self::client_limit), over all addresses together;
    /// - ask for a keep-alive that is not 0;
    /// - publish and subscribe only to topics that begin with an ASCII character;
    /// - leave by closing the connection rather than by DISCONNECT while much is on its way to them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where devices connect, if they may; with the port that was picked if 0 was asked for.
    pub fn devices_address(&self) -> Option<SocketAddr> {
        self.devices
    }

    /// The login for [`addresses`](Self::addresses), and for nothing else.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// How many connections the bridge may have at a time. What is left of `router.max_connections` belongs to
    /// devices and the watchdog.
    pub fn client_limit(&self) -> usize {
        self.client_limit
    }

    /// The largest packet in bytes that every bridge listener takes; a larger one ends the connection.
    pub fn max_packet_size(&self) -> usize {
        self.max_packet_size
    }

    /// How often the watchdog has started a listener or the router again.
    pub fn restarts(&self) -> u64 {
        self.restarts.count()
    }

    /// Stops the broker: all connections are closed, all ports free on return (at most some 2 s later).
    /// Messages that were not delivered are gone. Cancel safe: it stops all the same.
    pub async fn stop(self) {
        // Fails only if the watchdog's task has ended, and then everything has.
        let _ = self.stop.send(());
        if let Err(error) = self.running.await
            && error.is_panic()
        {
            warn!(%error, "the broker's watchdog had ended");
        }
    }
}

/// The device listener between its two steps: bound, then opened.
struct GatePlan {
    socket: TcpListener,
    address: SocketAddr,
    behind: ServerSettings,
    limit: usize,
    devices: DeviceListener,
}

impl GatePlan {
    async fn bind(devices: DeviceListener, plan: &Plan) -> Result<Self, BrokerError> {
        let behind = plan.devices.clone().ok_or_else(|| BrokerError::Config {
            origin: "given".to_owned(),
            reason: "a listener for devices was asked for, but there is no [v4.devices]".to_owned(),
        })?;
        let address = devices.addr;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BrokerError::AddressInUse { address },
            _ => BrokerError::Listen { address, reason: error.to_string() },
        };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let limit = plan.router.max_connections / DEVICE_SHARE;
        Ok(Self { socket, address, behind, limit, devices })
    }

    async fn open(self, core: &Core) -> Result<(Listener, Arc<Threads>), BrokerError> {
        let credentials = Credentials::random("gate");
        let connections = self.behind.connections.clone();
        let probe = "broker-probe-devices".to_owned();
        let mut listener = Listener::new(self.behind, &credentials, probe, Side::Devices);
        listener.start(core).await?;
        let gate = Gate::new(GateSettings {
            broker: listener.address(),
            credentials,
            login: self.devices.login,
            limit: self.limit,
            max_packet: connections.max_payload_size,
            connect_within: Duration::from_millis(connections.connection_timeout_ms.into()),
        });
        let threads = Threads::start("broker-gate", 1)?;
        let address = self.address;
        let failed = |error: io::Error| BrokerError::Listen { address, reason: error.to_string() };
        let socket = self.socket.into_std().map_err(failed)?;
        let handle = threads.handle();
        // From here on the socket belongs to the gate's thread.
        let socket = {
            let _entered = handle.enter();
            TcpListener::from_std(socket).map_err(failed)?
        };
        handle.spawn(gate.run(socket));
        Ok((listener, threads))
    }
}
