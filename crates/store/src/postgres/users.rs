//! Users.

use mqttchat_protocol::{DisplayName, UserId};

use super::Postgres;
use super::rows::{all, number, parsed, user, user_columns, value};
use super::time::now;
use crate::integer::signed;
use crate::users::FreeNumber;
use crate::{ClaimOutcome, Standing, StoreError, User};

const BY_ID: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
const PAGE: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id > $1 ORDER BY id LIMIT $2");
const RECENT: &str = concat!("SELECT ", user_columns!(), " FROM users ORDER BY last_seen DESC LIMIT $1");

const CLAIM: &str = concat!(
    "INSERT INTO users (party, id, name, issuer, created, last_seen)
     SELECT p.id, $1, $2, $3, t.now, t.now FROM parties p, (SELECT ",
    now!("$4"),
    " AS now) t WHERE p.name = $1
     ON CONFLICT DO NOTHING RETURNING created"
);

/// Counts that something was taken away. Its row is what those wait for who do so at the same moment: whoever reads a
/// number finds everything done that it counts.
pub(super) const COUNT_REVOCATION: &str = "
    INSERT INTO meta (key, value) VALUES ('revocations', '1')
    ON CONFLICT (key) DO UPDATE SET value = (meta.value::bigint + 1)::text";

const SET_BLOCKED: &str = concat!(
    "UPDATE users SET blocked = $2, blocks = blocks + CASE WHEN $2 THEN 1 ELSE 0 END WHERE id = $1 RETURNING ",
    user_columns!()
);
const RENEW: &str = concat!("UPDATE users SET serial = serial + 1 WHERE id = $1 RETURNING ", user_columns!());

impl Postgres {
    pub(crate) async fn revocations(&self) -> Result<u64, StoreError> {
        let sql = "SELECT value::bigint FROM meta WHERE key = 'revocations'";
        Ok(all(&self.pool.read(sql, &[]).await?, |row| number(row, 0))?.pop().unwrap_or(0))
    }

    pub(crate) async fn standings(&self, among: &[UserId]) -> Result<Vec<Standing>, StoreError> {
        let among: Vec<&str> = among.iter().map(UserId::as_str).collect();
        let sql = "SELECT id, serial, blocked, blocks FROM users WHERE id = ANY($1)";
        all(&self.pool.read(sql, &[&among]).await?, |row| {
            Ok(Standing {
                id: parsed(row, 0, UserId::parse)?,
                serial: number(row, 1)?,
                blocked: value(row, 2)?,
                blocks: number(row, 3)?,
            })
        })
    }

    pub(crate) async fn set_blocked(&self, id: &UserId, blocked: bool) -> Result<Option<User>, StoreError> {
        let rows =
            self.pool.write(&[(SET_BLOCKED, &[&id.as_str(), &blocked]), (COUNT_REVOCATION, &[])]).await?;
        Ok(all(rows.first().map_or(&[][..], |rows| rows), user)?.pop())
    }

    pub(crate) async fn renew_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let rows = self.pool.write(&[(RENEW, &[&id.as_str()]), (COUNT_REVOCATION, &[])]).await?;
        Ok(all(rows.first().map_or(&[][..], |rows| rows), user)?.pop())
    }

    pub(crate) async fn claim_user(
        &self,
        id: &UserId,
        name: &DisplayName,
        issuer: &str,
    ) -> Result<ClaimOutcome, StoreError> {
        let (party, shown, now) = (id.as_str(), name.as_str(), self.hand());
        let rows = self
            .pool
            .write(&[
                ("INSERT INTO parties (name) VALUES ($1) ON CONFLICT DO NOTHING", &[&party]),
                (CLAIM, &[&party, &shown, &issuer, &now]),
            ])
            .await?;
        let Some(row) = rows.last().and_then(|rows| rows.first()) else { return Ok(ClaimOutcome::Taken) };
        let created = number(row, 0).map_err(|fault| StoreError::from(&fault))?;
        Ok(ClaimOutcome::Created(User {
            id: id.clone(),
            name: name.to_shared(),
            issuer: issuer.into(),
            serial: 1,
            blocked: false,
            blocks: 0,
            created,
            last_seen: created,
        }))
    }

    pub(crate) async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        Ok(all(&self.pool.read(BY_ID, &[&id.as_str()]).await?, user)?.pop())
    }

    pub(crate) async fn rename_user(&self, id: &UserId, name: &DisplayName) -> Result<bool, StoreError> {
        let (id, name) = (id.as_str(), name.as_str());
        let rows = self
            .pool
            .write(&[("UPDATE users SET name = $2 WHERE id = $1 RETURNING 1", &[&id, &name])])
            .await?;
        Ok(rows.iter().any(|rows| !rows.is_empty()))
    }

    pub(crate) async fn free_name(&self, name: &DisplayName) -> Result<DisplayName, StoreError> {
        let mut search = FreeNumber::new();
        loop {
            let number = match search.question() {
                Ok(number) => number,
                Err(found) => return Ok(name.numbered(found)),
            };
            let id = name.numbered(number).guest_id();
            let taken = self.pool.read("SELECT 1 FROM users WHERE id = $1", &[&id]).await?;
            search.answer(number, taken.is_empty());
        }
    }

    pub(crate) async fn users_page(&self, after: Option<&str>, limit: u64) -> Result<Vec<User>, StoreError> {
        let after = after.unwrap_or_default();
        all(&self.pool.read(PAGE, &[&after, &signed(limit)]).await?, user)
    }

    pub(crate) async fn users_recent(&self, limit: u64) -> Result<Vec<User>, StoreError> {
        all(&self.pool.read(RECENT, &[&signed(limit)]).await?, user)
    }
}
