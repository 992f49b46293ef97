//! The chat page as the person before the screen uses it.

use anyhow::{Context, Result, bail};
use fantoccini::Locator;
use serde_json::{Value, json};

use crate::browser::{Browser, mark};
use crate::eventually;

impl Browser {
    /// Opens the page, gives a name and waits for the chat.
    ///
    /// # Errors
    /// When the chat does not open.
    pub async fn enter(&self, url: &str, name: &str) -> Result<()> {
        self.open(url).await?;
        self.give_name(name).await?;
        self.expect_state("online").await?;
        self.visible("app").await?;
        Ok(())
    }

    /// Fills in the name form and sends it.
    ///
    /// # Errors
    /// When there is no such form.
    pub async fn give_name(&self, name: &str) -> Result<()> {
        self.replace("name-input", name).await?;
        self.click("name-submit").await
    }

    /// Writes a message and sends it with the button.
    ///
    /// # Errors
    /// When there is no composer.
    pub async fn say(&self, text: &str) -> Result<()> {
        self.replace("composer-input", text).await?;
        self.click("composer-send").await
    }

    /// Waits until the page says that the connection is in this state.
    ///
    /// # Errors
    /// When it does not within 30 s.
    pub async fn expect_state(&self, state: &str) -> Result<()> {
        let css = format!("{}[data-state={state}]", mark("connection-state"));
        eventually(&format!("the connection to be {state}"), async || {
            Ok(self.client.find(Locator::Css(&css)).await.is_ok().then_some(()))
        })
        .await
    }

    /// The messages on the page, in their order: their attributes and text.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn messages(&self) -> Result<Vec<Shown>> {
        let script = "return [...document.querySelectorAll('[data-testid=message]')].map(m => ({
            seq: Number(m.dataset.seq) || null, from: m.dataset.from, state: m.dataset.state,
            text: m.querySelector('[data-testid=message-text]')?.textContent ?? null }))";
        let found = self.run(script, &[]).await?;
        found.as_array().context("no list of messages")?.iter().map(Shown::read).collect()
    }

    /// Opens a conversation from the list.
    ///
    /// # Errors
    /// When it is not on the list within 30 s.
    pub async fn open_conversation(&self, dest: &str) -> Result<()> {
        let script =
            "const row = document.querySelector(`[data-testid=conversation][data-dest='${arguments[0]}']`);
            row?.click(); return row?.getAttribute('aria-current') === 'true'";
        eventually(&format!("{dest} to be open"), async || {
            Ok((self.run(script, &[json!(dest)]).await? == json!(true)).then_some(()))
        })
        .await
    }

    /// Opens the menu of the message with this text, and chooses from it.
    ///
    /// # Errors
    /// When the message or the choice does not show within 30 s.
    pub async fn choose(&self, text: &str, choice: &str) -> Result<()> {
        self.expect_message(text).await?;
        let script = "const of = m => m.querySelector('[data-testid=message-text]').textContent;
            const found = [...document.querySelectorAll('[data-testid=message]')].find(m => of(m) === arguments[0]);
            found?.querySelector('[data-testid=message-actions]').click(); return found !== undefined";
        eventually(&format!("the menu of {text:?}"), async || {
            Ok((self.run(script, &[json!(text)]).await? == json!(true)).then_some(()))
        })
        .await?;
        self.click(choice).await
    }

    /// Makes a room through the dialog, and is in it then.
    ///
    /// # Errors
    /// When the dialogs do not open, or the room is not made.
    pub async fn create_room(&self, title: &str, open: bool, members: &[&str]) -> Result<()> {
        self.click("rooms-open").await?;
        self.click("room-new").await?;
        self.replace("create-name", title).await?;
        self.click(if open { "create-open" } else { "create-closed" }).await?;
        for member in members {
            self.type_into("create-member", &format!("{member}\u{e007}")).await?;
        }
        self.click("create-submit").await?;
        self.gone("create-dialog").await?;
        self.expect_text("room-title", title).await
    }

    /// The reactions that show below messages: what they say, and whether one has given them oneself.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn reactions(&self) -> Result<Vec<(String, bool)>> {
        let script =
            "return [...document.querySelectorAll('[data-testid=reaction]')].filter(r => r.checkVisibility())
            .map(r => [r.textContent, r.getAttribute('aria-pressed') === 'true'])";
        Ok(serde_json::from_value(self.run(script, &[]).await?)?)
    }

    /// Waits for a message with this text.
    ///
    /// # Errors
    /// When it does not show within 30 s.
    pub async fn expect_message(&self, text: &str) -> Result<Shown> {
        eventually(&format!("the message {text:?} to show"), async || {
            Ok(self.messages().await?.into_iter().find(|message| message.text == text))
        })
        .await
    }

    /// Waits until a message with this text is accepted by the server.
    ///
    /// # Errors
    /// When it is not within 30 s.
    pub async fn expect_accepted(&self, text: &str) -> Result<Shown> {
        eventually(&format!("the message {text:?} to be accepted"), async || {
            let is_it = |message: &Shown| message.text == text && message.state == "accepted";
            Ok(self.messages().await?.into_iter().find(is_it))
        })
        .await
    }
}

/// A message as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the conversation, once the server has given it one.
    pub seq: Option<u64>,
    /// Who wrote it.
    pub from: String,
    /// `sending`, `accepted` or `failed`.
    pub state: String,
    /// What it says.
    pub text: String,
}

impl Shown {
    fn read(value: &Value) -> Result<Self> {
        let Some(text) = value["text"].as_str() else { bail!("a message without text: {value}") };
        let member = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            seq: value["seq"].as_u64(),
            from: member("from"),
            state: member("state"),
            text: text.to_owned(),
        })
    }
}
