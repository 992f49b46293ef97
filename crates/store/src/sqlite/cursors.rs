//! Cursors, and the lists made from them.

use mqttchat_protocol::{Conversation, Dest, Party, UserId};
use rusqlite::{Row, params};

use super::Sqlite;
use super::fault::Fault;
use super::rows::{entry_at, entry_columns, parsed, text};
use crate::integer::{signed, unsigned};
use crate::{Access, ConversationSummary, Cursor, StoreError, Undelivered};

const UNDELIVERED: &str = "
    SELECT c.key, m.delivered, (SELECT max(seq) FROM entries WHERE conversation = c.id) AS head
    FROM cursors m JOIN conversations c ON c.id = m.conversation
    WHERE m.party = (SELECT party FROM users WHERE id = ?1) AND c.one IS NOT NULL
        AND (head > m.delivered
             OR (SELECT position FROM entries WHERE conversation = c.id ORDER BY seq DESC LIMIT 1) > ?2)
    ORDER BY c.key";

/// Private ones by the partner's name, the rooms they belong to, and the public one; only then what each holds. Whoever
/// writes has read what is before it: the newest of their own counts as in [`UNREAD`].
const SUMMARIES: &str = concat!(
    "WITH me AS (SELECT party FROM users WHERE id = ?1),
     mine AS (
         SELECT c.id, c.key, 'private/' || p.name AS dest, coalesce(u.name, p.name) AS title, m.read, m.delivered
         FROM cursors m
         JOIN conversations c ON c.id = m.conversation AND c.one IS NOT NULL
         JOIN parties p ON p.id = CASE WHEN c.one = m.party THEN c.other ELSE c.one END
         LEFT JOIN users u ON u.party = p.id
         WHERE m.party = (SELECT party FROM me)
         UNION ALL
         SELECT c.id, c.key, c.key, r.title, coalesce(m.read, 0), 0
         FROM members b
         JOIN rooms r ON r.conversation = b.conversation
         JOIN conversations c ON c.id = b.conversation
         LEFT JOIN cursors m ON m.conversation = c.id AND m.party = b.party
         WHERE b.party = (SELECT party FROM me)
         UNION ALL
         SELECT c.id, c.key, c.key, NULL, coalesce(m.read, 0), 0
         FROM conversations c
         LEFT JOIN cursors m ON m.conversation = c.id AND m.party = (SELECT party FROM me)
         WHERE c.key = 'public'
     ),
     page AS (SELECT * FROM mine WHERE dest > ?2 ORDER BY dest LIMIT ?3)
     SELECT page.key, page.dest, page.title, max(page.read, coalesce((
                SELECT max(n.seq) FROM (
                    SELECT seq, sender FROM entries WHERE conversation = page.id AND seq > page.read
                    ORDER BY seq DESC LIMIT 1000
                ) AS n WHERE n.sender = (SELECT party FROM me)
            ), 0)), page.delivered, ",
    entry_columns!(),
    " FROM page
     LEFT JOIN entries e ON e.conversation = page.id
         AND e.seq = (SELECT max(seq) FROM entries WHERE conversation = page.id)
     LEFT JOIN parties p ON p.id = e.sender
     LEFT JOIN marks m ON m.position = e.position
     ORDER BY page.dest"
);

/// Of each conversation with something unread, the newest entries; of those, what is above the user's own.
const UNREAD: &str = "
    WITH me AS (SELECT party FROM users WHERE id = ?1),
    mine AS (
        SELECT c.id, c.key, m.read FROM cursors m JOIN conversations c ON c.id = m.conversation AND c.one IS NOT NULL
        WHERE m.party = (SELECT party FROM me)
        UNION ALL
        SELECT c.id, c.key, max(c.floor, coalesce(m.read, 0)) FROM members b JOIN conversations c ON c.id = b.conversation
        LEFT JOIN cursors m ON m.conversation = c.id AND m.party = b.party
        WHERE b.party = (SELECT party FROM me)
    )
    SELECT key, (
        SELECT count(*) FROM (
            SELECT position, seq, kind, sender,
                   max(CASE WHEN sender = (SELECT party FROM me) THEN seq END) OVER () AS own
            FROM (SELECT position, seq, kind, sender FROM entries
                  WHERE conversation = mine.id AND seq > mine.read ORDER BY seq DESC LIMIT 1000) AS page
        ) AS page LEFT JOIN marks k ON k.position = page.position
        WHERE page.kind = 'msg' AND page.sender <> (SELECT party FROM me) AND coalesce(k.deleted, 0) = 0
            AND page.seq > coalesce(page.own, 0)
    )
    FROM mine ORDER BY key";

#[cfg(test)]
pub(super) const QUESTIONS: &[&str] = &[UNDELIVERED, SUMMARIES, UNREAD];

impl Sqlite {
    pub(crate) async fn set_delivered(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        let (user, conversation) = (Party::from(user), conversation.clone());
        if !matches!(conversation, Conversation::Pair(..)) {
            return Ok(None);
        }
        self.writer
            .write(128, move |batch| {
                let (Some(party), Some(head)) = (batch.party(&user)?, batch.head(&conversation)?) else {
                    return Ok(None);
                };
                let seq = seq.min(head.seq);
                let Some(before) = batch.delivered_cursor(party, head.id)?.filter(|before| *before < seq)
                else {
                    return Ok(None);
                };
                let mut statement = batch.connection().prepare_cached(
                    "UPDATE cursors SET delivered = ?3 WHERE party = ?1 AND conversation = ?2",
                )?;
                statement.execute(params![party, head.id, signed(seq)])?;
                Ok(Some(before))
            })
            .await
    }

    pub(crate) async fn set_read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        seq: u64,
    ) -> Result<Option<u64>, StoreError> {
        let (user, conversation) = (Party::from(user), conversation.clone());
        if !conversation.has(&user) {
            return Ok(None);
        }
        self.writer
            .write(128, move |batch| {
                let Some(head) = batch.head(&conversation)? else { return Ok(None) };
                let party = batch.party(&user)?;
                let seq = seq.min(head.seq);
                if seq == 0 || batch.access(&conversation, head, party)? == Access::None {
                    return Ok(None);
                }
                let mut statement = batch.connection().prepare_cached(
                    "INSERT INTO cursors (party, conversation, read) SELECT party, ?2, ?3 FROM users WHERE id = ?1
                     ON CONFLICT DO UPDATE SET read = excluded.read WHERE excluded.read > read",
                )?;
                let moved = statement.execute(params![user.as_str(), head.id, signed(seq)])? > 0;
                Ok(moved.then_some(seq))
            })
            .await
    }

    pub(crate) async fn cursors(&self, conversation: &Conversation) -> Result<Vec<Cursor>, StoreError> {
        let key = conversation.to_string();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT u.id, m.delivered, m.read FROM cursors m JOIN users u ON u.party = m.party
                     WHERE m.conversation = (SELECT id FROM conversations WHERE key = ?1) ORDER BY u.id",
                )?;
                let mut rows = statement.query([key])?;
                let mut cursors = Vec::new();
                while let Some(row) = rows.next()? {
                    cursors.push(Cursor {
                        user: parsed(row, 0, UserId::parse)?,
                        delivered: unsigned(row.get(1)?),
                        read: unsigned(row.get(2)?),
                    });
                }
                Ok(cursors)
            })
            .await
    }

    pub(crate) async fn undelivered(
        &self,
        user: &UserId,
        since: Option<u64>,
    ) -> Result<Vec<Undelivered>, StoreError> {
        let (user, since) = (user.clone(), signed(since.unwrap_or(u64::MAX)));
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(UNDELIVERED)?;
                let mut rows = statement.query((user.as_str(), since))?;
                let mut undelivered = Vec::new();
                while let Some(row) = rows.next()? {
                    undelivered.push(Undelivered {
                        conversation: parsed(row, 0, Conversation::parse)?,
                        delivered: unsigned(row.get(1)?),
                        head: unsigned(row.get(2)?),
                    });
                }
                Ok(undelivered)
            })
            .await
    }

    pub(crate) async fn unread(&self, user: &UserId) -> Result<Vec<(Conversation, u64)>, StoreError> {
        let user = user.clone();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(UNREAD)?;
                let mut rows = statement.query([user.as_str()])?;
                let mut unread = Vec::new();
                while let Some(row) = rows.next()? {
                    let count = unsigned(row.get(1)?);
                    if count > 0 {
                        unread.push((parsed(row, 0, Conversation::parse)?, count));
                    }
                }
                Ok(unread)
            })
            .await
    }

    pub(crate) async fn conversations(
        &self,
        user: &UserId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<ConversationSummary>, StoreError> {
        let (user, after) = (user.clone(), after.unwrap_or_default().to_owned());
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(SUMMARIES)?;
                let mut rows = statement.query(params![user.as_str(), after, signed(limit)])?;
                let mut summaries = Vec::new();
                while let Some(row) = rows.next()? {
                    summaries.push(summary(row)?);
                }
                Ok(summaries)
            })
            .await
    }
}

fn summary(row: &Row<'_>) -> Result<ConversationSummary, Fault> {
    const ENTRY: usize = 5;
    let conversation = parsed(row, 0, Conversation::parse)?;
    let head: Option<i64> = row.get(ENTRY)?;
    let title: Option<String> = row.get(2)?;
    let last = head.map(|_| entry_at(row, ENTRY, conversation.clone())).transpose()?;
    Ok(ConversationSummary {
        conversation,
        dest: Dest::parse(text(row, 1)?).map_err(|refusal| Fault::Unreadable(refusal.to_string()))?,
        title: title.map(Into::into),
        head: head.map_or(0, unsigned),
        read: unsigned(row.get(3)?),
        delivered: unsigned(row.get(4)?),
        last,
    })
}
