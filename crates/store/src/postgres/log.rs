//! Reading the log; confirmed positions and the ingest client's session.

use std::collections::HashMap;

use mqttchat_protocol::{Conversation, Entry, MessageId, Party};

use super::Postgres;
use super::rows::{
    all, entry_at, entry_columns, entry_joins, entry_with_conversation, number, parsed, value,
};
use crate::integer::signed;
use crate::log::Weight;
use crate::{ChangedHead, StoreError};

const HEADS: &str = "SELECT key, head FROM conversations WHERE key = ANY($1)";

const CHANGED: &str =
    "SELECT key, head, position FROM conversations WHERE position > $1 ORDER BY position LIMIT $2";

const AFTER: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries e",
    entry_joins!(),
    "WHERE e.conversation = (SELECT id FROM conversations WHERE key = $1)
         AND e.seq > greatest($2, (SELECT floor FROM conversations WHERE key = $1))
     ORDER BY e.seq LIMIT $3"
);

const BEFORE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries e",
    entry_joins!(),
    "WHERE e.conversation = (SELECT id FROM conversations WHERE key = $1) AND e.seq < $2
         AND e.seq > (SELECT floor FROM conversations WHERE key = $1)
     ORDER BY e.seq DESC LIMIT $3"
);

const UNCONFIRMED: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key FROM entries e",
    entry_joins!(),
    "JOIN conversations c ON c.id = e.conversation AND e.seq > c.floor
     WHERE e.position > $2 AND e.node = (SELECT id FROM nodes WHERE name = $1)
     ORDER BY e.position LIMIT $3"
);

const BY_ID: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key FROM entries e",
    entry_joins!(),
    "JOIN conversations c ON c.id = e.conversation
     WHERE e.sender = (SELECT id FROM parties WHERE name = $1) AND e.id = $2"
);

const CONFIRM: &str = "
    INSERT INTO nodes AS n (name, confirmed) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET confirmed = excluded.confirmed WHERE excluded.confirmed > n.confirmed";

const SET_POSITION: &str = "
    INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

const INGEST_SESSION: &str = "
    INSERT INTO meta AS m (key, value) VALUES ('ingest session', '1')
    ON CONFLICT (key) DO UPDATE SET value = CASE WHEN $1 THEN m.value ELSE (m.value::bigint + 1)::text END
    RETURNING value::bigint";

/// Rows that are asked for first, where what they weigh isn't known.
const FIRST_ROWS: u64 = 16;

impl Postgres {
    pub(crate) async fn heads(&self, conversations: &[Conversation]) -> Result<Vec<u64>, StoreError> {
        let keys: Vec<String> = conversations.iter().map(ToString::to_string).collect();
        let rows = self.pool.read(HEADS, &[&keys]).await?;
        let heads: HashMap<String, u64> =
            all(&rows, |row| Ok((value(row, 0)?, number(row, 1)?)))?.into_iter().collect();
        Ok(keys.iter().map(|key| heads.get(key).copied().unwrap_or(0)).collect())
    }

    pub(crate) async fn changed_heads(
        &self,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<ChangedHead>, StoreError> {
        let rows = self.pool.read(CHANGED, &[&signed(after_position), &signed(limit)]).await?;
        all(&rows, |row| {
            Ok(ChangedHead {
                conversation: parsed(row, 0, Conversation::parse)?,
                head: number(row, 1)?,
                position: number(row, 2)?,
            })
        })
    }

    pub(crate) async fn newest_position(&self) -> Result<u64, StoreError> {
        let newest = "SELECT coalesce(max(position), 0) FROM conversations";
        let rows = self.pool.read(newest, &[]).await?;
        Ok(all(&rows, |row| number(row, 0))?.first().copied().unwrap_or(0))
    }

    pub(crate) async fn entries_after(
        &self,
        conversation: &Conversation,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.page(AFTER, conversation, after, limit).await
    }

    pub(crate) async fn entries_before(
        &self,
        conversation: &Conversation,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.page(BEFORE, conversation, before.unwrap_or(u64::MAX), limit).await?;
        entries.reverse();
        Ok(entries)
    }

    pub(crate) async fn entries_after_within(
        &self,
        conversation: &Conversation,
        after: u64,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.page_within(AFTER, conversation, after, limit, bytes).await
    }

    pub(crate) async fn entries_before_within(
        &self,
        conversation: &Conversation,
        before: Option<u64>,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let before = before.unwrap_or(u64::MAX);
        let mut entries = self.page_within(BEFORE, conversation, before, limit, bytes).await?;
        entries.reverse();
        Ok(entries)
    }

    /// Rows come all at once, so only as many are asked for as are likely to fit.
    async fn page_within(
        &self,
        sql: &'static str,
        conversation: &Conversation,
        mut bound: u64,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let (mut page, mut weight, mut read): (Vec<Entry>, _, usize) = (Vec::new(), Weight::new(bytes), 0);
        let mut step = FIRST_ROWS;
        loop {
            let wanted = step.min(limit - page.len() as u64);
            let rows = self.page(sql, conversation, bound, wanted).await?;
            let is_last = (rows.len() as u64) < wanted;
            for entry in rows {
                // The room may have been deleted between two steps: what is read is of one of the two.
                let follows = page.is_empty() || bound.abs_diff(entry.seq) == 1;
                if !follows {
                    return Ok(page);
                }
                (bound, read) = (entry.seq, read + entry.data.len());
                let full = weight.is_full_with(&entry);
                page.push(entry);
                if full {
                    return Ok(page);
                }
            }
            if is_last || page.len() as u64 >= limit {
                return Ok(page);
            }
            let each = (read / page.len()).max(1);
            step = (bytes.saturating_sub(read) / each) as u64 + 2;
        }
    }

    async fn page(
        &self,
        sql: &'static str,
        conversation: &Conversation,
        bound: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = self.pool.read(sql, &[&conversation.to_string(), &signed(bound), &signed(limit)]).await?;
        all(&rows, |row| entry_at(row, 0, conversation.clone()))
    }

    pub(crate) async fn entry_by_id(
        &self,
        from: &Party,
        id: &MessageId,
    ) -> Result<Option<Entry>, StoreError> {
        let rows = self.pool.read(BY_ID, &[&from.as_str(), &id.as_str()]).await?;
        Ok(all(&rows, entry_with_conversation)?.pop())
    }

    pub(crate) async fn unconfirmed(
        &self,
        node: &str,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = self.pool.read(UNCONFIRMED, &[&node, &signed(after_position), &signed(limit)]).await?;
        all(&rows, entry_with_conversation)
    }

    pub(crate) async fn confirmed(&self, node: &str) -> Result<u64, StoreError> {
        let rows = self.pool.read("SELECT confirmed FROM nodes WHERE name = $1", &[&node]).await?;
        Ok(all(&rows, |row| number(row, 0))?.pop().unwrap_or(0))
    }

    pub(crate) async fn set_confirmed(&self, node: &str, position: u64) -> Result<(), StoreError> {
        self.pool.write(&[(CONFIRM, &[&node, &signed(position)])]).await?;
        Ok(())
    }

    pub(crate) async fn position(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let rows = self.pool.read("SELECT value::bigint FROM meta WHERE key = $1", &[&key]).await?;
        Ok(all(&rows, |row| number(row, 0))?.pop())
    }

    pub(crate) async fn set_position(&self, key: &str, position: u64) -> Result<(), StoreError> {
        self.pool.write(&[(SET_POSITION, &[&key, &position.to_string()])]).await?;
        Ok(())
    }

    pub(crate) async fn last_position(&self) -> Result<u64, StoreError> {
        let rows = self.pool.read("SELECT coalesce(max(position), 0) FROM entries", &[]).await?;
        Ok(all(&rows, |row| number(row, 0))?.pop().unwrap_or(0))
    }

    pub(crate) async fn ingest_session(&self, present: bool) -> Result<u64, StoreError> {
        let rows = self.pool.write(&[(INGEST_SESSION, &[&present])]).await?;
        let rows = rows.first().map_or(&[][..], Vec::as_slice);
        all(rows, |row| number(row, 0))?.pop().ok_or_else(StoreError::closed)
    }
}
