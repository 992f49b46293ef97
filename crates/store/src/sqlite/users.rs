//! Users.

use mqttchat_protocol::{DisplayName, Party, UserId};
use rusqlite::{Connection, Params, params};

use super::Sqlite;
use super::fault::Fault;
use super::rows::{user, user_columns};
use crate::integer::{signed, unsigned};
use crate::users::free_number;
use crate::{ClaimOutcome, StoreError, User};

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
                    created: unsigned(now),
                    last_seen: unsigned(now),
                }))
            })
            .await
    }

    pub(crate) async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.readers.read(move |connection| Ok(users(connection, BY_ID, [id.as_str()])?.pop())).await
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
        self.readers.read(move |connection| users(connection, PAGE, params![after, signed(limit)])).await
    }

    pub(crate) async fn users_recent(&self, limit: u64) -> Result<Vec<User>, StoreError> {
        self.readers.read(move |connection| users(connection, RECENT, [signed(limit)])).await
    }
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
