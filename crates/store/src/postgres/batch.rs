//! One transaction of the writer, in two round trips: read and lock, then write and commit.
//!
//! Everybody locks in the same order, so nobody waits in a circle: conversations by number, ids by sender and text (as
//! they are inserted), cursors by party and conversation, packet ids. An id that another node stores at the same moment
//! in the same conversation is seen once its conversation is ours; in another conversation, inserting waits for that
//! node and fails when it has committed, and the batch is done again. Where a circle arises all the same (first cursors of
//! one user, made on two nodes), PostgreSQL breaks it, and the batch is done again.

use std::collections::BTreeSet;

use mqttchat_protocol::Conversation;
use tokio_postgres::Row;

use super::changes::Messages;
use super::fault::Fault;
use super::names::Names;
use super::plan::{Cursor, Head, Moved, Plan};
use super::room_changes::Rooms;
use super::rows::{EARLIER_WIDTH, earlier, entry_columns, entry_joins, number, value};
use super::session::{Params, Session};
use super::write::{Verdict, Write};
use crate::Change;
use crate::integer::signed;

const LOCK: &str =
    "SELECT id, head, time FROM conversations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
const HEADS: &str = "SELECT id, head, time FROM conversations WHERE id = ANY($1)";
// One look into the index for each, in this order, whatever the statistics say: planned as a join on a table that was
// still small, it went through all that a sender had ever said, for each of their messages, until the next ANALYZE.
const EXISTING: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key, e.data, e.sender FROM unnest($1::bigint[], $2::text[]) AS k(sender, id)
     CROSS JOIN LATERAL
         (SELECT * FROM entries WHERE sender = k.sender AND id = k.id COLLATE \"C\" LIMIT 1) e
     CROSS JOIN LATERAL (SELECT name FROM parties WHERE id = e.sender LIMIT 1) p
     CROSS JOIN LATERAL (SELECT key FROM conversations WHERE id = e.conversation LIMIT 1) c
     LEFT JOIN LATERAL (SELECT * FROM marks WHERE position = e.position LIMIT 1) m ON true"
);
const BLOCKED: &str = "SELECT party FROM users WHERE party = ANY($1) AND blocked";
const INGESTED: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", c.key, e.data, i.packet, i.session FROM ingested i JOIN entries e ON e.position = i.position",
    entry_joins!(),
    "JOIN conversations c ON c.id = e.conversation
     WHERE i.packet = ANY($1)"
);
// Locked in the order in which they are asked for.
const CURSORS: &str = "
    SELECT m.party, m.conversation, m.delivered, m.read
    FROM unnest($1::bigint[], $2::bigint[]) AS k(party, conversation)
    CROSS JOIN LATERAL
        (SELECT * FROM cursors WHERE party = k.party AND conversation = k.conversation FOR NO KEY UPDATE) m";
const POSITIONS: &str = "SELECT nextval('positions') FROM generate_series(1, $1::bigint)";
const CLOCK: &str = "
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, pg_current_xact_id()::text";

const INSERT: &str = "
    INSERT INTO entries (position, conversation, seq, time, kind, sender, id, name, node, data)
    SELECT position, conversation, seq, time, kind, sender, id, name, $10, data
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[],
                $8::text[], $9::text[])
         AS n(position, conversation, seq, time, kind, sender, id, name, data)
    ORDER BY sender, id COLLATE \"C\"";
const MOVE_HEADS: &str = "
    UPDATE conversations c SET head = n.head, time = n.time, position = n.position
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n(id, head, time, position)
    WHERE c.id = n.id";
const MOVE_CURSORS: &str = "
    INSERT INTO cursors AS m (party, conversation, delivered, read)
    SELECT party, conversation, delivered, read
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n(party, conversation, delivered, read)
    ORDER BY party, conversation
    ON CONFLICT (party, conversation) DO UPDATE
    SET delivered = greatest(m.delivered, excluded.delivered), read = greatest(m.read, excluded.read)";
const NOTE_MOVES: &str = "
    INSERT INTO moves (node, party, conversation, after, upto)
    SELECT $5, party, conversation, after, upto
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n(party, conversation, after, upto)";
const MARK: &str = "
    INSERT INTO ingested AS i (packet, session, position)
    SELECT packet, session, position FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS n(packet, session, position)
    ORDER BY packet
    ON CONFLICT (packet) DO UPDATE SET session = excluded.session, position = excluded.position
    WHERE excluded.session >= i.session";
const PROBE: &str = "
    INSERT INTO meta (key, value) VALUES ('probe', clock_timestamp()::text)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// All that must be prepared before a batch, so that what is asked together is sent together.
pub(super) const STATEMENTS: &[&str] = &[
    LOCK,
    HEADS,
    EXISTING,
    BLOCKED,
    INGESTED,
    CURSORS,
    POSITIONS,
    CLOCK,
    INSERT,
    MOVE_HEADS,
    MOVE_CURSORS,
    NOTE_MOVES,
    MARK,
    PROBE,
];

/// Indexes are always the way: what a batch asks for is little of a lot, whatever the statistics say.
pub(super) const SET_UP: &str =
    "SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off";

/// How a batch was committed, or wasn't.
pub(super) struct Committed {
    pub(super) verdicts: Vec<Verdict>,
    /// Whether anything was written.
    pub(super) changed: bool,
    /// The newest position that was given.
    pub(super) newest: Option<i64>,
}

/// Why a batch isn't committed, as far as is known.
pub(super) enum Failed {
    /// Nothing of it is.
    Undone(Fault),
    /// It may be: the connection was lost on the way.
    Unknown { fault: Fault, committed: Committed, witness: Witness },
}

/// What tells later whether the transaction was committed.
pub(super) struct Witness {
    /// The transaction's id.
    pub(super) transaction: String,
    /// Position, sender and id of an entry that it stores.
    pub(super) entry: Option<(i64, i64, String)>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Undone(fault)
    }
}

/// Does all writes in one transaction. `given`: the time, where it is not the database's.
pub(super) async fn commit(
    session: &Session,
    names: &mut Names,
    writes: &[Write],
    node: Option<i64>,
    given: Option<i64>,
) -> Result<Committed, Failed> {
    names.learn(session, writes).await?;
    let needs = Needs::of(names, writes);
    // Boxed: all that is asked at once is large.
    let (mut plan, transaction) = Box::pin(read(session, &needs, given)).await?;
    let verdicts = plan.decide(names, writes)?;
    let probe = writes.iter().any(|write| matches!(write, Write::Probe));
    let rows = Rows::of(&plan, writes);
    let changed = probe || !rows.is_empty();
    let committed = Committed { verdicts, changed, newest: rows.positions.last().copied() };
    let witness = Witness {
        transaction,
        entry: rows
            .positions
            .last()
            .copied()
            .zip(rows.senders.last().copied())
            .zip(rows.ids.last())
            .map(|((position, sender), id)| (position, sender, (*id).to_owned())),
    };
    match rows.write_and_commit(session, &plan, node, probe).await {
        Ok(()) => Ok(committed),
        Err(fault) if fault.is_of_connection() => Err(Failed::Unknown { fault, committed, witness }),
        Err(fault) => Err(Failed::Undone(fault)),
    }
}

/// What has to be read and locked.
#[derive(Default)]
struct Needs {
    /// Conversations that may get entries.
    locked: BTreeSet<i64>,
    /// Others, whose head is asked for.
    heads: BTreeSet<i64>,
    senders: Vec<i64>,
    ids: Vec<String>,
    packets: Vec<i32>,
    cursors: BTreeSet<(i64, i64)>,
    /// Who wants to write in which rooms, by number: conversation and party.
    access: BTreeSet<(i64, i64)>,
    /// Rooms that may be changed.
    rooms: BTreeSet<i64>,
    /// Messages that may be changed, by conversation and id.
    targets: BTreeSet<(i64, String)>,
    /// How many may be stored.
    entries: i64,
}

impl Needs {
    fn of(names: &Names, writes: &[Write]) -> Self {
        let mut needs = Self::default();
        for write in writes {
            match write {
                Write::Append { entry, .. } => {
                    if let Some(mark) = entry.ingest.filter(|mark| mark.redelivered) {
                        needs.packets.push(mark.packet.into());
                    }
                    let Some(sender) = names.party(&entry.from) else { continue };
                    needs.senders.push(sender.id);
                    needs.ids.push(entry.id.as_str().to_owned());
                    let Some(conversation) = names.conversation(&entry.conversation) else { continue };
                    if !names.may_be_stored(entry) {
                        continue;
                    }
                    needs.locked.insert(conversation);
                    needs.entries += 1;
                    if matches!(entry.conversation, Conversation::Room(_)) {
                        needs.access.insert((conversation, sender.id));
                    }
                    if entry.room_change().is_some() {
                        needs.rooms.insert(conversation);
                    }
                    if let Some(target) = entry.change.as_ref().and_then(Change::target) {
                        needs.targets.insert((conversation, target.id.as_str().to_owned()));
                    }
                    if matches!(entry.conversation, Conversation::Pair(..)) && sender.is_user {
                        needs.cursors.insert((sender.id, conversation));
                    }
                }
                Write::Move(to) => {
                    if let (Some(user), Some(conversation)) =
                        (names.user(&to.user), names.conversation(&to.conversation))
                    {
                        needs.heads.insert(conversation);
                        needs.cursors.insert((user, conversation));
                    }
                }
                Write::Probe => {}
            }
        }
        needs.heads.retain(|conversation| !needs.locked.contains(conversation));
        needs
    }
}

/// Begins, locks, and reads: one round trip.
async fn read(session: &Session, needs: &Needs, given: Option<i64>) -> Result<(Plan, String), Fault> {
    let locked: Vec<i64> = needs.locked.iter().copied().collect();
    let heads: Vec<i64> = needs.heads.iter().copied().collect();
    let (parties, conversations): (Vec<i64>, Vec<i64>) = needs.cursors.iter().copied().unzip();
    let (locks, asks): (Params<'_>, Params<'_>) = (&[&locked], &[&heads]);
    let (keys, packets): (Params<'_>, Params<'_>) = (&[&needs.senders, &needs.ids], &[&needs.packets]);
    let senders: Params<'_> = &[&needs.senders];
    let (places, numbers): (Params<'_>, Params<'_>) = (&[&parties, &conversations], &[&needs.entries]);
    let (begun, locked, heads, existing, blocked, ingested, cursors, rooms, messages, positions, clock) = tokio::join!(
        biased;
        session.run("BEGIN"),
        ask(session, !locked.is_empty(), LOCK, locks),
        ask(session, !heads.is_empty(), HEADS, asks),
        ask(session, !needs.ids.is_empty(), EXISTING, keys),
        ask(session, !needs.senders.is_empty(), BLOCKED, senders),
        ask(session, !needs.packets.is_empty(), INGESTED, packets),
        ask(session, !parties.is_empty(), CURSORS, places),
        Rooms::read(session, &needs.access, &needs.rooms),
        Messages::read(session, &needs.targets),
        ask(session, needs.entries > 0, POSITIONS, numbers),
        session.query(CLOCK, &[]),
    );
    begun?;
    let mut plan = Plan::default();
    (plan.rooms, plan.messages) = (rooms?, messages?);
    for row in locked?.iter().chain(&heads?) {
        let head = Head { seq: number(row, 1)?, time: number(row, 2)?, position: None };
        plan.heads.insert(value(row, 0)?, head);
    }
    for row in &existing? {
        let first = earlier(row)?;
        plan.existing.insert((value(row, EARLIER_WIDTH)?, first.entry.id.as_str().to_owned()), first);
    }
    plan.blocked = blocked?.iter().map(|row| value(row, 0)).collect::<Result<_, _>>()?;
    for row in &ingested? {
        let packet: i32 = value(row, EARLIER_WIDTH)?;
        let packet = u16::try_from(packet).map_err(|_| Fault::Unreadable(format!("packet id {packet}")))?;
        plan.ingested.insert((packet, number(row, EARLIER_WIDTH + 1)?), earlier(row)?);
    }
    for row in &cursors? {
        let cursor = Cursor { delivered: number(row, 2)?, read: number(row, 3)?, changed: false };
        plan.cursors.insert((value(row, 0)?, value(row, 1)?), cursor);
    }
    plan.positions = positions?.iter().map(|row| value(row, 0)).collect::<Result<_, _>>()?;
    plan.positions.sort_unstable_by(|one, other| other.cmp(one));
    let clock = clock?;
    let Some(clock) = clock.first() else { return Err(Fault::Silent) };
    plan.now = match given {
        Some(given) => crate::integer::unsigned(given),
        None => number(clock, 0)?,
    };
    Ok((plan, value(clock, 1)?))
}

/// Asks, if there is something to ask for.
pub(super) async fn ask(
    session: &Session,
    needed: bool,
    sql: &'static str,
    params: Params<'_>,
) -> Result<Vec<Row>, Fault> {
    if needed { session.query(sql, params).await } else { Ok(Vec::new()) }
}

/// Does those that are needed, in this order. All are sent at once.
pub(super) async fn do_all(
    session: &Session,
    statements: &[(bool, &'static str, Params<'_>)],
) -> Result<(), Fault> {
    let needed = statements.iter().filter(|(needed, ..)| *needed);
    let asked = needed.map(|(_, sql, params)| session.query(sql, params));
    futures::future::join_all(asked).await.into_iter().try_for_each(|done| done.map(drop))
}

/// What is to be written, by columns.
#[derive(Default)]
struct Rows<'a> {
    positions: Vec<i64>,
    conversations: Vec<i64>,
    seqs: Vec<i64>,
    times: Vec<i64>,
    kinds: Vec<&'a str>,
    senders: Vec<i64>,
    ids: Vec<&'a str>,
    names: Vec<&'a str>,
    data: Vec<&'a str>,
    heads: [Vec<i64>; 4],
    cursors: [Vec<i64>; 4],
    moves: Moves,
    packets: Vec<i32>,
    marks: [Vec<i64>; 2],
}

impl<'a> Rows<'a> {
    fn of(plan: &'a Plan, writes: &'a [Write]) -> Self {
        let mut rows = Self::default();
        for stored in &plan.stored {
            let Some(Write::Append { entry, .. }) = writes.get(stored.write) else { continue };
            rows.positions.push(stored.position);
            rows.conversations.push(stored.conversation);
            rows.seqs.push(stored.seq);
            rows.times.push(stored.time);
            rows.kinds.push(entry.kind.as_str());
            rows.senders.push(stored.sender);
            rows.ids.push(entry.id.as_str());
            rows.names.push(&entry.name);
            rows.data.push(stored.data.as_deref().unwrap_or(&entry.data));
        }
        for (id, head) in &plan.heads {
            if let Some(position) = head.position {
                push(&mut rows.heads, [*id, signed(head.seq), signed(head.time), position]);
            }
        }
        for ((party, conversation), cursor) in &plan.cursors {
            if cursor.changed {
                let columns = [*party, *conversation, signed(cursor.delivered), signed(cursor.read)];
                push(&mut rows.cursors, columns);
            }
        }
        for moved in &plan.moves {
            rows.moves.push(moved);
        }
        for (packet, (session, position)) in &plan.marks {
            rows.packets.push((*packet).into());
            push(&mut rows.marks, [signed(*session), *position]);
        }
        rows
    }

    fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.cursors[0].is_empty()
    }

    /// Writes and commits: one round trip. A statement that fails makes the commit a rollback.
    async fn write_and_commit(
        &self,
        session: &Session,
        plan: &Plan,
        node: Option<i64>,
        probe: bool,
    ) -> Result<(), Fault> {
        let [head_ids, head_seqs, head_times, head_positions] = &self.heads;
        let [parties, conversations, delivered, read] = &self.cursors;
        let [sessions, mark_positions] = &self.marks;
        let Moves { parties: movers, conversations: moved_in, after, upto } = &self.moves;
        let insert: Params<'_> = &[
            &self.positions,
            &self.conversations,
            &self.seqs,
            &self.times,
            &self.kinds,
            &self.senders,
            &self.ids,
            &self.names,
            &self.data,
            &node,
        ];
        let move_heads: Params<'_> = &[head_ids, head_seqs, head_times, head_positions];
        let move_cursors: Params<'_> = &[parties, conversations, delivered, read];
        let note_moves: Params<'_> = &[movers, moved_in, after, upto, &node];
        let marks: Params<'_> = &[&self.packets, sessions, mark_positions];
        let entries = !self.positions.is_empty();
        let (inserted, heads, cursors, moves, marks, messages, rooms, probed, ended) = tokio::join!(
            biased;
            ask(session, entries, INSERT, insert),
            ask(session, entries, MOVE_HEADS, move_heads),
            ask(session, !parties.is_empty(), MOVE_CURSORS, move_cursors),
            ask(session, !movers.is_empty(), NOTE_MOVES, note_moves),
            ask(session, !self.packets.is_empty(), MARK, marks),
            plan.messages.write(session),
            plan.rooms.write(session),
            ask(session, probe, PROBE, &[]),
            session.run("COMMIT"),
        );
        for written in [inserted, heads, cursors, moves, marks, probed] {
            written?;
        }
        messages?;
        rooms?;
        ended
    }
}

/// Cursors that have moved, by columns.
#[derive(Default)]
struct Moves {
    parties: Vec<i64>,
    conversations: Vec<i64>,
    after: Vec<Option<i64>>,
    upto: Vec<i64>,
}

impl Moves {
    fn push(&mut self, moved: &Moved) {
        self.parties.push(moved.party);
        self.conversations.push(moved.conversation);
        self.after.push(moved.after.map(signed));
        self.upto.push(signed(moved.upto));
    }
}

fn push<const N: usize>(columns: &mut [Vec<i64>; N], row: [i64; N]) {
    for (column, value) in columns.iter_mut().zip(row) {
        column.push(value);
    }
}
