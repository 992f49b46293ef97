//! Who is online on which node, and when they were last seen.

use mqttchat_protocol::UserId;

use crate::{Store, StoreError, on_backend};

impl Store {
    /// Remembers, in one write, who came online on `node` and who went offline there and when (Unix time in ms).
    /// Somebody may be online on several nodes. Unknown users are skipped. `last_seen` never moves back.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written; then nothing of it is.
    pub async fn set_presence(
        &self,
        node: &str,
        online: &[UserId],
        offline: &[(UserId, u64)],
    ) -> Result<(), StoreError> {
        on_backend!(self, backend => backend.set_presence(node, online, offline).await)
    }

    /// After a crash: takes everybody who is still marked online on `node` offline, last seen when that node last
    /// renewed its lease, and says who that was. For a node itself, between [`Store::acquire_node`] and its first
    /// [`Store::set_presence`]; for a survivor, when the node's lease has run out.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn recover_presence(&self, node: &str) -> Result<Vec<(UserId, u64)>, StoreError> {
        on_backend!(self, backend => backend.recover_presence(node).await)
    }
}
