//! What can go wrong while the broker starts.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the embedded broker could not be started. Each is one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The file given as configuration cannot be read.
    #[error("the broker configuration {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration is not valid TOML, lacks a value, or has one that cannot work.
    #[error("the broker configuration {origin} is not valid: {reason}")]
    Config {
        /// The file, or "compiled into the program".
        origin: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// Somebody else listens on an address that was asked for.
    #[error("the embedded broker cannot listen on {address}: the address is already in use")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses an address for another reason.
    #[error("the embedded broker cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system or rumqttd said.
        reason: String,
    },
    /// A listener started but lets nobody in.
    #[error("the embedded broker was started on {address} but does not answer there")]
    NotReady {
        /// The listener's address.
        address: SocketAddr,
    },
    /// The threads of the broker could not be made.
    #[error("the threads of the embedded broker cannot be started: {source}")]
    Runtime {
        /// What the system said.
        source: io::Error,
    },
}
