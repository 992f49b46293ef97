//! JWT mode (docs/protocol.md §3): users of the operator's application, which signs their tokens.
//!
//! What a token says about itself decides nothing: its algorithm has to be an allowed one *and* that of the key, `kid`
//! only chooses among the keys that are there, and `jku`, `jwk` and `x5c` are not looked at.

mod cache;
mod claims;
mod keys;
mod verify;

use std::sync::Arc;

use futures::future::BoxFuture;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use mqttchat_protocol::{DisplayName, Hello};
use mqttchat_store::{ClaimOutcome, Store};

use crate::auth::{Authenticator, Denied, Grant, Identity, Signed, store_away};
use crate::deliver::BLOCKED;
use crate::hub::now_ms;

pub use cache::{FetchKeys, JwtKeys};
pub(crate) use keys::KeyMark;
pub use keys::{BadKeys, JwtAlgorithm, KeySet};

use claims::Claims;
use keys::Candidate;

/// Longer tokens are not looked at, in bytes.
const TOKEN_MAX: usize = 16 << 10;

/// What a token has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRules {
    /// How it may be signed; at least one.
    pub algorithms: Vec<JwtAlgorithm>,
    /// What its `iss` has to be, where it is given.
    pub issuer: Option<String>,
    /// One of what its `aud` has to be. Without any, a token that is for an audience is for somebody else.
    pub audience: Vec<String>,
    /// How far clocks may differ, in seconds.
    pub leeway: u64,
}

/// Signs in whoever shows a token of the operator's application.
pub struct Jwt {
    store: Store,
    rules: JwtRules,
    keys: JwtKeys,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Jwt {
    /// Users of this store who show tokens by these rules.
    #[must_use]
    pub fn new(store: Store, rules: JwtRules, keys: JwtKeys) -> Self {
        verify::install();
        Self { store, rules, keys }
    }

    /// What a token says, if it is good, and the key that it is of.
    async fn claims(&self, token: &str) -> Result<(Claims, KeyMark), Denied> {
        if token.len() > TOKEN_MAX {
            return Err(unauthorized("the token is too long"));
        }
        let header =
            decode_header(token).map_err(|_| unauthorized("this is no token that can be read here"))?;
        let algorithm = JwtAlgorithm::of(header.alg).filter(|it| self.rules.algorithms.contains(it));
        let algorithm =
            algorithm.ok_or_else(|| unauthorized("the token is signed in a way that is not allowed here"))?;
        if header.crit.is_some_and(|names| !names.is_empty()) {
            return Err(unauthorized("the token asks for what this server doesn't know (crit)"));
        }
        let candidates = self.keys.find(algorithm, header.kid.as_deref()).await?;
        let rules = self.validation(algorithm);
        let mut refused = unauthorized("the token is of a key that this server doesn't know");
        for Candidate { key, mark } in &candidates {
            match decode::<Claims>(token, key, &rules) {
                // Of an audience in another form than RFC 7519 has it, the library thinks that there is none.
                Ok(token) if self.rules.audience.is_empty() && token.claims.has_audience() => {
                    refused = claims::refused(&ErrorKind::InvalidAudience);
                }
                // To the second, the library has: "on or after" its end a token is no longer good (RFC 7519 §4.1.4).
                Ok(token) if token.claims.expires(self.rules.leeway) > now_ms() => {
                    return Ok((token.claims, *mark));
                }
                Ok(_) => refused = claims::refused(&ErrorKind::ExpiredSignature),
                Err(error) => refused = claims::refused(error.kind()),
            }
        }
        Err(refused)
    }

    fn validation(&self, algorithm: JwtAlgorithm) -> Validation {
        let mut rules = Validation::new(algorithm.into());
        rules.leeway = self.rules.leeway;
        rules.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &self.rules.issuer {
            rules.set_issuer(&[issuer]);
            required.push("iss");
        }
        if !self.rules.audience.is_empty() {
            rules.set_audience(&self.rules.audience);
            required.push("aud");
        }
        rules.set_required_spec_claims(&required);
        rules
    }

    async fn sign_in(&self, hello: &Hello) -> Result<Identity, Denied> {
        let Some(token) = &hello.token else {
            return Err(unauthorized("this server needs a token of its operator's application: data.token"));
        };
        let (claims, mark) = self.claims(token).await?;
        let user = claims.user().ok_or_else(|| unauthorized("the token's sub names nobody"))?;
        let issuer = claims.issuer();
        // What the token says wins over what the client says, and that over what was known.
        let named = claims.name().or_else(|| hello.name.clone());
        let grant = Grant {
            expires: Some(claims.expires(self.rules.leeway)),
            scopes: claims.scopes()?,
            rooms: claims.rooms()?,
            signed: Some(Signed::Key(mark)),
            ..Grant::default()
        };
        let identity = |name: Arc<str>, blocks: u64| {
            let grant = Grant { blocks: Some(blocks), ..grant };
            Identity { user: user.clone(), name, token: None, grant }
        };
        let mut known = self.store.user(&user).await.map_err(store_away)?;
        if known.is_none() {
            let name = named.clone().or_else(|| DisplayName::parse(user.as_str()));
            let name = name.ok_or_else(|| unauthorized("no name can be made from the token"))?;
            match self.store.claim_user(&user, &name, &issuer).await.map_err(store_away)? {
                ClaimOutcome::Created(user) => return Ok(identity(user.name, user.blocks)),
                // By another session of theirs at the same moment, or by somebody else.
                ClaimOutcome::Taken => known = self.store.user(&user).await.map_err(store_away)?,
            }
        }
        let known = known.filter(|known| *known.issuer == *issuer);
        let mut known =
            known.ok_or_else(|| unauthorized("this id belongs to somebody else on this server"))?;
        if known.blocked {
            return Err(unauthorized(BLOCKED));
        }
        if let Some(name) = named.filter(|name| *name.as_str() != *known.name) {
            self.store.rename_user(&user, &name).await.map_err(store_away)?;
            known.name = name.to_shared();
        }
        Ok(identity(known.name, known.blocks))
    }
}

impl Authenticator for Jwt {
    fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>> {
        Box::pin(self.sign_in(hello))
    }

    fn still_good(&self, grant: &Grant) -> bool {
        match &grant.signed {
            Some(Signed::Key(mark)) => self.keys.has(mark),
            _ => true,
        }
    }

    fn changes(&self) -> u64 {
        self.keys.removals()
    }
}

fn unauthorized(reason: &str) -> Denied {
    Denied::Unauthorized(reason.to_owned())
}

#[cfg(test)]
mod tests;
