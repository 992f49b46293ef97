//! Who is online where, and when they were last seen.

use mqttchat_protocol::UserId;
use rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::fault::Fault;
use super::leases::node_number;
use super::rows::parsed;
use crate::StoreError;
use crate::integer::{signed, unsigned};
use crate::leases::lease_of_node;

impl Sqlite {
    pub(crate) async fn set_presence(
        &self,
        node: &str,
        online: &[UserId],
        offline: &[(UserId, u64)],
    ) -> Result<(), StoreError> {
        if online.is_empty() && offline.is_empty() {
            return Ok(());
        }
        let (node, online, offline) = (node.to_owned(), online.to_vec(), offline.to_vec());
        self.writer
            .write(64 * (online.len() + offline.len()), move |batch| {
                let connection = batch.connection();
                let node = node_number(connection, &node)?;
                let mut come = connection.prepare_cached(
                    "INSERT INTO presence (node, party) SELECT ?1, party FROM users WHERE id = ?2
                     ON CONFLICT DO NOTHING",
                )?;
                for user in &online {
                    come.execute(params![node, user.as_str()])?;
                }
                let mut go = connection.prepare_cached(
                    "DELETE FROM presence WHERE node = ?1 AND party = (SELECT party FROM users WHERE id = ?2)",
                )?;
                for (user, time) in &offline {
                    go.execute(params![node, user.as_str()])?;
                    seen(connection, user, *time)?;
                }
                Ok(())
            })
            .await
    }

    pub(crate) async fn recover_presence(&self, node: &str) -> Result<Vec<(UserId, u64)>, StoreError> {
        let node = node.to_owned();
        self.writer
            .write(node.len(), move |batch| {
                let (connection, now) = (batch.connection(), batch.now());
                let number = node_number(connection, &node)?;
                let time = last_heartbeat(connection, &node, now)?;
                let gone = marked(connection, number)?;
                for user in &gone {
                    seen(connection, user, time)?;
                }
                connection.prepare_cached("DELETE FROM presence WHERE node = ?1")?.execute([number])?;
                Ok(gone.into_iter().map(|user| (user, time)).collect())
            })
            .await
    }
}

/// When the node's former process last renewed its lease: of a lease that is held, the one before that holds it.
fn last_heartbeat(connection: &Connection, node: &str, now: u64) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT CASE WHEN expires > ?2 THEN previous ELSE renewed END FROM leases WHERE name = ?1",
    )?;
    let time: Option<Option<i64>> =
        statement.query_row(params![lease_of_node(node), signed(now)], |row| row.get(0)).optional()?;
    Ok(time.flatten().map_or(now, unsigned).min(now))
}

fn marked(connection: &Connection, node: i64) -> Result<Vec<UserId>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id FROM presence o JOIN users u ON u.party = o.party WHERE o.node = ?1 ORDER BY u.id",
    )?;
    let mut rows = statement.query([node])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        users.push(parsed(row, 0, UserId::parse)?);
    }
    Ok(users)
}

fn seen(connection: &Connection, user: &UserId, time: u64) -> Result<(), Fault> {
    let mut statement =
        connection.prepare_cached("UPDATE users SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2")?;
    statement.execute(params![user.as_str(), signed(time)])?;
    Ok(())
}
