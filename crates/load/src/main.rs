//! The load generator and benchmark of the chat.
//!
//! It speaks this server's protocol (`docs/protocol.md`) and, to compare, MQTT to any broker. It measures one thing a
//! subcommand, and checks meanwhile that nothing is lost, repeated or out of order. `docs/benchmarks.md` has the figures
//! and the commands that they come from.
//!
//! One thread with a task per client: it leaves the other cores to the server. When it is itself at 100 % of a core, what
//! it tells is its own limit; each report says so.

mod check;
mod cli;
mod client;
mod commits;
mod crowd;
mod disk;
mod event;
mod fanout;
mod group;
mod hearing;
mod inbox;
mod lab;
mod latency;
mod mosquitto;
mod mqtt;
mod process;
mod reconnect;
mod report;
mod scan;
mod server;
mod sessions;
mod socket;
mod stamp;
mod startup;
mod talk;
mod target;
mod throughput;
mod ws;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::task::LocalSet;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "chat-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the subcommand and prints its report. False when what was measured was wrong: messages lost, sessions failed.
fn measure(cli: &Cli) -> Result<bool> {
    raise_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match &cli.command {
            Command::Start(start) => print(cli, &start.run().await?, |_| true),
            Command::Sessions(sessions) => print(cli, &sessions.run().await?, |report| report.good()),
            Command::Crowd(crowd) => print(cli, &crowd.run().await?, |report| report.good()),
            Command::Talk(talk) => print(cli, &talk.run().await?, |report| report.good()),
            Command::Fanout(fanout) => print(cli, &fanout.run().await?, |report| report.good()),
            Command::Throughput(throughput) => print(cli, &throughput.run().await?, |report| report.good()),
            Command::Reconnect(reconnect) => print(cli, &reconnect.run().await?, |report| report.good()),
        }
    })
}

fn print<R: Display + Serialize>(cli: &Cli, report: &R, good: impl FnOnce(&R) -> bool) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    if cli.json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(good(report))
}

/// As many descriptors as this user may have: each client is one.
fn raise_descriptors() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}
