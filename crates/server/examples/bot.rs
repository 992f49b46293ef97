//! A bot that throws dice, over the same WebSocket that the page uses: `!roll 2d6` in public, or to it in private.
//!
//! `cargo run --example bot -- ws://127.0.0.1:9091/ws`
//! On another machine it needs an API key, in `MQTTCHAT_TOKEN`: `mqttchat apikey create "Dice Bot"` makes one.
//!
//! It is what every good client is: it keeps its token, resumes where it was, answers each message once although it
//! may see it again, confirms private messages, and comes back when the connection is lost.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{SinkExt, StreamExt};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long to wait before coming back.
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().init();
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9091/ws".to_owned());
    let memory = arguments.next().unwrap_or_else(|| "dice-bot.json".to_owned());
    tokio::select! {
        () = run(&url, Path::new(&memory)) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Plays until it is dropped.
pub async fn run(url: &str, memory: &Path) {
    let mut bot = Bot::remember(memory);
    loop {
        if let Err(error) = bot.talk(url).await {
            tracing::info!(%error, "coming back");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the bot keeps from one connection, and one run, to the next.
struct Bot {
    file: PathBuf,
    token: Option<String>,
    log: Option<String>,
    /// The last entry of each conversation that it has answered.
    seen: BTreeMap<String, u64>,
    me: String,
    /// What came while an answer was waited for.
    waiting: VecDeque<Value>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Bot {
    fn remember(file: &Path) -> Self {
        let known = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let known = known.unwrap_or_default();
        let text = |name: &str| known[name].as_str().map(str::to_owned);
        let seen = known["seen"].as_object().into_iter().flatten();
        Self {
            file: file.to_owned(),
            token: std::env::var("MQTTCHAT_TOKEN").ok().or_else(|| text("token")),
            log: text("log"),
            seen: seen.filter_map(|(dest, seq)| Some((dest.clone(), seq.as_u64()?))).collect(),
            me: String::new(),
            waiting: VecDeque::new(),
        }
    }

    fn keep(&self) -> anyhow::Result<()> {
        let known = json!({ "token": self.token, "log": self.log, "seen": self.seen });
        std::fs::write(&self.file, known.to_string()).context("what the bot knows can't be kept")
    }

    /// One connection, until it is lost.
    async fn talk(&mut self, url: &str) -> anyhow::Result<()> {
        let (mut socket, _) = connect_async(url).await?;
        self.waiting.clear();
        let hello = json!({ "name": "Dice", "token": self.token, "log": self.log, "resume": self.seen });
        send(&mut socket, json!({ "type": "hello", "id": "hello", "data": hello })).await?;
        loop {
            let frame = match self.waiting.pop_front() {
                Some(frame) => frame,
                None => receive(&mut socket).await?,
            };
            match (&frame["type"], frame["type"].as_str()) {
                (kind, _) if *kind == 1000 => self.enter(&mut socket, &frame["data"]).await?,
                (_, Some("msg")) => self.hear(&mut socket, &frame).await?,
                // The log was replaced, or has gone on for too long: what is missed is missed.
                (_, Some("gap")) => {
                    let before = frame["data"]["before"].as_u64().unwrap_or(1);
                    let dest = frame["dest"].as_str().unwrap_or_default();
                    self.seen.insert(dest.to_owned(), before - 1);
                }
                (_, Some("error")) if frame["re"] == "hello" => {
                    // Somebody else has the name, or the token is no longer good.
                    bail!("not let in: {}", frame["data"]["reason"])
                }
                _ => {}
            }
        }
    }

    /// Joins the public conversation from now on, unless it was resumed.
    async fn enter(&mut self, socket: &mut Socket, ready: &Value) -> anyhow::Result<()> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.me = text(&ready["user"]["id"]).unwrap_or_default();
        self.token = text(&ready["token"]).or(self.token.take());
        self.log = text(&ready["log"]);
        self.keep()?;
        tracing::info!(user = self.me, "ready to throw");
        if !self.seen.contains_key("public") {
            send(socket, json!({ "type": "join", "id": "join", "dest": "public" })).await?;
        }
        Ok(())
    }

    /// Answers a message that asks for a throw.
    async fn hear(&mut self, socket: &mut Socket, message: &Value) -> anyhow::Result<()> {
        let word = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let (from, id) = (word("from"), word("id"));
        let private = word("dest").starts_with("private/");
        let dest = if private && from != self.me { format!("private/{from}") } else { word("dest") };
        let answer = (from != self.me).then(|| throw(message["data"]["text"].as_str()?)).flatten();
        if let Some(text) = answer {
            self.answer(socket, message, &dest, &text).await?;
        }
        if private && from != self.me {
            send(socket, json!({ "type": 200, "dest": dest, "data": id })).await?;
        }
        self.seen.insert(dest, message["seq"].as_u64().unwrap_or_default());
        self.keep()
    }
}

impl Bot {
    /// Sends an answer, and waits until the server has it on disk.
    async fn answer(
        &mut self,
        socket: &mut Socket,
        message: &Value,
        dest: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        // The same id for the same question: when the connection was lost before the 100 came, the dice are thrown again,
        // and the server says that this id stands for another throw already.
        let id = format!("re:{}:{}", message["seq"], message["time"]);
        send(socket, json!({ "type": "msg", "id": id, "dest": dest, "data": { "text": text } })).await?;
        loop {
            let frame = receive(socket).await?;
            if frame["type"] == 100 && frame["data"] == id.as_str() {
                return Ok(());
            }
            if frame["re"] == id.as_str() {
                match frame["data"]["code"].as_str() {
                    Some("rate_limited" | "unavailable") => bail!("not taken: {}", frame["data"]["reason"]),
                    _ => return Ok(()),
                }
            }
            self.waiting.push_back(frame);
        }
    }
}

async fn receive(socket: &mut Socket) -> anyhow::Result<Value> {
    loop {
        if let Message::Text(text) = socket.next().await.context("the connection was closed")?? {
            return Ok(serde_json::from_str(&text)?);
        }
    }
}

async fn send(socket: &mut Socket, frame: Value) -> anyhow::Result<()> {
    socket.send(Message::text(frame.to_string())).await?;
    Ok(())
}

/// `!roll 2d6`: two dice with six sides; `None` for what is no throw.
fn throw(text: &str) -> Option<String> {
    let (count, sides) = text.trim().strip_prefix("!roll ")?.split_once('d')?;
    let (count, sides): (u32, u32) = (count.parse().ok()?, sides.parse().ok()?);
    if !(1..=20).contains(&count) || !(2..=1000).contains(&sides) {
        return Some("I have 20 dice, with up to 1000 sides".to_owned());
    }
    let fallen: Vec<u32> = (0..count).map(|_| rand::rng().random_range(1..=sides)).collect();
    let sum: u32 = fallen.iter().sum();
    Some(format!("{fallen:?} = {sum}"))
}
