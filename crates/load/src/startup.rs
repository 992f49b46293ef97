//! `start`: how soon a server is ready, and what it costs while nobody is there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use rustix::process::Signal;
use serde::Serialize;

use crate::latency::median;
use crate::process::Held;
use crate::report::{mega, percent};
use crate::server::{Server, Start};

/// What a server does right after its start is not idling.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(crate) struct Startup {
    /// The binary to start
    #[arg(long, value_name = "BINARY", default_value = "target/release/mqttchat")]
    server: PathBuf,
    /// An argument for the binary; can be given several times
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    server_arg: Vec<String>,
    /// Data to start on; without it that of the first start
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// How many starts in a fresh directory, and as many on existing data
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// How long the last one idles, in seconds
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct StartupReport {
    /// From the start of the process to its ready line, in seconds.
    fresh_s: Spread,
    existing_s: Spread,
    /// From SIGTERM to the end, in seconds.
    stop_s: Spread,
    /// Some seconds after the start.
    settled: Held,
    idle: Held,
    idle_seconds: u64,
    idle_cpu_percent: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Startup {
    pub(crate) async fn run(&self) -> Result<StartupReport> {
        ensure!(self.runs > 0, "at least one start is needed");
        let start = |data: Option<PathBuf>| Start {
            binary: self.server.clone(),
            args: self.server_arg.clone(),
            data,
            limited: true,
        };
        let (mut fresh, mut existing, mut stops) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            let mut server = Server::start(start(None)).await?;
            fresh.push(server.ready_after.as_secs_f64());
            stops.push(server.stop(Signal::TERM).await?.as_secs_f64());
        }
        let mut server = Server::start(start(self.data.clone())).await?;
        for _ in 0..self.runs {
            stops.push(server.stop(Signal::TERM).await?.as_secs_f64());
            server.start_again().await?;
            existing.push(server.ready_after.as_secs_f64());
        }
        tokio::time::sleep(SETTLE).await;
        let process = server.process()?;
        let settled = process.held()?;
        tokio::time::sleep(Duration::from_secs(self.idle)).await;
        let idle = process.held()?;
        Ok(StartupReport {
            fresh_s: spread(&fresh),
            existing_s: spread(&existing),
            stop_s: spread(&stops),
            settled,
            idle,
            idle_seconds: self.idle,
            idle_cpu_percent: percent(idle.cpu_seconds - settled.cpu_seconds, self.idle as f64),
        })
    }
}

fn spread(values: &[f64]) -> Spread {
    Spread {
        median: median(values).unwrap_or(0.0),
        least: values.iter().copied().reduce(f64::min).unwrap_or(0.0),
        most: values.iter().copied().reduce(f64::max).unwrap_or(0.0),
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s ({:.3} to {:.3})", self.median, self.least, self.most)
    }
}

impl fmt::Display for StartupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "start, medians")?;
        writeln!(f, "  ready, fresh directory {}", self.fresh_s)?;
        writeln!(f, "  ready, existing data   {}", self.existing_s)?;
        writeln!(f, "  stopped                {}", self.stop_s)?;
        let Held { resident_bytes, anonymous_bytes, threads, descriptors, .. } = self.idle;
        writeln!(
            f,
            "  idle                   {} resident ({} anonymous), {threads} threads, {descriptors} descriptors",
            mega(resident_bytes),
            mega(anonymous_bytes)
        )?;
        writeln!(
            f,
            "  processor while idle   {:.2} % of one core over {} s",
            self.idle_cpu_percent, self.idle_seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread() {
        let found = spread(&[3.0, 1.0, 2.0]);
        assert_eq!((found.median, found.least, found.most), (2.0, 1.0, 3.0));
    }
}
