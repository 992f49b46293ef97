//! SIGHUP: what can be read again while the server runs.

use std::io;

use mqttchat::Tls;
use tokio::signal::unix::{SignalKind, signal};

/// Reads the certificate again at each SIGHUP.
pub(crate) fn on_hangup(tls: Option<Tls>) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let Some(tls) = tls.clone() else {
                tracing::info!("asked to read the certificate again: this server has none");
                continue;
            };
            // Files are read by threads that may wait for them.
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => tracing::info!("the certificate was read again"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the certificate in use stays: the new one is no good")
                }
                Err(error) => tracing::error!(%error, "the certificate was not read again"),
            }
        }
    });
    Ok(())
}
