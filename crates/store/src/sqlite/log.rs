//! Reading the log; confirmed positions and the ingest client's session.

use mqttchat_protocol::{Conversation, Entry, MessageId, Party};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::Sqlite;
use super::fault::Fault;
use super::mark::{meta, set_meta};
use super::rows::{ENTRY_BY_ID, entry, entry_columns, entry_joins, entry_with_conversation, parsed};
use crate::integer::{signed, unsigned};
use crate::log::Weight;
use crate::{ChangedHead, StoreError};

const HEAD: &str = "
    SELECT coalesce(max(seq), 0) FROM entries WHERE conversation = (SELECT id FROM conversations WHERE key = ?1)";

const AFTER: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM conversations c CROSS JOIN entries e ON e.conversation = c.id AND e.seq > max(?2, c.floor)",
    entry_joins!(),
    "WHERE c.key = ?1 ORDER BY e.seq LIMIT ?3"
);

const BEFORE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM conversations c CROSS JOIN entries e ON e.conversation = c.id AND e.seq > c.floor AND e.seq < ?2",
    entry_joins!(),
    "WHERE c.key = ?1 ORDER BY e.seq DESC LIMIT ?3"
);

const UNCONFIRMED: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key FROM entries e",
    entry_joins!(),
    "CROSS JOIN conversations c ON c.id = e.conversation AND e.seq > c.floor
     WHERE e.position > ?2 AND e.node = (SELECT id FROM nodes WHERE name = ?1)
     ORDER BY e.position LIMIT ?3"
);

const CHANGED: &str = "
    SELECT c.key, e.seq, e.position FROM entries e CROSS JOIN conversations c ON c.id = e.conversation
    WHERE e.position > ?1 AND e.seq = (SELECT max(seq) FROM entries WHERE conversation = e.conversation)
    ORDER BY e.position LIMIT ?2";

#[cfg(test)]
pub(super) const QUESTIONS: &[&str] = &[HEAD, CHANGED, AFTER, BEFORE, UNCONFIRMED, ENTRY_BY_ID];

impl Sqlite {
    pub(crate) async fn heads(&self, conversations: &[Conversation]) -> Result<Vec<u64>, StoreError> {
        let keys: Vec<String> = conversations.iter().map(ToString::to_string).collect();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(HEAD)?;
                keys.iter().map(|key| Ok(unsigned(statement.query_row([key], |row| row.get(0))?))).collect()
            })
            .await
    }

    pub(crate) async fn changed_heads(
        &self,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<ChangedHead>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(CHANGED)?;
                let mut rows = statement.query([signed(after_position), signed(limit)])?;
                let mut changed = Vec::new();
                while let Some(row) = rows.next()? {
                    changed.push(ChangedHead {
                        conversation: parsed(row, 0, Conversation::parse)?,
                        head: unsigned(row.get(1)?),
                        position: unsigned(row.get(2)?),
                    });
                }
                Ok(changed)
            })
            .await
    }

    pub(crate) async fn newest_position(&self) -> Result<u64, StoreError> {
        let newest = "SELECT coalesce(max(position), 0) FROM entries";
        self.readers
            .read(move |connection| Ok(unsigned(connection.query_row(newest, [], |row| row.get(0))?)))
            .await
    }

    pub(crate) async fn entries_after(
        &self,
        conversation: &Conversation,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.entries_after_within(conversation, after, limit, usize::MAX).await
    }

    pub(crate) async fn entries_after_within(
        &self,
        conversation: &Conversation,
        after: u64,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let conversation = conversation.clone();
        self.readers
            .read(move |connection| page(connection, AFTER, &conversation, after, (limit, bytes)))
            .await
    }

    pub(crate) async fn entries_before(
        &self,
        conversation: &Conversation,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        self.entries_before_within(conversation, before, limit, usize::MAX).await
    }

    pub(crate) async fn entries_before_within(
        &self,
        conversation: &Conversation,
        before: Option<u64>,
        limit: u64,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let (conversation, before) = (conversation.clone(), before.unwrap_or(u64::MAX));
        self.readers
            .read(move |connection| {
                let mut entries = page(connection, BEFORE, &conversation, before, (limit, bytes))?;
                entries.reverse();
                Ok(entries)
            })
            .await
    }

    pub(crate) async fn entry_by_id(
        &self,
        from: &Party,
        id: &MessageId,
    ) -> Result<Option<Entry>, StoreError> {
        let (from, id) = (from.clone(), id.clone());
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached("SELECT id FROM parties WHERE name = ?1")?;
                let sender: Option<i64> =
                    statement.query_row([from.as_str()], |row| row.get(0)).optional()?;
                let Some(sender) = sender else { return Ok(None) };
                Ok(entries(connection, ENTRY_BY_ID, params![sender, id.as_str()])?.pop())
            })
            .await
    }

    pub(crate) async fn unconfirmed(
        &self,
        node: &str,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let node = node.to_owned();
        self.readers
            .read(move |connection| {
                entries(connection, UNCONFIRMED, params![node, signed(after_position), signed(limit)])
            })
            .await
    }

    pub(crate) async fn confirmed(&self, node: &str) -> Result<u64, StoreError> {
        let node = node.to_owned();
        self.readers
            .read(move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT confirmed FROM nodes WHERE name = ?1")?;
                let confirmed = statement.query_row([node], |row| row.get(0)).optional()?;
                Ok(confirmed.map_or(0, unsigned))
            })
            .await
    }

    pub(crate) async fn set_confirmed(&self, node: &str, position: u64) -> Result<(), StoreError> {
        let node = node.to_owned();
        self.writer
            .write(node.len(), move |batch| {
                let mut statement = batch.connection().prepare_cached(
                    "INSERT INTO nodes (name, confirmed) VALUES (?1, ?2)
                     ON CONFLICT (name) DO UPDATE SET confirmed = excluded.confirmed
                     WHERE excluded.confirmed > confirmed",
                )?;
                statement.execute(params![node, signed(position)])?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn position(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let key = key.to_owned();
        self.readers
            .read(move |connection| Ok(meta(connection, &key)?.and_then(|text| text.parse().ok())))
            .await
    }

    pub(crate) async fn set_position(&self, key: &str, position: u64) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.writer
            .write(key.len(), move |batch| set_meta(batch.connection(), &key, &position.to_string()))
            .await
    }

    pub(crate) async fn last_position(&self) -> Result<u64, StoreError> {
        self.readers
            .read(|connection| {
                let mut statement =
                    connection.prepare_cached("SELECT coalesce(max(position), 0) FROM entries")?;
                Ok(unsigned(statement.query_row([], |row| row.get(0))?))
            })
            .await
    }

    pub(crate) async fn ingest_session(&self, present: bool) -> Result<u64, StoreError> {
        self.writer
            .write(0, move |batch| {
                let before = meta(batch.connection(), "ingest session")?.and_then(|text| text.parse().ok());
                match before {
                    Some(session) if present => Ok(session),
                    before => {
                        let session: u64 = before.map_or(1, |session: u64| session + 1);
                        set_meta(batch.connection(), "ingest session", &session.to_string())?;
                        batch.connection().prepare_cached("DELETE FROM ingested")?.execute([])?;
                        Ok(session)
                    }
                }
            })
            .await
    }
}

fn page(
    connection: &Connection,
    sql: &str,
    conversation: &Conversation,
    bound: u64,
    (limit, bytes): (u64, usize),
) -> Result<Vec<Entry>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![conversation.to_string(), signed(bound), signed(limit)])?;
    let (mut page, mut weight) = (Vec::new(), Weight::new(bytes));
    while let Some(row) = rows.next()? {
        let entry = entry(row, conversation.clone())?;
        let full = weight.is_full_with(&entry);
        page.push(entry);
        if full {
            break;
        }
    }
    Ok(page)
}

fn entries(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Entry>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry_with_conversation(row)?);
    }
    Ok(entries)
}
