//! A real Mosquitto with a login of its own, that can be killed and started again.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::certificates::{Certificate, text};
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
    /// The port for TLS, where it has one.
    secure: Option<Port>,
    home: TempDir,
    login: Option<(String, String)>,
    process: Process,
}

/// How to start a broker. See [`Mosquitto::builder`].
#[derive(Debug)]
pub struct Options {
    users: Vec<(String, String)>,
    acl: Option<PathBuf>,
    secure: Option<String>,
}

impl Options {
    /// Has this login for the server.
    #[must_use]
    pub fn login(mut self, name: &str, password: &str) -> Self {
        self.users = vec![(name.to_owned(), password.to_owned())];
        self
    }

    /// Lets another user in, too.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Who may do what is what this file says.
    #[must_use]
    pub fn acl(mut self, file: impl Into<PathBuf>) -> Self {
        self.acl = Some(file.into());
        self
    }

    /// Listens on another port with TLS; [`Mosquitto::url`] is that one's then, by the name `localhost`.
    #[must_use]
    pub fn tls(mut self, server: &Certificate) -> Self {
        let (certificate, key) = (text(&server.certificate), text(&server.key));
        self.secure = Some(format!("certfile {certificate}\nkeyfile {key}\n"));
        self
    }

    /// Wants to see certificates of this authority on the port with TLS, and takes their common names for users.
    #[must_use]
    pub fn client_certificates(mut self, authority: &Path) -> Self {
        let lines = self.secure.get_or_insert_default();
        lines.push_str(&format!(
            "cafile {}\nrequire_certificate true\nuse_identity_as_username true\n",
            text(authority)
        ));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When Mosquitto is not installed, or does not come up.
    pub async fn start(self) -> Result<Mosquitto> {
        let (port, home) = (Port::reserve()?, TempDir::with_prefix("mqttchat-mosquitto-")?);
        let secure = self.secure.as_ref().map(|_| Port::reserve()).transpose()?;
        let path = |name: &str| home.path().join(name).display().to_string();
        let mut config = String::new();
        writeln!(config, "listener {} 127.0.0.1", port.number())?;
        if let (Some(port), Some(lines)) = (&secure, &self.secure) {
            writeln!(config, "listener {} 127.0.0.1\n{lines}", port.number())?;
        }
        writeln!(config, "persistence true\npersistence_location {}/", home.path().display())?;
        writeln!(config, "log_dest stderr\nlog_type all\nconnection_messages true")?;
        // Started as root, it would become a user who cannot read our folder.
        writeln!(config, "user root")?;
        // The tests send as fast as they can; what a limit drops would look like the server's loss.
        writeln!(config, "max_queued_messages 0\nmax_inflight_messages 0")?;
        if let Some(acl) = &self.acl {
            writeln!(config, "acl_file {}", text(acl))?;
        }
        if self.users.is_empty() {
            writeln!(config, "allow_anonymous true")?;
        } else {
            writeln!(config, "allow_anonymous false\npassword_file {}", path("passwords"))?;
        }
        for (number, (user, password)) in self.users.iter().enumerate() {
            let mut command = Command::new("mosquitto_passwd");
            command.arg("-b").args((number == 0).then_some("-c"));
            command.args([&path("passwords"), user, password]);
            let made = command.status().await.context("mosquitto_passwd is not installed")?;
            anyhow::ensure!(made.success(), "mosquitto_passwd failed");
        }
        tokio::fs::write(path("mosquitto.conf"), config).await?;
        let process = launch(&port, &home).await?;
        Ok(Mosquitto { port, secure, home, login: self.users.into_iter().next(), process })
    }
}

impl Mosquitto {
    /// Starts a broker that lets nobody in without its login.
    ///
    /// # Errors
    /// When Mosquitto is not installed, or does not come up.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Starts a broker that lets everybody in.
    ///
    /// # Errors
    /// As [`Mosquitto::start`].
    pub async fn start_anonymous() -> Result<Self> {
        Options { users: Vec::new(), acl: None, secure: None }.start().await
    }

    /// A broker with a login, to be described before it is started.
    #[must_use]
    pub fn builder() -> Options {
        Options { users: vec![(USER.to_owned(), PASSWORD.to_owned())], acl: None, secure: None }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Its URL with the login, as `--broker` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let login =
            self.login.as_ref().map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        match &self.secure {
            Some(port) => format!("mqtts://{login}localhost:{}", port.number()),
            None => format!("mqtt://{login}{}", self.address()),
        }
    }

    /// Its URL without a login.
    #[must_use]
    pub fn url_without_login(&self) -> String {
        let url = self.url();
        match url.split_once("://").zip(url.rsplit_once('@')) {
            Some(((scheme, _), (_, place))) => format!("{scheme}://{place}"),
            None => url,
        }
    }

    /// Its URL with a password that it does not accept.
    #[must_use]
    pub fn url_with_wrong_password(&self) -> String {
        format!("mqtt://{USER}:wrong@{}", self.address())
    }

    /// Its user and password, where it has some.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
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
