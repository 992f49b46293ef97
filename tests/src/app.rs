//! The real `mqttchat` binary, started the way an operator starts it.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Response};
use crate::port::Port;
use crate::process::Process;
use crate::{Socket, User, eventually};

/// What the server prints, on one line, when it is ready to serve.
const READY: &str = "mqttchat is ready at ";
/// A stop is over within 5 s; the rest is for a busy machine.
const STOP: Duration = Duration::from_secs(10);

/// A server that runs, or ran: it can be killed, stopped and started again on its data.
#[derive(Debug)]
pub struct App {
    options: Options,
    address: SocketAddr,
    process: Process,
    home: TempDir,
}

/// How to start the server. See [`App::builder`].
#[derive(Debug, Default)]
pub struct Options {
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
    port: Option<Port>,
    config: Option<String>,
}

impl Options {
    /// Adds command line arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable, say `MQTTCHAT_LIMITS__BURST`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lifts the rate limit, for tests that send more than a person would.
    #[must_use]
    pub fn no_rate_limit(self) -> Self {
        self.variable("MQTTCHAT_LIMITS__MESSAGES_PER_SECOND", "0")
    }

    /// Uses the broker at this URL and not the embedded one.
    #[must_use]
    pub fn broker(self, url: &str) -> Self {
        self.args(["--broker", url])
    }

    /// Writes this TOML into a file and passes it with `--config`.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Gives the server a port that stays its own over restarts; otherwise it is asked to pick one.
    ///
    /// # Errors
    /// When no port is free.
    pub fn keeps_port(mut self) -> Result<Self> {
        self.port = Some(Port::reserve()?);
        Ok(self)
    }

    /// Starts the server with a fresh data directory and waits until it says that it is ready.
    ///
    /// # Errors
    /// When the binary is missing, or ends or stays silent instead of getting ready.
    pub async fn start(self) -> Result<App> {
        let home = TempDir::with_prefix("mqttchat-e2e-")?;
        if let Some(toml) = &self.config {
            tokio::fs::write(home.path().join("mqttchat.toml"), toml).await?;
        }
        let (process, address) = self.launch(home.path()).await?;
        Ok(App { options: self, address, process, home })
    }

    async fn launch(&self, home: &Path) -> Result<(Process, SocketAddr)> {
        let mut command = command()?;
        let port = self.port.as_ref().map_or(0, Port::number);
        command.arg("--port").arg(port.to_string());
        command.arg("--data").arg(home.join("data"));
        if self.config.is_some() {
            command.arg("--config").arg(home.join("mqttchat.toml"));
        }
        command.args(&self.args).envs(self.variables.iter().cloned());
        let mut process = Process::start("mqttchat", &mut command)?;
        let address = process.line("its ready line", ready_address).await?;
        Ok((process, address))
    }
}

fn ready_address(line: &str) -> Option<SocketAddr> {
    let url = line.split_once(READY)?.1.split_whitespace().next()?;
    url.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/').parse().ok()
}

impl App {
    /// Starts a server with the embedded broker and the settings that it has by itself.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// A server to be described before it is started.
    #[must_use]
    pub fn builder() -> Options {
        Options::default()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the page, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.args.iter().any(|arg| arg == "--tls-cert") { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// What it has printed so far, standard output and standard error together.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.process.output()
    }

    /// Its process id, while it runs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn process_id(&self) -> Result<u32> {
        self.process.id()
    }

    /// A socket on which nothing was said yet.
    ///
    /// # Errors
    /// When the WebSocket cannot be opened.
    pub async fn socket(&self) -> Result<Socket> {
        Socket::connect(self.address).await
    }

    /// Somebody new, signed in under this name.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn user(&self, name: &str) -> Result<User> {
        User::sign_in(self.address, name).await
    }

    /// Somebody new who has joined the public conversation.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn member(&self, name: &str) -> Result<User> {
        let mut user = self.user(name).await?;
        user.join("public").await?;
        Ok(user)
    }

    /// Fetches a path.
    ///
    /// # Errors
    /// When there is no HTTP answer.
    pub async fn get(&self, path: &str) -> Result<Response> {
        http::get(self.address, path).await
    }

    /// Waits until the server is subscribed to what strangers publish. What they publish before is nobody's.
    ///
    /// # Errors
    /// When that doesn't happen in time.
    pub async fn hears_strangers(&self) -> Result<()> {
        eventually("the server to listen to strangers", async || {
            let metrics = self.get("/metrics").await?.body;
            Ok(metrics.lines().any(|line| line == "mqttchat_ingest_listening 1").then_some(()))
        })
        .await
    }

    /// Ends the server with SIGKILL: no chance to write anything more.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Asks the server to stop, with SIGTERM.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Asks the server to stop, as Ctrl+C does.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn interrupt(&self) -> Result<()> {
        self.process.signal(Signal::INT)
    }

    /// Asks the server to read again what it can, with SIGHUP.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn hang_up(&self) -> Result<()> {
        self.process.signal(Signal::HUP)
    }

    /// Stops it as it stands, with SIGSTOP, until [`App::thaw`].
    ///
    /// # Errors
    /// When it has ended already.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets a frozen server go on as if no time had passed.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it still runs after 10 s.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.process.ended(STOP).await
    }

    /// Stops the server with SIGTERM and demands that it ends with status 0.
    ///
    /// # Errors
    /// When it does not end in time, or with another status.
    pub async fn stop(&mut self) -> Result<()> {
        self.terminate()?;
        let status = self.ended().await?;
        if !status.success() {
            bail!("the server stopped with {status}");
        }
        Ok(())
    }

    /// Starts an ended server again on the same data and, with [`Options::keeps_port`], the same port.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        (self.process, self.address) = self.options.launch(self.home.path()).await?;
        Ok(())
    }
}

/// What a run of the binary that ended by itself left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs the binary with these arguments until it ends.
///
/// # Errors
/// When it is missing, or still runs after 30 s.
pub async fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Ended> {
    run_with(args, std::iter::empty::<(&str, &str)>()).await
}

/// As [`run`], with these environment variables.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
) -> Result<Ended> {
    let mut command = command()?;
    command.args(args).envs(variables).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(crate::PATIENCE, command.output())
        .await
        .context("mqttchat was expected to end, and still runs")??;
    Ok(Ended {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The binary, without any settings of the surrounding environment.
fn command() -> Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MQTTCHAT_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// `MQTTCHAT_BIN`, or the binary that was built into the same target directory as this test.
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MQTTCHAT_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test has no target directory")?;
    let path = folder.join("mqttchat");
    if !path.is_file() {
        bail!("{} is not there: run `cargo build -p mqttchat` first, or set MQTTCHAT_BIN", path.display());
    }
    Ok(path)
}
