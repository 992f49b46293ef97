//! The full-text index, and searching it.
//!
//! Of every message up to the position [`indexed`], the index has the tokens of its data as it is now: whoever changes
//! such a message changes the index in the same transaction.

use mqttchat_protocol::{Conversation, Entry, Party};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Sqlite;
use super::fault::Fault;
use super::mark::{meta, set_meta};
use super::rows::{entry_columns, entry_joins, entry_with_conversation, text};
use crate::integer::{signed, unsigned};
use crate::search::{Place, for_all, for_party, for_rooms, index_tokens, of_conversation, of_sender};
use crate::{Query, StoreError};

/// ?1: the match, ?2: the party's number. From the newest on, until there are enough.
const SEARCH: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key FROM search s CROSS JOIN entries e ON e.position = s.rowid",
    entry_joins!(),
    "CROSS JOIN conversations c ON c.id = e.conversation
     WHERE s.search MATCH ?1 AND e.seq > c.floor AND coalesce(m.deleted, 0) = 0
         AND (c.key = 'public' OR c.one = ?2 OR c.other = ?2 OR EXISTS (
             SELECT 1 FROM rooms r WHERE r.conversation = c.id AND (r.open OR EXISTS (
                 SELECT 1 FROM members b WHERE b.conversation = c.id AND b.party = ?2))))
     ORDER BY s.rowid DESC LIMIT ?3"
);

/// How many rooms a search names. For whoever may read more, it goes through what was said in any room, and leaves out
/// what isn't theirs.
const ROOMS_NAMED: i64 = 64;

/// The rooms that a party (?1) may read, some of them twice.
const READABLE: &str = "
    SELECT conversation FROM members WHERE party = ?1 UNION ALL SELECT conversation FROM rooms WHERE open LIMIT ?2";

/// The columns of what is indexed, of `entries e`.
macro_rules! indexed_columns {
    () => {
        "SELECT e.position, e.conversation, e.sender, c.one, c.other, c.key LIKE 'rooms/%', coalesce(m.data, e.data), e.kind
         FROM entries e CROSS JOIN conversations c ON c.id = e.conversation LEFT JOIN marks m ON m.position = e.position "
    };
}

const NEXT: &str = concat!(indexed_columns!(), "WHERE e.position > ?1 ORDER BY e.position LIMIT ?2");
const ONE: &str = concat!(indexed_columns!(), "WHERE e.position = ?1");
/// Those of a conversation (?1) below a seq (?2).
pub(super) const BELOW: &str =
    concat!(indexed_columns!(), "WHERE e.conversation = ?1 AND e.seq < ?2 ORDER BY e.seq LIMIT ?3");

#[cfg(test)]
pub(super) const QUESTIONS: &[&str] = &[NEXT, ONE, BELOW];

const INDEXED: &str = "indexed";

/// The position up to which messages are in the index.
pub(super) fn indexed(connection: &Connection) -> Result<u64, Fault> {
    Ok(meta(connection, INDEXED)?.and_then(|position| position.parse().ok()).unwrap_or(0))
}

/// An entry with what it is found by.
pub(super) struct Indexed {
    pub(super) position: i64,
    /// `None` when there is nothing to find it by.
    tokens: Option<String>,
}

pub(super) fn from_row(row: &Row<'_>) -> Result<Indexed, Fault> {
    let place = Place {
        conversation: row.get(1)?,
        sender: row.get(2)?,
        pair: row.get::<_, Option<i64>>(3)?.zip(row.get(4)?),
        room: row.get(5)?,
    };
    let tokens = if text(row, 7)? == "msg" { index_tokens(text(row, 6)?, place) } else { None };
    Ok(Indexed { position: row.get(0)?, tokens: tokens.map(|tokens| tokens.join(" ")) })
}

/// Indexes the next entries, at most `limit`, while `go_on`. Says up to where it has come, and whether there are more.
pub(super) fn index_next(
    connection: &Connection,
    limit: i64,
    go_on: impl Fn() -> bool,
) -> Result<(u64, bool), Fault> {
    let mut position = indexed(connection)?;
    let mut statement = connection.prepare_cached(NEXT)?;
    let mut rows = statement.query([signed(position), limit])?;
    let (mut count, mut more) = (0, false);
    while let Some(row) = rows.next()? {
        let entry = from_row(row)?;
        add(connection, &entry)?;
        position = unsigned(entry.position);
        count += 1;
        if !go_on() {
            more = true;
            break;
        }
    }
    if count > 0 {
        set_meta(connection, INDEXED, &position.to_string())?;
    }
    Ok((position, more || count == limit))
}

/// A message as the index has it; `None` when it isn't there yet.
pub(super) fn in_index(connection: &Connection, position: i64) -> Result<Option<Indexed>, Fault> {
    if unsigned(position) > indexed(connection)? { Ok(None) } else { now(connection, position).map(Some) }
}

/// What it is to be found by now.
pub(super) fn now(connection: &Connection, position: i64) -> Result<Indexed, Fault> {
    let mut statement = connection.prepare_cached(ONE)?;
    statement.query_row([position], |row| Ok(from_row(row)))?
}

pub(super) fn add(connection: &Connection, entry: &Indexed) -> Result<(), Fault> {
    if let Some(tokens) = &entry.tokens {
        let mut statement =
            connection.prepare_cached("INSERT INTO search (rowid, tokens) VALUES (?1, ?2)")?;
        statement.execute(params![entry.position, tokens])?;
    }
    Ok(())
}

pub(super) fn remove(connection: &Connection, entry: &Indexed) -> Result<(), Fault> {
    if let Some(tokens) = &entry.tokens {
        let mut statement = connection
            .prepare_cached("INSERT INTO search (search, rowid, tokens) VALUES ('delete', ?1, ?2)")?;
        statement.execute(params![entry.position, tokens])?;
    }
    Ok(())
}

impl Sqlite {
    pub(crate) async fn search(
        &self,
        party: &Party,
        query: &Query,
        conversation: Option<&Conversation>,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let (party, query, conversation) = (party.clone(), query.clone(), conversation.cloned());
        self.readers
            .read(move |connection| {
                let me = number(connection, "SELECT id FROM parties WHERE name = ?1", party.as_str())?;
                let Some(wanted) = matching(connection, &query, conversation.as_ref(), me)? else {
                    return Ok(Vec::new());
                };
                let mut statement = connection.prepare_cached(SEARCH)?;
                let mut rows = statement.query(params![wanted, me, signed(limit)])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(entry_with_conversation(row)?);
                }
                Ok(found)
            })
            .await
    }
}

/// The query in the language of FTS5; `None` when it names what isn't there.
fn matching(
    connection: &Connection,
    query: &Query,
    conversation: Option<&Conversation>,
    me: Option<i64>,
) -> Result<Option<String>, Fault> {
    // Tokens have no quotation marks.
    let mut all: Vec<String> = query
        .phrases
        .iter()
        .map(|phrase| format!("\"{}\"{}", phrase.tokens.join(" "), if phrase.prefix { "*" } else { "" }))
        .collect();
    if let Some(from) = &query.from {
        let sender = number(connection, "SELECT id FROM parties WHERE name = ?1", from.as_str())?;
        let Some(sender) = sender else { return Ok(None) };
        all.push(format!("\"{}\"", of_sender(sender)));
    }
    if let Some(conversation) = conversation {
        let key = conversation.to_string();
        let place = number(connection, "SELECT id FROM conversations WHERE key = ?1", &key)?;
        let Some(place) = place else { return Ok(None) };
        all.push(format!("\"{}\"", of_conversation(place)));
    } else {
        let places = [for_all()].into_iter().chain(rooms(connection, me)?).chain(me.map(for_party));
        let places: Vec<String> = places.map(|place| format!("\"{place}\"")).collect();
        all.push(format!("({})", places.join(" OR ")));
    }
    Ok(Some(all.join(" AND ")))
}

/// Which rooms are looked at for a party. Its own are named where it can be done: going through what was said in all the
/// others would take as long as there is much of it, which costs, and says so to strangers.
fn rooms(connection: &Connection, me: Option<i64>) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare_cached(READABLE)?;
    let rooms = statement.query_map(params![me, ROOMS_NAMED + 1], |row| row.get(0))?;
    let rooms = rooms.collect::<Result<Vec<i64>, _>>()?;
    let all_can_be_named = i64::try_from(rooms.len()).is_ok_and(|count| count <= ROOMS_NAMED);
    Ok(if all_can_be_named { rooms.into_iter().map(of_conversation).collect() } else { vec![for_rooms()] })
}

fn number(connection: &Connection, sql: &str, name: &str) -> Result<Option<i64>, Fault> {
    Ok(connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use mqttchat_protocol::{DisplayName, EntryKind, MessageId, RoomChange, RoomId, UserId};
    use rusqlite::StatementStatus;

    use super::*;
    use crate::{Backend, Change, NewEntry, Store, StoreOptions};

    const SAID: u64 = 300;

    async fn append(store: &Store, id: &str, kind: EntryKind, data: &str, change: Option<Change>) {
        let entry = NewEntry {
            conversation: Conversation::Room(RoomId::parse("ops").unwrap()),
            kind,
            id: MessageId::parse(id).unwrap(),
            from: Party::parse("ann").unwrap(),
            name: "Ann".into(),
            data: data.into(),
            change,
            ingest: None,
        };
        store.append(entry).await.unwrap();
    }

    /// What a party's search finds, and in how many steps of SQLite's.
    async fn search(store: &Store, who: &'static str) -> (u64, i32) {
        let Backend::Sqlite(sqlite) = &*store.backend else { panic!("not on SQLite") };
        let find = move |connection: &Connection| {
            let me = number(connection, "SELECT id FROM parties WHERE name = ?1", who)?;
            let wanted = matching(connection, &Query::parse("secret").unwrap(), None, me)?;
            let mut statement = connection.prepare(SEARCH)?;
            let found = statement.query_map(params![wanted, me, 1000], |_| Ok(()))?.count();
            Ok((found as u64, statement.get_status(StatementStatus::VmStep)))
        };
        sqlite.readers.read(find).await.unwrap()
    }

    /// How long a search takes says nothing of what was said where one may not read.
    #[tokio::test]
    async fn nobody_goes_through_what_is_not_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::sqlite(directory.path())).await.unwrap();
        for name in ["ann", "eve"] {
            let (id, name) = (UserId::parse(name).unwrap(), DisplayName::parse(name).unwrap());
            store.claim_user(&id, &name, "guest").await.unwrap();
        }
        let create = RoomChange::Create { title: "Ops".into(), open: false, members: Vec::new() };
        append(&store, "r", EntryKind::Room, "{}", Some(Change::Room(create))).await;
        for n in 0..SAID {
            append(&store, &format!("m{n}"), EntryKind::Msg, r#"{"text":"secret"}"#, None).await;
        }
        while search(&store, "ann").await.0 < SAID {
            tokio::task::yield_now().await;
        }
        let ((found, steps), (all, own_steps)) = (search(&store, "eve").await, search(&store, "ann").await);
        assert_eq!((found, all), (0, SAID));
        assert!(steps < 100 && own_steps > 100, "{steps} and {own_steps} steps");
        store.close().await;
    }
}
