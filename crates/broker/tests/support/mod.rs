//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests, which fail by panicking")]

pub mod raw;
pub mod script;
pub mod wire;

use std::future::Future;
use std::time::Duration;

/// Long enough for a slow machine; only reached by a failing test.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for an event that has to come.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {DEADLINE:?}"),
    }
}

/// Tries until it works.
pub async fn eventually<T, E, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    within(what, async {
        loop {
            if let Ok(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
