//! What time it is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the store takes the time from: the system, or a function of the embedder's (tests step it).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The system's clock. It may jump; the store copes.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// A clock that asks `now` for the Unix time in ms. It is called on the writer's thread and must not block.
    pub fn from_fn(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The Unix time in ms, at most 2^62 so that a time to live can be added.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.0)().min(1 << 62)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
