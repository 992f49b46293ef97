//! A child process whose output is kept, and shown when the test fails.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// Lines that are kept of each process; older ones are dropped.
const KEPT_LINES: usize = 100_000;
/// Lines that are shown when the process is dropped.
const SHOWN_LINES: usize = 150;

/// A running child. Dropping it kills it and prints the end of its output, which the test runner
/// shows for failed tests only.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: Output,
    readers: [JoinHandle<()>; 2],
}

/// What a process has written so far, both streams in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    more: Arc<Notify>,
}

impl Process {
    /// Starts `command` with no input and both output streams kept. `name` heads the printed output.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = Output::default();
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let readers = [output.clone().follow(stdout), output.clone().follow(stderr)];
        Ok(Self { name: name.to_owned(), child, output, readers })
    }

    /// Waits for the first line that `pick` makes something of; fails at once when the process ends.
    pub(crate) async fn line<T>(&mut self, what: &str, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.line_within(PATIENCE, what, pick).await
    }

    /// As [`Process::line`], for so long.
    pub(crate) async fn line_within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut ended = None;
        loop {
            let more = self.output.more.notified();
            if let Some(found) = self.output.lock().iter().find_map(|line| pick(line)) {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}) before it printed {what}", self.name);
            }
            tokio::select! {
                () = more => {}
                status = self.child.wait() => {
                    for reader in &mut self.readers {
                        reader.await.ok();
                    }
                    ended = Some(status?);
                }
                () = tokio::time::sleep_until(deadline) => bail!("{} did not print {what}", self.name),
            }
        }
    }

    pub(crate) fn output(&self) -> Vec<String> {
        self.output.lock().iter().cloned().collect()
    }

    pub(crate) fn id(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Sends a signal; an ended process is an error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let raw = i32::try_from(self.id()?)?;
        let pid = Pid::from_raw(raw).context("no process id")?;
        rustix::process::kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Ends the process with SIGKILL and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Waits for the process to end by itself, and for the rest of its output.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let status = tokio::time::timeout(within, self.child.wait())
            .await
            .with_context(|| format!("{} still runs after {} s", self.name, within.as_secs_f32()))??;
        for reader in &mut self.readers {
            reader.await.ok();
        }
        Ok(status)
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(self, stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = self.lock();
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
                drop(kept);
                self.more.notify_waiters();
            }
            self.more.notify_waiters();
        })
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner keeps it and shows it for failed tests only")]
    fn drop(&mut self) {
        let lines = self.output();
        let skipped = lines.len().saturating_sub(SHOWN_LINES);
        eprintln!("--- {} ({} lines, {skipped} not shown)", self.name, lines.len());
        for line in &lines[skipped..] {
            eprintln!("{line}");
        }
    }
}
