//! ChromeDriver, and the browsers that it starts.

use std::path::Path;

use anyhow::{Context, Result};
use fantoccini::ClientBuilder;
use fantoccini::wd::Capabilities;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::PATIENCE;
use crate::browser::Browser;
use crate::process::Process;

/// A running ChromeDriver. One is enough for all browsers of a test.
#[derive(Debug)]
pub struct Driver {
    process: Process,
    url: String,
}

/// The size and kind of a screen.
#[derive(Debug, Clone, Copy)]
pub enum Screen {
    /// 1280 by 800 pixels, light.
    Desktop,
    /// 1280 by 800 pixels, of somebody who prefers dark colours.
    DarkDesktop,
    /// 360 by 740 pixels, with touch.
    Phone,
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
        Ok(Browser::new(client, profile))
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
        Screen::DarkDesktop => {
            args.push("--window-size=1280,800".to_owned());
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        Screen::Phone => {
            let metrics =
                json!({"width": 360, "height": 740, "pixelRatio": 3.0, "touch": true, "mobile": true});
            options["mobileEmulation"] = json!({"deviceMetrics": metrics});
        }
    }
    options["args"] = json!(args);
    let mut capabilities = Capabilities::new();
    // Servers that speak TLS have certificates that nobody vouches for.
    capabilities.insert("acceptInsecureCerts".to_owned(), json!(true));
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    // What the page writes to the console is shown by `Browser::complaints`.
    capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
    capabilities
}
