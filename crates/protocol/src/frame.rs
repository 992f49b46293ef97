//! One frame to a client, finished for the wire.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

/// A server frame, serialised once for everybody who gets it: an unmasked WebSocket text frame (RFC 6455 §5.2)
/// whose payload is the JSON text. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    wire: Bytes,
    head: u8,
}

impl Frame {
    /// Serialises `value`. A value that can't be serialised (none of this crate's) becomes an empty object.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::text(&serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec()))
    }

    /// Puts the header before a JSON text.
    #[must_use]
    pub fn text(json: &[u8]) -> Self {
        const FIN_TEXT: u8 = 0x81;
        let mut wire = BytesMut::with_capacity(json.len() + 10);
        wire.put_u8(FIN_TEXT);
        match json.len() {
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
        let head = wire.len() as u8;
        wire.put_slice(json);
        Self { wire: wire.freeze(), head }
    }

    /// Header and payload, as a WebSocket carries them.
    #[must_use]
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The JSON text alone.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.wire.slice(usize::from(self.head)..)
    }

    /// The JSON text alone, borrowed.
    #[must_use]
    pub fn as_json(&self) -> &[u8] {
        &self.wire[usize::from(self.head)..]
    }

    /// Its size on the wire, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wire.len()
    }

    /// Whether nothing is in it; never, in practice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_json().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_each_length() {
        for (len, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = Frame::text(&vec![b'x'; len]);
            assert_eq!(frame.len(), len + head, "{len}");
            assert_eq!(frame.as_json().len(), len);
            assert_eq!(frame.payload().len(), len);
        }
    }
}
