//! One POST, signed as Standard Webhooks (standardwebhooks.com) has it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{Full, Limited};
use hyper::Request;
use mqttchat_tls::{Settings, explain};
use sha2::Sha256;
use tokio::time::timeout;
use warp::http::Uri;
use warp::http::header::{CONTENT_TYPE, USER_AGENT};

use super::event::Event;
use crate::config::WebhookConfig;
use crate::outgoing::{Client, client, whole_reason};

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
    client: Client<Full<Bytes>>,
}

impl Poster {
    /// # Errors
    /// When TLS can't be set up.
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, rustls::Error> {
        let client = client(&config.url)?;
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
