//! Browser sessions on one side, MQTT on the other: what a chat server does between its sockets and its log.
//!
//! A [`Bridge`] is one node. Each connection is a [`Transport`] that [`Bridge::serve`] runs as a session; the rest is in
//! here:
//!
//! - `greet`, `session`, `command` and one file per frame type: a signed-in client as an actor, from its `hello` on;
//! - `deliver`: from the store's commits to everybody, the one place where an entry becomes a frame;
//! - `sequencer`, `ring`, `cursor`: the order of one conversation on this node, and where each reader stands;
//! - `roster`, `people`, `typing`: who is here;
//! - `program`, `keys`: what the HTTP API and applications ask of a node without a session;
//! - `revoke`: who is no longer welcome;
//! - `link`, `client`, `incoming`, `ingest`: MQTT clients, and what they bring;
//! - `confirm`, `again`, `states`, `node`: what the broker hasn't confirmed, and what keeps a node going;
//! - `cluster`, `peer`, `peers`: other nodes on the same store;
//! - `lab`, `mqtt_history`, `question`: what a course lab and programs on the broker ask;
//! - `jwt`: users of the operator's application;
//! - `auth`, `route`, `routes`, `own_frame`: what an application can put in.
//!
//! The log comes before everything: an entry is numbered and on disk before anybody sees it, and whatever is lost on
//! the way is read from there.

mod again;
mod attach;
mod auth;
mod bell;
mod bridge;
mod budget;
mod caller;
mod catch_up;
mod client;
mod cluster;
mod command;
mod confirm;
mod content;
mod cursor;
mod deliver;
mod effect;
mod feed;
mod figures;
mod greet;
mod handed;
mod history;
mod hub;
mod incoming;
mod ingest;
mod join;
mod jwt;
mod keys;
mod lab;
mod lab_name;
mod limits;
mod link;
mod mail;
mod moves;
mod mqtt_history;
mod node;
mod options;
mod own_frame;
mod page;
mod pages;
mod patience;
mod peer;
mod peers;
mod people;
mod program;
mod question;
mod readings;
mod receipts;
mod revoke;
mod ring;
mod room_mail;
mod rooms;
mod roster;
mod route;
mod routes;
mod said;
mod search;
mod secrecy;
mod sequencer;
mod session;
mod slots;
mod states;
mod strangers;
mod transport;
mod trouble;
mod typing;
mod whois;

pub use auth::{Authenticator, Denied, Grant, Guests, Identity};
pub use bridge::{Bridge, BridgeError, Peer, Status};
pub use history::Page;
pub use jwt::{BadKeys, FetchKeys, Jwt, JwtAlgorithm, JwtKeys, JwtRules, KeySet};
pub use lab::{LAB_MESSAGES_MAX, Lab, LabMessage, LabRoom};
pub use options::{BridgeOptions, Memory, MqttOptions, OriginOrToken, OtherRates, Private, Rates, Signing};
pub use own_frame::{Asker, BadFrameType, FrameHandler, FrameTypes, OwnFrame};
pub use program::{ChangedRoom, Program, Sent};
pub use route::{Message, Route, Stored, Verdict};
pub use routes::Routes;
pub use transport::{Event, Transport};
