//! What each session was shown: in order, without holes, once, and only what its user may see.

use std::collections::{HashMap, HashSet};

use super::forms::Missing;
use super::{Index, Violation};
use crate::chaos::history::{Conversation, Deed, Entry, History, What};

#[derive(Default)]
struct Stream {
    /// What has to come next, once that is known.
    next: Option<u64>,
    /// Whether its user was shown that they had to go. They may have come back since.
    ended: bool,
    shown: HashSet<u64>,
    delivered: HashSet<u64>,
}

struct Streams<'a> {
    index: &'a Index<'a>,
    users: HashMap<&'a str, &'a str>,
    streams: HashMap<(&'a str, &'a Conversation), Stream>,
    found: &'a mut Vec<Violation>,
}

pub(super) fn check(history: &History, index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut streams = Streams { index, users: HashMap::new(), streams: HashMap::new(), found };
    for record in &history.records {
        match &record.what {
            What::Opened { session, user, resumed, .. } => {
                streams.users.insert(session, user);
                for (conversation, seq) in resumed {
                    streams.stream(session, conversation).next = Some(seq + 1);
                }
            }
            What::Joined { session, conversation, head, .. } if !conversation.is_private() => {
                // Private entries come without a join too, so that it says nothing about what is next.
                let stream = streams.stream(session, conversation);
                if std::mem::take(&mut stream.ended) {
                    stream.next = None;
                }
                stream.next.get_or_insert(head + 1);
            }
            What::Gap { session, conversation, after, before, reset } => {
                streams.gap(session, conversation, (*after, *before), *reset);
            }
            What::Saw { session, conversation, entry } => streams.saw(session, conversation, entry),
            What::Fetched { session, conversation, entries, asked } => {
                for entry in entries {
                    streams.compare(session, conversation, entry, *asked);
                }
                if entries.windows(2).any(|pair| pair[1].seq != pair[0].seq + 1) {
                    let what =
                        format!("{session} was given a page of {conversation} with holes or out of order");
                    streams.found.push(Violation::new(2, &[session, conversation, &"fetched"], what));
                }
            }
            What::Told { session, conversation, entry } => {
                streams.compare(session, conversation, entry, None);
                let stream = streams.stream(session, conversation);
                if stream.ended && stream.next == Some(entry.seq) {
                    stream.next = Some(entry.seq + 1);
                }
            }
            What::Found { session, entries, asked } => {
                for (conversation, entry) in entries {
                    streams.compare(session, conversation, entry, Some(*asked));
                }
            }
            What::Denied { session, conversation } => streams.stream(session, conversation).next = None,
            What::Delivered { session, conversation, seq, id } => {
                streams.delivered(session, conversation, *seq, id);
            }
            _ => {}
        }
    }
}

impl<'a> Streams<'a> {
    fn stream(&mut self, session: &'a str, conversation: &'a Conversation) -> &mut Stream {
        self.streams.entry((session, conversation)).or_default()
    }

    fn gap(&mut self, session: &'a str, conversation: &'a Conversation, gap: (u64, u64), reset: bool) {
        let (after, before) = gap;
        let stream = self.stream(session, conversation);
        let expected = stream.next.replace(before);
        if reset {
            let what = format!("{session} was told that the log of {conversation} is another");
            self.found.push(Violation::new(2, &[&session, conversation], what));
        } else if expected.is_some_and(|next| next != after + 1) {
            let what = format!(
                "{session} was told of a gap after {after} of {conversation} instead of {expected:?}"
            );
            self.found.push(Violation::new(2, &[&session, conversation], what));
        }
    }

    fn saw(&mut self, session: &'a str, conversation: &'a Conversation, entry: &'a Entry) {
        self.compare(session, conversation, entry, None);
        let user = self.users.get(session).copied().unwrap_or_default();
        let ends = matches!(&entry.does, Some(Deed::Remove(who)) if who == user);
        let stream = self.stream(session, conversation);
        let expected = stream.next.replace(entry.seq + 1);
        stream.ended |= ends;
        let again = !stream.shown.insert(entry.seq);
        let seq = entry.seq;
        if again {
            let what = format!("{session} was shown {seq} of {conversation} twice");
            self.found.push(Violation::new(5, &[&session, conversation, &entry.id], what));
        } else if let Some(next) = expected.filter(|next| *next != seq) {
            let what = format!("{session} was shown {seq} of {conversation} when {next} was next");
            self.found.push(Violation::new(2, &[&session, conversation], what));
        }
    }

    /// What anybody is shown is what the log has at that place, as it was then, and theirs to read.
    fn compare(
        &mut self,
        session: &'a str,
        conversation: &'a Conversation,
        entry: &'a Entry,
        asked: Option<u64>,
    ) {
        let about: [&dyn std::fmt::Display; 2] = [&session, &entry.id];
        match self.users.get(session) {
            Some(user) if conversation.is_for(user) => {}
            user => {
                let what = format!("{session} of {user:?} was shown {} of {conversation}", entry.seq);
                self.found.push(Violation::new(4, &about, what));
            }
        }
        let stored = self.index.places.get(&(conversation, entry.seq)).copied();
        let forms = &self.index.forms;
        let shows = stored.and_then(|stored| Some((stored, forms.shows(conversation, stored, entry)?)));
        let Some((stored, shows)) = shows else {
            let what = format!("{session} was shown {entry:?} in {conversation}, and the log has {stored:?}");
            return self.found.push(Violation::new(2, &about, what));
        };
        let missing = asked.and_then(|asked| forms.missing(conversation, stored, shows, asked));
        let (invariant, change) = match missing {
            None => return,
            Some(Missing::Change(change)) => (2, change),
            Some(Missing::Deletion(change)) => (4, change),
        };
        let what = format!("{session} asked long after {change} of {conversation} and was shown {entry:?}");
        self.found.push(Violation::new(invariant, &about, what));
    }

    fn delivered(&mut self, session: &'a str, conversation: &'a Conversation, seq: u64, id: &'a str) {
        let about: [&dyn std::fmt::Display; 2] = [&session, &id];
        if !self.stream(session, conversation).delivered.insert(seq) {
            let what = format!("{session} was told twice that {seq} of {conversation} was delivered");
            self.found.push(Violation::new(5, &about, what));
        }
        let user = self.users.get(session).copied().unwrap_or_default();
        let theirs = self
            .index
            .places
            .get(&(conversation, seq))
            .is_some_and(|entry| entry.from == user && entry.id == id);
        if !theirs {
            let what = format!(
                "{session} was told that {id}, {seq} of {conversation}, was delivered, which {user} did not write"
            );
            self.found.push(Violation::new(4, &about, what));
        }
    }
}
