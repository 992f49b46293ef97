//! The chat server as a library: for its own binary, for tests, and for programs that want one inside.
//!
//! ```no_run
//! use mqttchat::{Config, Flags, Layers, Server};
//!
//! # async fn run() -> anyhow::Result<()> {
//! let layers = Layers::read(&Flags::default(), std::env::vars())?;
//! let config = Config::check(&layers, Some(std::path::Path::new("/var/lib")))?;
//! let server = Server::bind(config).await?;
//! println!("serving at {}", server.url());
//! server.run(async { /* returns when it is time to stop */ }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Settings go from flags, variables and a file ([`Layers`]) through one check ([`Config`]) into a [`Server`].

mod broker;
mod cli;
mod config;
#[cfg(feature = "embedded-broker")]
mod device_login;
mod error;
pub mod files;
pub mod healthcheck;
pub mod lan;
mod server;
pub mod telemetry;

pub use cli::{Cli, Command, Flags};
pub use config::{
    BrokerChoice, BrokerUrl, Config, ConfigError, DEFAULT_CONFIG, DatabaseUrl, Devices, Layers, LogFormat,
    LogOptions, Source, Value,
};
pub use error::StartError;
pub use server::{Fenced, Server};
