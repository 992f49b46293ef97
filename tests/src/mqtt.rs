//! `mosquitto_sub` and `mosquitto_pub`: what an outsider on the broker sees and does.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::process::Process;
use crate::{App, Mosquitto, PATIENCE, eventually};

/// How to get into a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Where it listens.
    pub address: SocketAddr,
    /// User and password, where it asks for them.
    pub login: Option<(String, String)>,
}

impl Access {
    /// The way in for devices, as the server printed it at its start.
    ///
    /// # Errors
    /// When it printed none within 30 s.
    pub async fn of_devices(app: &App) -> Result<Self> {
        eventually("the way in for devices to be printed", async || {
            let lines = app.output();
            Ok(lines.iter().find_map(|line| Self::read(line.strip_prefix("for devices: mosquitto_pub ")?)))
        })
        .await
    }

    /// Reads the options of an example command.
    fn read(command: &str) -> Option<Self> {
        let words: Vec<_> = command.split_whitespace().collect();
        let option =
            |name: &str| words.iter().skip_while(|word| **word != name).nth(1).map(|word| (*word).to_owned());
        let address = format!("{}:{}", option("-h")?, option("-p")?).parse().ok()?;
        Some(Self { address, login: option("-u").zip(option("-P")) })
    }
}

impl From<&Mosquitto> for Access {
    fn from(broker: &Mosquitto) -> Self {
        let login = broker.login().map(|(user, password)| (user.to_owned(), password.to_owned()));
        Self { address: broker.address(), login }
    }
}

/// A running `mosquitto_sub`.
#[derive(Debug)]
pub struct Subscriber {
    process: Process,
}

/// One message as the broker delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its topic.
    pub topic: String,
    /// Its quality of service.
    pub qos: u8,
    /// Whether it was a retained message.
    pub retain: bool,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Delivery {
    /// The payload as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.payload).with_context(|| format!("not JSON on {}", self.topic))
    }

    /// Reads a line of the format that [`Subscriber::start`] asks for.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("got ")?.split(' ');
        let (retain, qos, hex, topic) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let bytes = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let payload = bytes.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<_>>()?;
        Some(Self { topic: topic.to_owned(), qos: qos.parse().ok()?, retain: retain == "1", payload })
    }
}

impl Subscriber {
    /// Subscribes to a filter with QoS 1, and returns when the broker has confirmed it.
    ///
    /// # Errors
    /// When `mosquitto_sub` is not installed, or the broker refuses.
    pub async fn start(broker: impl Into<Access>, filter: &str) -> Result<Self> {
        Self::launch(&broker.into(), filter, &[]).await
    }

    /// As [`Subscriber::start`], with a session that the broker keeps: nothing is missed between two
    /// connections. It is saved, so that it survives the broker's end too.
    ///
    /// # Errors
    /// As [`Subscriber::start`].
    pub async fn start_lasting(broker: &mut Mosquitto, filter: &str) -> Result<Self> {
        let subscriber = Self::launch(&Access::from(&*broker), filter, &["-c", "-i", "outsider"]).await?;
        broker.save().await?;
        Ok(subscriber)
    }

    async fn launch(broker: &Access, filter: &str, options: &[&str]) -> Result<Self> {
        // Into a pipe it would write its lines only when a block of them is full.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub"]);
        log_in(&mut command, broker);
        // -d prints "Subscribed" when the SUBACK has come.
        command.args(["-d", "-q", "1", "-t", filter, "-F", "got %r %q %x %t"]).args(options);
        let mut process = Process::start("mosquitto_sub", &mut command)?;
        process.line("Subscribed", |line| line.starts_with("Subscribed").then_some(())).await?;
        Ok(Self { process })
    }

    /// Everything delivered so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.process.output().iter().filter_map(|line| Delivery::read(line)).collect()
    }

    /// Waits until what was delivered satisfies `is_it`, and gives the first such message.
    ///
    /// # Errors
    /// When none comes within 30 s.
    pub async fn expect(&self, what: &str, is_it: impl Fn(&Delivery) -> bool) -> Result<Delivery> {
        eventually(what, async || Ok(self.deliveries().into_iter().find(&is_it))).await
    }

    /// Waits for the message whose payload has this text.
    ///
    /// # Errors
    /// When none comes within 30 s.
    pub async fn expect_text(&self, text: &str) -> Result<Delivery> {
        let has_text = |delivery: &Delivery| delivery.json().is_ok_and(|json| json["data"]["text"] == text);
        self.expect(&format!("{text:?} on the broker"), has_text).await
    }
}

/// Publishes one payload with QoS 1, as `mosquitto_pub` does, and waits for the broker to take it.
///
/// # Errors
/// When `mosquitto_pub` is not installed, or the broker refuses.
pub async fn publish(broker: impl Into<Access>, topic: &str, payload: &str) -> Result<()> {
    run_pub(&broker.into(), &["-t", topic, "-m", payload], &[]).await
}

/// As [`publish`], retained.
///
/// # Errors
/// As [`publish`].
pub async fn publish_retained(broker: impl Into<Access>, topic: &str, payload: &str) -> Result<()> {
    run_pub(&broker.into(), &["-r", "-t", topic, "-m", payload], &[]).await
}

/// As [`publish`], with any bytes.
///
/// # Errors
/// As [`publish`].
pub async fn publish_bytes(broker: impl Into<Access>, topic: &str, payload: &[u8]) -> Result<()> {
    run_pub(&broker.into(), &["-t", topic, "-s"], payload).await
}

async fn run_pub(broker: &Access, options: &[&str], input: &[u8]) -> Result<()> {
    let mut command = Command::new("mosquitto_pub");
    log_in(&mut command, broker);
    command.args(["-q", "1"]).args(options).stdin(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().context("mosquitto_pub is not installed")?;
    let mut stdin = process.stdin.take().context("no stdin")?;
    stdin.write_all(input).await.ok();
    drop(stdin);
    let status = tokio::time::timeout(PATIENCE, process.wait()).await.context("mosquitto_pub hangs")??;
    anyhow::ensure!(status.success(), "mosquitto_pub failed with {status}");
    Ok(())
}

fn log_in(command: &mut Command, broker: &Access) {
    command.arg("-h").arg(broker.address.ip().to_string());
    command.arg("-p").arg(broker.address.port().to_string());
    if let Some((user, password)) = &broker.login {
        command.args(["-u", user, "-P", password]);
    }
}
