//! Who is no longer welcome: blocked users, tokens and API keys that were revoked. Their sessions end within a second, on
//! every node and without the broker: what was taken away is counted in the store, and each node looks at the count.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mqttchat_protocol::{ErrorCode, Refusal, UserId};
use mqttchat_store::{Standing, StoreError};
use tokio::sync::Notify;

use crate::command::store_away;
use crate::deliver::BLOCKED;
use crate::hub::Hub;
use crate::mail::Handle;

/// How often the count is looked at. What is taken away just behind a look is seen at the end of the next one: after this
/// time and at most two looks, which have 350 ms each until a second has gone. A look is one read of one row, and where
/// something was taken away another read for each 1,000 users and keys; sessions hear of it at once, whatever they do.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Users and keys that are asked about at once.
const PAGE: usize = 1000;

const BLOCKED_MEANWHILE: &str = "an operator has blocked this user, and let them in again: sign in anew";
const KEY_REVOKED: &str = "this API key was revoked";
const NEWER_TOKEN: &str = "a newer token was issued for this user; use that one";
const KEY_GONE: &str = "what this token was signed with is no longer good; sign in with a fresh one";

/// How much this node knows of what was taken away.
#[derive(Debug)]
pub(crate) struct Revocations {
    /// The count for which the sessions here were, or are being, looked at.
    looked: AtomicU64,
    /// Rung when this node itself has taken something away.
    hurry: Notify,
}

impl Revocations {
    pub(crate) fn new(count: u64) -> Self {
        Self { looked: AtomicU64::new(count), hurry: Notify::new() }
    }

    /// What a store that is asked from here on knows at least.
    pub(crate) fn looked(&self) -> u64 {
        self.looked.load(Ordering::SeqCst)
    }

    /// Has the count looked at now.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl Hub {
    /// Ends the sessions of those who are no longer welcome, and follows the secrets, for as long as the node runs.
    pub(crate) async fn watch_revocations(self: Arc<Self>) {
        let mut done = self.revocations.looked();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.revocations.hurry.notified() => {}
            }
            match self.look_at_revocations(done).await {
                Ok(count) => done = count,
                // Without the store nothing new can be said or read either.
                Err(error) => tracing::debug!(%error, "it can't be seen who is no longer welcome"),
            }
        }
    }

    async fn look_at_revocations(&self, done: u64) -> Result<u64, StoreError> {
        // Both only rise, so their sum is another whenever one of them is.
        let count = self.store.revocations().await? + self.authenticator.changes();
        let fewer_secrets = self.store.turn_secrets(count != done).await?;
        if count != done || fewer_secrets {
            // Said first: whoever registers from here on looks for themselves.
            self.revocations.looked.store(count, Ordering::SeqCst);
            self.end_unwelcome(&self.people.all_sessions()).await?;
        }
        Ok(count)
    }

    /// Ends those of the sessions that are no longer good.
    async fn end_unwelcome(&self, sessions: &[Arc<Handle>]) -> Result<(), StoreError> {
        let users: HashSet<&UserId> = sessions.iter().map(|session| &session.who.user).collect();
        let users: Vec<UserId> = users.into_iter().cloned().collect();
        let keys: HashSet<u64> = sessions.iter().filter_map(|session| session.grant().key).collect();
        let keys: Vec<u64> = keys.into_iter().collect();
        let mut standings: HashMap<UserId, Standing> = HashMap::new();
        for users in users.chunks(PAGE) {
            let page = self.store.standings(users).await?;
            standings.extend(page.into_iter().map(|standing| (standing.id.clone(), standing)));
        }
        let mut revoked: HashSet<u64> = HashSet::new();
        for keys in keys.chunks(PAGE) {
            revoked.extend(self.store.revoked_apikeys(keys).await?);
        }
        for session in sessions {
            let grant = session.grant();
            let standing = standings.get(&session.who.user);
            let why = if standing.is_some_and(|standing| standing.blocked) {
                BLOCKED
            } else if grant.blocks.is_some_and(|blocks| standing.is_some_and(|now| now.blocks != blocks)) {
                BLOCKED_MEANWHILE
            } else if grant.serial.is_some_and(|serial| standing.is_some_and(|now| now.serial != serial)) {
                NEWER_TOKEN
            } else if grant.key.is_some_and(|key| revoked.contains(&key)) {
                KEY_REVOKED
            } else if !self.authenticator.still_good(&grant) {
                KEY_GONE
            } else {
                continue;
            };
            tracing::info!(session = session.id, user = %session.who.user, why, "session revoked");
            session.revoke(why);
        }
        Ok(())
    }

    /// Looks again at somebody whose session is registered now, if something was taken away since they were looked at.
    ///
    /// # Errors
    /// `unauthorized` when it was theirs, `unavailable`.
    pub(crate) async fn still_welcome(&self, handle: &Arc<Handle>) -> Result<(), Refusal> {
        if handle.grant().as_of == Some(self.revocations.looked()) {
            return Ok(());
        }
        self.end_unwelcome(std::slice::from_ref(handle)).await.map_err(store_away)?;
        match handle.is_revoked() {
            Some(why) => Err(Refusal::new(ErrorCode::Unauthorized, why)),
            None => Ok(()),
        }
    }
}
