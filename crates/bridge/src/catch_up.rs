//! A page of the log for a session that fell behind: what of it is for its user.

use mqttchat_protocol::{Conversation, Entry};
use mqttchat_store::{Access, StoreError};

use crate::caller::Caller;
use crate::effect::Effect;
use crate::hub::Hub;

/// Entries that are read at once.
pub(crate) const PAGE: u64 = 50;

/// The part of an answer's bytes that is read at once.
const PART: usize = 4;

/// What was read.
#[derive(Debug)]
pub(crate) struct Page {
    /// What the session is to get, consecutive, oldest first.
    pub(crate) entries: Vec<Entry>,
    /// How it goes on behind that.
    pub(crate) then: Then,
}

/// How a session goes on with a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// There may be more.
    On,
    /// The last of the entries has ended it for this user.
    Ended,
    /// It is not theirs to read any more, and no entry says so to them.
    Lost,
}

/// Reads what comes after `seq`. Entries up to `granted` take nothing away from the caller.
///
/// Rights are read behind it: what was taken back before is known by then.
///
/// # Errors
/// When the store can't be read.
pub(crate) async fn page(
    hub: &Hub,
    caller: &Caller,
    conversation: &Conversation,
    seq: u64,
    granted: u64,
) -> Result<Page, StoreError> {
    let turn = hub.pages.turn().await;
    let bytes = turn.bytes / PART;
    let mut entries = hub.store.entries_after_within(conversation, seq, PAGE, bytes).await?;
    let full = keep(&mut entries, bytes) || entries.len() as u64 == PAGE;
    let Conversation::Room(room) = conversation else { return Ok(Page { entries, then: Then::On }) };
    let readable = hub.store.room_access(room, &caller.party).await? != Access::None;
    Ok(Page::of_room(entries, (seq, granted), caller, Read { readable, full }))
}

/// Keeps the first entries up to that with which they have so many bytes; true when that is reached.
fn keep(entries: &mut Vec<Entry>, most: usize) -> bool {
    let mut bytes = 0;
    let within = entries.iter().position(|entry| {
        bytes += entry.data.len();
        bytes >= most
    });
    entries.truncate(within.map_or(entries.len(), |at| at + 1));
    within.is_some()
}

/// What was found beside the entries.
#[derive(Clone, Copy)]
struct Read {
    /// Whether the conversation is still theirs to read.
    readable: bool,
    /// Whether there may be more entries behind these.
    full: bool,
}

impl Page {
    /// Everything up to the entry that takes a room from this user is theirs, whenever they come to read it. What did so
    /// up to `granted` has been made good since.
    fn of_room(mut entries: Vec<Entry>, (seq, granted): (u64, u64), caller: &Caller, read: Read) -> Self {
        let effect = |entry: &Entry| Effect::of(entry.kind, &entry.data);
        if let Some(first) = entries.first()
            && first.seq != seq + 1
        {
            // What was there is gone with the room; another may have its id now.
            let deleted = effect(first).deletes_room();
            entries.truncate(usize::from(deleted));
            return Self { entries, then: if deleted { Then::Ended } else { Then::Lost } };
        }
        let ends = |entry: &Entry| effect(entry).ends_for(&caller.user, entry.seq <= granted);
        if let Some(at) = entries.iter().position(ends) {
            entries.truncate(at + 1);
            return Self { entries, then: Then::Ended };
        }
        if !read.readable && !read.full {
            return Self { entries: Vec::new(), then: Then::Lost };
        }
        Self { entries, then: Then::On }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttchat_protocol::{EntryKind, MessageId, Party, RoomId, UserId};

    fn entry(seq: u64, kind: EntryKind, data: &str) -> Entry {
        Entry {
            conversation: Conversation::Room(RoomId::parse("ops").unwrap()),
            seq,
            time: 0,
            kind,
            id: MessageId::parse("m").unwrap(),
            from: Party::parse("ann").unwrap(),
            name: "Ann".into(),
            data: data.into(),
            marks: None,
            position: seq,
        }
    }

    /// Bob has come back behind this place.
    const GRANTED: u64 = 5;

    fn page(entries: Vec<Entry>, readable: bool) -> (Vec<u64>, Then) {
        let bob = Caller::new(UserId::parse("bob").unwrap(), "Bob".into());
        let read = Read { readable, full: entries.len() as u64 == PAGE };
        let page = Page::of_room(entries, (4, GRANTED), &bob, read);
        (page.entries.iter().map(|entry| entry.seq).collect(), page.then)
    }

    const REMOVED: &str = r#"{"change":"remove","user":"bob","room":{"open":false,"members":["ann"]}}"#;
    const DELETED: &str = r#"{"change":"delete","room":{"open":false,"members":["ann","bob"]}}"#;

    #[test]
    fn up_to_the_entry_that_ends_it() {
        let msg = |seq| entry(seq, EntryKind::Msg, "{}");
        assert_eq!(page(vec![msg(5), msg(6)], true), (vec![5, 6], Then::On));
        let removed = vec![msg(5), entry(6, EntryKind::Room, REMOVED), msg(7)];
        assert_eq!(page(removed.clone(), false), (vec![5, 6], Then::Ended));
        assert_eq!(page(removed, true), (vec![5, 6], Then::Ended), "also when they belong to it again");
    }

    #[test]
    fn what_was_made_good_since_ends_nothing() {
        let removed = |seq| entry(seq, EntryKind::Room, REMOVED);
        let msg = |seq| entry(seq, EntryKind::Msg, "{}");
        assert_eq!(page(vec![removed(5), msg(6)], true), (vec![5, 6], Then::On));
        assert_eq!(page(vec![removed(5), removed(6), msg(7)], true), (vec![5, 6], Then::Ended));
        assert_eq!(page(vec![entry(5, EntryKind::Room, DELETED), msg(6)], true), (vec![5], Then::Ended));
    }

    #[test]
    fn pages_are_bounded_in_bytes() {
        let of = |count: u64, most| {
            let mut entries = (1..=count).map(|seq| entry(seq, EntryKind::Msg, "0123456789")).collect();
            let reached = keep(&mut entries, most);
            (entries.len(), reached)
        };
        assert_eq!(
            (of(5, 25), of(5, 51), of(5, 50), of(1, 1)),
            ((3, true), (5, false), (5, true), (1, true))
        );
        assert_eq!(of(0, 1), (0, false));
    }

    #[test]
    fn a_room_that_is_gone() {
        assert_eq!(page(vec![entry(9, EntryKind::Room, DELETED)], false), (vec![9], Then::Ended));
        assert_eq!(page(vec![entry(10, EntryKind::Msg, "{}")], true), (vec![], Then::Lost));
        assert_eq!(page(vec![], false), (vec![], Then::Lost));
    }

    #[test]
    fn without_rights_only_what_leads_to_their_end() {
        let msg = |seq| entry(seq, EntryKind::Msg, "{}");
        assert_eq!(page(vec![msg(5)], false), (vec![], Then::Lost));
        let full: Vec<Entry> = (5..5 + PAGE).map(msg).collect();
        assert_eq!(page(full, false).1, Then::On);
    }
}
