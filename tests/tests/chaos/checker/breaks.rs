//! Ways to break each promise in a good history.

use mqttchat_e2e::chaos::history::{Conversation, Deed, Entry, History, Record, What};
use rand::RngExt;
use rand::rngs::StdRng;

use super::story::{
    is_acknowledged, is_saw, is_shut, log_of, places, public, public_log, removals, room, some,
};

/// Breaks one promise in a good history.
pub(super) type Breaks = fn(&mut History, &mut StdRng);

pub(super) const BREAKS: &[(&str, u8, Breaks)] = &[
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
                text: None,
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
    ("a message is refused as a conflict with nothing", 3, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Refused { .. }));
        if let What::Refused { id, .. } = &mut history.records[place].what {
            id.push('x');
        }
    }),
    ("something else under a spent id is acknowledged", 3, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Refused { .. }));
        let What::Refused { session, user, id, text, .. } = history.records[place].what.clone() else {
            return;
        };
        let mut logs = history.logs.iter();
        let stored = logs.find_map(|(conversation, entries)| {
            let entry = entries.iter().find(|entry| entry.id == id && entry.from == user)?;
            Some((conversation.clone(), entry.clone()))
        });
        let Some((conversation, Entry { seq, time, .. })) = stored else { return };
        history.records[place].what =
            What::Acknowledged { session, user, id, conversation, seq, time, text: Some(text) };
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
        let what = What::Fetched { session: "carol0.3".to_owned(), conversation, entries, asked: None };
        history.records.push(Record { at: u64::MAX, what });
    }),
    ("a private message is in public", 4, |history, rng| {
        let place = some(
            history,
            rng,
            |what| matches!(what, What::Sent { conversation, text, .. } if *conversation == public() && text.starts_with("text")),
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
    ("who was removed is shown what is said afterwards", 4, |history, _| {
        let (seq, place) = gone(history);
        let (session, at) = session_of(history, place);
        let entry = history.logs[&room()][seq as usize].clone();
        let what = What::Saw { session, conversation: room(), entry };
        history.records.insert(place + 1, Record { at, what });
    }),
    ("who was removed is told of the room's next change", 4, |history, _| {
        let (seq, place) = gone(history);
        let (session, at) = session_of(history, place);
        let mut entry = history.logs[&room()][seq as usize].clone();
        entry.does = Some(Deed::Add("dave".to_owned()));
        let what = What::Told { session, conversation: room(), entry };
        history.records.insert(place + 1, Record { at, what });
    }),
    ("who was removed still hears who types", 4, |history, _| {
        let (_, place) = gone(history);
        let (session, at) = session_of(history, place);
        let what = What::Heard { session, conversation: room(), kind: "typing".to_owned() };
        history.records.insert(place + 1, Record { at, what });
    }),
    ("who was removed is let in again by themselves", 4, |history, _| {
        let (_, place) = last_gone(history);
        let (session, _) = session_of(history, place);
        let what = What::Joined { session, conversation: room(), head: 1, asked: u64::MAX };
        history.records.push(Record { at: u64::MAX, what });
    }),
    ("who was removed is given an old page long after", 4, |history, _| {
        let (_, place) = last_gone(history);
        let (session, _) = session_of(history, place);
        let entries = vec![history.logs[&room()][0].clone()];
        let what = What::Fetched { session, conversation: room(), entries, asked: Some(u64::MAX) };
        history.records.push(Record { at: u64::MAX, what });
    }),
    ("who was removed writes all the same", 4, |history, _| {
        let (seq, _) = gone(history);
        log_of(history, room())[seq as usize].from = "bob".to_owned();
    }),
    ("somebody is shown a room in which they are not", 4, |history, rng| {
        let like = |what: &What| matches!(what, What::Saw { conversation, .. } if *conversation == room());
        let place = some(history, rng, like);
        if let What::Saw { session, .. } = &mut history.records[place].what {
            "eve-spy.1".clone_into(session);
        }
    }),
    ("a stranger gets what they want", 4, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Tried { .. }));
        if let What::Tried { answer, .. } = &mut history.records[place].what {
            "what they wanted".clone_into(answer);
        }
    }),
    ("a stranger finds what is said in a room", 4, |history, rng| {
        let found = vec![(room(), history.logs[&room()][1].clone())];
        let place = some(history, rng, |what| matches!(what, What::Found { .. }));
        if let What::Found { entries, .. } = &mut history.records[place].what {
            *entries = found;
        }
    }),
    ("what was deleted is shown to who asks later", 4, |history, _| {
        let log = &history.logs[&public()];
        let Some(mut gone) = log.iter().find(|entry| entry.marks.deleted).cloned() else { return };
        gone.text = sent_text(history, &gone);
        gone.marks = Default::default();
        let what = What::Fetched {
            session: "ann0.1".to_owned(),
            conversation: public(),
            entries: vec![gone],
            asked: Some(u64::MAX),
        };
        history.records.push(Record { at: u64::MAX, what });
    }),
    ("what was changed is shown as it was to who asks later", 2, |history, _| {
        let log = &history.logs[&public()];
        let Some(mut changed) = log.iter().find(|entry| entry.marks.edited.is_some()).cloned() else {
            return;
        };
        changed.text = sent_text(history, &changed);
        changed.marks = Default::default();
        let what = What::Fetched {
            session: "ann0.1".to_owned(),
            conversation: public(),
            entries: vec![changed],
            asked: Some(u64::MAX),
        };
        history.records.push(Record { at: u64::MAX, what });
    }),
    ("somebody is shown a reaction that nobody had", 2, |history, rng| {
        let like = |what: &What| matches!(what, What::Saw { entry, .. } if !entry.marks.reactions.is_empty());
        let place = some(history, rng, like);
        if let What::Saw { entry, .. } = &mut history.records[place].what {
            entry.marks.reactions.insert("👎".to_owned(), vec!["bob".to_owned()]);
        }
    }),
    ("a change is forgotten", 6, |history, _| {
        let log = public_log(history);
        if let Some(edited) = log.iter_mut().find(|entry| entry.marks.edited.is_some()) {
            edited.marks.edited = None;
        }
    }),
    ("the text of what was deleted stays", 6, |history, _| {
        let log = public_log(history);
        if let Some(gone) = log.iter_mut().find(|entry| entry.marks.deleted) {
            gone.text.push_str("still there");
        }
    }),
    ("somebody is told of a change of a room twice", 5, |history, rng| {
        let place = some(history, rng, |what| matches!(what, What::Told { .. }));
        let again = history.records[place].clone();
        history.records.insert(place + 1, again);
    }),
    ("who comes back to a room lacks what was said meanwhile", 7, |history, _| {
        let (seq, _) = gone(history);
        for record in &mut history.records {
            if let What::Fetched { session, conversation, entries, .. } = &mut record.what
                && session.starts_with("bob")
                && *conversation == room()
            {
                entries.retain(|entry| entry.seq != seq + 1);
            }
        }
        history.records.retain(|record| {
            !matches!(&record.what, What::Saw { session, conversation, entry } if session.starts_with("bob") && *conversation == room() && entry.seq == seq + 1)
        });
    }),
    ("who was removed is never told so", 7, |history, _| {
        let (_, place) = last_gone(history);
        history.records.remove(place);
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
        let last = history.logs[&public()].len() as u64;
        let late = |what: &What| {
            matches!(what, What::Saw { session, conversation, entry }
                if session.starts_with("bob") && *conversation == public() && entry.seq == last)
        };
        for place in places(history, late) {
            history.records[place].at = u64::MAX;
        }
    }),
    ("somebody gets nothing at all", 7, |history, _| {
        let theirs = |name: &str| name.starts_with("carol");
        history.records.retain(|record| {
            !matches!(&record.what, What::Saw { session, .. } | What::Fetched { session, .. } if theirs(session))
        });
    }),
    ("the faults never end", 7, |history, _| history.records.retain(|record| record.what != What::Healed)),
];

/// Where Bob was removed, to come back after others had said something, and the record that told him.
fn gone(history: &History) -> (u64, usize) {
    removals(history, "bob")
        .into_iter()
        .find(|(seq, place)| is_shut(history, "bob", *seq, *place))
        .unwrap_or_default()
}

/// Where Carol was removed for good.
fn last_gone(history: &History) -> (u64, usize) {
    removals(history, "carol").pop().unwrap_or_default()
}

fn session_of(history: &History, place: usize) -> (String, u64) {
    let Record { at, what: What::Saw { session, .. } } = &history.records[place] else {
        return Default::default();
    };
    (session.clone(), *at)
}

/// What somebody sent as this entry.
fn sent_text(history: &History, entry: &Entry) -> String {
    let sent = history.records.iter().find_map(|record| match &record.what {
        What::Sent { id, text, .. } | What::Published { id, text, .. } if *id == entry.id => {
            Some(text.clone())
        }
        _ => None,
    });
    sent.unwrap_or_default()
}

fn refuse(history: &mut History, rng: &mut StdRng, code: &str) {
    let place = some(history, rng, is_acknowledged);
    let What::Acknowledged { session, user, id, conversation, seq, .. } = history.records[place].what.clone()
    else {
        return;
    };
    let text = sent_text(history, &history.logs[&conversation][seq as usize - 1]);
    let what = What::Refused { session, user, id, conversation, text, code: code.to_owned() };
    history.records.push(Record { at: u64::MAX, what });
}
