//! rumqttd as it comes, without this crate: the subject of the facts.

use std::net::SocketAddr;

use rumqttd::protocol::v4::V4;
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::wire::{Hello, Refusal, Wire};
use super::within;

/// A running rumqttd.
pub struct Raw {
    pub address: SocketAddr,
    alive: Box<dyn Fn() -> bool + Send + Sync>,
    threads: Option<Runtime>,
}

/// Values that stay out of a test's way.
pub fn router() -> RouterConfig {
    RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: 1024 * 1024,
        max_segment_count: 4,
        ..RouterConfig::default()
    }
}

/// A listener without a login.
pub fn listener(listen: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: "raw".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 5000,
            max_payload_size: 1024,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

impl Raw {
    pub async fn start() -> Self {
        Self::with(router(), |_| {}).await
    }

    pub async fn with(router: RouterConfig, change: impl Fn(&mut ServerSettings)) -> Self {
        let link = Router::new(0, router).spawn();
        let watched = link.clone();
        // rumqttd blocks its threads, some for ever once its router has ended: they must not be the test's.
        let threads = Runtime::new().expect("threads");
        let address = within("rumqttd listens", async {
            loop {
                let address = free_address();
                let mut settings = listener(address);
                change(&mut settings);
                let mut server = Server::new(settings, link.clone(), V4);
                let listening = threads.spawn(async move { server.start(LinkType::Remote).await.is_ok() });
                // It only ends when somebody else was quicker to take the port.
                while !listening.is_finished() {
                    if TcpStream::connect(address).await.is_ok() && !listening.is_finished() {
                        return address;
                    }
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        Self { address, alive: Box::new(move || !watched.is_disconnected()), threads: Some(threads) }
    }

    /// Whether the router's thread still runs.
    pub fn router_is_alive(&self) -> bool {
        (self.alive)()
    }

    pub async fn client(&self, id: &str) -> Wire {
        self.connect(Hello::new(id)).await.expect("rumqttd lets a client in")
    }

    pub async fn connect(&self, hello: Hello) -> Result<Wire, Refusal> {
        Wire::connect(self.address, hello).await
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
