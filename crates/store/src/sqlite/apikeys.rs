//! API keys.

use mqttchat_protocol::{DisplayName, UserId};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::Sqlite;
use super::fault::Fault;
use super::users::count_revocation;
use crate::apikeys::ISSUER;
use crate::integer::{signed, unsigned};
use crate::{ApiKey, KeyOutcome, NewApiKey, Scopes, StoreError};

macro_rules! key {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.name, u.id, u.blocked, k.scopes, k.created, k.used, k.revoked, u.blocks
             FROM apikeys k JOIN users u ON u.party = k.party ",
            $rest
        )
    };
}

const BY_HASH: &str = key!("WHERE k.hash = ?1 AND k.revoked IS NULL");
const BY_ID: &str = key!("WHERE k.id = ?1");
const ALL: &str = key!("ORDER BY k.id");

impl Sqlite {
    pub(crate) async fn apikey(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let hash = *hash;
        self.readers.read(move |connection| Ok(keys(connection, BY_HASH, [&hash[..]])?.pop())).await
    }

    pub(crate) async fn revoked_apikeys(&self, among: &[u64]) -> Result<Vec<u64>, StoreError> {
        let among = among.to_vec();
        self.readers
            .read(move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT 1 FROM apikeys WHERE id = ?1 AND revoked IS NULL")?;
                let mut revoked = Vec::new();
                for id in among {
                    if !statement.exists([signed(id)])? {
                        revoked.push(id);
                    }
                }
                Ok(revoked)
            })
            .await
    }

    pub(crate) async fn use_apikey(&self, id: u64) -> Result<(), StoreError> {
        self.writer
            .write(64, move |batch| {
                let mut statement =
                    batch.connection().prepare_cached("UPDATE apikeys SET used = ?2 WHERE id = ?1")?;
                statement.execute([signed(id), signed(batch.now())])?;
                Ok(())
            })
            .await
    }
}

/// Makes a key and, where there is none, its user. In a transaction.
pub(super) fn create(
    connection: &Connection,
    new: &NewApiKey,
    user: &UserId,
    now: u64,
) -> Result<KeyOutcome, Fault> {
    connection.execute("INSERT INTO parties (name) VALUES (?1) ON CONFLICT DO NOTHING", [user.as_str()])?;
    connection.execute(
        "INSERT INTO users (party, id, name, issuer, created, last_seen)
         SELECT id, ?1, ?2, ?3, ?4, ?4 FROM parties WHERE name = ?1 ON CONFLICT DO NOTHING",
        params![user.as_str(), new.name.as_str(), ISSUER, signed(now)],
    )?;
    let party: Option<i64> = connection
        .query_row(
            "SELECT party FROM users WHERE id = ?1 AND name = ?2 AND issuer = ?3",
            [user.as_str(), new.name.as_str(), ISSUER],
            |row| row.get(0),
        )
        .optional()?;
    let Some(party) = party else { return Ok(KeyOutcome::UserTaken(user.clone())) };
    let made = connection.execute(
        "INSERT INTO apikeys (name, hash, party, scopes, created) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        params![new.name.as_str(), &new.secret.hash()[..], party, new.scopes.to_string(), signed(now)],
    )?;
    if made == 0 {
        return Ok(KeyOutcome::Exists);
    }
    let key = keys(connection, BY_ID, [connection.last_insert_rowid()])?.pop();
    key.map(KeyOutcome::Made).ok_or_else(|| Fault::Unreadable("a key that was made is not there".into()))
}

/// All keys.
pub(super) fn list(connection: &Connection) -> Result<Vec<ApiKey>, Fault> {
    keys(connection, ALL, [])
}

/// Revokes the key of this name that isn't.
pub(super) fn revoke(connection: &Connection, name: &DisplayName, now: u64) -> Result<bool, Fault> {
    let revoked = connection.execute(
        "UPDATE apikeys SET revoked = ?2 WHERE name = ?1 AND revoked IS NULL",
        params![name.as_str(), signed(now)],
    )?;
    if revoked > 0 {
        count_revocation(connection)?;
    }
    Ok(revoked > 0)
}

fn keys(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<ApiKey>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(key(row)?);
    }
    Ok(keys)
}

fn key(row: &Row<'_>) -> Result<ApiKey, Fault> {
    let unreadable = || Fault::Unreadable("an api key's user or scopes".into());
    Ok(ApiKey {
        id: unsigned(row.get(0)?),
        name: row.get::<_, String>(1)?.into(),
        user: UserId::parse(&row.get::<_, String>(2)?).ok_or_else(unreadable)?,
        blocked: row.get(3)?,
        scopes: Scopes::parse(&row.get::<_, String>(4)?).ok_or_else(unreadable)?,
        created: unsigned(row.get(5)?),
        used: row.get::<_, Option<i64>>(6)?.map(unsigned),
        revoked: row.get::<_, Option<i64>>(7)?.map(unsigned),
        blocks: unsigned(row.get(8)?),
    })
}
