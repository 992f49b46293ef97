//! Keeping the full-text index: a task of each node, of which one works at a time.
//!
//! It follows the log of each conversation by `seq`, whose entries become visible in their order. A message is indexed by
//! what it says now; an edit has its target indexed again, a deletion has it removed. What changes while that is done
//! comes later in the log, so the index is right when the log's end is reached.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::leases::ACQUIRE;
use super::pool::Pool;
use super::rows::{all, value};
use crate::StoreError;
use crate::content::parsed;
use crate::integer::signed;
use crate::search::{Place, index_tokens};

/// How long new messages wait to be indexed together.
const EVERY: Duration = Duration::from_millis(400);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(3);
/// How long the one who works goes on doing so without asking again, and for how long it asks, in ms.
const TURN: Duration = Duration::from_secs(5);
const LEASE_MS: i64 = 10_000;
/// How many entries are indexed in one transaction.
const AT_ONCE: usize = 400;
/// While there is more: how much longer than that takes the database is for others.
const SHARE: u32 = 2;
/// How many conversations are looked at in one round.
const CONVERSATIONS: usize = 64;
/// Positions become visible out of order: how many rounds to go back when asking for conversations that have got longer.
const ROUNDS_BACK: usize = 40;

/// Conversations that have got longer than their index, of those written to above position $1.
const BEHIND: &str = "
    SELECT c.id, coalesce(s.seq, 0) FROM conversations c LEFT JOIN searched s ON s.conversation = c.id
    WHERE c.position > $1 AND c.head > coalesce(s.seq, 0) ORDER BY c.position LIMIT $2";
const NEWEST: &str = "SELECT coalesce(max(position), 0) FROM conversations";
const NEXT: &str = "
    SELECT seq, kind, CASE WHEN kind IN ('edit', 'delete') THEN data END FROM entries
    WHERE conversation = $1 AND seq > $2 ORDER BY seq LIMIT $3";
const MESSAGES: &str = "
    SELECT e.position, e.sender, c.one, c.other, c.key LIKE 'rooms/%', coalesce(m.data, e.data)
    FROM unnest($2::bigint[]) AS k(seq)
    CROSS JOIN LATERAL (SELECT * FROM entries WHERE conversation = $1 AND seq = k.seq LIMIT 1) e
    CROSS JOIN LATERAL (SELECT one, other, key FROM conversations WHERE id = $1 LIMIT 1) c
    LEFT JOIN LATERAL (SELECT * FROM marks WHERE position = e.position LIMIT 1) m ON true
    WHERE e.kind = 'msg'";

/// Only whoever comes from where the index is brings it forward; what follows is done for nobody else.
const ADVANCE: &str = "
    INSERT INTO searched AS s (conversation, seq, turn) VALUES ($1, $3, $4)
    ON CONFLICT (conversation) DO UPDATE SET seq = excluded.seq, turn = excluded.turn WHERE s.seq = $2";
const REMOVE: &str = "
    DELETE FROM search WHERE position = ANY($1)
        AND EXISTS (SELECT FROM searched WHERE conversation = $2 AND turn = $3)";
const PUT: &str = "
    INSERT INTO search (position, conversation, tokens)
    SELECT position, $3, tokens::tsvector FROM unnest($1::bigint[], $2::text[]) AS n(position, tokens)
    WHERE EXISTS (SELECT FROM searched WHERE conversation = $3 AND turn = $4)
    ON CONFLICT (position) DO UPDATE SET tokens = excluded.tokens";

/// The task, and what it remembers.
pub(super) struct Indexer {
    pool: Arc<Pool>,
    /// Who this is among the nodes.
    name: String,
    /// Until when it needn't ask whether it is the one.
    mine_until: Option<Instant>,
    /// The newest positions of the last rounds that left nothing behind.
    seen: VecDeque<i64>,
}

impl Indexer {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, name: Uuid::new_v4().to_string(), mine_until: None, seen: VecDeque::new() }
    }

    /// Works until it is dropped, which it can be at any time.
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "messages can't be indexed for searches now");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Brings all conversations up to where they were when it began, or some.
    async fn round(&mut self) -> Result<(), StoreError> {
        let newest = self.pool.read(NEWEST, &[]).await?;
        let newest: i64 = all(&newest, |row| value(row, 0))?.pop().unwrap_or(0);
        let after = if self.seen.len() < ROUNDS_BACK { 0 } else { self.seen.front().copied().unwrap_or(0) };
        let limit = signed(CONVERSATIONS as u64);
        let behind = self.pool.read(BEHIND, &[&after, &limit]).await?;
        let behind = all(&behind, |row| Ok((value::<i64>(row, 0)?, value::<i64>(row, 1)?)))?;
        if behind.is_empty() {
            self.seen.push_back(newest);
            if self.seen.len() > ROUNDS_BACK {
                self.seen.pop_front();
            }
            return Ok(());
        }
        if !self.is_mine().await? {
            return Ok(());
        }
        let mut failed = None;
        for (conversation, indexed) in behind {
            // One that can't be indexed keeps none of the others from it.
            failed = self.follow(conversation, indexed).await.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether this is the one who works.
    async fn is_mine(&mut self) -> Result<bool, StoreError> {
        if self.mine_until.is_some_and(|until| Instant::now() < until) {
            return Ok(true);
        }
        let rows = self.pool.write(&[(ACQUIRE, &[&"search", &self.name, &LEASE_MS, &None::<i64>])]).await?;
        let mine = rows.iter().any(|rows| !rows.is_empty());
        self.mine_until = mine.then(|| Instant::now() + TURN);
        Ok(mine)
    }

    /// Indexes what comes after `indexed`, a part at a time, for as long as a turn lasts.
    async fn follow(&mut self, conversation: i64, mut indexed: i64) -> Result<(), StoreError> {
        loop {
            let started = Instant::now();
            let part = Part::read(&self.pool, conversation, indexed).await?;
            let Some(end) = part.end else { return Ok(()) };
            part.write(&self.pool, indexed, end).await?;
            indexed = end;
            if part.entries < AT_ONCE || !self.is_mine().await? {
                return Ok(());
            }
            tokio::time::sleep(started.elapsed() * SHARE).await;
        }
    }
}

/// Some entries of a conversation, and what they come to.
struct Part {
    conversation: i64,
    entries: usize,
    /// The last one's `seq`.
    end: Option<i64>,
    /// Messages that can't be found.
    removed: Vec<i64>,
    /// Those that can, by positions, and their tokens.
    positions: Vec<i64>,
    tokens: Vec<String>,
}

impl Part {
    async fn read(pool: &Pool, conversation: i64, indexed: i64) -> Result<Self, StoreError> {
        let rows = pool.read(NEXT, &[&conversation, &indexed, &signed(AT_ONCE as u64)]).await?;
        let entries = all(&rows, |row| {
            let data: Option<&str> = value(row, 2)?;
            let kind: &str = value(row, 1)?;
            let data = data.and_then(parsed);
            let member = |name: &str| data.as_ref().and_then(|data| data.get(name));
            let about = match kind {
                "msg" => Some(value(row, 0)?),
                "edit" | "delete" => member("seq").and_then(Value::as_i64),
                _ => None,
            };
            Ok((value::<i64>(row, 0)?, about))
        })?;
        let mut part = Self {
            conversation,
            entries: entries.len(),
            end: entries.last().map(|(seq, _)| *seq),
            removed: Vec::new(),
            positions: Vec::new(),
            tokens: Vec::new(),
        };
        let about: BTreeSet<i64> = entries.iter().filter_map(|(_, about)| *about).collect();
        if !about.is_empty() {
            let about: Vec<i64> = about.into_iter().collect();
            let rows = pool.read(MESSAGES, &[&conversation, &about]).await?;
            for (position, tokens) in all(&rows, |row| message(row, conversation))? {
                match tokens {
                    None => part.removed.push(position),
                    Some(tokens) => {
                        part.positions.push(position);
                        part.tokens.push(tokens);
                    }
                }
            }
        }
        Ok(part)
    }

    async fn write(&self, pool: &Pool, indexed: i64, end: i64) -> Result<(), StoreError> {
        let (conversation, turn) = (self.conversation, Uuid::new_v4().to_string());
        pool.write(&[
            (ADVANCE, &[&conversation, &indexed, &end, &turn]),
            (REMOVE, &[&self.removed, &conversation, &turn]),
            (PUT, &[&self.positions, &self.tokens, &conversation, &turn]),
        ])
        .await?;
        Ok(())
    }
}

/// A message's position, and its tokens as a `tsvector` is written; `None` when it can't be found by any.
fn message(row: &Row, conversation: i64) -> Result<(i64, Option<String>), super::fault::Fault> {
    let place = Place {
        conversation,
        sender: value(row, 1)?,
        pair: value::<Option<i64>>(row, 2)?.zip(value(row, 3)?),
        room: value(row, 4)?,
    };
    // Words come first, and only their places count.
    let tokens = index_tokens(value(row, 5)?, place).map(|tokens| {
        let places = (1..).zip(&tokens).map(|(place, token)| format!("'{token}':{place}"));
        places.collect::<Vec<_>>().join(" ")
    });
    Ok((value(row, 0)?, tokens))
}
