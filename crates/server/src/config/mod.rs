//! Settings: read raw from flags, variables and a file, then checked once.

mod auth;
mod broker;
mod checked;
mod database;
mod default;
mod error;
mod file;
mod front;
mod keys;
mod layers;
mod sockjs;
mod variables;
mod webhook;

pub use auth::{AuthConfig, JwtConfig, JwtPlace};
pub use broker::{BrokerChoice, BrokerUrl, Devices};
pub use checked::{Config, LogFormat, LogOptions};
pub use database::DatabaseUrl;
pub use default::DEFAULT_CONFIG;
pub use error::ConfigError;
pub use front::{FrontConfig, TlsConfig};
pub use layers::{Layers, Source, Value};
pub use sockjs::SockJsConfig;
pub use webhook::WebhookConfig;
