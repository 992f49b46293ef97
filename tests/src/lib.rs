//! The harness of the end-to-end tests: everything that stands around the server in real life.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`app`] | the real `mqttchat` binary, started on a free port with a fresh data directory |
//! | [`broker`] | a real Mosquitto with a login of its own |
//! | [`certificates`] | an authority of a test's own, and what it signs |
//! | [`rabbitmq`] | a real RabbitMQ with its MQTT plugin |
//! | [`mqtt`] | `mosquitto_sub` and `mosquitto_pub`, as an outsider on the broker would use them |
//! | [`socket`] | a bare WebSocket that remembers every frame it heard |
//! | [`user`] | a person: a socket that said `hello` and was let in |
//! | [`sockjs`], [`sockjs_client`] | the transports of SockJS by hand, and its own client |
//! | [`http`] | one HTTP request on one connection |
//! | [`site`] | a web site of somebody else |
//! | [`driver`], [`browser`] | headless Chromium, driven through ChromeDriver |
//! | [`chat_page`] | the chat page as a person uses it |
//! | [`chaos`] | people who talk while everything breaks, and the proof that nothing was lost |
//! | [`signature`] | the signed payloads on the broker, checked from their description alone |
//! | [`application`], [`jwt`] | the web server of an application beside the chat, and the tokens that it gives its users |
//! | [`port`] | ports that can be given up and taken again |
//! | [`eventually`] | the only way to wait |
//!
//! Nothing here sleeps to let something happen: a helper waits for the event itself, for at most
//! [`PATIENCE`], and says what it had seen when the event did not come.

use std::time::Duration;

pub mod app;
pub mod application;
pub mod broker;
pub mod browser;
pub mod certificates;
pub mod chaos;
pub mod chat_page;
pub mod driver;
mod eventually;
pub mod http;
pub mod https;
pub mod jwt;
pub mod mqtt;
pub mod port;
mod process;
pub mod rabbitmq;
pub mod signature;
pub mod site;
pub mod socket;
pub mod sockjs;
pub mod sockjs_client;
pub mod user;

pub use app::App;
pub use broker::Mosquitto;
pub use eventually::eventually;
pub use socket::Socket;
pub use user::User;

/// How long a helper waits for something that has to happen.
///
/// Generous, because a test machine may be busy with other builds; a passing test never waits it out.
pub const PATIENCE: Duration = Duration::from_secs(30);
