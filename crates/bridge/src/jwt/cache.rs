//! Where keys come from: a file that was read, or a URL that is asked now and then, and never because somebody insists.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use super::keys::{Candidate, JwtAlgorithm, KeyMark, KeySet};
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

/// The keys of the operator's application. Clones share them.
#[derive(Clone)]
pub struct JwtKeys(Arc<Cache>);

impl std::fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JwtKeys").field(&self.0.state().keys).finish()
    }
}

struct Cache {
    /// `None`: they were read from a file.
    fetcher: Option<Box<dyn FetchKeys>>,
    state: Mutex<State>,
    /// Held by the one who fetches.
    fetching: tokio::sync::Mutex<()>,
    /// How often a key was taken away.
    removals: AtomicU64,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When they were fetched.
    since: Option<Instant>,
    /// When the last fetch began, but for the first one that brought something.
    tried: Option<Instant>,
}

impl JwtKeys {
    /// Keys of a file, in use until others are [put in their place](Self::replace).
    #[must_use]
    pub fn fixed(keys: KeySet) -> Self {
        Self::new(None, State { keys: Some(Arc::new(keys)), ..State::default() })
    }

    /// Keys that are fetched when the first is needed, when they are ten minutes old, and when a token names one that
    /// isn't known; never more than once in ten seconds.
    #[must_use]
    pub fn fetched(fetcher: Box<dyn FetchKeys>) -> Self {
        Self::new(Some(fetcher), State::default())
    }

    fn new(fetcher: Option<Box<dyn FetchKeys>>, state: State) -> Self {
        let (state, fetching) = (Mutex::new(state), tokio::sync::Mutex::default());
        Self(Arc::new(Cache { fetcher, state, fetching, removals: AtomicU64::new(0) }))
    }

    /// Puts other keys in the place of those that there are. Sessions that tokens of the missing ones have opened end.
    pub fn replace(&self, keys: KeySet) {
        self.0.replace(keys);
    }

    /// Fetches them now, whatever was before, for an operator who knows of a change. Where they can't be fetched, those
    /// that there are stay, and the log says why. Does nothing where they come from a file.
    ///
    /// Cancel safety: dropped, it goes on by itself.
    pub async fn fetch_again(&self) {
        let cache = self.0.clone();
        let fetching = tokio::spawn(async move {
            let _fetching = cache.fetching.lock().await;
            cache.state().tried = Some(Instant::now());
            cache.fetch().await;
        });
        // It can't be cancelled, and doesn't panic.
        let _ = fetching.await;
    }

    /// The keys that a token may be of.
    ///
    /// # Errors
    /// `unavailable` when there are none at all yet.
    pub(super) async fn find(
        &self,
        algorithm: JwtAlgorithm,
        id: Option<&str>,
    ) -> Result<Vec<Candidate>, Denied> {
        if id.is_some_and(|id| id.len() > KEY_ID_MAX) {
            return Ok(Vec::new());
        }
        let known = self.0.known();
        let found = known.as_ref().map(|known| known.keys.find(algorithm, id)).unwrap_or_default();
        let is_known = !found.is_empty();
        if self.0.fetcher.is_none() || is_known && known.is_some_and(|known| known.fresh) {
            return Ok(found);
        }
        // In a task of its own: whoever shows a token and leaves takes no fetch from the others.
        let (cache, wanted) = (self.0.clone(), id.map(str::to_owned));
        let looking = tokio::spawn(async move { cache.look(algorithm, wanted.as_deref(), is_known).await });
        let _ = looking.await;
        match self.0.known() {
            Some(known) => Ok(known.keys.find(algorithm, id)),
            None => Err(Denied::Refused(Refusal::new(
                ErrorCode::Unavailable,
                "the keys of the tokens can't be fetched at the moment; try again",
            ))),
        }
    }

    /// Whether there is still this key. As long as none were fetched, nothing is known of any.
    pub(super) fn has(&self, mark: &KeyMark) -> bool {
        self.0.state().keys.as_ref().is_none_or(|keys| keys.has(mark))
    }

    /// How often a key was taken away.
    pub(super) fn removals(&self) -> u64 {
        self.0.removals.load(Ordering::SeqCst)
    }
}

impl Cache {
    /// Fetches keys for a token, if that may be now. Whoever has one that is merely old doesn't wait for another's fetch.
    async fn look(&self, algorithm: JwtAlgorithm, id: Option<&str>, is_known: bool) {
        let fetching =
            if is_known { self.fetching.try_lock().ok() } else { Some(self.fetching.lock().await) };
        if fetching.is_none() {
            return;
        }
        let is_enough = |known: &Known| known.fresh && !known.keys.find(algorithm, id).is_empty();
        // Whoever was here before may have brought it.
        if !self.known().as_ref().is_some_and(is_enough) && self.begin_fetch() {
            self.fetch().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Known> {
        let state = self.state();
        let keys = state.keys.clone()?;
        Some(Known { keys, fresh: state.since.is_some_and(|since| since.elapsed() < FRESH_FOR) })
    }

    /// Takes the one fetch that may be now, if enough time has gone since the last.
    fn begin_fetch(&self) -> bool {
        let mut state = self.state();
        let may = state.tried.is_none_or(|tried| tried.elapsed() >= FETCH_EVERY);
        if may {
            state.tried = Some(Instant::now());
        }
        may
    }

    async fn fetch(&self) {
        let Some(fetcher) = &self.fetcher else { return };
        let fetched = fetcher.fetch().await;
        match fetched.and_then(|set| KeySet::of_jwks(&set, false).map_err(|error| error.to_string())) {
            Ok(keys) => {
                tracing::info!(?keys, "the keys of the tokens were fetched");
                if self.replace(keys) {
                    // The first key that is new after the start is looked for at once.
                    self.state().tried = None;
                }
            }
            Err(why) => tracing::warn!(
                why,
                "the keys of the tokens can't be fetched: check auth.jwt.jwks_url, and whoever answers there"
            ),
        }
    }

    /// Takes other keys; says whether they are the first.
    fn replace(&self, keys: KeySet) -> bool {
        let mut state = self.state();
        let before = state.keys.replace(Arc::new(keys));
        state.since = Some(Instant::now());
        let is_first = before.is_none();
        let lost = before.zip(state.keys.clone()).is_some_and(|(before, now)| !before.is_within(&now));
        drop(state);
        if lost {
            self.removals.fetch_add(1, Ordering::SeqCst);
        }
        is_first
    }
}

struct Known {
    keys: Arc<KeySet>,
    fresh: bool,
}

#[cfg(test)]
mod tests;
