//! Leases and node slots.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Postgres;
use super::rows::{all, number, value};
use super::time::now;
use crate::leases::lease_of_node;
use crate::{Node, NodeLease, StoreError};

/// One's own that was not given back is renewed; one that has run out is taken.
pub(super) const ACQUIRE: &str = concat!(
    "INSERT INTO leases AS l (name, owner, expires, renewed)
     SELECT $1, $2, t.now + $3, t.now FROM (SELECT ",
    now!("$4"),
    " AS now) t
     ON CONFLICT (name) DO UPDATE SET
         owner = excluded.owner, expires = excluded.expires, renewed = excluded.renewed,
         previous = CASE WHEN l.owner = excluded.owner AND l.expires <> 0 THEN l.previous ELSE l.renewed END
     WHERE l.expires <= excluded.renewed OR (l.owner = excluded.owner AND l.expires <> 0)
     RETURNING 1"
);

const RENEW: &str = concat!(
    "UPDATE leases SET expires = t.now + $3, renewed = t.now FROM (SELECT ",
    now!("$4"),
    " AS now) t WHERE name = $1 AND owner = $2 AND expires <> 0 RETURNING 1"
);

const NODES: &str = concat!(
    "SELECT n.name, l.owner, l.expires > ",
    now!("$1"),
    ", l.renewed FROM nodes n JOIN leases l ON l.name = 'node/' || n.name ORDER BY n.id"
);

const NODE_NUMBER: &str = "
    INSERT INTO nodes (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";

impl Postgres {
    pub(crate) async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.lease(ACQUIRE, name, owner, ttl).await
    }

    pub(crate) async fn renew_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.lease(RENEW, name, owner, ttl).await
    }

    async fn lease(
        &self,
        sql: &'static str,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        // A hundred years: what is added to the time must not overflow.
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).min(3_155_760_000_000);
        let rows = self.pool.write(&[(sql, &[&name, &owner, &ttl, &self.hand()])]).await?;
        Ok(rows.iter().any(|rows| !rows.is_empty()))
    }

    pub(crate) async fn release_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        self.pool
            .write(&[("UPDATE leases SET expires = 0 WHERE name = $1 AND owner = $2", &[&name, &owner])])
            .await?;
        Ok(())
    }

    pub(crate) async fn acquire_node(
        &self,
        incarnation: &str,
        ttl: Duration,
    ) -> Result<NodeLease, StoreError> {
        let mut slot = 1u32;
        let name = loop {
            let name = format!("n{slot}");
            if self.acquire_lease(&lease_of_node(&name), incarnation, ttl).await? {
                break name;
            }
            slot += 1;
        };
        let rows = self.pool.write(&[(NODE_NUMBER, &[&name])]).await?;
        let Some(row) = rows.first().and_then(|rows| rows.first()) else { return Err(StoreError::closed()) };
        let number = value(row, 0).map_err(|fault| StoreError::from(&fault))?;
        self.writer.node.store(number, Ordering::Relaxed);
        Ok(NodeLease { name, incarnation: incarnation.to_owned() })
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let rows = self.pool.read(NODES, &[&self.hand()]).await?;
        all(&rows, |row| {
            Ok(Node {
                name: value(row, 0)?,
                incarnation: value(row, 1)?,
                alive: value(row, 2)?,
                renewed: number(row, 3)?,
            })
        })
    }
}
