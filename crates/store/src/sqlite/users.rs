//! Users.

use mqttchat_protocol::{DisplayName, Party, UserId};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::Sqlite;
use super::fault::Fault;
use super::rows::{user, user_columns};
use crate::integer::{signed, unsigned};
use crate::users::free_number;
use crate::{ClaimOutcome, Standing, StoreError, User};

const BY_ID: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
const PAGE: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id > ?1 ORDER BY id LIMIT ?2");
const RECENT: &str = concat!("SELECT ", user_columns!(), " FROM users ORDER BY last_seen DESC LIMIT ?1");

impl Sqlite {
    pub(crate) async fn claim_user(
        &self,
        id: &UserId,
        name: &DisplayName,
        issuer: &str,
    ) -> Result<ClaimOutcome, StoreError> {
        let (id, name, issuer) = (id.clone(), name.clone(), issuer.to_owned());
        self.writer
            .write(256, move |batch| {
                let connection = batch.connection();
                if is_taken(connection, id.as_str())? {
                    return Ok(ClaimOutcome::Taken);
                }
                let (party, now) = (batch.party_or_new(&Party::from(&id))?, signed(batch.now()));
                let mut statement = connection.prepare_cached(
                    "INSERT INTO users (party, id, name, issuer, created, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                )?;
                statement.execute(params![party, id.as_str(), name.as_str(), issuer, now])?;
                Ok(ClaimOutcome::Created(User {
                    id: id.clone(),
                    name: name.to_shared(),
                    issuer: issuer.as_str().into(),
                    serial: 1,
                    blocked: false,
                    blocks: 0,
                    created: unsigned(now),
                    last_seen: unsigned(now),
                }))
            })
            .await
    }

    pub(crate) async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.readers.read(move |connection| one(connection, &id)).await
    }

    pub(crate) async fn rename_user(&self, id: &UserId, name: &DisplayName) -> Result<bool, StoreError> {
        let (id, name) = (id.clone(), name.clone());
        self.writer
            .write(256, move |batch| {
                let mut statement =
                    batch.connection().prepare_cached("UPDATE users SET name = ?2 WHERE id = ?1")?;
                Ok(statement.execute([id.as_str(), name.as_str()])? > 0)
            })
            .await
    }

    pub(crate) async fn free_name(&self, name: &DisplayName) -> Result<DisplayName, StoreError> {
        let name = name.clone();
        self.readers
            .read(move |connection| {
                let is_free =
                    |number| is_taken(connection, &name.numbered(number).guest_id()).map(|taken| !taken);
                free_number(is_free).map(|number| name.numbered(number))
            })
            .await
    }

    pub(crate) async fn users_page(&self, after: Option<&str>, limit: u64) -> Result<Vec<User>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.readers.read(move |connection| page(connection, &after, limit)).await
    }

    pub(crate) async fn users_recent(&self, limit: u64) -> Result<Vec<User>, StoreError> {
        self.readers.read(move |connection| users(connection, RECENT, [signed(limit)])).await
    }
}

impl Sqlite {
    pub(crate) async fn revocations(&self) -> Result<u64, StoreError> {
        self.readers.read(revocations).await
    }

    pub(crate) async fn standings(&self, among: &[UserId]) -> Result<Vec<Standing>, StoreError> {
        let among = among.to_vec();
        self.readers
            .read(move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT serial, blocked, blocks FROM users WHERE id = ?1")?;
                let mut standings = Vec::with_capacity(among.len());
                for id in among {
                    let found = statement
                        .query_row([id.as_str()], |row| {
                            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, i64>(2)?))
                        })
                        .optional()?;
                    if let Some((serial, blocked, blocks)) = found {
                        let (serial, blocks) = (unsigned(serial), unsigned(blocks));
                        standings.push(Standing { id, serial, blocked, blocks });
                    }
                }
                Ok(standings)
            })
            .await
    }

    pub(crate) async fn set_blocked(&self, id: &UserId, blocked: bool) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.writer.write(256, move |batch| set_blocked(batch.connection(), &id, blocked)).await
    }
}

/// How often something was taken away.
pub(super) fn revocations(connection: &Connection) -> Result<u64, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'revocations'")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0)).optional()?.map_or(0, unsigned))
}

/// Counts that something was taken away, in the transaction that does it.
pub(super) fn count_revocation(connection: &Connection) -> Result<(), Fault> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('revocations', '1')
         ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)",
        [],
    )?;
    Ok(())
}

/// Locks a user out, or lets them in again. In a transaction.
pub(super) fn set_blocked(
    connection: &Connection,
    id: &UserId,
    blocked: bool,
) -> Result<Option<User>, Fault> {
    connection.execute(
        "UPDATE users SET blocked = ?2, blocks = blocks + ?2 WHERE id = ?1",
        params![id.as_str(), blocked],
    )?;
    count_revocation(connection)?;
    one(connection, id)
}

/// Ends a guest's tokens: those of the next serial are the valid ones. In a transaction.
pub(super) fn renew(connection: &Connection, id: &UserId) -> Result<Option<User>, Fault> {
    connection.execute("UPDATE users SET serial = serial + 1 WHERE id = ?1", [id.as_str()])?;
    count_revocation(connection)?;
    one(connection, id)
}

/// A user by id.
pub(super) fn one(connection: &Connection, id: &UserId) -> Result<Option<User>, Fault> {
    Ok(users(connection, BY_ID, [id.as_str()])?.pop())
}

/// A page of all users, by id.
pub(super) fn page(connection: &Connection, after: &str, limit: u64) -> Result<Vec<User>, Fault> {
    users(connection, PAGE, params![after, signed(limit)])
}

/// Whether somebody is locked out.
pub(super) fn is_blocked(connection: &Connection, party: &Party) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM users WHERE id = ?1 AND blocked")?;
    Ok(statement.exists([party.as_str()])?)
}

fn is_taken(connection: &Connection, id: &str) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?;
    Ok(statement.exists([id])?)
}

fn users(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<User>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        users.push(user(row)?);
    }
    Ok(users)
}
