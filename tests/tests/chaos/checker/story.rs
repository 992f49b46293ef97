//! A good history, made up from a seed.

use std::collections::BTreeMap;

use mqttchat_e2e::chaos::history::{Conversation, Deed, DeviceOf, Entry, History, Marks, Record, What};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const USERS: [&str; 3] = ["ann", "bob", "carol"];
/// Who is removed from the room and taken in again; the first is in it in the end.
const CHURNED: [&str; 2] = ["bob", "carol"];
/// Milliseconds between two records.
const STEP: u64 = 40;

/// A good history is told: people send and change what they sent, the log grows, sessions come and go and catch up, people
/// are removed from a room and come back.
pub(super) struct Story {
    rng: StdRng,
    history: History,
    sessions: BTreeMap<String, Session>,
    opened: u64,
    wished: u64,
}

struct Session {
    name: String,
    places: BTreeMap<Conversation, u64>,
    /// Whether it is in the room, and where that stood when it was opened.
    inside: bool,
    granted: u64,
}

pub(super) fn public() -> Conversation {
    Conversation::public()
}

pub(super) fn room() -> Conversation {
    Conversation::room("ops")
}

fn follows(user: &str) -> Vec<Conversation> {
    let all = [public(), Conversation::pair("ann", "bob"), Conversation::pair("bob", "carol"), room()];
    all.into_iter().filter(|conversation| conversation.is_for(user)).collect()
}

impl Story {
    /// A history in which everything occurs that some test breaks.
    pub(super) fn rich(seed: u64) -> History {
        let pair = Conversation::pair("ann", "bob");
        let mut all = (seed * 1000..).map(Self::tell);
        let is_rich = |history: &History| {
            let any = |like: &dyn Fn(&What) -> bool| history.records.iter().any(|record| like(&record.what));
            any(&|what| matches!(what, What::Gap { .. }))
                && any(&|what| matches!(what, What::Fetched { entries, .. } if entries.len() > 2))
                && any(&|what| matches!(what, What::Delivered { .. }))
                && any(&|what| matches!(what, What::Refused { .. }))
                && any(
                    &|what| matches!(what, What::Acknowledged { conversation, seq, .. } if *conversation == public() && *seq > 3),
                )
                && any(&|what| matches!(what, What::Saw { conversation, .. } if *conversation == pair))
                && any(&|what| matches!(what, What::Told { .. }))
                && any(&|what| matches!(what, What::Tried { .. }))
                && any(&|what| matches!(what, What::Saw { entry, .. } if !entry.marks.reactions.is_empty()))
                && is_gone(history, "bob", true)
                && is_gone(history, "carol", false)
                && history.logs[&public()].iter().any(|entry| entry.marks.edited.is_some())
                && history.logs[&public()].iter().any(|entry| entry.marks.deleted)
        };
        all.find(is_rich).unwrap_or_default()
    }

    pub(super) fn tell(seed: u64) -> History {
        let devices = USERS.map(|user| DeviceOf {
            device: format!("{user}0"),
            user: user.to_owned(),
            follows: follows(user),
        });
        let history = History { broker_kept: true, devices: devices.to_vec(), ..History::default() };
        let mut story = Self {
            rng: StdRng::seed_from_u64(seed),
            history,
            sessions: BTreeMap::new(),
            opened: 0,
            wished: 0,
        };
        story.wish("room.create", Deed::Make(USERS.map(str::to_owned).to_vec()));
        for user in USERS {
            story.open(user);
        }
        for number in 0..60 {
            story.speak(number);
            if story.rng.random_bool(0.2) {
                story.change(number);
            }
            if story.rng.random_bool(0.15) {
                let user = CHURNED[story.rng.random_range(0..2)];
                story.move_member(user);
            }
            if story.rng.random_bool(0.1) {
                story.try_to_get_in();
            }
            let user = USERS[story.rng.random_range(0..3)];
            if story.rng.random_bool(0.1) {
                story.open(user);
            } else if story.rng.random_bool(0.5) {
                story.read(user);
            }
        }
        for (user, inside) in CHURNED.into_iter().zip([true, false]) {
            if story.belongs(user) != inside {
                story.move_member(user);
            }
        }
        story.note(What::Healed);
        // Bob last, whose it is to have, and who may have to hear first that he had to go.
        for user in ["ann", "carol", "bob", "bob"] {
            story.read(user);
        }
        story.history
    }

    fn note(&mut self, what: What) {
        let at = self.history.records.last().map_or(0, |record| record.at + STEP);
        self.history.records.push(Record { at, what });
    }

    fn open(&mut self, user: &str) {
        self.opened += 1;
        let session = format!("{user}0.{}", self.opened);
        let before = self.sessions.remove(user);
        if let Some(Session { name, .. }) = &before {
            self.note(What::Closed { session: name.clone(), why: "cut".to_owned() });
        }
        let places = before.map(|session| session.places);
        let places = places.unwrap_or_else(|| follows(user).into_iter().map(|place| (place, 0)).collect());
        self.note(What::Opened {
            session: session.clone(),
            device: format!("{user}0"),
            user: user.to_owned(),
            resumed: places.clone(),
            door: "ws".to_owned(),
        });
        let inside = self.belongs(user);
        if !inside {
            self.note(What::Denied { session: session.clone(), conversation: room() });
        }
        let granted = self.history.logs[&room()].len() as u64;
        self.sessions.insert(user.to_owned(), Session { name: session, places, inside, granted });
    }

    fn speak(&mut self, number: u64) {
        let foreign = self.rng.random_bool(0.2);
        let user = USERS[self.rng.random_range(0..3)];
        let places: Vec<_> =
            follows(user).into_iter().filter(|place| !place.is_room() || self.belongs(user)).collect();
        let conversation =
            if foreign { public() } else { places[self.rng.random_range(0..places.len())].clone() };
        let (id, text) = (format!("m{number}"), format!("text {number}"));
        let from = if foreign { "mqtt:meter".to_owned() } else { user.to_owned() };
        let log = self.history.logs.entry(conversation.clone()).or_default();
        let (seq, time) = (log.len() as u64 + 1, 1000 + number / 3);
        let entry = Entry {
            seq,
            id: id.clone(),
            from: from.clone(),
            time,
            text: text.clone(),
            does: None,
            marks: Marks::default(),
        };
        log.push(entry.clone());
        if conversation == public() {
            self.note(What::Overheard { conversation: conversation.clone(), entry });
        }
        if foreign {
            self.note(What::Published { from: from.clone(), id: id.clone(), conversation, text });
            return self.note(What::Taken { from, id });
        }
        let session = self.sessions[user].name.clone();
        let known = self.rng.random_bool(0.8).then(|| text.clone());
        let sent =
            What::Sent { user: from.clone(), id: id.clone(), conversation: conversation.clone(), text };
        let answer = What::Acknowledged {
            session: session.clone(),
            user: from,
            id: id.clone(),
            conversation: conversation.clone(),
            seq,
            time,
            text: known,
        };
        self.note(sent.clone());
        if self.rng.random_bool(0.8) {
            self.note(answer.clone());
            if conversation.is_private() {
                self.note(What::Delivered { session, conversation, seq, id });
            }
            if self.rng.random_bool(0.1) {
                self.note(sent);
                self.note(answer);
            }
            if self.rng.random_bool(0.1) {
                self.contradict(user, number);
            }
        }
    }

    /// Somebody says something else under an id that is spent, and is refused.
    fn contradict(&mut self, user: &str, number: u64) {
        let (id, text) = (format!("m{number}"), "something else".to_owned());
        let (session, user, conversation) = (self.sessions[user].name.clone(), user.to_owned(), public());
        self.note(What::Sent {
            user: user.clone(),
            id: id.clone(),
            conversation: conversation.clone(),
            text: text.clone(),
        });
        self.note(What::Refused { session, user, id, conversation, text, code: "id_conflict".to_owned() });
    }

    /// Somebody changes a message of their own, or thinks something of anybody's, in public.
    fn change(&mut self, number: u64) {
        let user = USERS[self.rng.random_range(0..3)];
        let log = self.history.logs.entry(public()).or_default();
        let open: Vec<_> =
            log.iter().filter(|entry| entry.does.is_none() && !entry.marks.deleted).cloned().collect();
        let Some(target) = open.get(self.rng.random_range(0..open.len().max(1))) else { return };
        let which = self.rng.random_range(0..3);
        let (id, place) = (format!("c{number}"), target.seq as usize - 1);
        let deed = match which {
            0 if target.from == user => Deed::Edit(target.seq),
            1 if target.from == user => Deed::Delete(target.seq),
            _ => Deed::React { seq: target.seq, emoji: "🎉".to_owned(), on: self.rng.random_bool(0.8) },
        };
        let text = match &deed {
            Deed::Edit(_) => format!("edit {}: other words {number}", target.id),
            Deed::Delete(_) => format!("delete {}", target.id),
            Deed::React { on, .. } => format!("react to {} 🎉 {on}", target.id),
            _ => return,
        };
        let entry = self.append(public(), user, &id, text, deed.clone());
        self.note(What::Overheard { conversation: public(), entry: entry.clone() });
        let log = public_log(&mut self.history);
        let gone = format!("edit {}: ", target.id);
        let target = &mut log[place];
        match deed {
            Deed::Edit(_) => {
                target.text = format!("other words {number}");
                target.marks.edited = Some(entry.time);
            }
            Deed::Delete(_) => {
                target.text.clear();
                target.marks = Marks { deleted: true, ..Marks::default() };
                for edit in log.iter_mut().filter(|entry| entry.text.starts_with(&gone)) {
                    edit.text.clone_from(&gone);
                }
            }
            Deed::React { emoji, on, .. } => {
                let users = target.marks.reactions.entry(emoji).or_default();
                users.retain(|other| other != user);
                if on {
                    users.push(user.to_owned());
                    users.sort();
                }
                target.marks.reactions.retain(|_, users| !users.is_empty());
            }
            _ => {}
        }
    }

    fn belongs(&self, user: &str) -> bool {
        let changes = self.history.logs[&room()].iter().filter_map(|entry| entry.does.as_ref());
        changes.fold(false, |inside, deed| match deed {
            Deed::Make(users) => users.iter().any(|other| other == user),
            Deed::Add(other) if other == user => true,
            Deed::Remove(other) if other == user => false,
            _ => inside,
        })
    }

    fn move_member(&mut self, user: &str) {
        if self.belongs(user) {
            self.wish(&format!("member.remove {user}"), Deed::Remove(user.to_owned()));
        } else {
            self.wish(&format!("member.add {user}"), Deed::Add(user.to_owned()));
        }
    }

    /// Ann changes the room.
    fn wish(&mut self, text: &str, deed: Deed) {
        self.wished += 1;
        self.append(room(), "ann", &format!("w{}", self.wished), text.to_owned(), deed);
    }

    /// Sends an entry that changes something, stores it and has it acknowledged.
    fn append(
        &mut self,
        conversation: Conversation,
        user: &str,
        id: &str,
        text: String,
        deed: Deed,
    ) -> Entry {
        let (user, id) = (user.to_owned(), id.to_owned());
        self.note(What::Sent {
            user: user.clone(),
            id: id.clone(),
            conversation: conversation.clone(),
            text: text.clone(),
        });
        let log = self.history.logs.entry(conversation.clone()).or_default();
        let (seq, time) = (log.len() as u64 + 1, log.last().map_or(1000, |entry| entry.time));
        let (from, does) = (user.clone(), Some(deed));
        let entry =
            Entry { seq, id: id.clone(), from, time, text: text.clone(), does, marks: Marks::default() };
        log.push(entry.clone());
        let session = format!("{user}-changes");
        self.note(What::Acknowledged { session, user, id, conversation, seq, time, text: Some(text) });
        entry
    }

    /// Somebody who never belonged to the room asks for what is in it.
    fn try_to_get_in(&mut self) {
        let asked = self.history.records.last().map_or(0, |record| record.at);
        let (session, user) = ("eve-spy.1".to_owned(), "eve".to_owned());
        if !self.history.records.iter().any(|record| matches!(&record.what, What::Tried { .. })) {
            self.note(What::Opened {
                session: session.clone(),
                device: "eve-spy".to_owned(),
                user: user.clone(),
                resumed: [].into(),
                door: "XhrPolling".to_owned(),
            });
        }
        let (conversation, tried, answer) = (room(), "history".to_owned(), "not_found".to_owned());
        self.note(What::Found { session: session.clone(), entries: Vec::new(), asked });
        self.note(What::Tried { session, user, conversation, tried, asked, answer });
    }

    /// A session gets what there is, live or, now and then, left out and fetched.
    fn read(&mut self, user: &str) {
        let asked = self.history.records.last().map_or(0, |record| record.at);
        let belongs = self.belongs(user);
        let Some(Session { name, places, inside, granted }) = self.sessions.get_mut(user) else { return };
        let mut heard = Vec::new();
        for (conversation, place) in places {
            let log = self.history.logs.get(conversation).map_or(&[][..], Vec::as_slice);
            let mut new = &log[*place as usize..];
            let (session, conversation) = (name.clone(), conversation.clone());
            if conversation.is_room() {
                let ends = |entry: &Entry| {
                    entry.seq > *granted && matches!(&entry.does, Some(Deed::Remove(other)) if other == user)
                };
                if *inside && let Some(end) = new.iter().position(ends) {
                    new = &new[..=end];
                    *inside = false;
                } else if !*inside {
                    if !belongs {
                        continue;
                    }
                    let comes =
                        |entry: &&Entry| matches!(&entry.does, Some(Deed::Add(other)) if other == user);
                    let Some(added) = log.iter().rfind(comes) else { continue };
                    *inside = true;
                    let head = log.len() as u64;
                    heard.extend([
                        What::Told {
                            session: session.clone(),
                            conversation: conversation.clone(),
                            entry: added.clone(),
                        },
                        What::Joined {
                            session: session.clone(),
                            conversation: conversation.clone(),
                            head,
                            asked,
                        },
                        What::Fetched { session, conversation, entries: new.to_vec(), asked: None },
                    ]);
                    *place = head;
                    continue;
                }
                if !new.is_empty() {
                    let (session, conversation) = (session.clone(), conversation.clone());
                    heard.push(What::Heard { session, conversation, kind: "typing".to_owned() });
                }
            }
            if new.len() > 2 && !conversation.is_room() && self.rng.random_bool(0.3) {
                let (after, before) = (*place, new[new.len() - 1].seq);
                let (gap_of, entries) = (conversation.clone(), new[..new.len() - 1].to_vec());
                heard.push(What::Gap {
                    session: session.clone(),
                    conversation: gap_of,
                    after,
                    before,
                    reset: false,
                });
                heard.push(What::Fetched {
                    session: session.clone(),
                    conversation: conversation.clone(),
                    entries,
                    asked: Some(asked),
                });
                let entry = new[new.len() - 1].clone();
                heard.push(What::Saw { session, conversation: conversation.clone(), entry });
            } else {
                heard.extend(new.iter().map(|entry| What::Saw {
                    session: session.clone(),
                    conversation: conversation.clone(),
                    entry: entry.clone(),
                }));
            }
            *place += new.len() as u64;
        }
        for what in heard {
            self.note(what);
        }
    }
}

/// Whether a session was shown that somebody had to go: for good, or before they came again, with something said between.
fn is_gone(history: &History, user: &str, comes_back: bool) -> bool {
    let back = |(seq, place)| is_shut(history, user, seq, place);
    // By a session that stayed: the next one is not let in, and knows by that.
    let stayed = |place: usize| {
        let What::Saw { session, .. } = &history.records[place].what else { return false };
        let is_end =
            |record: &Record| matches!(&record.what, What::Closed { session: ended, .. } if ended == session);
        !history.records.iter().any(is_end)
    };
    let for_good = |(seq, place): (u64, usize)| comes(history, user, seq).is_none() && stayed(place);
    let mut all = removals(history, user).into_iter();
    if comes_back { all.any(back) } else { all.any(for_good) }
}

/// Whether somebody removed at `seq` was asked to come again after the record at `place`, and others spoke before.
pub(super) fn is_shut(history: &History, user: &str, seq: u64, place: usize) -> bool {
    comes(history, user, seq).is_some_and(|entry| {
        let asked = |record: &Record| matches!(&record.what, What::Sent { id, .. } if *id == entry.id);
        entry.seq > seq + 1 && history.records[place..].iter().any(asked)
    })
}

/// The entry with which somebody comes again who was removed at `seq`.
fn comes<'a>(history: &'a History, user: &str, seq: u64) -> Option<&'a Entry> {
    let is_back = |entry: &&Entry| matches!(&entry.does, Some(Deed::Add(other)) if other == user);
    history.logs[&room()][seq as usize..].iter().find(is_back)
}

/// Where in the log somebody was removed, and with which record they were shown that by the session that ended there.
pub(super) fn removals(history: &History, user: &str) -> Vec<(u64, usize)> {
    let mut found = Vec::new();
    for (place, record) in history.records.iter().enumerate() {
        let What::Saw { session, entry, .. } = &record.what else { continue };
        let theirs = matches!(&entry.does, Some(Deed::Remove(other)) if other == user);
        // Who reads on has come back before.
        let goes_on = history.records[place + 1..].iter().any(
            |later| matches!(&later.what, What::Saw { session: s, conversation, entry: next } if s == session && *conversation == room() && next.seq == entry.seq + 1),
        );
        if theirs && session.starts_with(user) && !goes_on {
            found.push((entry.seq, place));
        }
    }
    found
}

/// The places of records like this.
pub(super) fn places(history: &History, like: impl Fn(&What) -> bool) -> Vec<usize> {
    (0..history.records.len()).filter(|place| like(&history.records[*place].what)).collect()
}

pub(super) fn some(history: &History, rng: &mut StdRng, like: impl Fn(&What) -> bool) -> usize {
    let found = places(history, like);
    found[rng.random_range(0..found.len())]
}

pub(super) fn is_saw(what: &What) -> bool {
    matches!(what, What::Saw { .. })
}

pub(super) fn is_acknowledged(what: &What) -> bool {
    matches!(what, What::Acknowledged { .. })
}

pub(super) fn public_log(history: &mut History) -> &mut Vec<Entry> {
    log_of(history, public())
}

pub(super) fn log_of(history: &mut History, conversation: Conversation) -> &mut Vec<Entry> {
    history.logs.entry(conversation).or_default()
}
