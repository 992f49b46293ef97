//! What a bridge is started with.

use std::net::IpAddr;

use mqttchat_protocol::Limits;
use mqttchat_tls::SharedTls;

use crate::own_frame::FrameTypes;
use crate::routes::Routes;

/// Everything that can be chosen about a bridge.
#[derive(Clone, Debug, Default)]
pub struct BridgeOptions {
    /// What clients may do, as told in their 1000 frame.
    pub limits: Limits,
    /// How fast a user may send.
    pub rates: Rates,
    /// Whether clients sign what they send.
    pub signing: Signing,
    /// How fast a user may do what else there is, and an address all of it.
    pub other_rates: OtherRates,
    /// Which clients that send no `Origin` need a token to sign in.
    pub origin_or_token: OriginOrToken,
    /// The broker, and what goes over it.
    pub mqtt: MqttOptions,
    /// The memory that the node keeps.
    pub memory: Memory,
    /// What the application does with messages on their way.
    pub routes: Routes,
    /// The application's own frame types.
    pub frame_types: FrameTypes,
}

/// Rates per user, over all sessions on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Messages a second in the long run; 0 is no limit.
    pub messages_per_second: u32,
    /// Messages at once, after a pause.
    pub burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { messages_per_second: 20, burst: 100 }
    }
}

/// Whether clients sign what they send (docs/protocol.md §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// No: what a client writes as `sign` is ignored.
    #[default]
    Off,
    /// They may; a wrong signature is refused.
    Optional,
    /// They must.
    Required,
}

/// Which clients need a token to sign in, of those that send no `Origin`: programs, and whatever else no browser vouches
/// for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginOrToken {
    /// None of them.
    Off,
    /// Those that don't come over loopback.
    #[default]
    Remote,
    /// All of them.
    All,
}

impl OriginOrToken {
    /// Whether a client without an `Origin` at this address needs a token.
    pub(crate) fn concerns(self, address: IpAddr) -> bool {
        match self {
            Self::Off => false,
            Self::Remote => !address.to_canonical().is_loopback(),
            Self::All => true,
        }
    }
}

/// Rates of what isn't sending, each a second in the long run on this node, and ten times as many at once; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherRates {
    /// Joins of one user.
    pub joins: u32,
    /// Pages of history, rosters and lists that one user reads.
    pub pages: u32,
    /// Searches of one user.
    pub searches: u32,
    /// Other frames of one user: receipts, typing, pings, and what can't be carried out. A 200 for a message that the
    /// session was handed, and has not confirmed before, is no such frame.
    pub frames: u32,
    /// Whatever comes from one address, whoever it is of: sign-ins, messages, joins, pages, searches and calls. A new
    /// guest counts five times. This machine is not limited.
    pub per_address: u32,
}

impl Default for OtherRates {
    fn default() -> Self {
        Self { joins: 50, pages: 100, searches: 50, frames: 500, per_address: 500 }
    }
}

/// The MQTT side.
#[derive(Clone, Debug)]
pub struct MqttOptions {
    /// Host and port of the broker's listeners; clients are spread over them.
    pub targets: Vec<(String, u16)>,
    /// TLS to the broker, which all clients share; `None`: none.
    pub tls: Option<SharedTls>,
    /// The login of the bridge's clients.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Stands before each topic and client id; empty, or levels of `[a-z0-9-]` ended by `/`.
    pub prefix: String,
    /// What of private conversations goes over the broker.
    pub private: Private,
    /// Whether strangers' messages are taken in.
    pub ingest: bool,
    /// Whether programs can ask for history.
    pub history: bool,
    /// Messages of strangers a second, in all; 0 is no limit.
    pub ingest_per_second: u32,
    /// Whether strangers are known to be able to read the broker; `None`: an external one, to be probed.
    pub strangers: Option<bool>,
    /// Sessions that get a client of their own; those above publish through the node's. Below the broker's limit.
    pub max_clients: usize,
}

impl Default for MqttOptions {
    fn default() -> Self {
        Self {
            targets: vec![("127.0.0.1".to_owned(), 1883)],
            tls: None,
            user: None,
            password: None,
            prefix: String::new(),
            private: Private::Auto,
            ingest: true,
            history: false,
            ingest_per_second: 1000,
            strangers: None,
            max_clients: 8000,
        }
    }
}

/// What of private conversations goes over the broker (docs/mqtt.md "Private content").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Private {
    /// The content, unless strangers can read the broker.
    #[default]
    Auto,
    /// The content.
    Full,
    /// A signed bell; the content comes from the log.
    Bell,
}

/// Bounds of what is kept in memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The ring of the public conversation and of each room.
    pub ring: usize,
    /// The ring of each private conversation.
    pub private_ring: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { ring: 4 << 20, private_ring: 64 << 10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_clients_need_a_token() {
        let concerned = |setting: OriginOrToken| {
            ["127.0.0.1", "::1", "::ffff:127.0.0.1", "192.168.1.5", "0.0.0.0", "::ffff:192.168.1.5"]
                .map(|address| setting.concerns(address.parse().unwrap()))
        };
        assert_eq!(concerned(OriginOrToken::Off), [false; 6]);
        assert_eq!(concerned(OriginOrToken::default()), [false, false, false, true, true, true]);
        assert_eq!(concerned(OriginOrToken::All), [true; 6]);
    }
}
