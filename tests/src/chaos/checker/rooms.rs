//! Who may know what of a room: its log says who belonged to it, from where to where.

use std::collections::{HashMap, HashSet};

use super::Violation;
use crate::chaos::history::{Conversation, Deed, Entry, History, What};

/// How soon after the acknowledgement of a removal nothing that was asked for is given any more, in ms.
const SILENT: u64 = 1_000;

/// A part of a log that is not for somebody.
#[derive(Debug, Clone, Copy)]
struct Outside {
    /// It begins behind this place: that of their removal, or 0.
    behind: u64,
    /// When that was acknowledged.
    acknowledged: Option<u64>,
    /// The place where they come, and the record with which that was asked for first.
    until: Option<(u64, usize)>,
}

/// The rooms of a history, and who stood outside of them.
pub(super) struct Rooms {
    outside: HashMap<Conversation, HashMap<String, Vec<Outside>>>,
}

impl Rooms {
    pub(super) fn of(history: &History) -> Self {
        let (mut sent, mut acknowledged) = (HashMap::new(), HashMap::new());
        let mut users: HashSet<&str> = history.devices.iter().map(|device| device.user.as_str()).collect();
        for (index, record) in history.records.iter().enumerate() {
            match &record.what {
                What::Sent { user, id, .. } => {
                    sent.entry((user, id)).or_insert(index);
                }
                What::Acknowledged { user, id, .. } => {
                    acknowledged.entry((user, id)).or_insert(record.at);
                }
                What::Opened { user, .. } => {
                    users.insert(user);
                }
                _ => {}
            }
        }
        let mut outside: HashMap<_, HashMap<_, _>> = HashMap::new();
        for (room, log) in history.logs.iter().filter(|(conversation, _)| conversation.is_room()) {
            for user in &users {
                let mut parts = vec![Outside { behind: 0, acknowledged: Some(0), until: None }];
                for entry in log {
                    let key = (&entry.from, &entry.id);
                    let last = parts.last_mut().filter(|part| part.until.is_none());
                    match &entry.does {
                        Some(deed) if last.is_none() && matches!(deed, Deed::Remove(who) if who == user) => {
                            let acknowledged = acknowledged.get(&key).copied();
                            parts.push(Outside { behind: entry.seq, acknowledged, until: None });
                        }
                        Some(deed) if comes(deed, user) => {
                            if let Some(part) = last {
                                part.until = Some((entry.seq, sent.get(&key).copied().unwrap_or(usize::MAX)));
                            }
                        }
                        _ => {}
                    }
                }
                outside.entry(room.clone()).or_default().insert((*user).to_owned(), parts);
            }
        }
        Self { outside }
    }

    /// Whether somebody may read a conversation in the end.
    pub(super) fn belongs(&self, room: &Conversation, user: &str) -> bool {
        self.parts(room, user).last().is_none_or(|part| part.until.is_some())
    }

    fn parts(&self, room: &Conversation, user: &str) -> &[Outside] {
        self.outside.get(room).and_then(|users| users.get(user)).map_or(&[], Vec::as_slice)
    }

    /// Whether somebody who was removed at this place was asked to come again before this record.
    fn is_back(&self, room: &Conversation, user: &str, removal: u64, index: usize) -> bool {
        let back =
            |part: &Outside| part.behind == removal && part.until.is_some_and(|(_, sent)| sent < index);
        self.parts(room, user).iter().any(back)
    }

    /// Whether an entry is not for somebody at the time of this record.
    fn hides(&self, room: &Conversation, user: &str, seq: u64, index: usize) -> bool {
        let outside = |part: &Outside| seq > part.behind && part.until.is_none_or(|(_, sent)| index < sent);
        self.parts(room, user).iter().any(outside)
    }

    /// Whether the room was not there for somebody who asked at this time, and had this record as the answer.
    fn is_closed(&self, room: &Conversation, user: &str, asked: u64, index: usize) -> bool {
        self.parts(room, user).iter().any(|part| {
            let silent = if part.behind == 0 { 0 } else { SILENT };
            part.acknowledged.is_some_and(|at| asked >= at + silent)
                && part.until.is_none_or(|(_, sent)| index < sent)
        })
    }
}

fn comes(deed: &Deed, user: &str) -> bool {
    match deed {
        Deed::Make(members) => members.iter().any(|member| member == user),
        Deed::Add(member) => member == user,
        _ => false,
    }
}

struct Watch<'a> {
    rooms: &'a Rooms,
    users: HashMap<&'a str, &'a str>,
    /// The records with which sessions were opened.
    opened: HashMap<&'a str, usize>,
    /// The rooms that each session is in.
    inside: HashSet<(&'a str, &'a Conversation)>,
    told: HashSet<(&'a str, &'a Conversation, u64)>,
    found: &'a mut Vec<Violation>,
}

pub(super) fn check(history: &History, rooms: &Rooms, found: &mut Vec<Violation>) {
    for (room, log) in history.logs.iter().filter(|(conversation, _)| conversation.is_room()) {
        for entry in log {
            let is_in = |part: &Outside| {
                entry.seq > part.behind && part.until.is_none_or(|(until, _)| entry.seq < until)
            };
            if rooms.parts(room, &entry.from).iter().any(is_in) {
                let what = format!("{} of {room} is from {}, to whom it was closed", entry.seq, entry.from);
                found.push(Violation::new(4, &[&entry.id], what));
            }
        }
    }
    let (users, opened) = (HashMap::new(), HashMap::new());
    let (inside, told) = (HashSet::new(), HashSet::new());
    let mut watch = Watch { rooms, users, opened, inside, told, found };
    for (index, record) in history.records.iter().enumerate() {
        watch.read(index, &record.what);
    }
    watch.check_end(history);
}

impl<'a> Watch<'a> {
    fn read(&mut self, index: usize, what: &'a What) {
        match what {
            What::Opened { session, user, resumed, .. } => {
                self.users.insert(session, user);
                self.opened.insert(session, index);
                let rooms = resumed.keys().filter(|place| place.is_room());
                self.inside.extend(rooms.map(|room| (session.as_str(), room)));
            }
            What::Joined { session, conversation, asked, .. } if conversation.is_room() => {
                self.inside.insert((session, conversation));
                self.answered(session, conversation, *asked, index, "was let in");
            }
            What::Denied { session, conversation } => {
                self.inside.remove(&(session, conversation));
            }
            What::Saw { session, conversation, entry } if conversation.is_room() => {
                self.shown(session, conversation, entry, index);
                self.unasked(session, conversation, &format!("shown {}", entry.seq));
                let user = self.user(session);
                let opened = self.opened.get(session.as_str()).copied().unwrap_or_default();
                // Who comes back reads past what was made good before.
                let is_back = self.rooms.is_back(conversation, user, entry.seq, opened);
                if matches!(&entry.does, Some(Deed::Remove(who)) if who == user && !is_back) {
                    self.inside.remove(&(session, conversation));
                }
            }
            What::Told { session, conversation, entry } => {
                self.shown(session, conversation, entry, index);
                if !self.told.insert((session, conversation, entry.seq)) {
                    let what = format!("{session} was told of {} of {conversation} twice", entry.seq);
                    self.found.push(Violation::new(5, &[session, conversation, &entry.id], what));
                }
            }
            What::Heard { session, conversation, kind } if conversation.is_room() => {
                self.unasked(session, conversation, &format!("sent {kind}"));
            }
            What::Fetched { session, conversation, entries, asked } if conversation.is_room() => {
                for entry in entries {
                    self.shown(session, conversation, entry, index);
                }
                if let Some(asked) = asked {
                    self.answered(session, conversation, *asked, index, "was given a page");
                }
            }
            What::Found { session, entries, asked } => {
                for (conversation, entry) in entries.iter().filter(|(conversation, _)| conversation.is_room())
                {
                    self.shown(session, conversation, entry, index);
                    self.answered(session, conversation, *asked, index, "found something");
                }
            }
            What::Tried { session, user, conversation, tried, asked, answer }
                if answer != "not_found" && self.rooms.is_closed(conversation, user, *asked, index) =>
            {
                let what = format!("{session} was answered with {answer:?} to {tried} in {conversation}");
                self.found.push(Violation::new(4, &[session, conversation], what));
            }
            _ => {}
        }
    }

    fn user(&self, session: &str) -> &'a str {
        self.users.get(session).copied().unwrap_or_default()
    }

    fn shown(&mut self, session: &'a str, room: &'a Conversation, entry: &Entry, index: usize) {
        let user = self.user(session);
        if self.rooms.hides(room, user, entry.seq, index) {
            let what = format!("{session} was shown {} of {room}, which was closed to {user}", entry.seq);
            self.found.push(Violation::new(4, &[&session, &entry.id], what));
        }
    }

    fn answered(&mut self, session: &'a str, room: &'a Conversation, asked: u64, index: usize, how: &str) {
        let user = self.user(session);
        if self.rooms.is_closed(room, user, asked, index) {
            let what = format!("{session} {how} in {room}, which was closed to {user}");
            self.found.push(Violation::new(4, &[&session, room], what));
        }
    }

    /// What comes by itself comes to who is in the room.
    fn unasked(&mut self, session: &'a str, room: &'a Conversation, what: &str) {
        if !self.inside.contains(&(session, room)) {
            let what = format!("{session} was {what} of {room}, and is not in it");
            self.found.push(Violation::new(4, &[&session, room], what));
        }
    }

    /// Who doesn't belong to a room in the end has been told so.
    fn check_end(&mut self, history: &'a History) {
        for record in &history.records {
            if let What::Closed { session, why } = &record.what
                && why != "it wanted to"
            {
                self.inside.retain(|(inside, _)| inside != session);
            }
        }
        let mut inside: Vec<_> = self.inside.iter().copied().collect();
        inside.sort();
        for (session, room) in inside {
            let user = self.user(session);
            if !self.rooms.belongs(room, user) {
                let what = format!("{session} was never told that {room} was closed to {user}");
                self.found.push(Violation::new(7, &[&session, room], what));
            }
        }
    }
}
