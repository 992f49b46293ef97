//! Headless Chromium; it sees a page by its `data-testid` marks only.

use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, Locator};
use hyper::Method;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use crate::eventually;

/// One browser with a fresh profile: a person at a computer of their own.
#[derive(Debug)]
pub struct Browser {
    pub(crate) client: Client,
    profile: TempDir,
}

impl Browser {
    pub(crate) fn new(client: Client, profile: TempDir) -> Self {
        Self { client, profile }
    }

    /// Opens a page.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.client.goto(url).await.with_context(|| format!("cannot open {url}"))
    }

    /// Turns to the page in the first frame of this one.
    ///
    /// # Errors
    /// When there is no frame.
    pub async fn enter_frame(&self) -> Result<()> {
        Ok(self.client.enter_frame(0).await?)
    }

    /// Turns back to the page around the frame.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn leave_frame(&self) -> Result<()> {
        Ok(self.client.enter_parent_frame().await?)
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.client.refresh().await?)
    }

    /// Puts this text into a field, as if typed.
    ///
    /// # Errors
    /// When the field does not show.
    pub async fn replace(&self, testid: &str, text: &str) -> Result<()> {
        let field = self.visible(testid).await?;
        field.clear().await?;
        field.send_keys(text).await?;
        Ok(())
    }

    /// Types at the end of a field.
    ///
    /// # Errors
    /// When the field does not show.
    pub async fn type_into(&self, testid: &str, text: &str) -> Result<()> {
        Ok(self.visible(testid).await?.send_keys(text).await?)
    }

    /// Clicks.
    ///
    /// # Errors
    /// When it does not show, or something lies over it for 30 s.
    pub async fn click(&self, testid: &str) -> Result<()> {
        eventually(&format!("{testid} to take a click"), async || {
            let element = self.visible(testid).await?;
            Ok(element.click().await.ok())
        })
        .await
    }

    /// The first displayed element with this mark.
    ///
    /// # Errors
    /// When none shows within 30 s.
    pub async fn visible(&self, testid: &str) -> Result<Element> {
        let css = mark(testid);
        eventually(&format!("{testid} to show"), async || {
            for element in self.client.find_all(Locator::Css(&css)).await? {
                // An element that was replaced meanwhile is simply not this one.
                if element.is_displayed().await.unwrap_or(false) {
                    return Ok(Some(element));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Whether an element with this mark is displayed now.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn shows(&self, testid: &str) -> Result<bool> {
        let script = "return [...document.querySelectorAll(arguments[0])].some(e => e.checkVisibility())";
        Ok(self.run(script, &[json!(mark(testid))]).await? == json!(true))
    }

    /// Waits until no element with this mark is displayed.
    ///
    /// # Errors
    /// When one still shows after 30 s.
    pub async fn gone(&self, testid: &str) -> Result<()> {
        let what = format!("{testid} to go");
        eventually(&what, async || Ok((!self.shows(testid).await?).then_some(()))).await
    }

    /// Waits until the first element with this mark contains this text.
    ///
    /// # Errors
    /// When it does not within 30 s.
    pub async fn expect_text(&self, testid: &str, text: &str) -> Result<()> {
        let script = "return document.querySelector(arguments[0])?.textContent ?? ''";
        let css = mark(testid);
        eventually(&format!("{testid} to say {text:?}"), async || {
            let seen = self.run(script, &[json!(css)]).await?;
            Ok(seen.as_str().is_some_and(|seen| seen.contains(text)).then_some(()))
        })
        .await
    }

    /// Runs JavaScript in the page.
    ///
    /// # Errors
    /// When it throws.
    pub async fn run(&self, script: &str, args: &[Value]) -> Result<Value> {
        Ok(self.client.execute(script, args.to_vec()).await?)
    }

    /// Runs JavaScript whose last argument is a callback for its answer.
    ///
    /// # Errors
    /// When it throws, or never calls back.
    pub async fn run_async(&self, script: &str, args: &[Value]) -> Result<Value> {
        Ok(self.client.execute_async(script, args.to_vec()).await?)
    }

    /// Everything below this CSS selector.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn all(&self, css: &str) -> Result<Vec<Element>> {
        Ok(self.client.find_all(Locator::Css(css)).await?)
    }

    /// The title of the page.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn title(&self) -> Result<String> {
        Ok(self.client.title().await?)
    }

    /// Opens a further tab with this page and turns to it.
    ///
    /// # Errors
    /// When the browser does not open one.
    pub async fn new_tab(&self, url: &str) -> Result<()> {
        let tab = self.client.new_window(true).await?;
        self.client.switch_to_window(tab.handle).await?;
        self.open(url).await
    }

    /// What the page complained about on its console since this was last asked: errors and warnings.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let entries = self.client.issue_cmd(ConsoleLog).await?;
        let entries = entries.as_array().context("no list of console entries")?;
        let bad = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        Ok(bad.map(|entry| entry["message"].to_string()).collect())
    }

    /// A picture of what shows, PNG.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        Ok(self.client.screenshot().await?)
    }
}

/// ChromeDriver's own command for the console of the page.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

/// The CSS selector of a mark.
pub(crate) fn mark(testid: &str) -> String {
    format!("[data-testid=\"{testid}\"]")
}

impl Drop for Browser {
    /// Ends the processes of this browser's own profile; a failed test never comes to close them.
    fn drop(&mut self) {
        let mark = [b"--user-data-dir=", self.profile.path().as_os_str().as_bytes()].concat();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let Ok(line) = std::fs::read(process.path().join("cmdline")) else { continue };
            let ours = line.split(|byte| *byte == 0).any(|argument| argument == mark);
            let pid = process.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
            if let (true, Some(pid)) = (ours, pid) {
                rustix::process::kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}
