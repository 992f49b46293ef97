//! One session of a device, from `hello` to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use super::device::{Device, Pending, Phase};
use super::entry::{number, text};
use super::history::{Conversation, Deed, Entry, What};
use super::line::{Line, SILENCE, name};
use crate::sockjs::Door;

const PING: Duration = Duration::from_secs(1);
/// Messages that may be unacknowledged at a time.
const UNACKNOWLEDGED: usize = 10;
/// How soon to try again what the server could not do just now.
const RETRY: Duration = Duration::from_millis(200);

/// What was asked, and when.
enum Asked {
    Join(Conversation, u64),
    History(Conversation, u64),
}

struct Session<'a> {
    device: &'a mut Device,
    name: &'a str,
    line: Line,
    door: String,
    /// The rooms that it is in.
    inside: BTreeSet<Conversation>,
    asked: HashMap<String, Asked>,
    requests: u32,
    fetching: bool,
    retry: Option<Instant>,
}

/// The id of the frames that nothing is to be answered to.
const TYPING: &str = "typing";

enum Happened {
    Frame(Value),
    Say,
    Ping,
    Retry,
    Orders,
}

/// Ends with an error for every end that the device did not want.
pub(super) async fn run(
    device: &mut Device,
    session: &str,
    (address, way): (SocketAddr, Option<Door>),
) -> Result<()> {
    let line = Line::open(address, way).await?;
    let mut session = Session {
        device,
        name: session,
        line,
        door: name(way),
        inside: BTreeSet::new(),
        asked: HashMap::new(),
        requests: 0,
        fetching: false,
        retry: None,
    };
    timeout(SILENCE, session.hello()).await.context("no answer to hello")??;
    session.talk().await
}

impl Session<'_> {
    async fn hello(&mut self) -> Result<()> {
        let identity = self.device.identity.clone();
        let resumed = self.device.resumes();
        let mut data = json!({"name": identity.name, "token": identity.token});
        if let Some(places) = &resumed {
            let places: BTreeMap<_, _> = places
                .iter()
                .map(|(conversation, seq)| (conversation.dest_for(&identity.id), *seq))
                .collect();
            data["log"] = json!(identity.log);
            data["resume"] = json!(places);
        }
        self.send(&json!({"type": "hello", "id": "hello", "data": data})).await?;
        let ready = self.line.frame().await?;
        ensure!(ready["type"] == 1000, "not let in: {ready}");
        self.device.recorder.note(What::Opened {
            session: self.name.to_owned(),
            device: self.device.of.device.clone(),
            user: identity.id.clone(),
            resumed: resumed.clone().unwrap_or_default(),
            door: self.door.clone(),
        });
        match resumed {
            // Where it may not go on, it is told so.
            Some(places) => self.inside.extend(places.into_keys().filter(Conversation::is_room)),
            None => {
                for conversation in self.device.of.follows.clone() {
                    self.join(conversation).await?;
                }
            }
        }
        self.send_pending().await
    }

    async fn talk(&mut self) -> Result<()> {
        let (mut say, mut ping, mut heard) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            let orders = *self.device.orders.borrow();
            let asleep = orders.asleep == Some(self.device.index);
            let talks = orders.phase == Phase::Talking && self.device.pending.len() < UNACKNOWLEDGED;
            if orders.phase == Phase::Over {
                self.line.close().await;
                return Ok(());
            }
            if orders.phase == Phase::Quiet {
                let inside = &self.inside;
                self.device.tell(|conversation| !conversation.is_room() || inside.contains(conversation));
            }
            let retry = self.retry;
            let happened = tokio::select! {
                frame = self.line.frame(), if !asleep => Happened::Frame(frame?),
                () = sleep_until(say), if talks && !asleep => Happened::Say,
                () = sleep_until(ping) => Happened::Ping,
                () = sleep_until(retry.unwrap_or(ping)), if retry.is_some() => Happened::Retry,
                changed = self.device.orders.changed() => changed.map(|()| Happened::Orders)?,
            };
            match happened {
                Happened::Frame(frame) => {
                    heard = Instant::now();
                    self.take(&frame).await?;
                    self.fetch().await?;
                }
                Happened::Say => {
                    say = Instant::now() + self.device.pause();
                    self.show_typing().await?;
                    let (message, times) = self.device.write();
                    for _ in 0..times {
                        self.send_message(&message).await?;
                    }
                }
                Happened::Ping if asleep => {
                    (ping, heard) = (Instant::now() + PING, Instant::now());
                }
                Happened::Ping => {
                    ensure!(heard.elapsed() < SILENCE, "nothing was heard for {SILENCE:?}");
                    ping = Instant::now() + PING;
                    self.send(&json!({"type": 1001})).await?;
                    self.fetch().await?;
                }
                Happened::Retry => {
                    self.retry = None;
                    self.send_pending().await?;
                    self.fetch().await?;
                }
                Happened::Orders => heard = Instant::now(),
            }
        }
    }

    async fn take(&mut self, frame: &Value) -> Result<()> {
        let me = self.device.identity.id.clone();
        let from = frame["from"].as_str();
        let conversation = frame["dest"].as_str().map(|dest| Conversation::of_frame(&me, dest, from));
        let session = self.name.to_owned();
        match (frame["type"].as_str(), frame["type"].as_u64()) {
            (Some("room"), _)
                if !self.inside.contains(conversation.as_ref().context("room without dest")?) =>
            {
                self.told(frame, conversation.context("room without dest")?).await?;
            }
            (Some("msg" | "edit" | "delete" | "react" | "room"), _) => {
                self.see(frame, conversation.context("an entry without dest")?).await?;
            }
            (Some(kind @ ("typing" | "presence" | "receipt")), _) => {
                if let Some(conversation) = conversation.filter(Conversation::is_room) {
                    self.note(What::Heard { session, conversation, kind: kind.to_owned() });
                }
            }
            (Some("error"), _) if frame["re"].is_null() && frame["data"]["code"] == "not_found" => {
                let conversation = conversation.context("an error about nothing")?;
                self.inside.remove(&conversation);
                self.note(What::Denied { session, conversation });
            }
            (Some("reply"), _) => self.answered(frame)?,
            (Some("error"), _) => self.refused(frame)?,
            (Some("bye"), _) => {
                self.device.away = Duration::from_millis(frame["data"]["retry_after"].as_u64().unwrap_or(0));
            }
            (Some("gap"), _) => {
                let conversation = conversation.context("gap without dest")?;
                let bound = |name: &str| frame["data"][name].as_u64().context("gap without bounds");
                let (after, before) = (bound("after")?, bound("before")?);
                let reset = frame["data"]["reset"] == true;
                self.view(&conversation).reaches(before.saturating_sub(1));
                self.note(What::Gap { session, conversation, after, before, reset });
            }
            (_, Some(100)) => {
                let id = text(&frame["data"])?;
                let sent = self.device.settle(&id).map(|pending| {
                    self.device.has_said(&pending);
                    pending.text()
                });
                let (seq, time) = (number(&frame["seq"])?, number(&frame["time"])?);
                let conversation = conversation.context("100 without dest")?;
                let answer =
                    What::Acknowledged { session, user: me, id, conversation, seq, time, text: sent };
                self.note(answer);
            }
            (_, Some(300)) => {
                let (seq, id) = (number(&frame["seq"])?, text(&frame["data"])?);
                let conversation = conversation.context("300 without dest")?;
                self.note(What::Delivered { session, conversation, seq, id });
            }
            _ => {}
        }
        Ok(())
    }

    async fn see(&mut self, frame: &Value, conversation: Conversation) -> Result<()> {
        let entry = Entry::read(frame)?;
        self.view(&conversation).add(entry.seq);
        let me = self.device.identity.id.clone();
        let received = (conversation.is_private() && entry.from != me)
            .then(|| json!({"type": 200, "data": entry.id, "dest": format!("private/{}", entry.from)}));
        if entry.does.is_none() && !entry.marks.deleted && !entry.from.starts_with("mqtt:") {
            self.device.has_seen(&conversation, &entry.id, &entry.from);
        }
        self.note(What::Saw {
            session: self.name.to_owned(),
            conversation: conversation.clone(),
            entry: entry.clone(),
        });
        self.belong(&conversation, &entry);
        if entry.does == Some(Deed::Remove(me)) {
            self.inside.remove(&conversation);
            self.come_back(conversation).await?;
        }
        match received {
            Some(received) => self.send(&received).await,
            None => Ok(()),
        }
    }

    /// A change of a room that it doesn't read: perhaps it may again.
    async fn told(&mut self, frame: &Value, conversation: Conversation) -> Result<()> {
        let entry = Entry::read(frame)?;
        self.view(&conversation).add(entry.seq);
        self.belong(&conversation, &entry);
        self.note(What::Told { session: self.name.to_owned(), conversation: conversation.clone(), entry });
        self.come_back(conversation).await
    }

    /// Remembers what an entry says of its own user.
    fn belong(&mut self, conversation: &Conversation, entry: &Entry) {
        let me = &self.device.identity.id;
        let belonging = self.device.rooms.entry(conversation.clone()).or_default();
        match &entry.does {
            Some(Deed::Remove(user)) if user == me => belonging.removed = belonging.removed.max(entry.seq),
            Some(Deed::Add(user)) if user == me => belonging.added = belonging.added.max(entry.seq),
            _ => {}
        }
    }

    /// Joins a room again to which it belongs, as far as it knows.
    async fn come_back(&mut self, room: Conversation) -> Result<()> {
        let belonging = self.device.rooms.get(&room).copied().unwrap_or_default();
        let coming =
            self.asked.values().any(|asked| matches!(asked, Asked::Join(joined, _) if *joined == room));
        if belonging.added > belonging.removed && !coming && self.device.of.follows.contains(&room) {
            self.join(room).await?;
        }
        Ok(())
    }

    /// Is seen typing now and then, in a room.
    async fn show_typing(&mut self) -> Result<()> {
        let Some(room) = self.inside.first().filter(|_| self.device.types()) else { return Ok(()) };
        let dest = room.dest_for(&self.device.identity.id);
        self.send(&json!({"type": "typing", "id": TYPING, "dest": dest, "data": {"typing": true}})).await
    }

    fn answered(&mut self, frame: &Value) -> Result<()> {
        let asked = self.asked.remove(frame["re"].as_str().unwrap_or_default());
        let asked = asked.with_context(|| format!("an answer to nothing: {frame}"))?;
        let messages = frame["data"]["messages"].as_array().context("a reply without messages")?;
        let entries = messages.iter().map(Entry::read).collect::<Result<Vec<_>>>()?;
        let session = self.name.to_owned();
        let (conversation, asked) = match asked {
            Asked::Join(conversation, asked) => {
                let head = number(&frame["data"]["head"])?;
                self.view(&conversation).reaches(head);
                if conversation.is_room() {
                    self.inside.insert(conversation.clone());
                }
                let (session, joined) = (session.clone(), conversation.clone());
                self.note(What::Joined { session, conversation: joined, head, asked });
                (conversation, None)
            }
            Asked::History(conversation, asked) => {
                self.fetching = false;
                ensure!(!entries.is_empty(), "the history of {conversation} has nothing where entries lack");
                (conversation, Some(asked))
            }
        };
        for entry in &entries {
            self.view(&conversation).add(entry.seq);
        }
        self.note(What::Fetched { session, conversation, entries, asked });
        Ok(())
    }

    fn refused(&mut self, frame: &Value) -> Result<()> {
        let (id, data) = (frame["re"].as_str().unwrap_or_default(), &frame["data"]);
        let (code, again) = (text(&data["code"])?, data["retry"] == true);
        if let Some(asked) = self.asked.remove(id) {
            let (Asked::Join(conversation, _) | Asked::History(conversation, _)) = &asked;
            let gone = conversation.is_room() && code == "not_found";
            match asked {
                Asked::Join(conversation, _) if gone => {
                    self.inside.remove(&conversation);
                    self.note(What::Denied { session: self.name.to_owned(), conversation });
                    return Ok(());
                }
                // Where it may not read any more, it will be told so.
                Asked::History(..) if again || gone => self.fetching = false,
                _ => bail!("refused: {frame}"),
            }
        } else if id == TYPING {
            return Ok(());
        } else if !again {
            let known = self.device.settle(id);
            let known = known.or_else(|| self.device.settled.iter().find(|said| said.id == id).cloned());
            let said = known.with_context(|| format!("an error about nothing that was asked: {frame}"))?;
            let (session, user) = (self.name.to_owned(), self.device.identity.id.clone());
            let (text, Pending { id, conversation, .. }) = (said.text(), said);
            self.note(What::Refused { session, user, id, conversation, text, code });
            return Ok(());
        }
        self.retry.get_or_insert_with(|| Instant::now() + RETRY);
        Ok(())
    }

    /// Asks for the first hole that it knows of, one page at a time.
    async fn fetch(&mut self) -> Result<()> {
        let read = |place: &Conversation| !place.is_room() || self.inside.contains(place);
        let views = self.device.views.iter().filter(|(place, _)| read(place));
        let mut holes = views.filter_map(|(place, view)| Some((place.clone(), view.hole()?)));
        let Some((conversation, after)) = holes.next().filter(|_| !self.fetching && self.retry.is_none())
        else {
            return Ok(());
        };
        drop(holes);
        // While a join is being answered, its answer may bring just this.
        if self.asked.values().any(|asked| matches!(asked, Asked::Join(..))) {
            return Ok(());
        }
        self.fetching = true;
        let dest = conversation.dest_for(&self.device.identity.id);
        let data = json!({"after": after, "limit": 200});
        let asked = Asked::History(conversation, self.device.recorder.now());
        self.ask(asked, json!({"type": "history", "dest": dest, "data": data})).await
    }

    async fn join(&mut self, conversation: Conversation) -> Result<()> {
        let dest = conversation.dest_for(&self.device.identity.id);
        let data = json!({"history": 50});
        let asked = Asked::Join(conversation, self.device.recorder.now());
        self.ask(asked, json!({"type": "join", "dest": dest, "data": data})).await
    }

    async fn ask(&mut self, what: Asked, mut frame: Value) -> Result<()> {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        frame["id"] = json!(id);
        self.asked.insert(id, what);
        self.send(&frame).await
    }

    async fn send_pending(&mut self) -> Result<()> {
        for message in self.device.pending.clone() {
            self.send_message(&message).await?;
        }
        Ok(())
    }

    async fn send_message(&mut self, message: &Pending) -> Result<()> {
        let user = self.device.identity.id.clone();
        let dest = message.conversation.dest_for(&user);
        let (text, Pending { id, conversation, kind, data }) = (message.text(), message.clone());
        let frame = json!({"type": kind, "id": id, "dest": dest, "data": data});
        self.note(What::Sent { user, id, conversation, text });
        self.send(&frame).await
    }

    async fn send(&mut self, frame: &Value) -> Result<()> {
        timeout(SILENCE, self.line.send(frame)).await.context("nothing is taken")?
    }

    fn view(&mut self, conversation: &Conversation) -> &mut super::view::View {
        self.device.views.entry(conversation.clone()).or_default()
    }

    fn note(&self, what: What) {
        self.device.recorder.note(what);
    }
}
