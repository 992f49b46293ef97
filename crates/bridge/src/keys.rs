//! API keys on this node: whom they speak for.

use std::sync::Arc;

use mqttchat_protocol::ApiSecret;

use crate::auth::{Denied, Grant, Identity, store_away};
use crate::deliver::BLOCKED;
use crate::hub::{Hub, now_ms};

impl Hub {
    /// Whom the key of this text speaks for. Asked anew for each request, so a revoked one is of no use from then on.
    ///
    /// # Errors
    /// [`Denied`]: it is none, or was revoked, or the store can't be asked.
    pub(crate) async fn apikey(self: &Arc<Self>, text: &str) -> Result<Identity, Denied> {
        let as_of = self.revocations.looked();
        let key = match ApiSecret::parse(text) {
            Some(secret) => self.store.apikey(&secret).await.map_err(store_away)?,
            None => None,
        };
        let unauthorized = |reason: &str| Denied::Unauthorized(reason.to_owned());
        let key = key.ok_or_else(|| unauthorized("this API key is unknown here, or was revoked"))?;
        if key.blocked {
            return Err(unauthorized(BLOCKED));
        }
        if key.is_use_news(now_ms()) {
            let (hub, id) = (self.clone(), key.id);
            tokio::spawn(async move {
                if let Err(error) = hub.store.use_apikey(id).await {
                    tracing::debug!(%error, "the use of an api key can't be noted");
                }
            });
        }
        let (blocks, as_of) = (Some(key.blocks), Some(as_of));
        let grant = Grant { scopes: key.scopes, key: Some(key.id), blocks, as_of, ..Grant::default() };
        Ok(Identity { user: key.user, name: key.name, token: None, grant })
    }
}
