//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::crowd::Crowd;
use crate::fanout::Fanout;
use crate::reconnect::Reconnect;
use crate::sessions::Sessions;
use crate::startup::Startup;
use crate::talk::Talk;
use crate::throughput::Throughput;

/// Puts load on a chat server and measures what it does with it.
///
/// Give it a server that runs (--url), or a binary to start for the time of the run (--server). Where a broker is
/// measured for comparison, it is spoken to in MQTT: mqtt://host:port, or mqtt+ws://host:port over WebSocket.
#[derive(Debug, Parser)]
#[command(name = "chat-load", version)]
pub(crate) struct Cli {
    /// Print the figures as one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server some times: how soon is it ready, and what does it cost while nobody is there
    Start(Startup),
    /// Sign in and join many sessions: how soon, what does presence cost, what does a session hold
    Sessions(Sessions),
    /// Let many come within seconds while some talk: what are those there told, and how long does a message take
    Crowd(Crowd),
    /// Let some clients talk: how long until a message is accepted, and until the others have it
    Talk(Talk),
    /// One sender, many receivers: deliveries a second and what they cost, also against another server or broker
    Fanout(Fanout),
    /// Let senders send as fast as they are answered: messages accepted a second
    Throughput(Throughput),
    /// Let all sessions come back at once: how soon have they what they missed
    Reconnect(Reconnect),
}

/// Which server is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct Which {
    /// The server that is measured
    #[arg(long, default_value = "ws://127.0.0.1:9091/ws", conflicts_with = "server")]
    pub(crate) url: String,
    /// Start this binary and measure it: on a free port, without limits of rate and connections per address
    #[arg(long, value_name = "BINARY")]
    pub(crate) server: Option<PathBuf>,
    /// An argument for the binary; can be given several times
    #[arg(long, value_name = "ARGUMENT", requires = "server", allow_hyphen_values = true)]
    pub(crate) server_arg: Vec<String>,
    /// The data directory of the binary; without it a fresh one, which is removed in the end
    #[arg(long, value_name = "DIRECTORY", requires = "server")]
    pub(crate) data: Option<PathBuf>,
    /// The PostgreSQL database of the server: given to the binary, and its syncs are counted by `throughput`
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Leave the binary its limits of rate and connections
    #[arg(long, requires = "server")]
    pub(crate) limited: bool,
    /// The server's process, when it can't be found by its port
    #[arg(long)]
    pub(crate) pid: Option<u32>,
}
