//! What is said: the frames of the client protocol, the names in them, the MQTT topics that
//! carry them between servers, and how they are signed.
//!
//! This crate does no IO and knows no runtime. Bytes come in, parsed values go out:
//!
//! ```
//! use mqttchat_protocol::{ClientFrame, Command, Dest};
//!
//! let frame = ClientFrame::parse(r#"{"type":"msg","id":"1","dest":"public","data":{"text":"hi"}}"#)?;
//! assert_eq!(frame.dest, Some(Dest::Public));
//! assert!(matches!(frame.command, Command::Msg(_)));
//! # Ok::<(), mqttchat_protocol::Refusal>(())
//! ```
//!
//! The contract is `docs/protocol.md`; the section numbers in this crate's comments are its.

mod address;
mod apikey;
mod canonical;
mod client_sign;
mod command;
mod emoji;
mod entry;
mod error;
mod frame;
mod name;
mod room;
mod server;
mod sign;
mod strict;
mod token;
mod topic;

pub use address::{Conversation, Dest, MessageId, Party, RoomId, UserId};
pub use apikey::ApiSecret;
pub use canonical::canonical;
pub use client_sign::{ClientKey, ClientSign};
pub use command::{ClientFrame, Command, Hello, HistoryBounds, Target};
pub use entry::{Entry, EntryKind, Marks};
pub use error::{ErrorCode, Refusal};
pub use frame::Frame;
pub use name::DisplayName;
pub use room::{Room, RoomChange};
pub use server::{Limits, Person, PersonState, PresenceChange, Ready, ReadyUser, ServerFrame};
pub use sign::{Envelope, EnvelopeError, Keyring, SIGN_LEN};
pub use strict::Strict;
pub use token::{Token, TokenError};
pub use topic::{Topic, Topics};
