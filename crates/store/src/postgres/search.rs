//! Searching.

use mqttchat_protocol::{Conversation, Entry, Party};
use tokio_postgres::Row;

use super::Postgres;
use super::rows::{all, entry_columns, entry_with_conversation, value};
use crate::integer::signed;
use crate::search::{for_all, for_party, for_rooms, of_conversation, of_sender};
use crate::{Query, StoreError};

/// Planned anew for each query: a frequent word is found soonest by going back in time, a rare one by the index.
const PLAN: &str = "SET LOCAL plan_cache_mode TO force_custom_plan";

/// $1: the tokens, $2: the party's number. What belongs to a message is looked up one by one, for it decides little: the
/// plan is to go by how many have the tokens.
macro_rules! search {
    ($and:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            ", c.key FROM search s
     CROSS JOIN LATERAL (SELECT * FROM entries WHERE position = s.position AND kind = 'msg' LIMIT 1) e
     CROSS JOIN LATERAL (
         SELECT key FROM conversations o WHERE id = e.conversation AND e.seq > floor
             AND (key = 'public' OR one = $2 OR other = $2 OR EXISTS (
                 SELECT FROM rooms r WHERE r.conversation = o.id AND (r.open OR EXISTS (
                     SELECT FROM members b WHERE b.conversation = o.id AND b.party = $2)))) LIMIT 1) c
     CROSS JOIN LATERAL (SELECT name FROM parties WHERE id = e.sender LIMIT 1) p
     LEFT JOIN LATERAL (SELECT * FROM marks WHERE position = s.position LIMIT 1) m ON true
     WHERE s.tokens @@ $1::text::tsquery AND m.deleted IS NOT TRUE ",
            $and,
            " ORDER BY s.position DESC LIMIT $3"
        )
    };
}
const WORDS: &str = search!("");

/// The planner takes a phrase for as frequent as its words anywhere in a text. It doesn't know that the comparisons added
/// here are always true, and takes a ninth.
const PHRASES: &str = search!("AND s.position > (SELECT 0::bigint) AND s.conversation > (SELECT 0::bigint)");

const NUMBERS: &str = "
    SELECT (SELECT id FROM parties WHERE name = $1), (SELECT id FROM parties WHERE name = $2),
           (SELECT id FROM conversations WHERE key = $3)";

impl Postgres {
    pub(crate) async fn search(
        &self,
        party: &Party,
        query: &Query,
        conversation: Option<&Conversation>,
        limit: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let from = query.from.as_ref().map(Party::as_str);
        let key = conversation.map(ToString::to_string);
        let numbers = self.pool.read(NUMBERS, &[&party.as_str(), &from, &key]).await?;
        let number = |row: &Row, column| value::<Option<i64>>(row, column);
        let numbers = all(&numbers, |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?;
        let Some((me, sender, place)) = numbers.first().copied() else { return Ok(Vec::new()) };
        if (from.is_some() && sender.is_none()) || (key.is_some() && place.is_none()) {
            return Ok(Vec::new());
        }
        let tokens = matching(query, me, sender, place);
        let search = if query.phrases.iter().any(|phrase| phrase.tokens.len() > 1) { PHRASES } else { WORDS };
        let rows = self.pool.write(&[(PLAN, &[]), (search, &[&tokens, &me, &signed(limit)])]).await?;
        all(rows.last().map_or(&[][..], Vec::as_slice), entry_with_conversation)
    }
}

/// The query in the language of `tsquery`.
fn matching(query: &Query, me: Option<i64>, sender: Option<i64>, place: Option<i64>) -> String {
    let mut wanted: Vec<String> = query
        .phrases
        .iter()
        .map(|phrase| {
            let tokens: Vec<String> = phrase.tokens.iter().map(|token| format!("'{token}'")).collect();
            format!("({}{})", tokens.join(" <-> "), if phrase.prefix { ":*" } else { "" })
        })
        .collect();
    wanted.extend(sender.map(|sender| format!("'{}'", of_sender(sender))));
    match (place, me) {
        (Some(place), _) => wanted.push(format!("'{}'", of_conversation(place))),
        (None, Some(me)) => {
            wanted.push(format!("('{}' | '{}' | '{}')", for_all(), for_rooms(), for_party(me)));
        }
        (None, None) => wanted.push(format!("('{}' | '{}')", for_all(), for_rooms())),
    }
    wanted.join(" & ")
}
