//! Leases: what only one process may do, for as long as it says so in time.

use std::time::Duration;

use crate::{Store, StoreError, on_backend};

/// A node's slot, held by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLease {
    /// The node: `n1`, `n2`, … the lowest that was free.
    pub name: String,
    /// Who holds it.
    pub incarnation: String,
}

impl NodeLease {
    /// The name of its lease, for [`Store::renew_lease`] and [`Store::release_lease`].
    #[must_use]
    pub fn lease(&self) -> String {
        lease_of_node(&self.name)
    }
}

pub(crate) fn lease_of_node(node: &str) -> String {
    format!("node/{node}")
}

/// A node that there is or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Who holds or last held its lease.
    pub incarnation: String,
    /// Whether its lease has not run out.
    pub alive: bool,
    /// When its lease was last renewed, Unix time in ms.
    pub renewed: u64,
}

impl Store {
    /// Takes a lease for `ttl` if nobody else has it; says whether `owner` has it now. Whoever has it may take it again.
    ///
    /// Time is the store's, so nodes whose clocks differ agree. A SQLite store is one process's: opening it ends all
    /// leases of those before.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn acquire_lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<bool, StoreError> {
        on_backend!(self, backend => backend.acquire_lease(name, owner, ttl).await)
    }

    /// Keeps a lease for another `ttl`; `false` when `owner` no longer has it. One that has run out can still be
    /// renewed while nobody has taken it.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn renew_lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<bool, StoreError> {
        on_backend!(self, backend => backend.renew_lease(name, owner, ttl).await)
    }

    /// Gives a lease back, if `owner` has it.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        on_backend!(self, backend => backend.release_lease(name, owner).await)
    }

    /// Takes the lowest free node slot, so that a single node that restarts is the same node again. From here on this
    /// store's appends are that node's (see [`Store::unconfirmed`]).
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn acquire_node(&self, incarnation: &str, ttl: Duration) -> Result<NodeLease, StoreError> {
        on_backend!(self, backend => backend.acquire_node(incarnation, ttl).await)
    }

    /// All nodes that there ever were, with whether they are alive.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        on_backend!(self, backend => backend.nodes().await)
    }
}
