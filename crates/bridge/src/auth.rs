//! Who somebody is: what a `hello` proves.

use std::sync::Arc;

use futures::future::BoxFuture;
use mqttchat_protocol::{ErrorCode, Hello, Refusal, Token, UserId};
use mqttchat_store::{ClaimOutcome, Store, User};

use crate::deliver::unavailable;

/// Whom a session belongs to.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The name that is shown.
    pub name: Arc<str>,
    /// What proves it next time, where this server issues tokens.
    pub token: Option<String>,
}

/// Why nobody was signed in.
#[derive(Clone, Debug, PartialEq)]
pub enum Denied {
    /// Something can be mended: the socket stays open for another try.
    Refused(Refusal),
    /// The token is no good: the session ends with 4401.
    Unauthorized(String),
}

/// Decides who somebody is.
pub trait Authenticator: Send + Sync {
    /// Signs somebody in, or says why not. Called once for each `hello`.
    fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>>;
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
            return Err(unauthorized("this user has been blocked by the operator"));
        }
        if let Some(name) = &hello.name
            && name.as_str() != &*user.name
        {
            self.store.rename_user(&user.id, name).await.map_err(store_away)?;
            user.name = name.to_shared();
        }
        Ok(self.identity(&user))
    }

    async fn new_guest(&self, hello: &Hello) -> Result<Identity, Denied> {
        let Some(name) = &hello.name else {
            let reason = "data.name is missing: say who you are, or send the token of an earlier session";
            return Err(Denied::Refused(Refusal::new(ErrorCode::BadFrame, reason)));
        };
        let id = UserId::parse(&name.guest_id());
        let id = id.ok_or_else(|| {
            Denied::Refused(Refusal::new(ErrorCode::BadFrame, "no id can be made from this name"))
        })?;
        match self.store.claim_user(&id, name, ISSUER).await.map_err(store_away)? {
            ClaimOutcome::Created(user) => Ok(self.identity(&user)),
            ClaimOutcome::Taken => {
                let free = self.store.free_name(name).await.map_err(store_away)?;
                let reason = format!("the name {name} belongs to somebody else; {free} is free");
                let mut refusal = Refusal::new(ErrorCode::NameTaken, reason);
                refusal.suggestion = Some(free.to_string());
                Err(Denied::Refused(refusal))
            }
        }
    }

    fn identity(&self, user: &User) -> Identity {
        let token = Token { user: user.id.clone(), serial: user.serial }.issue(&self.store.keyring());
        Identity { user: user.id.clone(), name: user.name.clone(), token: Some(token) }
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
}

#[allow(clippy::needless_pass_by_value, reason = "maps an error")]
fn store_away(error: mqttchat_store::StoreError) -> Denied {
    tracing::warn!(%error, "nobody can be signed in");
    Denied::Refused(unavailable())
}
