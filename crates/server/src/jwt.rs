//! The keys of the operator's application: read from their file, or fetched from their address.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::Request;
use mqttchat_bridge::{FetchKeys, Jwt, JwtAlgorithm, JwtKeys, JwtRules, KeySet};
use mqttchat_store::Store;
use tokio::time::timeout;
use warp::http::Uri;
use warp::http::header::{ACCEPT, USER_AGENT};

use crate::config::{Config, JwtConfig, JwtPlace};
use crate::error::StartError;
use crate::outgoing::{Client, client, whole_reason};

/// How long the other side has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of a key set, or a key file.
const KEYS_MAX: usize = 1 << 20;

/// The keys in use, and where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    keys: JwtKeys,
    config: JwtConfig,
}

impl Keys {
    /// Reads them where they are in a file, and gets ready to fetch them otherwise.
    ///
    /// # Errors
    /// When there are no keys in the file, or none for the algorithms, or TLS can't be set up.
    pub(crate) fn load(config: &JwtConfig) -> Result<Self, StartError> {
        let keys = match &config.keys {
            JwtPlace::File(path) => JwtKeys::fixed(read(path, &config.algorithms)?),
            JwtPlace::Url(url) => {
                JwtKeys::fetched(Box::new(KeyUrl { url: url.clone(), client: client(url)? }))
            }
        };
        Ok(Self { keys, config: config.clone() })
    }

    /// Takes the keys as they are now: of the file, or of the URL. What can't be read or fetched changes nothing, and the
    /// log says why.
    pub(crate) async fn reload(&self) {
        let JwtPlace::File(path) = &self.config.keys else { return self.keys.fetch_again().await };
        let (path, algorithms) = (path.clone(), self.config.algorithms.clone());
        // Files are read by threads that may wait for them.
        match tokio::task::spawn_blocking(move || read(&path, &algorithms)).await {
            Ok(Ok(keys)) => {
                tracing::info!(?keys, "the keys of the tokens were read again");
                self.keys.replace(keys);
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the keys in use stay: the new ones are no good");
            }
            Err(error) => tracing::error!(%error, "the keys of the tokens were not read again"),
        }
    }
}

/// Whether the keys of tokens are there and good, where they are to come from a file.
///
/// # Errors
/// As a server would refuse to start for it.
pub(crate) fn check_keys(config: &Config) -> Result<(), StartError> {
    match config.auth.jwt.as_ref().map(|jwt| (&jwt.keys, &jwt.algorithms)) {
        Some((JwtPlace::File(path), algorithms)) => read(path, algorithms).map(drop),
        _ => Ok(()),
    }
}

fn read(path: &Path, algorithms: &[JwtAlgorithm]) -> Result<KeySet, StartError> {
    let content = std::fs::read(path).map_err(|source| StartError::File { path: path.to_owned(), source })?;
    let bad = |reason: String| StartError::Keys { path: path.to_owned(), reason };
    if content.len() > KEYS_MAX {
        return Err(bad("it is larger than a key file can be".to_owned()));
    }
    let keys = KeySet::of_file(&content).map_err(|error| bad(error.to_string()))?;
    let usable = keys.algorithms();
    if !algorithms.is_empty() && !algorithms.iter().any(|it| usable.contains(it)) {
        return Err(bad("it has no key for any of auth.jwt.algorithms".to_owned()));
    }
    Ok(keys)
}

/// What lets in whoever has a token of the operator's application.
pub(crate) fn authenticator(store: Store, keys: &Keys) -> Jwt {
    let config = &keys.config;
    if let JwtPlace::Url(url) = &config.keys
        && url.scheme_str() == Some("http")
        && !is_here(url)
    {
        tracing::warn!(
            "auth.jwt.jwks_url is fetched without TLS: whoever stands between can put in keys, and be anybody; use https"
        );
    }
    if config.issuer.is_none() || config.audience.is_empty() {
        tracing::warn!(
            "auth.jwt.issuer or auth.jwt.audience is not given: tokens that these keys sign for others may be taken here"
        );
    }
    // A key is of one algorithm: without a choice, the keys say what is allowed. None from a URL is a secret.
    let algorithms =
        if config.algorithms.is_empty() { JwtAlgorithm::ALL.to_vec() } else { config.algorithms.clone() };
    let rules = JwtRules {
        algorithms,
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
        leeway: config.leeway,
    };
    Jwt::new(store, rules, keys.keys.clone())
}

/// Whether it is an address of this machine.
fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
                let status = response.status();
                if status.is_redirection() {
                    return Err(format!(
                        "it answers {status}, and redirects are not followed: name the address itself"
                    ));
                }
                if !status.is_success() {
                    return Err(format!("it answers {status}"));
                }
                let body = Limited::new(response.into_body(), KEYS_MAX).collect().await;
                body.map(|body| body.to_bytes().to_vec()).map_err(|error| {
                    match error.downcast_ref::<LengthLimitError>() {
                        Some(_) => "its answer is larger than a key set can be (1 MiB)".to_owned(),
                        None => whole_reason(&*error),
                    }
                })
            };
            timeout(ANSWER_WITHIN, fetching)
                .await
                .unwrap_or_else(|_| Err("it doesn't answer within 5 s".to_owned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine() {
        for (url, here) in [
            ("http://localhost/keys", true),
            ("http://127.0.0.1:80/keys", true),
            ("http://[::1]:8080/keys", true),
            ("http://login.example.com/keys", false),
            ("http://localhost.example.com/keys", false),
            ("http://10.0.0.1/keys", false),
        ] {
            assert_eq!(is_here(&url.parse().unwrap()), here, "{url}");
        }
    }
}
