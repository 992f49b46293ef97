//! API keys.

use mqttchat_protocol::{DisplayName, UserId};
use tokio_postgres::Row;

use super::Postgres;
use super::fault::Fault;
use super::rows::{all, number, parsed, value};
use super::time::now;
use super::users::COUNT_REVOCATION;
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

const BY_HASH: &str = key!("WHERE k.hash = $1 AND k.revoked IS NULL");
const BY_NAME: &str = key!("WHERE k.name = $1 AND k.revoked IS NULL");
const ALL: &str = key!("ORDER BY k.id");

const CLAIM: &str = concat!(
    "INSERT INTO users (party, id, name, issuer, created, last_seen)
     SELECT p.id, $1, $2, $3, t.now, t.now FROM parties p, (SELECT ",
    now!("$4"),
    " AS now) t WHERE p.name = $1 ON CONFLICT DO NOTHING"
);

const CREATE: &str = concat!(
    "INSERT INTO apikeys (name, hash, party, scopes, created)
     SELECT u.name, $4, u.party, $5, ",
    now!("$6"),
    " FROM users u WHERE u.id = $1 AND u.name = $2 AND u.issuer = $3 ON CONFLICT DO NOTHING RETURNING 1"
);

const USE: &str = concat!("UPDATE apikeys SET used = ", now!("$2"), " WHERE id = $1");
const REVOKE: &str =
    concat!("UPDATE apikeys SET revoked = ", now!("$2"), " WHERE name = $1 AND revoked IS NULL RETURNING 1");

impl Postgres {
    pub(crate) async fn apikey(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        Ok(all(&self.pool.read(BY_HASH, &[&&hash[..]]).await?, key)?.pop())
    }

    pub(crate) async fn revoked_apikeys(&self, among: &[u64]) -> Result<Vec<u64>, StoreError> {
        let among: Vec<i64> = among.iter().copied().map(signed).collect();
        let sql = "SELECT a.id FROM unnest($1::bigint[]) a (id)
                   WHERE NOT EXISTS (SELECT FROM apikeys k WHERE k.id = a.id AND k.revoked IS NULL)";
        all(&self.pool.read(sql, &[&among]).await?, |row| number(row, 0))
    }

    pub(crate) async fn use_apikey(&self, id: u64) -> Result<(), StoreError> {
        self.pool.write(&[(USE, &[&signed(id), &self.hand()])]).await.map(|_| ())
    }

    pub(crate) async fn create_apikey(
        &self,
        new: &NewApiKey,
        user: &UserId,
    ) -> Result<KeyOutcome, StoreError> {
        let (id, name, now, hash) = (user.as_str(), new.name.as_str(), self.hand(), new.secret.hash());
        let rows = self
            .pool
            .write(&[
                ("INSERT INTO parties (name) VALUES ($1) ON CONFLICT DO NOTHING", &[&id]),
                (CLAIM, &[&id, &name, &ISSUER, &now]),
                (CREATE, &[&id, &name, &ISSUER, &&hash[..], &new.scopes.to_string(), &now]),
            ])
            .await?;
        let made = rows.last().is_some_and(|rows| !rows.is_empty());
        let there = all(&self.pool.read(BY_NAME, &[&name]).await?, key)?.pop();
        Ok(match there {
            Some(key) if made => KeyOutcome::Made(key),
            Some(_) => KeyOutcome::Exists,
            None => KeyOutcome::UserTaken(user.clone()),
        })
    }

    pub(crate) async fn apikeys(&self) -> Result<Vec<ApiKey>, StoreError> {
        all(&self.pool.read(ALL, &[]).await?, key)
    }

    pub(crate) async fn revoke_apikey(&self, name: &DisplayName) -> Result<bool, StoreError> {
        let rows =
            self.pool.write(&[(REVOKE, &[&name.as_str(), &self.hand()]), (COUNT_REVOCATION, &[])]).await?;
        Ok(rows.first().is_some_and(|rows| !rows.is_empty()))
    }
}

fn key(row: &Row) -> Result<ApiKey, Fault> {
    Ok(ApiKey {
        id: number(row, 0)?,
        name: value::<&str>(row, 1)?.into(),
        user: parsed(row, 2, UserId::parse)?,
        blocked: value(row, 3)?,
        scopes: parsed(row, 4, Scopes::parse)?,
        created: number(row, 5)?,
        used: value::<Option<i64>>(row, 6)?.map(unsigned),
        revoked: value::<Option<i64>>(row, 7)?.map(unsigned),
        blocks: number(row, 8)?,
    })
}
