//! A person in the chat: a socket that said `hello` and was let in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Socket;

/// A signed-in session. It is also a [`Socket`], for everything that is not said below.
#[derive(Debug)]
pub struct User {
    /// The user id that the server gave.
    pub id: String,
    /// The token that proves it.
    pub token: String,
    /// The id of the server's log.
    pub log: String,
    /// The whole frame that opened the session.
    pub ready: Value,
    address: SocketAddr,
    socket: Socket,
    requests: u32,
}

/// How the server answered a message that it has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The message's id, chosen by the sender.
    pub id: String,
    /// Its place in the conversation.
    pub seq: u64,
    /// When it was stored, Unix time in ms.
    pub time: u64,
    /// Its conversation.
    pub dest: String,
}

impl User {
    /// Opens a session for somebody new.
    ///
    /// # Errors
    /// When the server does not answer with 1000.
    pub async fn sign_in(address: SocketAddr, name: &str) -> Result<Self> {
        Self::hello(address, &json!({"name": name})).await
    }

    /// Opens a session with this `data` in its `hello`.
    ///
    /// # Errors
    /// When the server does not answer with 1000.
    pub async fn hello(address: SocketAddr, data: &Value) -> Result<Self> {
        Self::hello_over(Socket::connect(address).await?, address, data).await
    }

    /// Opens a session over this connection, with this `data` in its `hello`.
    ///
    /// # Errors
    /// When the server does not answer with 1000.
    pub async fn hello_over(mut socket: Socket, address: SocketAddr, data: &Value) -> Result<Self> {
        socket.send(&json!({"type": "hello", "id": "h1", "data": data})).await?;
        let ready =
            socket.expect_where("1000 or error", |f| f["type"] == 1000 || f["type"] == "error").await?;
        let text =
            |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("not let in: {ready}"));
        Ok(Self {
            id: text(&ready["data"]["user"]["id"])?,
            // Where the operator's application issues tokens, the server has none.
            token: ready["data"]["token"].as_str().or(data["token"].as_str()).unwrap_or_default().to_owned(),
            log: text(&ready["data"]["log"])?,
            ready: ready.clone(),
            address,
            socket,
            requests: 0,
        })
    }

    /// The display name that the server knows.
    #[must_use]
    pub fn name(&self) -> &str {
        self.ready["data"]["user"]["name"].as_str().unwrap_or_default()
    }

    /// Opens a further session of the same user, as another tab or device does.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn another_session(&self) -> Result<Self> {
        Self::hello(self.address, &json!({"name": self.name(), "token": self.token})).await
    }

    /// Opens a new session that resumes after these sequence numbers, as a page does when its
    /// connection was lost. `address` is where the server is now.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn resume(&self, address: SocketAddr, after: &[(&str, u64)]) -> Result<Self> {
        let resume: BTreeMap<_, _> = after.iter().copied().collect();
        let data = json!({"name": self.name(), "token": self.token, "log": self.log, "resume": resume});
        Self::hello(address, &data).await
    }

    /// Sends a request with an id of its own and takes its `reply`; gives the reply's `data`.
    ///
    /// # Errors
    /// When the answer is an `error`, or none comes.
    pub async fn request(&mut self, mut frame: Value) -> Result<Value> {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        frame["id"] = json!(id);
        self.socket.send(&frame).await?;
        let answer =
            self.socket.expect_where(&format!("the answer to {frame}"), |f| f["re"] == id.as_str()).await?;
        anyhow::ensure!(answer["type"] == "reply", "{frame} was answered with {answer}");
        Ok(answer["data"].clone())
    }

    /// Joins a conversation with up to 50 messages of its history; gives the reply's `data`.
    ///
    /// # Errors
    /// When the server does not allow it.
    pub async fn join(&mut self, dest: &str) -> Result<Value> {
        self.request(json!({"type": "join", "dest": dest, "data": {"history": 50}})).await
    }

    /// Leaves a conversation.
    ///
    /// # Errors
    /// When the server does not allow it.
    pub async fn leave(&mut self, dest: &str) -> Result<Value> {
        self.request(json!({"type": "leave", "dest": dest})).await
    }

    /// Asks for a part of the history; gives the reply's `data`.
    ///
    /// # Errors
    /// When the server does not allow it.
    pub async fn history(&mut self, dest: &str, data: Value) -> Result<Value> {
        self.request(json!({"type": "history", "dest": dest, "data": data})).await
    }

    /// The whole log of a conversation, oldest first, fetched page by page.
    ///
    /// # Errors
    /// When the server does not give a page.
    pub async fn whole_history(&mut self, dest: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(json!(0), |message: &Value| message["seq"].clone());
            let page = self.history(dest, json!({"after": after, "limit": 200})).await?;
            let messages = page["messages"].as_array().context("history without messages")?;
            all.extend(messages.iter().cloned());
            if page["more"] != true {
                return Ok(all);
            }
            anyhow::ensure!(!messages.is_empty(), "more is promised after an empty page");
        }
    }

    /// Says something under a new id and waits until the server has accepted it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn say(&mut self, dest: &str, text: &str) -> Result<Accepted> {
        let id = uuid::Uuid::new_v4().to_string();
        self.send_message(&id, dest, &json!({"text": text})).await
    }

    /// Sends a message and waits until the server has accepted it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn send_message(&mut self, id: &str, dest: &str, data: &Value) -> Result<Accepted> {
        self.socket.send(&json!({"type": "msg", "id": id, "dest": dest, "data": data})).await?;
        self.expect_accepted(id).await
    }

    /// Takes the 100 for the message with this id.
    ///
    /// # Errors
    /// When an error or nothing comes for it.
    pub async fn expect_accepted(&self, id: &str) -> Result<Accepted> {
        let answers = |frame: &Value| {
            (frame["type"] == 100 && frame["data"] == id) || (frame["type"] == "error" && frame["re"] == id)
        };
        let frame = self.socket.expect_where(&format!("100 for {id}"), answers).await?;
        Accepted::read(&frame)
    }

    /// Takes the message with this text.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn expect_text(&self, text: &str) -> Result<Value> {
        let is_it = |frame: &Value| frame["type"] == "msg" && frame["data"]["text"] == text;
        self.socket.expect_where(&format!("the message {text:?}"), is_it).await
    }
}

impl Accepted {
    /// Reads a frame of type 100.
    ///
    /// # Errors
    /// When it is another frame, or one of its members is missing.
    pub fn read(frame: &Value) -> Result<Self> {
        anyhow::ensure!(frame["type"] == 100, "not accepted: {frame}");
        let incomplete = || format!("100 lacks something: {frame}");
        Ok(Self {
            id: frame["data"].as_str().with_context(incomplete)?.to_owned(),
            seq: frame["seq"].as_u64().with_context(incomplete)?,
            time: frame["time"].as_u64().with_context(incomplete)?,
            dest: frame["dest"].as_str().with_context(incomplete)?.to_owned(),
        })
    }
}

impl Deref for User {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl DerefMut for User {
    fn deref_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }
}
