//! Who somebody is: what a `hello` proves.

use std::sync::Arc;

use futures::future::BoxFuture;
use mqttchat_protocol::{ApiSecret, DisplayName, ErrorCode, Hello, Refusal, RoomId, Token, UserId};
use mqttchat_store::{ClaimOutcome, Scopes, Store, User};

use crate::deliver::{BLOCKED, unavailable};
use crate::hub::Hub;
use crate::jwt::KeyMark;

/// Whom a session belongs to.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The name that is shown.
    pub name: Arc<str>,
    /// What proves it next time, where this server issues tokens.
    pub token: Option<String>,
    /// For how long, and for what.
    pub grant: Grant,
}

/// What somebody was signed in for, and what ends it. By itself all that a user may do, for as long as they like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// When it ends, Unix time in ms: sessions are closed with 4401 then, unless a fresh token came before.
    pub expires: Option<u64>,
    /// What it is for; what else is asked is `forbidden`.
    pub scopes: Scopes,
    /// The rooms that it is for; `None`: all that the user may see.
    pub rooms: Option<Arc<[RoomId]>>,
    /// The serial of the guest token that was shown, which ends with the next one that is issued.
    pub(crate) serial: Option<u64>,
    /// How often the user had been locked out; one more time ends it.
    pub(crate) blocks: Option<u64>,
    /// The API key that was shown, by its number.
    pub(crate) key: Option<u64>,
    /// What the token that was shown, or given for it, is signed with.
    pub(crate) signed: Option<Signed>,
    /// What the node knew of revocations before the user was looked at.
    pub(crate) as_of: Option<u64>,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            expires: None,
            scopes: Scopes::ALL,
            rooms: None,
            serial: None,
            blocks: None,
            key: None,
            signed: None,
            as_of: None,
        }
    }
}

/// What a token is signed with: without it the token is no longer good, and neither is a session that it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// The master secret of this id.
    Secret(u32),
    /// A key of the operator's application.
    Key(KeyMark),
}

/// Why nobody was signed in.
#[derive(Clone, Debug, PartialEq)]
pub enum Denied {
    /// Something can be mended: the socket stays open for another try.
    Refused(Refusal),
    /// The token is no good: the session ends with 4401.
    Unauthorized(String),
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(refusal) => refusal,
            Denied::Unauthorized(reason) => Self::new(ErrorCode::Unauthorized, reason),
        }
    }
}

/// Decides who somebody is.
pub trait Authenticator: Send + Sync {
    /// Signs somebody in, or says why not. Called once for each `hello` and each token that a program or a session
    /// shows; texts that begin with `mck_` are API keys, which never come here.
    fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>>;

    /// Who vouches for these users, for an authenticator with users of its own, such as the name of the application:
    /// whom it signs in becomes a user of this server at their first visit, under the name that it gives. An id that
    /// came here by anybody else (a guest, say) is not let in: chats are never inherited. `None`: it keeps the
    /// server's users itself.
    fn issuer(&self) -> Option<&str> {
        None
    }

    /// Whether what somebody was signed in for still holds. Asked for open sessions after something was taken away from
    /// anybody, or [`Authenticator::changes`] has risen; `false` ends the session with 4401.
    fn still_good(&self, grant: &Grant) -> bool {
        let _ = grant;
        true
    }

    /// A number that rises whenever [`Authenticator::still_good`] may have something new to say. Asked several times a
    /// second.
    fn changes(&self) -> u64 {
        0
    }
}

impl Hub {
    /// Signs somebody in, and sees to it that they are a user of this server.
    ///
    /// # Errors
    /// [`Denied`], of the authenticator, or since the store is away.
    pub(crate) async fn identify(self: &Arc<Self>, hello: &Hello) -> Result<Identity, Denied> {
        if let Some(key) = hello.token.as_deref().filter(|token| ApiSecret::is_meant(token)) {
            return self.apikey(key).await;
        }
        let as_of = self.revocations.looked();
        let mut identity = self.authenticator.authenticate(hello).await?;
        identity.grant.as_of = Some(as_of);
        if let Some(issuer) = self.authenticator.issuer() {
            // What the application calls them may be no name to show; an id always is one.
            let name =
                DisplayName::parse(&identity.name).or_else(|| DisplayName::parse(identity.user.as_str()));
            let Some(name) = name else { return Ok(identity) };
            identity.name = name.to_shared();
            identity.grant.blocks = Some(self.vouch(issuer, &identity.user, &name).await?);
        }
        Ok(identity)
    }

    /// Makes somebody a user of this server, or sees that they are one already, of the same issuer. Gives how often they
    /// were locked out ([`User::blocks`]).
    ///
    /// # Errors
    /// [`Denied`]: the id is somebody else's, or blocked, or the store is away.
    pub(crate) async fn vouch(&self, issuer: &str, user: &UserId, name: &DisplayName) -> Result<u64, Denied> {
        let known = match self.store.user(user).await.map_err(store_away)? {
            None => match self.store.claim_user(user, name, issuer).await.map_err(store_away)? {
                ClaimOutcome::Created(user) => return Ok(user.blocks),
                // By another session of theirs at the same moment, or by somebody else.
                ClaimOutcome::Taken => self.store.user(user).await.map_err(store_away)?,
            },
            known => known,
        };
        let unauthorized = |reason: &str| Err(Denied::Unauthorized(reason.to_owned()));
        match known {
            Some(user) if &*user.issuer != issuer => {
                unauthorized("this id belongs to somebody else on this server")
            }
            Some(user) if user.blocked => unauthorized(BLOCKED),
            Some(user) if *user.name != *name.as_str() => {
                self.store.rename_user(&user.id, name).await.map_err(store_away)?;
                Ok(user.blocks)
            }
            known => Ok(known.map_or(0, |user| user.blocks)),
        }
    }
}

/// Guest mode (docs/protocol.md §3): whoever comes first with a name gets its id, and keeps it by a signed token.
#[derive(Debug)]
pub struct Guests {
    store: Store,
}

/// Who vouches for guests.
const ISSUER: &str = "guest";

impl Guests {
    /// Guests of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn returning(&self, token: &str, hello: &Hello) -> Result<Identity, Denied> {
        let keys = self.store.keyring();
        // Before the token is looked at: should the secret be rotated meanwhile, the session is of the old one.
        let signing = keys.signing();
        let unauthorized = |reason: &str| Denied::Unauthorized(reason.to_owned());
        let known = Token::verify(token, &keys).map_err(|error| unauthorized(&error.to_string()))?;
        let user = self.store.user(&known.user).await.map_err(store_away)?;
        let user = user.filter(|user| &*user.issuer == ISSUER);
        let mut user =
            user.ok_or_else(|| unauthorized("the token is of a user that this server doesn't know"))?;
        if known.serial != user.serial {
            return Err(unauthorized("a newer token was issued for this user; use that one"));
        }
        if user.blocked {
            return Err(unauthorized(BLOCKED));
        }
        if let Some(name) = &hello.name
            && name.as_str() != &*user.name
        {
            self.store.rename_user(&user.id, name).await.map_err(store_away)?;
            user.name = name.to_shared();
        }
        Ok(self.identity(&user, signing))
    }

    async fn new_guest(&self, hello: &Hello) -> Result<Identity, Denied> {
        let signing = self.store.keyring().signing();
        let Some(name) = &hello.name else {
            let reason = "data.name is missing: say who you are, or send the token of an earlier session";
            return Err(Denied::Refused(Refusal::new(ErrorCode::BadFrame, reason)));
        };
        let id = UserId::parse(&name.guest_id());
        let id = id.ok_or_else(|| {
            Denied::Refused(Refusal::new(ErrorCode::BadFrame, "no id can be made from this name"))
        })?;
        match self.store.claim_user(&id, name, ISSUER).await.map_err(store_away)? {
            ClaimOutcome::Created(user) => Ok(self.identity(&user, signing)),
            ClaimOutcome::Taken => {
                let free = self.store.free_name(name).await.map_err(store_away)?;
                let reason = format!("the name {name} belongs to somebody else; {free} is free");
                let mut refusal = Refusal::new(ErrorCode::NameTaken, reason);
                refusal.suggestion = Some(free.to_string());
                Err(Denied::Refused(refusal))
            }
        }
    }

    fn identity(&self, user: &User, signing: u32) -> Identity {
        let token = Token { user: user.id.clone(), serial: user.serial }.issue(&self.store.keyring());
        let signed = Some(Signed::Secret(signing));
        let (serial, blocks) = (Some(user.serial), Some(user.blocks));
        let grant = Grant { serial, blocks, signed, ..Grant::default() };
        Identity { user: user.id.clone(), name: user.name.clone(), token: Some(token), grant }
    }
}

impl Authenticator for Guests {
    fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>> {
        Box::pin(async move {
            match &hello.token {
                Some(token) => self.returning(token, hello).await,
                None => self.new_guest(hello).await,
            }
        })
    }

    fn still_good(&self, grant: &Grant) -> bool {
        match grant.signed {
            Some(Signed::Secret(id)) => self.store.keyring().has(id),
            _ => true,
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "maps an error")]
pub(crate) fn store_away(error: mqttchat_store::StoreError) -> Denied {
    tracing::warn!(%error, "nobody can be signed in");
    Denied::Refused(unavailable())
}
