//! Where keys come from: a file that was read, or a URL that is asked now and then, and never because somebody insists.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jsonwebtoken::DecodingKey;

use super::keys::{JwtAlgorithm, KeySet};
use crate::auth::Denied;
use mqttchat_protocol::{ErrorCode, Refusal};

/// After this time keys are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// Between two fetches there is at least this much.
const FETCH_EVERY: Duration = Duration::from_secs(10);

/// Longer key ids are none.
const KEY_ID_MAX: usize = 256;

/// Fetches a key set from the one place that the operator has named.
pub trait FetchKeys: Send + Sync {
    /// Asks for it. Has to end in time by itself.
    ///
    /// # Errors
    /// Why there is none, for the log.
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// The keys of the operator's application.
pub struct JwtKeys(Source);

enum Source {
    Fixed(KeySet),
    Url(Box<Cache>),
}

struct Cache {
    fetcher: Box<dyn FetchKeys>,
    state: Mutex<State>,
    /// Held by the one who fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When the last fetch began, but for the first one that brought something.
    tried: Option<Instant>,
}

impl JwtKeys {
    /// Keys that stay as they are.
    #[must_use]
    pub fn fixed(keys: KeySet) -> Self {
        Self(Source::Fixed(keys))
    }

    /// Keys that are fetched when the first is needed, when they are ten minutes old, and when a token names one that
    /// isn't known; never more than once in ten seconds.
    #[must_use]
    pub fn fetched(fetcher: Box<dyn FetchKeys>) -> Self {
        Self(Source::Url(Box::new(Cache {
            fetcher,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })))
    }

    /// The keys that a token may be of.
    ///
    /// # Errors
    /// `unavailable` when there are none at all yet.
    pub(super) async fn find(
        &self,
        algorithm: JwtAlgorithm,
        id: Option<&str>,
    ) -> Result<Vec<DecodingKey>, Denied> {
        match &self.0 {
            Source::Fixed(keys) => Ok(keys.find(algorithm, id)),
            Source::Url(_) if id.is_some_and(|id| id.len() > KEY_ID_MAX) => Ok(Vec::new()),
            Source::Url(cache) => cache.find(algorithm, id).await,
        }
    }
}

impl Cache {
    async fn find(&self, algorithm: JwtAlgorithm, id: Option<&str>) -> Result<Vec<DecodingKey>, Denied> {
        let is_enough = |known: &Known| known.fresh && !known.keys.find(algorithm, id).is_empty();
        let mut known = self.known();
        if !known.as_ref().is_some_and(is_enough) && self.may_fetch() {
            let _fetching = self.fetching.lock().await;
            known = self.known();
            // Whoever was here before may have brought it.
            if !known.as_ref().is_some_and(is_enough) && self.begin_fetch() {
                self.fetch().await;
                known = self.known();
            }
        }
        match known {
            Some(known) => Ok(known.keys.find(algorithm, id)),
            None => Err(Denied::Refused(Refusal::new(
                ErrorCode::Unavailable,
                "the keys of the tokens can't be fetched at the moment; try again",
            ))),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Known> {
        let state = self.state();
        let (keys, since) = state.keys.as_ref()?;
        Some(Known { keys: keys.clone(), fresh: since.elapsed() < FRESH_FOR })
    }

    /// Whether enough time has gone since the last fetch.
    fn may_fetch(&self) -> bool {
        self.state().tried.is_none_or(|tried| tried.elapsed() >= FETCH_EVERY)
    }

    /// Takes the one fetch that may be now, if it is still there.
    fn begin_fetch(&self) -> bool {
        let mut state = self.state();
        let may = state.tried.is_none_or(|tried| tried.elapsed() >= FETCH_EVERY);
        if may {
            state.tried = Some(Instant::now());
        }
        may
    }

    async fn fetch(&self) {
        let fetched = self.fetcher.fetch().await;
        match fetched.and_then(|set| KeySet::of_jwks(&set, false).map_err(|error| error.to_string())) {
            Ok(keys) => {
                tracing::info!(?keys, "the keys of the tokens were fetched");
                let mut state = self.state();
                if state.keys.is_none() {
                    // The first key that is new after the start is looked for at once.
                    state.tried = None;
                }
                state.keys = Some((Arc::new(keys), Instant::now()));
            }
            Err(why) => tracing::warn!(why, "the keys of the tokens can't be fetched"),
        }
    }
}

struct Known {
    keys: Arc<KeySet>,
    fresh: bool,
}
