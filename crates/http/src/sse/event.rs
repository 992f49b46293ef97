//! One event as it is written.

use bytes::{BufMut, Bytes, BytesMut};
use mqttchat_protocol::Frame;

/// What the stream begins with: when to come back, in ms, if the connection is lost.
pub(super) const BEGINNING: &[u8] = b"retry: 2000\n\n";

/// A comment that nobody is shown: a sign of life.
pub(super) const ALIVE: &[u8] = b":\n\n";

/// A frame as an event, with an id where it has one. JSON has no line breaks in it as it is written here.
pub(super) fn event(id: Option<&str>, frame: &Frame) -> Bytes {
    let json = frame.as_json();
    let mut event = BytesMut::with_capacity(json.len() + id.map_or(0, str::len) + 16);
    if let Some(id) = id {
        put_id(&mut event, id);
    }
    event.put_slice(b"data: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}

/// Where the stream stands, with nothing to be shown: a client that loses the connection now comes back with it.
pub(super) fn position(id: &str) -> Bytes {
    let mut event = BytesMut::with_capacity(id.len() + 8);
    put_id(&mut event, id);
    event.put_u8(b'\n');
    event.freeze()
}

/// Why the stream ends, for whoever looks at it.
pub(super) fn end(code: u16, reason: &str) -> Bytes {
    format!(": closed {code} {reason}\n\n").into()
}

fn put_id(event: &mut BytesMut, id: &str) {
    event.put_slice(b"id: ");
    event.put_slice(id.as_bytes());
    event.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_as_written() {
        let frame = Frame::text(b"{\"type\":\"msg\"}");
        assert_eq!(&event(Some("7"), &frame)[..], b"id: 7\ndata: {\"type\":\"msg\"}\n\n");
        assert_eq!(&event(None, &frame)[..], b"data: {\"type\":\"msg\"}\n\n");
        assert_eq!(&position("public:1")[..], b"id: public:1\n\n");
    }
}
