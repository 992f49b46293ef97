//! Headless Chromium, driven through ChromeDriver; it sees the page by its `data-testid` marks only.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::{PATIENCE, eventually};

/// A running ChromeDriver. One is enough for all browsers of a test.
#[derive(Debug)]
pub struct Driver {
    process: Process,
    url: String,
}

/// The size and kind of a screen.
#[derive(Debug, Clone, Copy)]
pub enum Screen {
    /// 1280 by 800 pixels.
    Desktop,
    /// 360 by 740 pixels, with touch.
    Phone,
}

/// One browser with a fresh profile: a person at a computer of their own.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    profile: TempDir,
}

impl Driver {
    /// Starts ChromeDriver on a port that it picks.
    ///
    /// # Errors
    /// When it is not installed.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=WARNING"]);
        let mut process = Process::start("chromedriver", &mut command)?;
        let port = |line: &str| {
            let number = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            number.trim_end_matches('.').parse::<u16>().ok()
        };
        let port = process.line("its port", port).await?;
        Ok(Self { process, url: format!("http://127.0.0.1:{port}") })
    }

    /// Opens a browser of desktop size.
    ///
    /// # Errors
    /// When Chromium is not installed, or does not start.
    pub async fn browser(&self) -> Result<Browser> {
        self.browser_on(Screen::Desktop).await
    }

    /// Opens a browser.
    ///
    /// # Errors
    /// When Chromium is not installed, or does not start.
    pub async fn browser_on(&self, screen: Screen) -> Result<Browser> {
        self.process.id().context("chromedriver has ended")?;
        let profile = TempDir::with_prefix("mqttchat-chromium-")?;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities(screen, profile.path())).connect(&self.url);
        let client = tokio::time::timeout(PATIENCE, client).await.context("Chromium does not start")??;
        Ok(Browser { client, profile })
    }
}

fn capabilities(screen: Screen, profile: &Path) -> Capabilities {
    let mut args = vec![
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        format!("--user-data-dir={}", profile.display()),
    ];
    let mut options = json!({});
    match screen {
        Screen::Desktop => args.push("--window-size=1280,800".to_owned()),
        Screen::Phone => {
            let metrics =
                json!({"width": 360, "height": 740, "pixelRatio": 3.0, "touch": true, "mobile": true});
            options["mobileEmulation"] = json!({"deviceMetrics": metrics});
        }
    }
    options["args"] = json!(args);
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    // What the page writes to the console is shown by `Browser::complaints`.
    capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
    capabilities
}

impl Browser {
    /// Opens a page.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.client.goto(url).await.with_context(|| format!("cannot open {url}"))
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.client.refresh().await?)
    }

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

    /// A picture of what shows, PNG.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        Ok(self.client.screenshot().await?)
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

fn mark(testid: &str) -> String {
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
