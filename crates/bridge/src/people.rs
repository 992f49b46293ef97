//! The users who are signed in on this node, and their sessions.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mqttchat_protocol::{Conversation, UserId};

use crate::budget::Budget;
use crate::mail::Handle;
use crate::options::{OtherRates, Rates};
use crate::roster::LINGER;

/// Everybody who is here.
#[derive(Debug)]
pub(crate) struct People {
    users: Mutex<HashMap<UserId, Local>>,
    /// The budgets of those who send without a session, until they are full again.
    visitors: Mutex<HashMap<UserId, Arc<Mutex<Budget>>>>,
    watched: Mutex<HashMap<UserId, HashMap<Conversation, usize>>>,
    changed: Mutex<HashSet<UserId>>,
    sessions: AtomicUsize,
    rates: Rates,
    other_rates: OtherRates,
}

#[derive(Debug)]
struct Local {
    sessions: Vec<Arc<Handle>>,
    budget: Arc<Mutex<Budget>>,
    lingers_until: Option<Instant>,
    left_at: u64,
    /// Whether the others have been told that they are here.
    announced: bool,
}

/// Users whose state has changed since it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// They have come, and the name that is shown.
    pub(crate) online: Vec<(UserId, Arc<str>)>,
    /// They have gone, and when, Unix time in ms.
    pub(crate) offline: Vec<(UserId, u64)>,
}

impl People {
    pub(crate) fn new(rates: Rates, other_rates: OtherRates) -> Self {
        Self {
            users: Mutex::default(),
            visitors: Mutex::default(),
            watched: Mutex::default(),
            changed: Mutex::default(),
            sessions: AtomicUsize::new(0),
            rates,
            other_rates,
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Local>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visitors(&self) -> MutexGuard<'_, HashMap<UserId, Arc<Mutex<Budget>>>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_budget(&self) -> Arc<Mutex<Budget>> {
        Arc::new(Mutex::new(Budget::new(self.rates, self.other_rates, Instant::now())))
    }

    /// The budget of a user, whether they have a session or not.
    pub(crate) fn budget_of(&self, user: &UserId) -> Arc<Mutex<Budget>> {
        if let Some(local) = self.users().get(user) {
            return local.budget.clone();
        }
        self.visitors().entry(user.clone()).or_insert_with(|| self.new_budget()).clone()
    }

    /// Adds a session. Returns the budget of its user.
    pub(crate) fn arrive(&self, handle: &Arc<Handle>) -> Arc<Mutex<Budget>> {
        self.sessions.fetch_add(1, Ordering::AcqRel);
        let mut users = self.users();
        let local = users.entry(handle.who.user.clone()).or_insert_with(|| Local {
            sessions: Vec::new(),
            budget: self.visitors().remove(&handle.who.user).unwrap_or_else(|| self.new_budget()),
            lingers_until: None,
            left_at: 0,
            announced: false,
        });
        local.sessions.push(handle.clone());
        local.lingers_until = None;
        if !local.announced {
            self.note(&handle.who.user);
        }
        local.budget.clone()
    }

    /// Removes a session. With `linger` its user is gone only after a while, unless they come back.
    pub(crate) fn depart(&self, handle: &Arc<Handle>, linger: bool) {
        self.sessions.fetch_sub(1, Ordering::AcqRel);
        let mut users = self.users();
        let Some(local) = users.get_mut(&handle.who.user) else { return };
        local.sessions.retain(|session| !Arc::ptr_eq(session, handle));
        if local.sessions.is_empty() {
            local.left_at = handle.left_at();
            local.lingers_until =
                Some(Instant::now() + if linger { LINGER } else { std::time::Duration::ZERO });
            self.note(&handle.who.user);
        }
    }

    fn note(&self, user: &UserId) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(user.clone());
    }

    /// Who has come and gone since the last time. Those who still linger come up again.
    pub(crate) fn changes(&self, now: Instant) -> Changes {
        let noted = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        self.visitors().retain(|_, budget| {
            Arc::strong_count(budget) > 1
                || !budget.lock().unwrap_or_else(PoisonError::into_inner).is_full(now)
        });
        let mut changes = Changes::default();
        let mut users = self.users();
        for user in noted {
            let Some(local) = users.get_mut(&user) else { continue };
            if let Some(session) = local.sessions.first() {
                if !std::mem::replace(&mut local.announced, true) {
                    changes.online.push((user, session.who.name.clone()));
                }
            } else if local.lingers_until.is_some_and(|until| until > now) {
                self.note(&user);
            } else {
                // Even if they came after the last time: their session may have told the broker, and joins have shown it.
                let left_at = local.left_at;
                if let Some(local) = users.remove(&user) {
                    self.visitors().insert(user.clone(), local.budget);
                }
                changes.offline.push((user, left_at));
            }
        }
        changes
    }

    /// The sessions of a user on this node.
    pub(crate) fn sessions_of(&self, user: &UserId) -> Vec<Arc<Handle>> {
        self.users().get(user).map(|local| local.sessions.clone()).unwrap_or_default()
    }

    /// Whether a user is here, or was a moment ago.
    pub(crate) fn is_online(&self, user: &UserId) -> bool {
        self.users().contains_key(user)
    }

    /// Every session.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<Handle>> {
        self.users().values().flat_map(|local| local.sessions.iter().cloned()).collect()
    }

    /// Every user who has a session, and the name that is shown.
    pub(crate) fn everybody(&self) -> Vec<(UserId, Arc<str>)> {
        let users = self.users();
        let named = users.iter().filter_map(|(user, local)| Some((user, local.sessions.first()?)));
        named.map(|(user, session)| (user.clone(), session.who.name.clone())).collect()
    }

    /// How many sessions there are.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    /// How many users there are.
    pub(crate) fn user_count(&self) -> usize {
        self.users().len()
    }

    /// Somebody in `conversation` wants to know how `user` is.
    pub(crate) fn watch(&self, user: &UserId, conversation: &Conversation) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        *watched.entry(user.clone()).or_default().entry(conversation.clone()).or_default() += 1;
    }

    /// They no longer do.
    pub(crate) fn unwatch(&self, user: &UserId, conversation: &Conversation) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(conversations) = watched.get_mut(user) else { return };
        if let Some(count) = conversations.get_mut(conversation) {
            *count -= 1;
            if *count == 0 {
                conversations.remove(conversation);
            }
        }
        if conversations.is_empty() {
            watched.remove(user);
        }
    }

    /// The conversations in which somebody wants to know how `user` is.
    pub(crate) fn watchers(&self, user: &UserId) -> Vec<Conversation> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get(user).map(|conversations| conversations.keys().cloned().collect()).unwrap_or_default()
    }
}
