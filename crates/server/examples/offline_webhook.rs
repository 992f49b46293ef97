//! The other side of the webhook: somebody is away, so a notification goes out for what waits for them.
//!
//! `cargo run --example offline_webhook -- 'a secret of your own'`, and a chat server with
//!
//! ```toml
//! [webhook]
//! url = "http://127.0.0.1:9999/chat"
//! secret = "a secret of your own"
//! events = ["private.undelivered"]
//! after = 60
//! ```

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

/// How old a post may be, in seconds: an older one is somebody's who has listened in.
const AGE_MAX: u64 = 300;

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().init();
    let secret = std::env::args().nth(1).unwrap_or_else(|| "a secret of your own".to_owned());
    let mail = |note: Note| tracing::info!(to = note.to, note.subject, "this would be a mail");
    warp::serve(routes(secret, mail)).run(([127, 0, 0, 1], 9999)).await;
}

/// What is sent to whoever is away.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The user.
    pub to: String,
    /// One line; the text itself stays in the chat.
    pub subject: String,
}

/// `POST /chat`: each event once, if it is the chat's.
pub fn routes(
    secret: impl Into<Arc<str>>,
    notify: impl Fn(Note) + Send + Sync + 'static,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let secret: Arc<str> = secret.into();
    let (seen, notify) = (Arc::new(Mutex::new(HashSet::new())), Arc::new(notify));
    warp::path!("chat")
        .and(warp::post())
        .and(warp::header("webhook-id"))
        .and(warp::header("webhook-timestamp"))
        .and(warp::header("webhook-signature"))
        .and(warp::body::content_length_limit(1 << 20))
        .and(warp::body::bytes())
        .map(move |id: String, time: u64, signature: String, body: Bytes| {
            if !is_the_chats(&secret, &id, time, &signature, &body) {
                return StatusCode::UNAUTHORIZED;
            }
            let Some(note) = note(&body) else { return StatusCode::UNPROCESSABLE_ENTITY };
            // Events come at least once. A real one keeps their ids where it keeps everything else.
            if seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
                notify(note);
            }
            StatusCode::NO_CONTENT
        })
}

/// Checks a signature as Standard Webhooks describes it; any library for that does the same.
fn is_the_chats(secret: &str, id: &str, time: u64, signature: &str, body: &[u8]) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let encoded = signature.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(body);
    now.abs_diff(time) <= AGE_MAX
        && encoded
            .filter_map(|one| STANDARD.decode(one).ok())
            .any(|one| mac.clone().verify_slice(&one).is_ok())
}

fn note(body: &[u8]) -> Option<Note> {
    let event: Value = serde_json::from_slice(body).ok()?;
    let (to, name) = (event["to"].as_str()?, event["entry"]["name"].as_str()?);
    Some(Note { to: to.to_owned(), subject: format!("{name} has written to you") })
}
