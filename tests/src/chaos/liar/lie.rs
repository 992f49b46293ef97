//! What is told instead of the truth.

use serde_json::{Value, json};

/// Every so-manyth frame that could be lied about is.
const EVERY: u32 = 10;

/// Somebody to whom the newest messages are kept back, where that is the lie. They read nothing but the public ones.
const DEAF: &str = "gina";

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// None: everything is passed on as it is.
    Nothing,
    /// A message is swallowed, and acknowledged all the same.
    Lost,
    /// Two messages change places.
    Swapped,
    /// A message is left out.
    LeftOut,
    /// A message is shown that was never said.
    MadeUp,
    /// A message is acknowledged twice, in different ways.
    TwoAnswers,
    /// Others see a private message.
    Leaked,
    /// A message is shown twice.
    Repeated,
    /// What is stored is not what was sent.
    Changed,
    /// Somebody gets no messages any more.
    KeptBack,
    /// Who was removed from a room goes on getting what is said there.
    StillThere,
    /// Who doesn't belong to a room is told what is said there when they ask.
    LetIn,
}

/// What a liar knows of all connections.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// The newest private message, and the two who may see it.
    private: Option<([String; 2], String)>,
    /// The newest message of a room.
    room: Option<Value>,
}

/// One connection, as the liar sees it.
#[derive(Debug)]
pub(super) struct Listener {
    lie: Lie,
    user: String,
    chances: u32,
    kept: Option<Value>,
    /// Whether they were removed from the room.
    removed: bool,
}

/// What becomes of a client's frame.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// What the server gets.
    pub(super) instead: Vec<String>,
    /// What the client gets.
    pub(super) answers: Vec<String>,
}

impl Listener {
    pub(super) fn new(lie: Lie) -> Self {
        Self { lie, user: String::new(), chances: 0, kept: None, removed: false }
    }

    fn is_turn(&mut self) -> bool {
        self.chances += 1;
        self.chances.is_multiple_of(EVERY)
    }

    /// What the server is told instead; nothing where it is told the truth.
    pub(super) fn says(&mut self, text: &str) -> Option<Changed> {
        if !matches!(self.lie, Lie::Lost | Lie::Changed) {
            return None;
        }
        let mut frame: Value = serde_json::from_str(text).ok()?;
        if frame["type"] != "msg" || !self.is_turn() {
            return None;
        }
        if self.lie == Lie::Lost {
            let (id, dest) = (&frame["id"], &frame["dest"]);
            let answer = json!({"type": 100, "re": id, "data": id, "dest": dest, "seq": 1_000_000, "time": 1_u64 << 50});
            return Some(Changed { answers: vec![answer.to_string()], ..Changed::default() });
        }
        frame["data"]["text"] = json!("something quite different");
        Some(Changed { instead: vec![frame.to_string()], ..Changed::default() })
    }

    /// What the client is told instead; nothing where it is told the truth.
    pub(super) fn hears(&mut self, secrets: &mut Secrets, text: &str) -> Option<Vec<String>> {
        if matches!(self.lie, Lie::Nothing | Lie::Lost | Lie::Changed) {
            return None;
        }
        let frame: Value = serde_json::from_str(text).ok()?;
        if frame["type"] == 1000 {
            frame["data"]["user"]["id"].as_str()?.clone_into(&mut self.user);
        }
        if frame["type"] == 100 && self.lie == Lie::TwoAnswers && self.is_turn() {
            let mut again = frame.clone();
            again["time"] = json!(frame["time"].as_u64()? + 1);
            return Some(vec![text.to_owned(), again.to_string()]);
        }
        if matches!(self.lie, Lie::StillThere | Lie::LetIn) {
            return self.tell_of_room(secrets, &frame, text);
        }
        let changes = ["edit", "delete", "react"].map(Value::from).contains(&frame["type"]);
        if changes && self.lie == Lie::KeptBack && self.user == DEAF && self.chances > EVERY {
            return Some(Vec::new());
        }
        if frame["type"] != "msg" {
            return None;
        }
        if let Some(party) = frame["dest"].as_str()?.strip_prefix("private/") {
            let parties = [party, frame["from"].as_str()?].map(str::to_owned);
            secrets.private = Some((parties, text.to_owned()));
            return None;
        }
        self.tell(secrets, frame, text)
    }

    fn tell_of_room(&mut self, secrets: &mut Secrets, frame: &Value, text: &str) -> Option<Vec<String>> {
        if frame["type"] == "room" && frame["data"]["user"] == self.user.as_str() {
            self.removed = frame["data"]["change"] == "remove";
        }
        if frame["type"] == "msg" && frame["dest"].as_str()?.starts_with("rooms/") {
            secrets.room = Some(frame.clone());
        }
        let said = secrets.room.as_ref()?;
        if self.lie == Lie::StillThere {
            let turn = self.removed && self.is_turn();
            return turn.then(|| vec![text.to_owned(), said.to_string()]);
        }
        let asked = frame["re"].as_str().filter(|_| frame["data"]["code"] == "not_found")?;
        let answer = json!({"type": "reply", "re": asked, "dest": said["dest"], "data": {"messages": [said], "head": said["seq"]}});
        Some(vec![answer.to_string()])
    }

    fn tell(&mut self, secrets: &Secrets, frame: Value, text: &str) -> Option<Vec<String>> {
        if let Some(kept) = self.kept.take() {
            return Some(vec![text.to_owned(), kept.to_string()]);
        }
        let turn = self.is_turn();
        match self.lie {
            // From some time on, all.
            Lie::KeptBack => (self.user == DEAF && self.chances > EVERY).then(Vec::new),
            Lie::Leaked => {
                let (parties, private) = secrets.private.as_ref().filter(|_| turn)?;
                let stranger = !self.user.is_empty() && !parties.contains(&self.user);
                stranger.then(|| vec![text.to_owned(), private.clone()])
            }
            _ if !turn => None,
            Lie::Repeated => Some(vec![text.to_owned(), text.to_owned()]),
            Lie::LeftOut => Some(Vec::new()),
            Lie::Swapped => {
                self.kept = Some(frame);
                Some(Vec::new())
            }
            Lie::MadeUp => {
                let mut made_up = frame.clone();
                made_up["seq"] = json!(frame["seq"].as_u64()? + 1);
                made_up["id"] = json!("made-up");
                Some(vec![text.to_owned(), made_up.to_string()])
            }
            Lie::Nothing | Lie::Lost | Lie::Changed | Lie::TwoAnswers | Lie::StillThere | Lie::LetIn => None,
        }
    }
}
