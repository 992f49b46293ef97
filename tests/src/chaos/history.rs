//! What happened in one run, as the clients saw it, in one order.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use super::entry::{Deed, Entry, Marks};

/// A conversation under one name for all who take part: `public`, `rooms/<id>`, or the two users of a pair with a plus
/// between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conversation(String);

impl Conversation {
    /// The one that everybody reads.
    #[must_use]
    pub fn public() -> Self {
        Self("public".to_owned())
    }

    /// The one between two users, or a user's notes.
    #[must_use]
    pub fn pair(one: &str, other: &str) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self(format!("{low}+{high}"))
    }

    /// A room.
    #[must_use]
    pub fn room(id: &str) -> Self {
        Self(format!("rooms/{id}"))
    }

    /// Where a frame belongs that `me` got with this `dest` and `from` (docs/protocol.md, "Names").
    #[must_use]
    pub fn of_frame(me: &str, dest: &str, from: Option<&str>) -> Self {
        match (dest.strip_prefix("private/"), from) {
            // The sender's view of a pair; `from` is somebody else in both views of a stranger.
            (Some(other), Some(from)) => Self::pair(from, other),
            (Some(other), None) => Self::pair(me, other),
            (None, _) => Self(dest.to_owned()),
        }
    }

    /// Whether this user may read it, as far as its name says. Of rooms, their logs say who may.
    #[must_use]
    pub fn is_for(&self, user: &str) -> bool {
        self.0.split_once('+').is_none_or(|(low, high)| low == user || high == user)
    }

    /// Its name in frames to and from this user.
    #[must_use]
    pub fn dest_for(&self, user: &str) -> String {
        match self.0.split_once('+') {
            Some((low, high)) => format!("private/{}", if low == user { high } else { low }),
            None => self.0.clone(),
        }
    }

    /// Whether it is between two people.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.0.contains('+')
    }

    /// Whether it is a room.
    #[must_use]
    pub fn is_room(&self) -> bool {
        self.0.starts_with("rooms/")
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Milliseconds since the run began.
    pub at: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen. A sending is recorded before its bytes leave, everything else after it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
#[allow(missing_docs, reason = "the members are those of the protocol's frames")]
pub enum What {
    /// A client sent a message, for the first time or again.
    Sent { user: String, id: String, conversation: Conversation, text: String },
    /// An MQTT client published a message, for the first time or again.
    Published { from: String, id: String, conversation: Conversation, text: String },
    /// The broker confirmed an MQTT client's message.
    Taken { from: String, id: String },
    /// A session got the 100 for a message; `text` is what it had sent, where it still knows that.
    Acknowledged {
        session: String,
        user: String,
        id: String,
        conversation: Conversation,
        seq: u64,
        time: u64,
        text: Option<String>,
    },
    /// A session got an error for a message that is no use to try again.
    Refused {
        session: String,
        user: String,
        id: String,
        conversation: Conversation,
        text: String,
        code: String,
    },
    /// A session was opened; it goes on behind these places. `door` is how it came in.
    Opened {
        session: String,
        device: String,
        user: String,
        resumed: BTreeMap<Conversation, u64>,
        #[serde(default)]
        door: String,
    },
    /// A session joined; what is live follows after `head`. It had asked at that time.
    Joined {
        session: String,
        conversation: Conversation,
        head: u64,
        #[serde(default)]
        asked: u64,
    },
    /// A session was told that a conversation is not there for it, whether it had asked to go on there or read it.
    Denied { session: String, conversation: Conversation },
    /// A session was told that entries are left out.
    Gap { session: String, conversation: Conversation, after: u64, before: u64, reset: bool },
    /// An entry came by itself.
    Saw { session: String, conversation: Conversation, entry: Entry },
    /// A change of a room came to a session that doesn't read it.
    Told { session: String, conversation: Conversation, entry: Entry },
    /// Something came of a conversation that is no entry: who is there, or types.
    Heard { session: String, conversation: Conversation, kind: String },
    /// Entries came as the answer to a question; where `asked` says when that was, they are as they were then or later.
    Fetched {
        session: String,
        conversation: Conversation,
        entries: Vec<Entry>,
        #[serde(default)]
        asked: Option<u64>,
    },
    /// Messages were found by what they say.
    Found { session: String, entries: Vec<(Conversation, Entry)>, asked: u64 },
    /// Somebody tried something in a room, and was answered with this code, or with what they wanted.
    Tried {
        session: String,
        user: String,
        conversation: Conversation,
        tried: String,
        asked: u64,
        answer: String,
    },
    /// A subscriber on the broker got an entry for the first time.
    Overheard { conversation: Conversation, entry: Entry },
    /// A session got a 300.
    Delivered { session: String, conversation: Conversation, seq: u64, id: String },
    /// A session ended.
    Closed { session: String, why: String },
    /// Something was broken, or repaired again.
    Fault { fault: String },
    /// Nothing is broken any more, and nobody says anything new.
    Healed,
}

/// One place where somebody reads: a tab or an app of a user. Its sessions follow one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceOf {
    /// Its name.
    pub device: String,
    /// Whose it is.
    pub user: String,
    /// What it has to know completely in the end.
    pub follows: Vec<Conversation>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// What ran.
    pub configuration: String,
    /// What it was made from.
    pub seed: u64,
    /// Whether the broker was never robbed of what it had confirmed, so that MQTT clients' messages count too.
    pub broker_kept: bool,
    /// Who took part.
    pub devices: Vec<DeviceOf>,
    /// Everything that happened, in order.
    pub records: Vec<Record>,
    /// The logs as the server tells them in the end.
    pub logs: BTreeMap<Conversation, Vec<Entry>>,
}

/// The first line of a file with a history; each further line is a record.
#[derive(Serialize, Deserialize)]
struct Head {
    configuration: String,
    seed: u64,
    broker_kept: bool,
    devices: Vec<DeviceOf>,
    logs: Vec<(Conversation, Vec<Entry>)>,
}

impl History {
    /// Writes it as JSON lines.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut out = BufWriter::new(File::create(path).with_context(|| format!("{}", path.display()))?);
        let head = Head {
            configuration: self.configuration.clone(),
            seed: self.seed,
            broker_kept: self.broker_kept,
            devices: self.devices.clone(),
            logs: self.logs.clone().into_iter().collect(),
        };
        writeln!(out, "{}", serde_json::to_string(&head)?)?;
        for record in &self.records {
            writeln!(out, "{}", serde_json::to_string(record)?)?;
        }
        Ok(out.flush()?)
    }

    /// Reads what [`History::save`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or is something else.
    pub fn load(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}", path.display()))?;
        let mut lines = BufReader::new(file).lines();
        let head: Head = serde_json::from_str(&lines.next().context("an empty history")??)?;
        let records = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_>>()?;
        let Head { configuration, seed, broker_kept, devices, logs } = head;
        Ok(Self { configuration, seed, broker_kept, devices, records, logs: logs.into_iter().collect() })
    }
}
