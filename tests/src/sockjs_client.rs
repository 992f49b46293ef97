//! SockJS's own client, from npm, and what it is asked to do.

use anyhow::Result;
use serde_json::{Value, json};

use crate::User;

/// Its folder.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node_modules/sockjs-client");

/// The functions `talk(SockJS, base, transport, name, large)` and `attempt(SockJS, base, transport, timeout)`, which
/// give promises.
pub const SCRIPT: &str = include_str!("sockjs_client.js");

/// A text as large as they may be by themselves, that nobody else says. Each character is four bytes, and the client
/// writes it as twelve.
#[must_use]
pub fn large_text(name: &str) -> String {
    name.chars().chain(std::iter::repeat('🎈')).take(4096).collect()
}

/// Answers what `talk` says as `name`; it expects the other to be `bob`.
///
/// # Errors
/// When it doesn't say it.
pub async fn answer(bob: &mut User, name: &str) -> Result<()> {
    bob.expect_text(&format!("hello from {name}")).await?;
    bob.say("public", &format!("hello to {name}")).await?;
    let large = large_text(name);
    bob.expect_text(&large).await?;
    bob.say("public", &large).await?;
    Ok(())
}

/// What `talk` gives when everything went well.
#[must_use]
pub fn success(transport: &str) -> Value {
    json!({"greeting": "Welcome to SockJS!\n", "used": transport, "closed": "1000 Normal closure"})
}
