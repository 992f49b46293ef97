//! A good history, made up from a seed.

use std::collections::BTreeMap;

use mqttchat_e2e::chaos::history::{Conversation, DeviceOf, Entry, History, Record, What};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const USERS: [&str; 3] = ["ann", "bob", "carol"];

/// A good history is told: people send, the log grows, sessions come and go and catch up.
pub(super) struct Story {
    rng: StdRng,
    history: History,
    sessions: BTreeMap<String, (String, BTreeMap<Conversation, u64>)>,
    opened: u64,
}

pub(super) fn public() -> Conversation {
    Conversation::public()
}

fn follows(user: &str) -> Vec<Conversation> {
    let all = [public(), Conversation::pair("ann", "bob"), Conversation::pair("bob", "carol")];
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
        let mut story =
            Self { rng: StdRng::seed_from_u64(seed), history, sessions: BTreeMap::new(), opened: 0 };
        for user in USERS {
            story.open(user);
        }
        for number in 0..60 {
            story.speak(number);
            let user = USERS[story.rng.random_range(0..3)];
            if story.rng.random_bool(0.1) {
                story.open(user);
            } else if story.rng.random_bool(0.5) {
                story.read(user);
            }
        }
        story.note(What::Healed);
        for user in USERS {
            story.read(user);
        }
        story.history
    }

    fn note(&mut self, what: What) {
        let at = self.history.records.last().map_or(0, |record| record.at + 1);
        self.history.records.push(Record { at, what });
    }

    fn open(&mut self, user: &str) {
        self.opened += 1;
        let session = format!("{user}0.{}", self.opened);
        let places = self.sessions.remove(user).map(|(_, places)| places);
        let places = places.unwrap_or_else(|| follows(user).into_iter().map(|place| (place, 0)).collect());
        self.note(What::Opened {
            session: session.clone(),
            device: format!("{user}0"),
            user: user.to_owned(),
            resumed: places.clone(),
        });
        self.sessions.insert(user.to_owned(), (session, places));
    }

    fn speak(&mut self, number: u64) {
        let foreign = self.rng.random_bool(0.2);
        let user = USERS[self.rng.random_range(0..3)];
        let places = follows(user);
        let conversation =
            if foreign { public() } else { places[self.rng.random_range(0..places.len())].clone() };
        let (id, text) = (format!("m{number}"), format!("text {number}"));
        let from = if foreign { "mqtt:meter".to_owned() } else { user.to_owned() };
        let log = self.history.logs.entry(conversation.clone()).or_default();
        let (seq, time) = (log.len() as u64 + 1, 1000 + number / 3);
        let entry = Entry { seq, id: id.clone(), from: from.clone(), time, text: text.clone() };
        log.push(entry.clone());
        if !conversation.is_private() {
            self.note(What::Overheard { conversation: conversation.clone(), entry });
        }
        if foreign {
            self.note(What::Published { from: from.clone(), id: id.clone(), conversation, text });
            return self.note(What::Taken { from, id });
        }
        let session = self.sessions[user].0.clone();
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
        let (session, user, conversation) = (self.sessions[user].0.clone(), user.to_owned(), public());
        self.note(What::Sent {
            user: user.clone(),
            id: id.clone(),
            conversation: conversation.clone(),
            text: text.clone(),
        });
        self.note(What::Refused { session, user, id, conversation, text, code: "id_conflict".to_owned() });
    }

    /// A session gets what there is, live or, now and then, left out and fetched.
    fn read(&mut self, user: &str) {
        let Some((session, places)) = self.sessions.get_mut(user) else { return };
        let mut heard = Vec::new();
        for (conversation, place) in places {
            let new = self.history.logs.get(conversation).map_or(&[][..], |log| &log[*place as usize..]);
            let (session, conversation) = (session.clone(), conversation.clone());
            if new.len() > 2 && self.rng.random_bool(0.3) {
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
