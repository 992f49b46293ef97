//! The chat server as a child process, on a free port and in a fresh directory unless told otherwise.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::process::Process;

/// What the server prints, on one line, when it is ready to serve.
const READY: &str = "mqttchat is ready at http://";
const PATIENCE: Duration = Duration::from_secs(30);

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) binary: PathBuf,
    pub(crate) args: Vec<String>,
    /// `None`: a fresh one, gone with the server.
    pub(crate) data: Option<PathBuf>,
    /// Whether the limits of rate and connections stay as they are by default.
    pub(crate) limited: bool,
}

/// A server that runs. It is killed when dropped.
pub(crate) struct Server {
    start: Start,
    fresh: Option<TempDir>,
    child: Child,
    /// Kept, so that the server can go on printing.
    stdout: BufReader<ChildStdout>,
    /// Host and port.
    pub(crate) address: String,
    /// From the start of the process to its ready line.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(start: Start) -> Result<Self> {
        let fresh = match &start.data {
            None => Some(tempfile::tempdir().context("no temporary directory can be made")?),
            Some(_) => None,
        };
        let (child, stdout, address, ready_after) = run(&start, fresh.as_ref(), 0).await?;
        Ok(Self { start, fresh, child, stdout, address, ready_after })
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> &Path {
        data(&self.start, self.fresh.as_ref())
    }

    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn process(&self) -> Result<Process> {
        self.child.id().map(Process::of).context("the server has ended")
    }

    /// Stops it by this signal and waits for its end. Returns how long that took.
    pub(crate) async fn stop(&mut self, signal: Signal) -> Result<Duration> {
        let before = Instant::now();
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.context("the server has ended")?, signal)?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the server does not stop")??;
        Ok(before.elapsed())
    }

    /// Starts it again, after a [`stop`](Self::stop), on its data and its port.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.context("the server's address has no port")?;
        let (child, stdout, address, ready_after) = run(&self.start, self.fresh.as_ref(), port).await?;
        (self.child, self.stdout, self.address, self.ready_after) = (child, stdout, address, ready_after);
        Ok(())
    }
}

fn data<'a>(start: &'a Start, fresh: Option<&'a TempDir>) -> &'a Path {
    start.data.as_deref().or(fresh.map(TempDir::path)).unwrap_or(Path::new("."))
}

async fn run(
    start: &Start,
    fresh: Option<&TempDir>,
    port: u16,
) -> Result<(Child, BufReader<ChildStdout>, String, Duration)> {
    let mut command = Command::new(&start.binary);
    command.args(["--port", &port.to_string(), "--data"]).arg(data(start, fresh)).args(&start.args);
    if !start.limited {
        command.env("MQTTCHAT_LIMITS__MESSAGES_PER_SECOND", "0");
        command.env("MQTTCHAT_LIMITS__CONNECTIONS_PER_ADDRESS", "0");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let before = Instant::now();
    let mut child =
        command.spawn().with_context(|| format!("{} can't be started", start.binary.display()))?;
    let mut stdout = BufReader::new(child.stdout.take().context("the server has no standard output")?);
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, stdout.read_line(&mut line))
        .await
        .context("the server gets not ready")??;
    let ready_after = before.elapsed();
    let Some(address) = line.trim_end().strip_prefix(READY) else {
        bail!("the server did not start; it says: {}", line.trim_end());
    };
    let address = address.trim_end_matches('/').to_owned();
    Ok((child, stdout, address, ready_after))
}
