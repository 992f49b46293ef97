//! Whether strangers can read an external broker (docs/mqtt.md "Private conversations on the broker").

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, TlsConfiguration, Transport,
};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::time::{sleep, timeout};

use crate::hub::Hub;

/// How long one try to come in without a login may take.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is tried until there is an answer, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

impl Hub {
    /// Finds out whether strangers can read the broker, and so whether private content may go over it.
    pub(crate) async fn probe_strangers(self: Arc<Self>) {
        let mut connected = self.broker.subscribe();
        if connected.wait_for(Result::is_ok).await.is_err() {
            return;
        }
        let shows_nothing =
            self.login().is_none() && self.tls().is_none_or(|tls| !tls.client_auth_cert_resolver.has_certs());
        let strangers = shows_nothing || self.accepts_anybody().await;
        self.set_bells_only(strangers);
        if strangers {
            tracing::info!(
                "the broker lets anybody in: private messages stay off it, only signed bells go over it"
            );
        } else {
            tracing::info!("the broker asks for a login: private messages go over it too");
        }
    }

    /// Whether the broker accepts a connection without login and certificate. What can't be found out counts as yes.
    async fn accepts_anybody(&self) -> bool {
        let tls = self.tls().as_deref().map(nobody);
        for _ in 0..TRIES {
            let (host, port) = self.target();
            let mut options = MqttOptions::new(self.client_id("probe"), host, port);
            if let Some(tls) = &tls {
                options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
            }
            if let Some(accepted) = probe(options).await {
                return accepted;
            }
            sleep(PAUSE).await;
        }
        true
    }
}

/// Whether a connection is accepted; `None` when that can't be told.
async fn probe(options: MqttOptions) -> Option<bool> {
    let (_client, mut events) = AsyncClient::new(options, 1);
    match timeout(PROBE_WITHIN, events.poll()).await {
        Ok(Ok(Event::Incoming(Packet::ConnAck(ack)))) => Some(ack.code == ConnectReturnCode::Success),
        Ok(Err(ConnectionError::ConnectionRefused(_))) => Some(false),
        Ok(Err(error)) if mqttchat_tls::is_refusal(&error) => Some(false),
        Ok(Ok(_) | Err(_)) | Err(_) => None,
    }
}

/// The same TLS for somebody without a certificate.
fn nobody(tls: &ClientConfig) -> Arc<ClientConfig> {
    let mut tls = tls.clone();
    tls.client_auth_cert_resolver = Arc::new(Nobody);
    Arc::new(tls)
}

#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
