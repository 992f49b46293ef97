//! The embedded MQTT broker: rumqttd 0.20 in the same process.
//!
//! It knows nothing of chat. It reads `broker.toml`, starts one router and its listeners, says when
//! they are ready, watches them, restarts what breaks, and stops.
//!
//! ```text
//!   the bridge's clients ──► bridge listeners (127.0.0.1, own ports, random password) ─┐
//!                                                                                      ├─► router
//!   devices ──► gate ──► device listener (127.0.0.1, own port, another password) ──────┘
//!                        ▲ watchdog probes every listener, and the router
//! ```
//!
//! rumqttd trusts its clients more than a broker may: a client id with a slash locks everybody out of a
//! listener, an id used by somebody else throws that one out, a topic that begins with `é` ends the router.
//! So devices never speak to it directly; a gate (see [`DeviceListener`]) passes on only what is harmless.
//! The bridge's clients have to behave: see [`EmbeddedBroker::addresses`] for the rules.
//!
//! ```no_run
//! # async fn run() -> Result<(), mqttchat_broker::BrokerError> {
//! use mqttchat_broker::{BrokerOptions, EmbeddedBroker};
//!
//! let broker = EmbeddedBroker::start(BrokerOptions::default()).await?;
//! let address = broker.addresses()[0]; // answers already
//! let login = broker.credentials(); // user and password for a client
//! # let _ = (address, login);
//! broker.stop().await;
//! # Ok(())
//! # }
//! ```

mod config;
mod core;
mod credentials;
mod embedded;
mod error;
mod gate;
mod listener;
mod options;
mod probe;
mod runtime;
mod watchdog;

pub use crate::config::{DEFAULT_CONFIG, check};
pub use crate::credentials::Credentials;
pub use crate::embedded::EmbeddedBroker;
pub use crate::error::BrokerError;
pub use crate::options::{BrokerOptions, DeviceListener, DeviceLogin};

/// Directive for the log filter (`tracing_subscriber::EnvFilter` syntax) that keeps rumqttd quiet.
///
/// rumqttd logs each connection and each subscription, and calls a client that leaves an error. What an
/// operator needs is logged by this crate instead, under the target `mqttchat_broker`.
pub const QUIET_LOG_DIRECTIVE: &str = "rumqttd=off";

/// Client ids that begin with this belong to this crate; the bridge must not use them.
pub const RESERVED_CLIENT_ID_PREFIX: &str = "broker-";
