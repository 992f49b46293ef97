//! One POST, signed as Standard Webhooks (standardwebhooks.com) has it.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{Full, Limited};
use hyper::Request;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mqttchat_tls::{Settings, explain};
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use tokio::time::timeout;
use warp::http::Uri;
use warp::http::header::{CONTENT_TYPE, USER_AGENT};

use super::event::Event;
use crate::config::WebhookConfig;

/// How long the other side has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Whom it trusts is said for the whole machine, or in this variable.
const SETTINGS: Settings =
    Settings { ca: "SSL_CERT_FILE", identity: "client certificates, which webhooks don't have" };

/// Bytes of an answer's body that are read, so that the connection can be used again.
const ANSWER_MAX: usize = 64 * 1024;

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// 2xx.
    Taken,
    /// The other side says that this event is wrong, and would say so again.
    Refused(u16),
    /// Anything else: it is there later, or the operator mends it.
    Failed(String),
}

impl Told {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

/// Posts to one URL. Redirects are not followed: what is private would go where the operator didn't send it.
pub(super) struct Poster {
    url: Uri,
    key: Option<Hmac<Sha256>>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Poster {
    /// # Errors
    /// When TLS can't be set up.
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, rustls::Error> {
        let is_https = config.url.scheme_str() == Some("https");
        let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(is_https))
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(8)
            .build(connector.https_or_http().enable_http1().build());
        // A key of any length is one.
        let key = config.key.as_deref().and_then(|key| Hmac::new_from_slice(key).ok());
        Ok(Self { url: config.url.clone(), key, client })
    }

    /// Posts an event once.
    pub(super) async fn post(&self, event: &Event) -> Told {
        let Ok(request) = self.request(event, now_s()) else {
            return Told::Failed("the event can't be written as a request".to_owned());
        };
        let answered = timeout(ANSWER_WITHIN, async {
            let response = self.client.request(request).await?;
            let status = response.status();
            // Read to its end, or dropped: then this connection is used no more.
            let _ = http_body_util::BodyExt::collect(Limited::new(response.into_body(), ANSWER_MAX)).await;
            Ok::<_, hyper_util::client::legacy::Error>(status)
        });
        match answered.await {
            Ok(Ok(status)) if status.is_success() => Told::Taken,
            Ok(Ok(status)) if matches!(status.as_u16(), 400 | 413 | 422) => Told::Refused(status.as_u16()),
            Ok(Ok(status)) => Told::Failed(format!("it answers {status}")),
            Ok(Err(error)) => Told::Failed(match explain(&error, SETTINGS) {
                Some(reason) => format!("it {reason}"),
                None => whole_reason(&error),
            }),
            Err(_) => Told::Failed("it doesn't answer within 10 s".to_owned()),
        }
    }

    fn request(&self, event: &Event, time: u64) -> Result<Request<Full<Bytes>>, warp::http::Error> {
        let mut request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("mqttchat/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", time);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, event, time));
        }
        request.body(Full::from(event.body.clone()))
    }
}

fn signature(key: &Hmac<Sha256>, event: &Event, time: u64) -> String {
    let mut mac = key.clone();
    mac.update(format!("{}.{time}.{}", event.id, event.body).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Whom this machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
fn roots(needed: bool) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if !needed {
        return roots;
    }
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let error = found.errors.first().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            error,
            "this machine trusts no certificates: the webhook can't be reached by https; SSL_CERT_FILE can name some"
        );
    }
    roots
}

/// An error and all that is behind it, on one line.
fn whole_reason(error: &dyn Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    reason
}

/// Unix time in seconds.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_the_standards_own_example() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let event = Event {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            body: r#"{"test": 2432232314}"#.to_owned(),
            time: 0,
        };
        assert_eq!(signature(&key, &event, 1_614_265_330), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
