//! What the caller decides about the embedded broker.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How to start an [`EmbeddedBroker`](crate::EmbeddedBroker).
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// A file in the format of `broker.toml` that replaces the compiled-in default.
    pub config: Option<PathBuf>,
    /// Opens the broker to devices; `None` keeps it to the server itself.
    pub devices: Option<DeviceListener>,
    /// Time between two rounds of the watchdog, which probes each listener; 5 s by default.
    pub probe_every: Duration,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self { config: None, devices: None, probe_every: Duration::from_secs(5) }
    }
}

/// A listener for devices: plain MQTT 3.1.1 for anybody who may log in.
///
/// Behind it stands a gate. Client ids are replaced by numbers of our own (so `a/b`, or the id of one of the
/// bridge's clients, is harmless), Last Wills and keep-alive are kept by the gate, and packets that rumqttd
/// cannot take end the connection: topics and filters that are malformed, begin with `$` (shared
/// subscriptions included), or begin with a character outside ASCII. Devices get at most a quarter of
/// `router.max_connections`, and 4,096 different topics and filters in all.
#[derive(Debug, Clone)]
pub struct DeviceListener {
    /// Where to listen. Port 0 picks a free port; any other port is taken or the start fails.
    pub addr: SocketAddr,
    /// Who may connect.
    pub login: DeviceLogin,
}

/// Who may connect to the device listener.
#[derive(Clone)]
pub enum DeviceLogin {
    /// Anybody; a login that is sent all the same is ignored.
    Anonymous,
    /// Only these users, with these passwords.
    Users(HashMap<String, String>),
}

impl fmt::Debug for DeviceLogin {
    /// Names the users and leaves out the passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Users(users) => f.debug_tuple("Users").field(&users.keys().collect::<Vec<_>>()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_login_has_no_password() {
        let login = DeviceLogin::Users(HashMap::from([("ann".to_owned(), "s3cret".to_owned())]));
        let shown = format!("{login:?}");
        assert!(shown.contains("ann"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
