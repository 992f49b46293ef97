//! Removing what deleted rooms held: a task of each node.
//!
//! From the deletion on nobody reads it any more (the conversation's `floor`); it goes in small transactions afterwards, of
//! whichever node comes first, after a restart too. Nobody waits for that, however much there is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool::Pool;
use super::rows::{all, value};
use crate::StoreError;

/// How often it is looked whether there is something.
const EVERY: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(3);
/// How many entries go in one transaction.
const AT_ONCE: i64 = 500;
/// How much longer than that takes the database is for others.
const SHARE: u32 = 2;

const ANY: &str = "SELECT conversation FROM purges LIMIT 1";

/// The next of what the first room above $1 held, at most $2 entries: which room, and whether there was something. It is done
/// with when the full-text index has come past the deletion, so that nothing is put there any more.
const STEP: &str = "
    WITH room AS MATERIALIZED (
        SELECT conversation, below FROM purges WHERE conversation > $1 ORDER BY conversation LIMIT 1
        FOR UPDATE SKIP LOCKED
    ), gone AS MATERIALIZED (
        SELECT e.position FROM room CROSS JOIN LATERAL (
            SELECT position FROM entries WHERE conversation = room.conversation AND seq < room.below
            ORDER BY seq LIMIT $2
        ) e
    ), found AS MATERIALIZED (
        SELECT s.position FROM room CROSS JOIN LATERAL (
            SELECT position FROM search WHERE conversation = room.conversation AND position < (
                SELECT position FROM entries WHERE conversation = room.conversation AND seq = room.below)
            ORDER BY position LIMIT $2
        ) s
    ), of_search AS (
        DELETE FROM search WHERE position = ANY(ARRAY(SELECT position FROM found))
    ), of_reactions AS (
        DELETE FROM reactions WHERE target = ANY(ARRAY(SELECT position FROM gone))
    ), of_edits AS (
        DELETE FROM edits WHERE target = ANY(ARRAY(SELECT position FROM gone))
    ), of_marks AS (
        DELETE FROM marks WHERE position = ANY(ARRAY(SELECT position FROM gone))
    ), of_entries AS (
        DELETE FROM entries WHERE position = ANY(ARRAY(SELECT position FROM gone))
    ), of_purges AS (
        DELETE FROM purges p USING room, searched s
        WHERE p.conversation = room.conversation AND s.conversation = room.conversation AND s.seq >= room.below
            AND NOT EXISTS (SELECT FROM gone) AND NOT EXISTS (SELECT FROM found)
    )
    SELECT conversation, EXISTS (SELECT FROM gone) OR EXISTS (SELECT FROM found) FROM room";

/// The task.
pub(super) struct Purger {
    pool: Arc<Pool>,
}

impl Purger {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// Works until it is dropped, which it can be at any time.
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "what deleted rooms held can't be removed now");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Removes all that there is, room after room.
    async fn round(&self) -> Result<(), StoreError> {
        if self.pool.read(ANY, &[]).await?.is_empty() {
            return Ok(());
        }
        let mut after = 0_i64;
        loop {
            let started = Instant::now();
            let rows = self.pool.write(&[(STEP, &[&after, &AT_ONCE])]).await?;
            let rows = rows.first().map_or(&[][..], Vec::as_slice);
            let step = all(rows, |row| Ok((value::<i64>(row, 0)?, value::<bool>(row, 1)?)))?.pop();
            let Some((room, more)) = step else { return Ok(()) };
            if !more {
                after = room;
            }
            tokio::time::sleep(started.elapsed() * SHARE).await;
        }
    }
}
