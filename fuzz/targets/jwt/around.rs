//! What the module of the tokens finds around it in the bridge: here without a node, and with a store in memory.

use std::sync::Arc;

use mqttchat_protocol::{DisplayName, UserId};

/// A guest, whose id no token may take over.
pub const GUEST: &str = "bob";
/// A user of the application who is blocked.
pub const BLOCKED: &str = "eve";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    pub read: bool,
    pub write: bool,
    pub rooms: bool,
    pub admin: bool,
}

impl Scopes {
    pub const ALL: Self = Self { read: true, write: true, rooms: true, admin: false };
}

pub struct User {
    pub name: Arc<str>,
    pub issuer: Arc<str>,
    pub blocked: bool,
    pub blocks: u64,
}

/// How often each user has been blocked.
pub const BLOCKS: u64 = 7;

pub enum ClaimOutcome {
    Created(User),
    Taken,
}

#[derive(Debug)]
pub struct StoreError;

/// Two users, and all others come for the first time.
#[derive(Clone, Copy)]
pub struct Store;

impl Store {
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let user = |issuer: &str, blocked| User {
            name: id.as_str().into(),
            issuer: issuer.into(),
            blocked,
            blocks: BLOCKS,
        };
        Ok(match id.as_str() {
            GUEST => Some(user("guest", false)),
            BLOCKED => Some(user("jwt:shop", true)),
            _ => None,
        })
    }

    pub async fn claim_user(
        &self,
        _: &UserId,
        name: &DisplayName,
        issuer: &str,
    ) -> Result<ClaimOutcome, StoreError> {
        let (name, issuer) = (name.to_shared(), issuer.into());
        Ok(ClaimOutcome::Created(User { name, issuer, blocked: false, blocks: BLOCKS }))
    }

    pub async fn rename_user(&self, _: &UserId, _: &DisplayName) -> Result<(), StoreError> {
        Ok(())
    }
}

pub mod auth {
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use mqttchat_protocol::{Hello, Refusal, RoomId, UserId};

    use super::{Scopes, StoreError};
    use crate::jwt::KeyMark;

    #[derive(Debug)]
    pub struct Identity {
        pub user: UserId,
        pub name: Arc<str>,
        pub token: Option<String>,
        pub grant: Grant,
    }

    #[derive(Debug)]
    pub struct Grant {
        pub expires: Option<u64>,
        pub scopes: Scopes,
        pub rooms: Option<Arc<[RoomId]>>,
        pub signed: Option<Signed>,
        pub blocks: Option<u64>,
    }

    #[derive(Debug)]
    pub enum Signed {
        Secret(u32),
        Key(KeyMark),
    }

    impl Default for Grant {
        fn default() -> Self {
            Self { expires: None, scopes: Scopes::ALL, rooms: None, signed: None, blocks: None }
        }
    }

    #[derive(Clone, Debug, PartialEq)]
    pub enum Denied {
        Refused(Refusal),
        Unauthorized(String),
    }

    pub trait Authenticator {
        fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>>;
        fn still_good(&self, grant: &Grant) -> bool;
        fn changes(&self) -> u64;
    }

    pub fn store_away(_: StoreError) -> Denied {
        unreachable!("the store in memory is always there")
    }
}

pub mod deliver {
    pub const BLOCKED: &str = "this user has been blocked by the operator";
}

pub mod hub {
    use std::time::{SystemTime, UNIX_EPOCH};

    pub fn now_ms() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }
}
