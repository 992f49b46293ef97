//! What can be read again while the server runs.

use std::io;

use mqttchat_http::Tls;
use mqttchat_tls::SharedTls;
use tokio::signal::unix::{SignalKind, signal};

use crate::certificate;
use crate::jwt::Keys;

/// The files, and the address, that a server takes up anew without a restart: its certificate, those of TLS to its broker,
/// and the keys of the application whose tokens let people in. What is no good then changes nothing.
#[derive(Clone, Debug)]
pub struct Reload {
    tls: Option<Tls>,
    broker: Option<SharedTls>,
    keys: Option<Keys>,
}

impl Reload {
    pub(crate) fn new(tls: Option<Tls>, broker: Option<SharedTls>, keys: Option<Keys>) -> Self {
        Self { tls, broker, keys }
    }

    /// Reads all of it again. The log says what came of it.
    pub async fn run(&self) {
        if self.tls.is_none() && self.broker.is_none() && self.keys.is_none() {
            tracing::info!(
                "asked to read files again: this server has no certificate, no keys of tokens, and no TLS to a broker"
            );
        }
        // Files are read by threads that may wait for them.
        if let Some(tls) = self.tls.clone() {
            let reading = tls.clone();
            match tokio::task::spawn_blocking(move || reading.reload()).await {
                Ok(Ok(())) => tracing::info!("the certificate was read again"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the certificate in use stays: the new one is no good");
                }
                Err(error) => tracing::error!(%error, "the certificate was not read again"),
            }
            certificate::tell(&tls);
        }
        if let Some(tls) = self.broker.clone() {
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => {
                    tracing::info!(
                        "the files of TLS to the broker were read again, for its next connections"
                    );
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "TLS to the broker stays as it is: the new files are no good");
                }
                Err(error) => tracing::error!(%error, "the files of TLS to the broker were not read again"),
            }
        }
        if let Some(keys) = &self.keys {
            keys.reload().await;
        }
    }

    /// Does so at each SIGHUP from here on.
    ///
    /// # Errors
    /// When the signal can't be listened to.
    pub fn on_hangup(self) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                self.run().await;
            }
        });
        Ok(())
    }
}
