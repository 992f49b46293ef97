//! The chat server as a library: for its own binary, for tests, and for programs that want one inside.
//!
//! ```no_run
//! use mqttchat::ChatServer;
//!
//! # async fn run() -> anyhow::Result<()> {
//! let server = ChatServer::builder().data("/var/lib/chat").build().await?;
//! println!("serving at {}", server.url());
//! server.run_until(async { /* returns when it is time to stop */ }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! An application puts in what is its own: an [`Authenticator`] for its users, [`Route`]s that its messages pass, types of
//! frames, pages next to the chat's ([`Builder`]; docs/toolkit.md, and `examples/`). The binary takes its settings
//! from flags, variables and a file ([`Layers`]) through one check ([`Config`]) into [`ChatServer::bind`].

mod apikey;
mod broker;
mod builder;
mod certificate;
mod check;
mod cli;
mod config;
#[cfg(feature = "embedded-broker")]
mod device_login;
mod error;
pub mod files;
pub mod healthcheck;
mod jwt;
pub mod lan;
mod operator;
mod outgoing;
mod reload;
mod server;
pub mod telemetry;
mod user;
mod webhook;

pub use builder::Builder;
pub use mqttchat_bridge::{
    Asker, Authenticator, BadFrameType, Bridge, Denied, FrameHandler, FrameTypes, Grant, Identity, Message,
    OwnFrame, Program, Route, Routes, Sent, Stored, Verdict,
};
pub use mqttchat_bridge::{JwtAlgorithm, Signing};
pub use mqttchat_protocol::{
    Dest, DisplayName, Entry, EntryKind, ErrorCode, Hello, HistoryBounds, MessageId, Party, Refusal, RoomId,
    UserId,
};

pub use apikey::apikey;
pub use check::check_files;
pub use cli::{ApiKeyCommand, Cli, Command, Flags, Scope, SecretCommand, UserCommand};
pub use config::{
    AuthConfig, BrokerChoice, BrokerUrl, Config, ConfigError, DEFAULT_CONFIG, DatabaseUrl, Devices,
    FrontConfig, JwtConfig, JwtPlace, Layers, LogFormat, LogOptions, SockJsConfig, Source, TlsConfig, Value,
    WebhookConfig,
};
pub use error::StartError;
pub use mqttchat_http::{Tls, TlsError};
pub use mqttchat_store::Scopes;
pub use operator::Said;
pub use reload::Reload;
pub use server::{ChatServer, Fenced};
pub use user::{secret, user};
pub use webhook::WebhookError;
