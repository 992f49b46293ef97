//! The keys of the operator's application: read from their file, or fetched from their address.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use mqttchat_bridge::{FetchKeys, Jwt, JwtAlgorithm, JwtKeys, JwtRules, KeySet};
use mqttchat_store::Store;
use tokio::time::timeout;
use warp::http::Uri;
use warp::http::header::{ACCEPT, USER_AGENT};

use crate::config::{JwtConfig, JwtPlace};
use crate::error::StartError;
use crate::outgoing::{Client, client, whole_reason};

/// How long the other side has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of a key set, or a key file.
const KEYS_MAX: usize = 1 << 20;

/// What lets in whoever has a token of the operator's application.
///
/// # Errors
/// When there are no keys in the file, or none for the algorithms, or TLS can't be set up.
pub(crate) fn authenticator(store: Store, config: &JwtConfig) -> Result<Jwt, StartError> {
    let (keys, usable) = match &config.keys {
        JwtPlace::File(path) => {
            let content =
                std::fs::read(path).map_err(|source| StartError::File { path: path.clone(), source })?;
            let bad = |reason: String| StartError::Keys { path: path.clone(), reason };
            if content.len() > KEYS_MAX {
                return Err(bad("it is larger than a key file can be".to_owned()));
            }
            let keys = KeySet::of_file(&content).map_err(|error| bad(error.to_string()))?;
            let usable = keys.algorithms();
            if !config.algorithms.is_empty() && !config.algorithms.iter().any(|it| usable.contains(it)) {
                return Err(bad("it has no key for any of auth.jwt.algorithms".to_owned()));
            }
            (JwtKeys::fixed(keys), usable)
        }
        JwtPlace::Url(url) => {
            let fetcher = KeyUrl { url: url.clone(), client: client(url)? };
            let public = vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa];
            (JwtKeys::fetched(Box::new(fetcher)), public)
        }
    };
    if config.issuer.is_none() || config.audience.is_empty() {
        tracing::warn!(
            "auth.jwt.issuer or auth.jwt.audience is not given: tokens that these keys sign for others may be taken here"
        );
    }
    let algorithms = if config.algorithms.is_empty() { usable } else { config.algorithms.clone() };
    let rules = JwtRules {
        algorithms,
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
        leeway: config.leeway,
    };
    Ok(Jwt::new(store, rules, keys))
}

/// The one address that keys are fetched from. Redirects are not followed.
struct KeyUrl {
    url: Uri,
    client: Client<Empty<Bytes>>,
}

impl FetchKeys for KeyUrl {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async {
            let request = Request::get(self.url.clone())
                .header(ACCEPT, "application/jwk-set+json, application/json")
                .header(USER_AGENT, concat!("mqttchat/", env!("CARGO_PKG_VERSION")))
                .body(Empty::new())
                .map_err(|error| error.to_string())?;
            let fetching = async {
                let response = self.client.request(request).await.map_err(|error| whole_reason(&error))?;
                if !response.status().is_success() {
                    return Err(format!("it answers {}", response.status()));
                }
                let body = Limited::new(response.into_body(), KEYS_MAX).collect().await;
                body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
            };
            timeout(ANSWER_WITHIN, fetching)
                .await
                .unwrap_or_else(|_| Err("it doesn't answer within 10 s".to_owned()))
        })
    }
}
