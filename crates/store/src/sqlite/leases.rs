//! Leases and node slots.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::fault::Fault;
use crate::integer::{signed, unsigned};
use crate::leases::lease_of_node;
use crate::{Node, NodeLease, StoreError};

impl Sqlite {
    pub(crate) async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.writer
            .write(name.len() + owner.len(), move |batch| {
                acquire(batch.connection(), &name, &owner, ttl, batch.now())
            })
            .await
    }

    pub(crate) async fn renew_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.writer
            .write(name.len() + owner.len(), move |batch| {
                renew(batch.connection(), &name, &owner, ttl, batch.now())
            })
            .await
    }

    pub(crate) async fn release_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.writer
            .write(name.len() + owner.len(), move |batch| {
                let mut statement = batch
                    .connection()
                    .prepare_cached("UPDATE leases SET expires = 0 WHERE name = ?1 AND owner = ?2")?;
                statement.execute([&name, &owner])?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn acquire_node(
        &self,
        incarnation: &str,
        ttl: Duration,
    ) -> Result<NodeLease, StoreError> {
        let incarnation = incarnation.to_owned();
        self.writer
            .write(incarnation.len(), move |batch| {
                let (connection, now) = (batch.connection(), batch.now());
                let mut slot = 1u32;
                let name = loop {
                    let name = format!("n{slot}");
                    if acquire(connection, &lease_of_node(&name), &incarnation, ttl, now)? {
                        break name;
                    }
                    slot += 1;
                };
                batch.set_node(node_number(connection, &name)?);
                Ok(NodeLease { name, incarnation: incarnation.clone() })
            })
            .await
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let now = self.clock.now();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT n.name, l.owner, l.expires > ?1, l.renewed
                     FROM nodes n JOIN leases l ON l.name = 'node/' || n.name ORDER BY n.id",
                )?;
                let mut rows = statement.query([signed(now)])?;
                let mut nodes = Vec::new();
                while let Some(row) = rows.next()? {
                    nodes.push(Node {
                        name: row.get(0)?,
                        incarnation: row.get(1)?,
                        alive: row.get(2)?,
                        renewed: unsigned(row.get(3)?),
                    });
                }
                Ok(nodes)
            })
            .await
    }
}

/// Ends the leases of all processes before: this one alone has the database now.
pub(super) fn end_all(connection: &Connection) -> Result<(), Fault> {
    connection.execute("UPDATE leases SET expires = 0 WHERE expires <> 0", [])?;
    Ok(())
}

/// The number of a node, given now if it has none.
pub(super) fn node_number(connection: &Connection, name: &str) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached("SELECT id FROM nodes WHERE name = ?1")?;
    if let Some(id) = statement.query_row([name], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    Ok(connection.prepare_cached("INSERT INTO nodes (name) VALUES (?1)")?.insert([name])?)
}

fn acquire(connection: &Connection, name: &str, owner: &str, ttl: Duration, now: u64) -> Result<bool, Fault> {
    if renew(connection, name, owner, ttl, now)? {
        return Ok(true);
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO leases (name, owner, expires, renewed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE
         SET owner = excluded.owner, expires = excluded.expires, renewed = excluded.renewed, previous = renewed
         WHERE expires <= excluded.renewed",
    )?;
    Ok(statement.execute(params![name, owner, signed(expiry(now, ttl)), signed(now)])? > 0)
}

fn renew(connection: &Connection, name: &str, owner: &str, ttl: Duration, now: u64) -> Result<bool, Fault> {
    // One given back is no longer the owner's.
    let mut statement = connection.prepare_cached(
        "UPDATE leases SET expires = ?3, renewed = ?4 WHERE name = ?1 AND owner = ?2 AND expires <> 0",
    )?;
    Ok(statement.execute(params![name, owner, signed(expiry(now, ttl)), signed(now)])? > 0)
}

fn expiry(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}
