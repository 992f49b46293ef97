//! Entries that change a message: which messages those are, what becomes of them, and how that is written.
//!
//! A message is only changed by who holds its conversation's row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mqttchat_protocol::{Party, Target};

use super::batch::{ask, do_all};
use super::fault::Fault;
use super::rows::{number, parsed, value};
use super::session::{Params, Session};
use crate::change::{EMOJIS, ambiguous, no_such_message, too_many_reactions, with_text, without_text};
use crate::integer::{signed, unsigned};
use crate::{AppendError, Change, NewEntry};

// Looked for by its id whatever the statistics say: a conversation is long.
const TARGETS: &str = "
    SELECT k.conversation, k.id, e.position, e.seq, p.name, coalesce(m.data, e.data), m.data IS NOT NULL, m.edited,
        ARRAY(SELECT DISTINCT emoji FROM reactions WHERE target = e.position),
        ARRAY(SELECT position FROM edits WHERE target = e.position ORDER BY position),
        ARRAY(SELECT x.data FROM edits d JOIN entries x ON x.position = d.position WHERE d.target = e.position
              ORDER BY d.position)
    FROM unnest($1::bigint[], $2::text[]) AS k(conversation, id)
    CROSS JOIN LATERAL (SELECT * FROM entries WHERE id = k.id COLLATE \"C\" OFFSET 0) e
    CROSS JOIN LATERAL (SELECT floor FROM conversations WHERE id = k.conversation LIMIT 1) c
    CROSS JOIN LATERAL (SELECT name FROM parties WHERE id = e.sender LIMIT 1) p
    LEFT JOIN LATERAL (SELECT * FROM marks WHERE position = e.position LIMIT 1) m ON true
    WHERE e.conversation = k.conversation AND e.kind = 'msg' AND e.seq > c.floor AND NOT coalesce(m.deleted, false)";

const MARK: &str = "
    INSERT INTO marks (position, data, edited, deleted)
    SELECT position, data, edited, deleted
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bool[]) AS n(position, data, edited, deleted)
    ON CONFLICT (position) DO UPDATE
    SET data = excluded.data, edited = excluded.edited, deleted = excluded.deleted";
const REWRITE: &str = "
    UPDATE entries e SET data = n.data FROM unnest($1::bigint[], $2::text[]) AS n(position, data)
    WHERE e.position = n.position";
const EDITED: &str = "
    INSERT INTO edits (target, position) SELECT target, position FROM unnest($1::bigint[], $2::bigint[]) AS n(target, position)";
const REACT: &str = "
    INSERT INTO reactions (target, emoji, party)
    SELECT target, emoji, party FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS n(target, emoji, party)
    ON CONFLICT DO NOTHING";
const UNREACT: &str = "
    DELETE FROM reactions r USING unnest($1::bigint[], $2::text[], $3::bigint[]) AS n(target, emoji, party)
    WHERE r.target = n.target AND r.emoji = n.emoji COLLATE \"C\" AND r.party = n.party";
const FORGET_EDITS: &str = "DELETE FROM edits WHERE target = ANY($1)";
const FORGET_REACTIONS: &str = "DELETE FROM reactions WHERE target = ANY($1)";

pub(super) const STATEMENTS: &[&str] =
    &[TARGETS, MARK, REWRITE, EDITED, REACT, UNREACT, FORGET_EDITS, FORGET_REACTIONS];

/// A message that is to be changed, as it is at this point of the batch.
struct Message {
    position: i64,
    seq: u64,
    author: Party,
    data: String,
    /// Whether its data is no longer what its entry says.
    differs: bool,
    edited: Option<u64>,
    deleted: bool,
    emojis: BTreeSet<String>,
    /// Position and data of its edits.
    edits: Vec<(i64, String)>,
    /// Whether its marks are to be written.
    changed: bool,
}

/// The messages that the changes of a batch are about.
#[derive(Default)]
pub(super) struct Messages {
    /// By conversation and id.
    known: HashMap<(i64, String), Vec<Message>>,
    /// By target, emoji and party, whether it stands.
    reactions: BTreeMap<(i64, String, i64), bool>,
    /// Target and position of new edits.
    edits: Vec<(i64, i64)>,
    /// What entries say from here on, by position.
    rewritten: BTreeMap<i64, String>,
}

impl Messages {
    /// Reads those meant by ids, each in its conversation.
    pub(super) async fn read(session: &Session, targets: &BTreeSet<(i64, String)>) -> Result<Self, Fault> {
        let mut known: HashMap<_, Vec<Message>> =
            targets.iter().map(|target| (target.clone(), Vec::new())).collect();
        let (conversations, ids): (Vec<i64>, Vec<&str>) =
            targets.iter().map(|(conversation, id)| (*conversation, id.as_str())).unzip();
        let params: Params<'_> = &[&conversations, &ids];
        for row in &ask(session, !targets.is_empty(), TARGETS, params).await? {
            let (positions, data): (Vec<i64>, Vec<String>) = (value(row, 9)?, value(row, 10)?);
            let message = Message {
                position: value(row, 2)?,
                seq: number(row, 3)?,
                author: parsed(row, 4, Party::parse)?,
                data: value(row, 5)?,
                differs: value(row, 6)?,
                edited: value::<Option<i64>>(row, 7)?.map(unsigned),
                deleted: false,
                emojis: value::<Vec<String>>(row, 8)?.into_iter().collect(),
                edits: positions.into_iter().zip(data).collect(),
                changed: false,
            };
            known.entry((value(row, 0)?, value(row, 1)?)).or_default().push(message);
        }
        Ok(Self { known, ..Self::default() })
    }

    /// Notes that a message is stored, which later ones of the batch may change.
    pub(super) fn stored(&mut self, conversation: i64, new: &NewEntry, seq: u64, position: i64) {
        if self.known.is_empty() {
            return;
        }
        if let Some(messages) = self.known.get_mut(&(conversation, new.id.as_str().to_owned())) {
            messages.push(Message {
                position,
                seq,
                author: new.from.clone(),
                data: (*new.data).to_owned(),
                differs: false,
                edited: None,
                deleted: false,
                emojis: BTreeSet::new(),
                edits: Vec::new(),
                changed: false,
            });
        }
    }

    /// Notes that all that was said in a conversation is gone.
    pub(super) fn forget(&mut self, conversation: i64) {
        for ((of, _), messages) in &mut self.known {
            if *of == conversation {
                messages.clear();
            }
        }
    }

    fn find(&mut self, conversation: i64, target: &Target) -> Result<&mut Message, AppendError> {
        let named = |message: &&mut Message| {
            !message.deleted && target.author.as_ref().is_none_or(|author| *author == message.author)
        };
        let messages = self.known.get_mut(&(conversation, target.id.as_str().to_owned()));
        let mut meant = messages.into_iter().flatten().filter(named);
        match (meant.next(), meant.next()) {
            (Some(message), None) => Ok(message),
            (Some(_), Some(_)) => Err(ambiguous()),
            (None, _) => Err(no_such_message()),
        }
    }

    /// The `seq` and the author of the message that is meant, if it can be changed so as far as it is concerned.
    pub(super) fn look_at(
        &mut self,
        conversation: i64,
        target: &Target,
        change: &Change,
    ) -> Result<(u64, Party), AppendError> {
        let message = self.find(conversation, target)?;
        match change {
            Change::React { emoji, on: true, .. }
                if !message.emojis.contains(emoji) && message.emojis.len() as u64 >= EMOJIS =>
            {
                Err(too_many_reactions())
            }
            _ => Ok((message.seq, message.author.clone())),
        }
    }

    /// Changes the message, as an entry at `time` and `position` by `sender` says.
    pub(super) fn apply(
        &mut self,
        conversation: i64,
        target: &Target,
        (change, data): (&Change, &str),
        sender: i64,
        (time, position): (u64, i64),
    ) -> Option<()> {
        let message = self.find(conversation, target).ok()?;
        message.changed = true;
        let at = message.position;
        match change {
            Change::Edit(_) => {
                message.data = with_text(&message.data, data)?;
                (message.differs, message.edited) = (true, Some(time));
                message.edits.push((position, data.to_owned()));
                self.edits.push((at, position));
            }
            Change::Delete(_) => {
                (message.deleted, message.differs, message.edited) = (true, false, None);
                let edits = std::mem::take(&mut message.edits);
                self.rewritten.insert(at, "{}".into());
                for (position, data) in edits {
                    self.rewritten.insert(position, without_text(&data)?);
                }
            }
            Change::React { emoji, on, .. } => {
                if *on {
                    message.emojis.insert(emoji.clone());
                }
                self.reactions.insert((at, emoji.clone(), sender), *on);
            }
            Change::Room(_) => return None,
        }
        Some(())
    }

    /// Writes what has changed. All is sent at once.
    pub(super) async fn write(&self, session: &Session) -> Result<(), Fault> {
        let changed: Vec<_> = self.known.values().flatten().filter(|message| message.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let positions: Vec<i64> = changed.iter().map(|message| message.position).collect();
        let data: Vec<Option<&str>> =
            changed.iter().map(|message| message.differs.then_some(message.data.as_str())).collect();
        let edited: Vec<Option<i64>> = changed.iter().map(|message| message.edited.map(signed)).collect();
        let deleted: Vec<bool> = changed.iter().map(|message| message.deleted).collect();
        let gone: Vec<i64> =
            changed.iter().filter(|message| message.deleted).map(|message| message.position).collect();
        let (rewritten, texts): (Vec<i64>, Vec<&str>) =
            self.rewritten.iter().map(|(position, data)| (*position, data.as_str())).unzip();
        let (targets, edits): (Vec<i64>, Vec<i64>) = self.edits.iter().copied().unzip();
        let [on, off] = [true, false].map(|wanted| self.reactions_that(wanted));
        let mark: Params<'_> = &[&positions, &data, &edited, &deleted];
        let (rewrite, edit): (Params<'_>, Params<'_>) = (&[&rewritten, &texts], &[&targets, &edits]);
        let (react, unreact): (Params<'_>, Params<'_>) = (&[&on.0, &on.1, &on.2], &[&off.0, &off.1, &off.2]);
        let forget: Params<'_> = &[&gone];
        let all: [(bool, &'static str, Params<'_>); 7] = [
            (true, MARK, mark),
            (!rewritten.is_empty(), REWRITE, rewrite),
            (!targets.is_empty(), EDITED, edit),
            (!on.0.is_empty(), REACT, react),
            (!off.0.is_empty(), UNREACT, unreact),
            (!gone.is_empty(), FORGET_EDITS, forget),
            (!gone.is_empty(), FORGET_REACTIONS, forget),
        ];
        do_all(session, &all).await
    }

    fn reactions_that(&self, stand: bool) -> (Vec<i64>, Vec<&str>, Vec<i64>) {
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for ((target, emoji, party), _) in self.reactions.iter().filter(|(_, on)| **on == stand) {
            columns.0.push(*target);
            columns.1.push(emoji.as_str());
            columns.2.push(*party);
        }
        columns
    }
}
