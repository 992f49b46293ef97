//! Cursors, and the lists made from them.

use std::sync::atomic::Ordering;

use mqttchat_protocol::{Conversation, Dest, Entry, UserId};
use tokio_postgres::Row;

use super::Postgres;
use super::fault::Fault;
use super::rows::{all, entry_at, entry_columns, number, parsed, value};
use crate::integer::{signed, unsigned};
use crate::{ConversationSummary, Cursor, Moment, Moved, StoreError, Undelivered};

const CURSORS: &str = "
    SELECT u.id, m.delivered, m.read FROM cursors m JOIN users u ON u.party = m.party
    WHERE m.conversation = (SELECT id FROM conversations WHERE key = $1) ORDER BY u.id";

/// What wasn't visible at that moment. The first column of every row is the present one; there is one row at least.
const MOVES: &str = "
    SELECT pg_current_snapshot()::text, moves.* FROM (SELECT) one LEFT JOIN LATERAL (
        SELECT u.id, c.key, m.after, m.upto
        FROM moves m JOIN users u ON u.party = m.party JOIN conversations c ON c.id = m.conversation
        WHERE m.moved >= pg_snapshot_xmin($1::text::pg_snapshot)
            AND NOT pg_visible_in_snapshot(m.moved, $1::text::pg_snapshot) AND m.node IS DISTINCT FROM $2
    ) moves ON true
    ORDER BY moves.upto";

/// A node that couldn't look for so long has lost its lease.
const FORGET_MOVES: &str = "DELETE FROM moves WHERE at < clock_timestamp() - interval '1 minute'";

const UNDELIVERED: &str = "
    SELECT c.key, m.delivered, c.head FROM cursors m JOIN conversations c ON c.id = m.conversation
    WHERE m.party = (SELECT party FROM users WHERE id = $1) AND c.one IS NOT NULL
        AND (c.head > m.delivered OR c.position > $2)
    ORDER BY c.key";

/// Private ones by the partner's name, the rooms they belong to, and the public one; only then what each holds. Whoever
/// writes has read what is before it: the newest of their own counts as in [`UNREAD`].
const SUMMARIES: &str = concat!(
    "WITH me AS (SELECT party FROM users WHERE id = $1),
     mine AS (
         SELECT c.id, c.key, ('private/' || p.name) COLLATE \"C\" AS dest, coalesce(u.name, p.name) AS title,
                m.read, m.delivered
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
     page AS (SELECT * FROM mine WHERE dest > $2 COLLATE \"C\" ORDER BY dest LIMIT $3)
     SELECT page.key, page.dest, page.title, greatest(page.read, (
                SELECT max(n.seq) FROM (
                    SELECT seq, sender FROM entries WHERE conversation = page.id AND seq > page.read
                    ORDER BY seq DESC LIMIT 1000
                ) AS n WHERE n.sender = (SELECT party FROM me)
            )), page.delivered, ",
    entry_columns!(),
    " FROM page
     JOIN conversations c ON c.id = page.id
     LEFT JOIN entries e ON e.conversation = c.id AND e.seq = c.head
     LEFT JOIN parties p ON p.id = e.sender
     LEFT JOIN marks m ON m.position = e.position
     ORDER BY page.dest"
);

/// Of each conversation with something unread, the newest entries; of those, what is above the user's own.
const UNREAD: &str = "
    WITH me AS (SELECT party FROM users WHERE id = $1),
    mine AS (
        SELECT c.id, c.key, m.read FROM cursors m JOIN conversations c ON c.id = m.conversation AND c.one IS NOT NULL
        WHERE m.party = (SELECT party FROM me) AND c.head > m.read
        UNION ALL
        SELECT c.id, c.key, greatest(c.floor, coalesce(m.read, 0))
        FROM members b JOIN conversations c ON c.id = b.conversation
        LEFT JOIN cursors m ON m.conversation = c.id AND m.party = b.party
        WHERE b.party = (SELECT party FROM me) AND c.head > coalesce(m.read, 0)
    )
    SELECT mine.key, counted.unread FROM mine, LATERAL (
        SELECT count(*) AS unread
        FROM (
            SELECT position, kind, sender, seq,
                   max(CASE WHEN sender = (SELECT party FROM me) THEN seq END) OVER () AS own
            FROM (SELECT position, seq, kind, sender FROM entries
                  WHERE conversation = mine.id AND seq > mine.read ORDER BY seq DESC LIMIT 1000) n
        ) n LEFT JOIN marks k ON k.position = n.position
        WHERE n.kind = 'msg' AND n.sender <> (SELECT party FROM me) AND NOT coalesce(k.deleted, false)
            AND n.seq > coalesce(n.own, 0)
    ) counted
    WHERE counted.unread > 0 ORDER BY mine.key";

impl Postgres {
    pub(crate) async fn cursors(&self, conversation: &Conversation) -> Result<Vec<Cursor>, StoreError> {
        let rows = self.pool.read(CURSORS, &[&conversation.to_string()]).await?;
        all(&rows, |row| {
            Ok(Cursor {
                user: parsed(row, 0, UserId::parse)?,
                delivered: number(row, 1)?,
                read: number(row, 2)?,
            })
        })
    }

    pub(crate) async fn moves_since(
        &self,
        since: Option<&Moment>,
    ) -> Result<(Moment, Vec<Moved>), StoreError> {
        let own = Some(self.writer.node.load(Ordering::Relaxed)).filter(|node| *node != 0);
        let rows = self.pool.read(MOVES, &[&since.map(|since| &*since.0), &own]).await?;
        let mut moments = all(&rows, |row| Ok(Moment(value::<&str>(row, 0)?.into())))?;
        let now = moments.pop().ok_or_else(StoreError::closed)?;
        let moved = all(&rows, |row| {
            let Some(upto) = value::<Option<i64>>(row, 4)? else { return Ok(None) };
            Ok(Some(Moved {
                user: parsed(row, 1, UserId::parse)?,
                conversation: parsed(row, 2, Conversation::parse)?,
                after: value::<Option<i64>>(row, 3)?.map(unsigned),
                upto: unsigned(upto),
            }))
        })?;
        Ok((now, moved.into_iter().flatten().collect()))
    }

    pub(crate) async fn forget_moves(&self) -> Result<(), StoreError> {
        self.pool.write(&[(FORGET_MOVES, &[])]).await?;
        Ok(())
    }

    pub(crate) async fn undelivered(
        &self,
        user: &UserId,
        since: Option<u64>,
    ) -> Result<Vec<Undelivered>, StoreError> {
        let since = signed(since.unwrap_or(u64::MAX));
        let rows = self.pool.read(UNDELIVERED, &[&user.as_str(), &since]).await?;
        all(&rows, |row| {
            Ok(Undelivered {
                conversation: parsed(row, 0, Conversation::parse)?,
                delivered: number(row, 1)?,
                head: number(row, 2)?,
            })
        })
    }

    pub(crate) async fn unread(&self, user: &UserId) -> Result<Vec<(Conversation, u64)>, StoreError> {
        let rows = self.pool.read(UNREAD, &[&user.as_str()]).await?;
        all(&rows, |row| Ok((parsed(row, 0, Conversation::parse)?, number(row, 1)?)))
    }

    pub(crate) async fn conversations(
        &self,
        user: &UserId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<ConversationSummary>, StoreError> {
        let after = after.unwrap_or_default();
        let rows = self.pool.read(SUMMARIES, &[&user.as_str(), &after, &signed(limit)]).await?;
        all(&rows, summary)
    }
}

fn summary(row: &Row) -> Result<ConversationSummary, Fault> {
    const ENTRY: usize = 5;
    let conversation = parsed(row, 0, Conversation::parse)?;
    let head: Option<i64> = value(row, ENTRY)?;
    let last: Option<Entry> = head.map(|_| entry_at(row, ENTRY, conversation.clone())).transpose()?;
    Ok(ConversationSummary {
        conversation,
        dest: Dest::parse(value(row, 1)?).map_err(|refusal| Fault::Unreadable(refusal.to_string()))?,
        title: value::<Option<&str>>(row, 2)?.map(Into::into),
        head: head.map_or(0, unsigned),
        read: number(row, 3)?,
        delivered: number(row, 4)?,
        last,
    })
}
