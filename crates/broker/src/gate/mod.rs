//! The gate in front of rumqttd's device listener.
//!
//! Devices speak MQTT with the gate; it passes on what rumqttd can take. What it does and why:
//!
//! | rumqttd | the gate |
//! | --- | --- |
//! | a client id with `/`, `+`, `#` or `$` locks everybody out; an id used by somebody else throws that one out | gives each device an id of its own, and lets a device take over only from itself |
//! | a full router drops sockets, and a client that tries again locks everybody out | refuses with a CONNACK before it is full |
//! | a wrong login is dropped without a word; keep-alive 0 is refused | answers with a CONNACK; counts keep-alive itself |
//! | a topic that begins outside ASCII ends the router; so do a shared subscription of a kept session, and a DISCONNECT at the wrong moment | ends that connection instead; never passes on a DISCONNECT |
//! | Last Wills follow the client id, not the connection | publishes the Last Will itself |
//! | every topic and filter stays in memory | takes at most [`names::MAX_NAMES`] |

mod guard;
mod hello;
mod login;
mod names;
mod pump;
mod session;
mod slots;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time;
use tracing::{debug, warn};

use crate::credentials::Credentials;
use crate::gate::login::Logins;
use crate::gate::names::Names;
use crate::gate::slots::Slots;
use crate::options::DeviceLogin;

/// Sockets beyond the limit that are held while they are told so.
const LOBBY: usize = 64;
/// Pause after the system refuses to accept, which it does when file descriptors have run out.
const BREATH: Duration = Duration::from_millis(100);

/// What the gate needs to know.
pub(crate) struct GateSettings {
    /// rumqttd's device listener.
    pub(crate) broker: SocketAddr,
    /// The login there.
    pub(crate) credentials: Credentials,
    /// Who may connect here.
    pub(crate) login: DeviceLogin,
    /// Devices at a time.
    pub(crate) limit: usize,
    /// Bytes in a packet from a device.
    pub(crate) max_packet: usize,
    /// Time for a socket to send its CONNECT.
    pub(crate) connect_within: Duration,
}

/// What all sessions share.
pub(crate) struct Gate {
    broker: SocketAddr,
    credentials: Credentials,
    logins: Logins,
    slots: Slots,
    names: Names,
    sockets: Arc<Semaphore>,
    max_packet: usize,
    connect_within: Duration,
}

impl Gate {
    pub(crate) fn new(settings: GateSettings) -> Arc<Self> {
        Arc::new(Self {
            broker: settings.broker,
            credentials: settings.credentials,
            logins: Logins::new(settings.login),
            slots: Slots::new(settings.limit),
            names: Names::default(),
            sockets: Arc::new(Semaphore::new(settings.limit + LOBBY)),
            max_packet: settings.max_packet,
            connect_within: settings.connect_within,
        })
    }

    /// Accepts devices until dropped.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    warn!(%error, "cannot accept a device");
                    time::sleep(BREATH).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.sockets).try_acquire_owned() else {
            debug!(%peer, "no room for another device");
            return;
        };
        let gate = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = session::serve(&gate, stream).await {
                debug!(%peer, %error, "device is gone");
            }
            drop(place);
        });
    }
}
