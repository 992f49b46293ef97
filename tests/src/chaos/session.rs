//! One session of a device, from `hello` to its end.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::device::{Device, Pending, Phase};
use super::history::{Conversation, Entry, What};

/// How long a connection may take to be opened, and a frame to be taken.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing may come, not even pongs, before a connection is given up.
const SILENCE: Duration = Duration::from_secs(3);
const PING: Duration = Duration::from_secs(1);
/// Messages that may be unacknowledged at a time.
const UNACKNOWLEDGED: usize = 10;
/// How soon to try again what the server could not do just now.
const RETRY: Duration = Duration::from_millis(200);

enum Asked {
    Join(Conversation),
    History(Conversation),
}

struct Session<'a> {
    device: &'a mut Device,
    name: &'a str,
    socket: WebSocketStream<TcpStream>,
    asked: HashMap<String, Asked>,
    requests: u32,
    fetching: bool,
    retry: Option<Instant>,
}

enum Happened {
    Frame(Value),
    Say,
    Ping,
    Retry,
    Orders,
}

/// A WebSocket on which nothing was said yet.
pub(super) async fn open(door: SocketAddr) -> Result<WebSocketStream<TcpStream>> {
    let open = async {
        let stream = TcpStream::connect(door).await?;
        stream.set_nodelay(true)?;
        anyhow::Ok(tokio_tungstenite::client_async(format!("ws://{door}/ws"), stream).await?.0)
    };
    timeout(PATIENCE, open).await.context("no connection")?
}

/// Ends with an error for every end that the device did not want.
pub(super) async fn run(device: &mut Device, name: &str, door: SocketAddr) -> Result<()> {
    let socket = open(door).await?;
    let (asked, requests) = (HashMap::new(), 0);
    let mut session = Session { device, name, socket, asked, requests, fetching: false, retry: None };
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
        let ready = self.frame().await?;
        ensure!(ready["type"] == 1000, "not let in: {ready}");
        self.device.recorder.note(What::Opened {
            session: self.name.to_owned(),
            device: self.device.of.device.clone(),
            user: identity.id.clone(),
            resumed: resumed.clone().unwrap_or_default(),
        });
        if resumed.is_none() {
            for conversation in self.device.of.follows.clone() {
                self.join(conversation).await?;
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
                self.socket.close(None).await.ok();
                return Ok(());
            }
            if orders.phase == Phase::Quiet {
                self.device.tell();
            }
            let retry = self.retry;
            let happened = tokio::select! {
                frame = frame(&mut self.socket), if !asleep => Happened::Frame(frame?),
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
            (Some("msg"), _) => self.see(frame, conversation.context("msg without dest")?).await?,
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
                let sent = self.forget_pending(&id).map(|pending| pending.text);
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
        let entry = entry(frame)?;
        self.view(&conversation).add(entry.seq);
        let received = (conversation.is_private() && entry.from != self.device.identity.id)
            .then(|| json!({"type": 200, "data": entry.id, "dest": format!("private/{}", entry.from)}));
        self.note(What::Saw { session: self.name.to_owned(), conversation, entry });
        match received {
            Some(received) => self.send(&received).await,
            None => Ok(()),
        }
    }

    fn answered(&mut self, frame: &Value) -> Result<()> {
        let asked = self.asked.remove(frame["re"].as_str().unwrap_or_default());
        let asked = asked.with_context(|| format!("an answer to nothing: {frame}"))?;
        let messages = frame["data"]["messages"].as_array().context("a reply without messages")?;
        let entries = messages.iter().map(entry).collect::<Result<Vec<_>>>()?;
        let session = self.name.to_owned();
        let conversation = match asked {
            Asked::Join(conversation) => {
                let head = number(&frame["data"]["head"])?;
                self.view(&conversation).reaches(head);
                let joined =
                    What::Joined { session: session.clone(), conversation: conversation.clone(), head };
                self.note(joined);
                conversation
            }
            Asked::History(conversation) => {
                self.fetching = false;
                ensure!(!entries.is_empty(), "the history of {conversation} has nothing where entries lack");
                conversation
            }
        };
        for entry in &entries {
            self.view(&conversation).add(entry.seq);
        }
        self.note(What::Fetched { session, conversation, entries });
        Ok(())
    }

    fn refused(&mut self, frame: &Value) -> Result<()> {
        let (id, data) = (frame["re"].as_str().unwrap_or_default(), &frame["data"]);
        let code = text(&data["code"])?;
        if let Some(asked) = self.asked.remove(id) {
            match asked {
                Asked::History(_) if data["retry"] == true => self.fetching = false,
                _ => bail!("refused: {frame}"),
            }
        } else if !self.device.pending.iter().any(|pending| pending.id == id) {
            bail!("an error about nothing that was asked: {frame}");
        } else if data["retry"] != true {
            if let Some(Pending { id, conversation, text }) = self.forget_pending(id) {
                let (session, user) = (self.name.to_owned(), self.device.identity.id.clone());
                self.note(What::Refused { session, user, id, conversation, text, code });
            }
            return Ok(());
        }
        self.retry.get_or_insert_with(|| Instant::now() + RETRY);
        Ok(())
    }

    /// Takes a message from those that were not answered yet.
    fn forget_pending(&mut self, id: &str) -> Option<Pending> {
        let place = self.device.pending.iter().position(|pending| pending.id == id)?;
        self.device.pending.remove(place)
    }

    /// Asks for the first hole that it knows of, one page at a time.
    async fn fetch(&mut self) -> Result<()> {
        let mut holes =
            self.device.views.iter().filter_map(|(place, view)| Some((place.clone(), view.hole()?)));
        let Some((conversation, after)) = holes.next().filter(|_| !self.fetching && self.retry.is_none())
        else {
            return Ok(());
        };
        drop(holes);
        // While a join is being answered, its answer may bring just this.
        if self.asked.values().any(|asked| matches!(asked, Asked::Join(_))) {
            return Ok(());
        }
        self.fetching = true;
        let dest = conversation.dest_for(&self.device.identity.id);
        let data = json!({"after": after, "limit": 200});
        self.ask(Asked::History(conversation), json!({"type": "history", "dest": dest, "data": data})).await
    }

    async fn join(&mut self, conversation: Conversation) -> Result<()> {
        let dest = conversation.dest_for(&self.device.identity.id);
        let data = json!({"history": 50});
        self.ask(Asked::Join(conversation), json!({"type": "join", "dest": dest, "data": data})).await
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
        let Pending { id, conversation, text } = message.clone();
        let frame = json!({"type": "msg", "id": id, "dest": dest, "data": {"text": text}});
        self.note(What::Sent { user, id, conversation, text });
        self.send(&frame).await
    }

    async fn send(&mut self, frame: &Value) -> Result<()> {
        let sending = self.socket.send(Message::text(frame.to_string()));
        Ok(timeout(SILENCE, sending).await.context("nothing is taken")??)
    }

    async fn frame(&mut self) -> Result<Value> {
        frame(&mut self.socket).await
    }

    fn view(&mut self, conversation: &Conversation) -> &mut super::view::View {
        self.device.views.entry(conversation.clone()).or_default()
    }

    fn note(&self, what: What) {
        self.device.recorder.note(what);
    }
}

pub(super) async fn frame(socket: &mut WebSocketStream<TcpStream>) -> Result<Value> {
    loop {
        match socket.next().await.context("cut")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(close) => bail!("closed by the server: {close:?}"),
            _ => {}
        }
    }
}

/// A message as everybody gets it.
pub(super) fn entry(frame: &Value) -> Result<Entry> {
    let (seq, time) = (number(&frame["seq"])?, number(&frame["time"])?);
    let (id, from, text) = (text(&frame["id"])?, text(&frame["from"])?, text(&frame["data"]["text"])?);
    Ok(Entry { seq, id, from, time, text })
}

pub(super) fn number(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} where a number belongs"))
}

pub(super) fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} where a text belongs"))
}
