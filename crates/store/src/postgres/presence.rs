//! Who is online where, and when they were last seen.

use mqttchat_protocol::UserId;

use super::Postgres;
use super::rows::{all, number, parsed};
use super::time::now;
use crate::StoreError;
use crate::integer::signed;
use crate::leases::lease_of_node;

const NODE: &str = "INSERT INTO nodes (name) VALUES ($1) ON CONFLICT DO NOTHING";
/// In one order, so that two nodes never wait for each other.
const LOCK_USERS: &str = "SELECT 1 FROM users WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
const COME: &str = "
    INSERT INTO presence (node, party)
    SELECT n.id, u.party FROM nodes n, users u WHERE n.name = $1 AND u.id = ANY($2)
    ON CONFLICT DO NOTHING";
const GO: &str = "
    DELETE FROM presence
    WHERE node = (SELECT id FROM nodes WHERE name = $1) AND party IN (SELECT party FROM users WHERE id = ANY($2))";
const SEEN: &str = "
    UPDATE users u SET last_seen = s.time
    FROM (SELECT id, max(time) AS time FROM unnest($1::text[], $2::bigint[]) AS g(id, time) GROUP BY id) s
    WHERE u.id = s.id COLLATE \"C\" AND u.last_seen < s.time";

const LOCK_MARKED: &str = "
    SELECT 1 FROM users
    WHERE party IN (SELECT party FROM presence WHERE node = (SELECT id FROM nodes WHERE name = $1))
    ORDER BY id FOR NO KEY UPDATE";
/// Last seen when the node's former process last renewed its lease: of a lease that is held, the one before that
/// holds it.
const RECOVER: &str = concat!(
    "WITH t AS (SELECT ",
    now!("$3"),
    " AS now),
     beat AS (
         SELECT least(coalesce((SELECT CASE WHEN l.expires > t.now THEN l.previous ELSE l.renewed END
                                FROM leases l WHERE l.name = $2), t.now), t.now) AS time
         FROM t
     ),
     gone AS (
         DELETE FROM presence WHERE node = (SELECT id FROM nodes WHERE name = $1) RETURNING party
     ),
     seen AS (
         UPDATE users u SET last_seen = greatest(u.last_seen, beat.time) FROM gone, beat
         WHERE u.party = gone.party RETURNING u.id
     )
     SELECT seen.id, beat.time FROM seen, beat ORDER BY seen.id"
);

impl Postgres {
    pub(crate) async fn set_presence(
        &self,
        node: &str,
        online: &[UserId],
        offline: &[(UserId, u64)],
    ) -> Result<(), StoreError> {
        if online.is_empty() && offline.is_empty() {
            return Ok(());
        }
        let online: Vec<&str> = online.iter().map(UserId::as_str).collect();
        let (gone, times): (Vec<&str>, Vec<i64>) =
            offline.iter().map(|(user, time)| (user.as_str(), signed(*time))).unzip();
        self.pool
            .write(&[
                (NODE, &[&node]),
                (LOCK_USERS, &[&gone]),
                (COME, &[&node, &online]),
                (GO, &[&node, &gone]),
                (SEEN, &[&gone, &times]),
            ])
            .await?;
        Ok(())
    }

    pub(crate) async fn recover_presence(&self, node: &str) -> Result<Vec<(UserId, u64)>, StoreError> {
        let (lease, now) = (lease_of_node(node), self.hand());
        let rows = self.pool.write(&[(LOCK_MARKED, &[&node]), (RECOVER, &[&node, &lease, &now])]).await?;
        let Some(rows) = rows.last() else { return Ok(Vec::new()) };
        all(rows, |row| Ok((parsed(row, 0, UserId::parse)?, number(row, 1)?)))
    }
}
