//! The checker finds every kind of broken promise, and nothing in a history without one.

use std::collections::BTreeMap;

use mqttchat_e2e::chaos::checker::{check, report};
use mqttchat_e2e::chaos::history::{Conversation, DeviceOf, Entry, History, Record, What};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const USERS: [&str; 3] = ["ann", "bob", "carol"];

/// A good history is told: people send, the log grows, sessions come and go and catch up.
struct Story {
    rng: StdRng,
    history: History,
    sessions: BTreeMap<String, (String, BTreeMap<Conversation, u64>)>,
    opened: u64,
}

fn public() -> Conversation {
    Conversation::public()
}

fn follows(user: &str) -> Vec<Conversation> {
    let all = [public(), Conversation::pair("ann", "bob"), Conversation::pair("bob", "carol")];
    all.into_iter().filter(|conversation| conversation.is_for(user)).collect()
}

impl Story {
    /// A history in which everything occurs that some test breaks.
    fn rich(seed: u64) -> History {
        let pair = Conversation::pair("ann", "bob");
        let mut all = (seed * 1000..).map(Self::tell);
        let is_rich = |history: &History| {
            let any = |like: &dyn Fn(&What) -> bool| history.records.iter().any(|record| like(&record.what));
            any(&|what| matches!(what, What::Gap { .. }))
                && any(&|what| matches!(what, What::Fetched { entries, .. } if entries.len() > 2))
                && any(&|what| matches!(what, What::Delivered { .. }))
                && any(
                    &|what| matches!(what, What::Acknowledged { conversation, seq, .. } if *conversation == public() && *seq > 3),
                )
                && any(&|what| matches!(what, What::Saw { conversation, .. } if *conversation == pair))
        };
        all.find(is_rich).unwrap_or_default()
    }

    fn tell(seed: u64) -> History {
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
        let sent =
            What::Sent { user: from.clone(), id: id.clone(), conversation: conversation.clone(), text };
        let answer = What::Acknowledged {
            session: session.clone(),
            user: from,
            id: id.clone(),
            conversation: conversation.clone(),
            seq,
            time,
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
        }
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
fn places(history: &History, like: impl Fn(&What) -> bool) -> Vec<usize> {
    (0..history.records.len()).filter(|place| like(&history.records[*place].what)).collect()
}

fn some(history: &History, rng: &mut StdRng, like: impl Fn(&What) -> bool) -> usize {
    let found = places(history, like);
    found[rng.random_range(0..found.len())]
}

fn is_saw(what: &What) -> bool {
    matches!(what, What::Saw { .. })
}

fn is_acknowledged(what: &What) -> bool {
    matches!(what, What::Acknowledged { .. })
}

fn public_log(history: &mut History) -> &mut Vec<Entry> {
    log_of(history, public())
}

fn log_of(history: &mut History, conversation: Conversation) -> &mut Vec<Entry> {
    history.logs.entry(conversation).or_default()
}

/// Breaks one promise in a good history.
type Breaks = fn(&mut History, &mut StdRng);

const BREAKS: &[(&str, u8, Breaks)] = &[
    ("an acknowledged message is not in the log", 1, |history, rng| {
        let place = some(history, rng, is_acknowledged);
        let What::Acknowledged { id: lost, conversation, .. } = history.records[place].what.clone() else {
            return;
        };
        log_of(history, conversation).retain(|entry| entry.id != lost);
    }),
    ("the end of a log with an acknowledged message is lost", 1, |history, rng| {
        // Nobody had seen it, so that its acknowledgement is all that is left of it.
        let place = some(history, rng, is_acknowledged);
        let What::Acknowledged { conversation, seq, .. } = history.records[place].what.clone() else {
            return;
        };
        log_of(history, conversation).truncate(seq as usize - 1);
        history.records.retain(|record| !matches!(&record.what, What::Saw { entry, .. } if entry.seq >= seq));
    }),
    ("an acknowledged place holds another message", 1, |history, rng| {
        let place = some(history, rng, is_acknowledged);
        if let What::Acknowledged { seq, .. } = &mut history.records[place].what {
            *seq += 1;
        }
    }),
    ("the broker took a message that is not in the log", 1, |history, _| {
        let (from, id) = ("mqtt:meter".to_owned(), "never taken in".to_owned());
        history.records.push(Record { at: 5, what: What::Taken { from, id } });
    }),
    ("an entry was never published on the broker", 1, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Overheard { .. }));
        history.records.remove(place);
    }),
    ("another entry than that of the log was published", 2, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Overheard { .. }));
        if let What::Overheard { entry, .. } = &mut history.records[place].what {
            entry.id.push('x');
        }
    }),
    ("a log has a hole", 2, |history, rng| {
        let log = public_log(history);
        let place = rng.random_range(0..log.len() - 1);
        log.remove(place);
    }),
    ("two entries changed places", 2, |history, rng| {
        let log = public_log(history);
        let place = rng.random_range(1..log.len());
        log.swap(place, place - 1);
    }),
    ("time runs backwards", 2, |history, rng| {
        let log = public_log(history);
        let place = rng.random_range(0..log.len() - 1);
        log[place].time += 1_000_000;
    }),
    ("a session is shown two entries in the wrong order", 2, |history, rng| {
        let two: Vec<_> = places(history, is_saw)
            .into_iter()
            .filter(|place| {
                let next = history.records.get(place + 1).map(|record| &record.what);
                let What::Saw { session, conversation, .. } = &history.records[*place].what else { return false };
                matches!(next, Some(What::Saw { session: s, conversation: c, .. }) if s == session && c == conversation)
            })
            .collect();
        let place = two[rng.random_range(0..two.len())];
        history.records.swap(place, place + 1);
    }),
    ("a session misses an entry without being told", 2, |history, rng| {
        // What a session was shown last is not missed by it: the next one goes on from there.
        let shown: Vec<_> = history.records.iter().filter(|record| is_saw(&record.what)).cloned().collect();
        let has_next = |one: &What| {
            let What::Saw { session, conversation, entry } = one else { return false };
            let next = entry.seq + 1;
            shown.iter().any(|record| {
                matches!(&record.what, What::Saw { session: s, conversation: c, entry } if s == session && c == conversation && entry.seq == next)
            })
        };
        let place = some(history, rng, has_next);
        history.records.remove(place);
    }),
    ("a session resumes behind a hole", 2, |history, rng| {
        let reads = |session: &str| {
            history.records.iter().any(|record| {
                matches!(&record.what, What::Saw { session: s, conversation, .. } if s == session && *conversation == public())
            })
        };
        let place = some(history, rng, |what| matches!(what, What::Opened { session, .. } if reads(session)));
        if let What::Opened { resumed, .. } = &mut history.records[place].what {
            *resumed.entry(public()).or_default() += 1;
        }
    }),
    ("a gap begins too late", 2, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Gap { .. }));
        if let What::Gap { after, .. } = &mut history.records[place].what {
            *after += 1;
        }
    }),
    ("somebody is told that the log is another", 2, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Gap { .. }));
        if let What::Gap { reset, .. } = &mut history.records[place].what {
            *reset = true;
        }
    }),
    ("somebody is shown another text than the log has", 2, |history, rng| {
        let place = some(history, rng, is_saw);
        if let What::Saw { entry, .. } = &mut history.records[place].what {
            entry.text.push('!');
        }
    }),
    ("a fetched entry differs from the log", 2, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Fetched { .. }));
        if let What::Fetched { entries, .. } = &mut history.records[place].what {
            entries[0].from = "carol".to_owned() + "x";
        }
    }),
    ("a fetched page has a hole", 2, |history, rng| {
        let like = |what: &What| matches!(what, What::Fetched { entries, .. } if entries.len() > 2);
        let place = some(history, rng, like);
        if let What::Fetched { entries, .. } = &mut history.records[place].what {
            entries.remove(1);
        }
    }),
    ("a message is before one that was acknowledged before it was sent", 2, |history, rng| {
        let place = some(
            history,
            rng,
            |what| matches!(what, What::Acknowledged { conversation, seq, .. } if *conversation == public() && *seq > 3),
        );
        let record = history.records.remove(place);
        let session = "carol0.3".to_owned();
        let What::Acknowledged { conversation, seq, .. } = record.what else { return };
        // Somebody else's first message is sent after this answer.
        let first = history.logs[&public()][0].clone();
        history.records.retain(|record| !matches!(&record.what, What::Sent { id, .. } | What::Published { id, .. } if *id == first.id));
        let taken = history.logs[&public()][seq as usize - 1].clone();
        let early = [
            What::Sent {
                user: taken.from.clone(),
                id: taken.id.clone(),
                conversation: conversation.clone(),
                text: taken.text.clone(),
            },
            What::Acknowledged {
                session,
                user: taken.from,
                id: taken.id,
                conversation: conversation.clone(),
                seq,
                time: taken.time,
            },
            What::Sent { user: first.from, id: first.id, conversation, text: first.text },
        ];
        history.records.splice(0..0, early.map(|what| Record { at: 0, what }));
    }),
    ("a message is stored twice", 3, |history, _| {
        let log = public_log(history);
        let mut again = log[0].clone();
        (again.seq, again.time) = (log.len() as u64 + 1, u64::MAX);
        log.push(again);
    }),
    ("a message is stored in two conversations", 3, |history, _| {
        let mut again = history.logs[&public()][0].clone();
        let pair = log_of(history, Conversation::pair("ann", "bob"));
        (again.seq, again.time) = (pair.len() as u64 + 1, u64::MAX);
        pair.push(again);
    }),
    ("the second answer differs from the first", 3, |history, rng| {
        let place = some(history, rng, is_acknowledged);
        let mut again = history.records[place].clone();
        if let What::Acknowledged { time, .. } = &mut again.what {
            *time += 1;
        }
        history.records.insert(place + 1, again);
    }),
    ("a repetition is refused as a conflict", 3, |history, rng| {
        refuse(history, rng, "id_conflict");
    }),
    ("somebody is shown a conversation of others", 4, |history, rng| {
        let pair = Conversation::pair("ann", "bob");
        let place = some(
            history,
            rng,
            |what| matches!(what, What::Saw { conversation, .. } if *conversation == pair),
        );
        let mut leak = history.records[place].clone();
        if let What::Saw { session, .. } = &mut leak.what {
            "carol0.3".clone_into(session);
        }
        history.records.insert(place + 1, leak);
    }),
    ("somebody fetches a conversation of others", 4, |history, _| {
        let conversation = Conversation::pair("ann", "bob");
        let entries = history.logs[&conversation][..1].to_vec();
        let what = What::Fetched { session: "carol0.3".to_owned(), conversation, entries };
        history.records.push(Record { at: u64::MAX, what });
    }),
    ("a private message is in public", 4, |history, rng| {
        let place = some(
            history,
            rng,
            |what| matches!(what, What::Sent { conversation, .. } if *conversation == public()),
        );
        let What::Sent { id: told, .. } = history.records[place].what.clone() else { return };
        for record in &mut history.records {
            if let What::Sent { id, conversation, .. } = &mut record.what
                && *id == told
            {
                *conversation = Conversation::pair("ann", "bob");
            }
        }
    }),
    ("somebody is told that another's message was delivered", 4, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Delivered { .. }));
        if let What::Delivered { id, .. } = &mut history.records[place].what {
            id.push('x');
        }
    }),
    ("a session is shown a message twice", 5, |history, rng| {
        let place = some(history, rng, is_saw);
        let again = history.records[place].clone();
        history.records.insert(place + 1, again);
    }),
    ("a session is shown an old message again", 5, |history, _| {
        let again = history.records[places(history, is_saw)[0]].clone();
        history.records.push(again);
    }),
    ("a sender is told twice that it was delivered", 5, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Delivered { .. }));
        let again = history.records[place].clone();
        history.records.push(again);
    }),
    ("a message that nobody sent is in the log", 6, |history, _| {
        let log = public_log(history);
        let mut made_up = log[0].clone();
        (made_up.seq, made_up.time) = (log.len() as u64 + 1, u64::MAX);
        made_up.id.push_str(" made up");
        log.push(made_up);
    }),
    ("a message is stored under another sender", 6, |history, rng| {
        let log = public_log(history);
        let place = rng.random_range(0..log.len());
        log[place].from.push('x');
    }),
    ("a text changed on its way", 6, |history, rng| {
        let log = public_log(history);
        let place = rng.random_range(0..log.len());
        log[place].text.push('x');
    }),
    ("a refused message is stored", 6, |history, rng| {
        refuse(history, rng, "too_large");
    }),
    ("a message that was never sent is acknowledged", 6, |history, rng| {
        let place = some(history, rng, is_acknowledged);
        if let What::Acknowledged { user, .. } = &mut history.records[place].what {
            user.push('x');
        }
    }),
    ("somebody lacks an entry in the end", 7, |history, _| {
        let last = history.logs[&public()].len() as u64;
        history.records.retain(|record| {
            !matches!(&record.what, What::Saw { session, conversation, entry }
                if session.starts_with("bob") && *conversation == public() && entry.seq == last)
        });
    }),
    ("somebody gets an entry too late", 7, |history, _| {
        let last = history.records.len() - 1;
        history.records[last].at += 10_100;
    }),
    ("somebody gets nothing at all", 7, |history, _| {
        let theirs = |name: &str| name.starts_with("carol");
        history.records.retain(|record| {
            !matches!(&record.what, What::Saw { session, .. } | What::Fetched { session, .. } if theirs(session))
        });
    }),
    ("the faults never end", 7, |history, _| history.records.retain(|record| record.what != What::Healed)),
];

fn refuse(history: &mut History, rng: &mut StdRng, code: &str) {
    let place = some(history, rng, is_acknowledged);
    let What::Acknowledged { session, user, id, .. } = history.records[place].what.clone() else { return };
    let code = code.to_owned();
    history.records.push(Record { at: u64::MAX, what: What::Refused { session, user, id, code } });
}

#[test]
fn a_good_history_is_found_good() {
    for seed in 0..200 {
        let history = Story::tell(seed);
        let violations = check(&history);
        assert!(violations.is_empty(), "seed {seed}: {}", report(&history, &violations));
    }
}

#[test]
fn every_broken_promise_is_found() {
    for (what, invariant, breaks) in BREAKS {
        for seed in 0..50 {
            let mut history = Story::rich(seed);
            breaks(&mut history, &mut StdRng::seed_from_u64(seed));
            let violations = check(&history);
            let found = violations.iter().any(|violation| violation.invariant == *invariant);
            assert!(found, "seed {seed}: {what} was not found as {invariant}, only {violations:?}");
        }
    }
}

#[test]
fn every_promise_is_broken_by_some_test() {
    for invariant in 1..=7 {
        assert!(BREAKS.iter().any(|(_, breaks, _)| *breaks == invariant), "{invariant}");
    }
}

#[test]
fn a_report_shows_what_it_is_about_and_a_saved_history_is_found_the_same() {
    let mut history = Story::tell(1);
    let again = history.records[places(&history, is_saw)[3]].clone();
    history.records.push(again.clone());
    let violations = check(&history);
    let report = report(&history, &violations);
    assert!(report.contains("invariant 5") && report.contains("twice"), "{report}");
    let shown = serde_json::to_string(&again).unwrap();
    assert_eq!(report.matches(&shown).count(), 2, "{report}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    history.save(&path).unwrap();
    let loaded = History::load(&path).unwrap();
    assert_eq!(loaded, history);
    assert_eq!(check(&loaded), violations);
}
