//! What comes out of the decoder, and what goes into the writer.

use bytes::{BufMut, Bytes, BytesMut};

/// The two kinds of data messages (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

/// One message of the client, put together from its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message within the limit.
    Text(String),
    /// A binary message within the limit.
    Binary(Vec<u8>),
    /// A message above the limit; its bytes were dropped as they came. Its text was not checked.
    Skipped(Kind),
    /// A message for which there was no room, or that took too long; its bytes were dropped as they came. Its text was not
    /// checked.
    Refused(Kind),
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// An answer to a ping.
    Pong,
    /// The client closes, with this code if it gave one.
    Close(Option<u16>),
}

const FIN: u8 = 0x80;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// An unfragmented, unmasked data frame, as a server sends it.
#[must_use]
pub fn frame(kind: Kind, payload: &[u8]) -> Bytes {
    finished(if kind == Kind::Text { 0x1 } else { 0x2 }, payload)
}

pub(super) fn ping() -> Bytes {
    Bytes::from_static(&[FIN | PING, 0])
}

pub(super) fn pong(payload: &[u8]) -> Bytes {
    finished(PONG, payload)
}

/// The longest close reason: a control frame's 125 bytes without the code (§5.5).
const REASON_MAX: usize = 123;

/// A close frame; a reason that is too long is cut at a character.
pub(super) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let mut payload = Vec::with_capacity(2 + reason.len());
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(REASON_MAX)]);
    }
    finished(CLOSE, &payload)
}

fn finished(opcode: u8, payload: &[u8]) -> Bytes {
    let mut wire = BytesMut::with_capacity(payload.len() + 10);
    wire.put_u8(FIN | opcode);
    match payload.len() {
        len @ 0..=125 => wire.put_u8(len as u8),
        len @ 126..=0xffff => {
            wire.put_u8(126);
            wire.put_u16(len as u16);
        }
        len => {
            wire.put_u8(127);
            wire.put_u64(len as u64);
        }
    }
    wire.put_slice(payload);
    wire.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let wire = close(Some(1001), &"ä".repeat(100));
        assert_eq!(wire[1], 2 + 122);
        assert!(std::str::from_utf8(&wire[4..]).is_ok());
    }

    #[test]
    fn a_frame_has_the_shortest_header() {
        for (len, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(frame(Kind::Binary, &vec![0; len]).len(), len + head);
        }
    }
}
