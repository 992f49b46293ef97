//! Whose a session is. Its id stands in URLs, which are logged, and is chosen by the client, perhaps badly: it alone
//! opens nothing.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use warp::http::header::USER_AGENT;

use crate::request::Request;

/// Who may use a session. To everybody else there is none with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Binding {
    /// The client that opened it: the same address and `User-Agent`.
    #[default]
    Client,
    /// Whoever knows its id, for clients that change their address; ids then need entropy, and URLs secrecy.
    Anybody,
}

/// One of those whom a [`Binding`] tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Owner {
    address: Option<IpAddr>,
    agent: u64,
}

/// Tells owners apart. The hashes of one are not those of another.
#[derive(Debug)]
pub(crate) struct Owners {
    binding: Binding,
    hasher: RandomState,
}

impl Owners {
    pub(crate) fn new(binding: Binding) -> Self {
        Self { binding, hasher: RandomState::new() }
    }

    pub(crate) fn of(&self, request: &Request) -> Owner {
        match self.binding {
            Binding::Anybody => Owner::default(),
            Binding::Client => Owner {
                address: request.peer.map(|address| address.to_canonical()),
                agent: self.hasher.hash_one(request.headers.get(USER_AGENT).map(|agent| agent.as_bytes())),
            },
        }
    }
}
