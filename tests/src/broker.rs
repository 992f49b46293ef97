//! A real Mosquitto with a login of its own, that can be killed and started again.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::eventually;
use crate::port::Port;
use crate::process::Process;

/// The login that [`Mosquitto::start`] demands.
const USER: &str = "chat";
const PASSWORD: &str = "a-password-of-the-tests";

/// A broker on a port of its own, with a fresh folder for what it keeps.
#[derive(Debug)]
pub struct Mosquitto {
    port: Port,
    home: TempDir,
    anonymous: bool,
    process: Process,
}

impl Mosquitto {
    /// Starts a broker that lets nobody in without its login.
    ///
    /// # Errors
    /// When Mosquitto is not installed, or does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_with(false).await
    }

    /// Starts a broker that lets everybody in.
    ///
    /// # Errors
    /// As [`Mosquitto::start`].
    pub async fn start_anonymous() -> Result<Self> {
        Self::start_with(true).await
    }

    async fn start_with(anonymous: bool) -> Result<Self> {
        let (port, home) = (Port::reserve()?, TempDir::with_prefix("mqttchat-mosquitto-")?);
        let path = |name: &str| home.path().join(name).display().to_string();
        let mut config = String::new();
        writeln!(config, "listener {} 127.0.0.1", port.number())?;
        writeln!(config, "persistence true\npersistence_location {}/", home.path().display())?;
        writeln!(config, "log_dest stderr\nlog_type all\nconnection_messages true")?;
        // Started as root, it would become a user who cannot read our folder.
        writeln!(config, "user root")?;
        // The tests send as fast as they can; what a limit drops would look like the server's loss.
        writeln!(config, "max_queued_messages 0\nmax_inflight_messages 0")?;
        if anonymous {
            writeln!(config, "allow_anonymous true")?;
        } else {
            writeln!(config, "allow_anonymous false\npassword_file {}", path("passwords"))?;
            let mut command = Command::new("mosquitto_passwd");
            command.args(["-b", "-c", &path("passwords"), USER, PASSWORD]);
            let made = command.status().await.context("mosquitto_passwd is not installed")?;
            anyhow::ensure!(made.success(), "mosquitto_passwd failed");
        }
        tokio::fs::write(path("mosquitto.conf"), config).await?;
        let process = launch(&port, &home).await?;
        Ok(Self { port, home, anonymous, process })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Its URL with the login, as `--broker` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        if self.anonymous {
            format!("mqtt://{}", self.address())
        } else {
            format!("mqtt://{USER}:{PASSWORD}@{}", self.address())
        }
    }

    /// Its URL with a password that it does not accept.
    #[must_use]
    pub fn url_with_wrong_password(&self) -> String {
        format!("mqtt://{USER}:wrong@{}", self.address())
    }

    /// Its user and password, where it has some.
    #[must_use]
    pub fn login(&self) -> Option<(&'static str, &'static str)> {
        (!self.anonymous).then_some((USER, PASSWORD))
    }

    /// Waits until this filter was subscribed to so many times, as the broker's log says.
    ///
    /// # Errors
    /// When it was not within 30 s.
    pub async fn expect_subscriptions(&self, filter: &str, count: usize) -> Result<()> {
        let subscribed = format!("\t{filter} (QoS ");
        eventually(&format!("{count} subscriptions to {filter}"), async || {
            let lines = self.process.output();
            let found = lines.iter().filter(|line| line.contains(&subscribed)).count();
            Ok((found >= count).then_some(()))
        })
        .await
    }

    /// Makes it write the sessions of its clients to disk now, so that a SIGKILL leaves them.
    ///
    /// # Errors
    /// When it has ended, or has not written them within 30 s.
    pub async fn save(&mut self) -> Result<()> {
        // It writes into another file and gives that this name when it is whole.
        let saved = self.home.path().join("mosquitto.db");
        if saved.exists() {
            std::fs::remove_file(&saved)?;
        }
        self.process.signal(Signal::USR1)?;
        eventually("Mosquitto to save", async || Ok(saved.exists().then_some(()))).await
    }

    /// Its process id, while it runs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn process_id(&self) -> Result<u32> {
        self.process.id()
    }

    /// Ends it with SIGKILL: what it had not written is lost.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again on the same port, with what it had written.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = launch(&self.port, &self.home).await?;
        Ok(())
    }

    /// Starts it again on the same port, without anything that it ever knew.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_empty(&mut self) -> Result<()> {
        let saved = self.home.path().join("mosquitto.db");
        match tokio::fs::remove_file(&saved).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => self.start_again().await,
        }
    }
}

async fn launch(port: &Port, home: &TempDir) -> Result<Process> {
    let mut command = Command::new("mosquitto");
    // Debian keeps it where an ordinary user's PATH does not look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command.arg("-c").arg(home.path().join("mosquitto.conf"));
    let process = Process::start("mosquitto", &mut command)?;
    let address = (Ipv4Addr::LOCALHOST, port.number());
    eventually("Mosquitto to listen", async || {
        if process.id().is_err() {
            bail!("Mosquitto has ended");
        }
        Ok(TcpStream::connect(address).await.ok())
    })
    .await?;
    Ok(process)
}
