//! Why a server can't start: each one sentence, for whoever starts it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use mqttchat_bridge::BridgeError;
#[cfg(feature = "embedded-broker")]
use mqttchat_broker::BrokerError;
use mqttchat_http::TlsError;
use mqttchat_store::StoreError;

use crate::config::ConfigError;
use crate::webhook::WebhookError;

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The page can't be served where it should.
    #[error("can't listen on {address}: {}", listen_reason(.source))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate can't be used.
    #[error("can't speak TLS: {0}")]
    Tls(#[from] TlsError),
    /// The database can't be used.
    #[error("can't use the data directory {}: {source}", data.display())]
    Store {
        /// The data directory.
        data: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// There is no database yet for a command to work on.
    #[error(
        "there is no database {place}: name the one of your server with --data or --database; a server makes one when it starts"
    )]
    NoDatabase {
        /// Where there is none, as words, without the login.
        place: String,
    },
    /// The database of many nodes can't be used.
    #[error("can't use the database {database}: {source}")]
    Database {
        /// Where it is, without the login.
        database: String,
        /// What is wrong with it.
        source: StoreError,
    },
    /// A file in the data directory can't be made or read.
    #[error("can't use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The keys of the tokens can't be used.
    #[error("can't use the keys in {}: {reason}", path.display())]
    Keys {
        /// Their file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// TLS for asking others can't be set up.
    #[error("can't set up TLS: {0}")]
    Outgoing(#[from] rustls::Error),
    /// The webhook can't be started.
    #[error("can't start the webhook: {0}")]
    Webhook(#[from] WebhookError),
    /// The embedded broker can't be started.
    #[cfg(feature = "embedded-broker")]
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// TLS to the broker can't be made.
    #[error("can't use TLS to the broker {broker}: {source}")]
    BrokerTls {
        /// Where it is, without the login.
        broker: String,
        /// What is wrong.
        source: mqttchat_tls::TlsError,
    },
    /// There is no broker to be started.
    #[error("this build has no embedded broker: name one with --broker mqtt://host:port")]
    NoBroker,
    /// The bridge can't be started.
    #[error("can't start: {0}")]
    Bridge(#[from] BridgeError),
}

fn listen_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; choose another with --port, or 0 for any that is free".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine doesn't have that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not use that port; those from 1024 on are free to all".to_owned()
        }
        _ => error.to_string(),
    }
}
