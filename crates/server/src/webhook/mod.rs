//! The webhook: what happens is posted to a URL, at least once, from the log (docs/toolkit.md "Webhook").
//!
//! Nothing is remembered but how far the log has been told, for each kind of event and each node that writes it. One
//! node of all does it, the one with the lease; whatever ends it, the next one goes on behind the last page that was
//! told whole.

mod event;
mod post;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use mqttchat_store::{Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::config::WebhookConfig;
use event::Kind;
use post::Poster;
use tail::Tail;

/// Who tells, and how long that holds without being renewed.
const LEASE: &str = "webhook";
const LEASE_TTL: Duration = Duration::from_secs(20);
const LEASE_RENEW: Duration = Duration::from_secs(5);

/// Why the webhook can't start.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The store can't say where the log stands.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The webhook of this node, told or ready to be.
#[derive(Debug)]
pub(crate) struct Webhook {
    store: Store,
    /// This run of it.
    owner: String,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Starts to tell. What happens from now on is told, also what happens before the next start, if it comes within a day.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub(crate) async fn start(store: Store, config: WebhookConfig) -> Result<Self, WebhookError> {
        let kinds = [(Kind::Message, config.messages), (Kind::Undelivered, config.undelivered)];
        let kinds: Vec<Kind> =
            kinds.into_iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| kind).collect();
        for kind in &kinds {
            tail::begin(&store, *kind).await?;
        }
        let poster = Arc::new(Poster::new(&config)?);
        let owner = format!("{:016x}", rand::random::<u64>());
        let telling = tell_while_leased(store.clone(), owner.clone(), config.after, kinds, poster);
        Ok(Self { store, owner, task: tokio::spawn(telling) })
    }

    /// Stops, and lets another node go on at once. What is being posted is posted again.
    pub(crate) async fn stop(self) {
        self.task.abort();
        if let Err(error) = self.store.release_lease(LEASE, &self.owner).await {
            tracing::debug!(%error, "the webhook's lease runs out by itself");
        }
    }
}

async fn tell_while_leased(
    store: Store,
    owner: String,
    after: Duration,
    kinds: Vec<Kind>,
    poster: Arc<Poster>,
) {
    loop {
        match store.acquire_lease(LEASE, &owner, LEASE_TTL).await {
            Ok(true) => {
                let tails = kinds.iter().map(|kind| Tail::new(&store, *kind, after, &poster).follow());
                tokio::select! {
                    _ = futures::future::join_all(tails) => {}
                    () = lose_lease(&store, &owner) => tracing::warn!("another node tells the webhook now"),
                }
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the webhook waits for the store"),
        }
        sleep(LEASE_RENEW).await;
    }
}

/// Renews the lease until somebody else has it.
async fn lose_lease(store: &Store, owner: &str) {
    loop {
        sleep(LEASE_RENEW).await;
        match store.renew_lease(LEASE, owner, LEASE_TTL).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%error, "the webhook's lease can't be renewed"),
        }
    }
}
