//! WebSocket (RFC 6455) from the bytes up: the way of every message, so that nothing is copied or kept that need not be.
//!
//! [`upgrade`](crate::upgrade) turns a request into a [`WebSocket`]; [`WsTransport`] is that socket as a chat session
//! sees it. Compression is not offered.

mod decoder;
mod error;
mod framed;
mod mask;
mod message;
mod socket;
mod transport;
mod writer;

pub use decoder::{Decoder, MessageLimits};
pub use error::WsError;
pub use framed::FramedTransport;
pub use message::{Kind, Message, frame};
pub use socket::{Step, WebSocket};
pub(crate) use transport::STUCK;
pub use transport::{ByteStream, WsTransport};
