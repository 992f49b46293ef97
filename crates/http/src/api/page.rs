//! Lists in pages: their JSON, and the addresses of the pages beside them (RFC 8288).

use mqttchat_protocol::Frame;
use warp::http::header::{HeaderValue, LINK};

use crate::problem::Reply;

/// `{"messages":[…],"more":…}` of finished frames.
pub(super) fn of_messages(messages: &[Frame], more: bool) -> Vec<u8> {
    let size: usize = messages.iter().map(Frame::len).sum();
    let mut json = Vec::with_capacity(size + 64);
    json.extend_from_slice(br#"{"messages":["#);
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(message.as_json());
    }
    json.extend_from_slice(if more { br#"],"more":true}"# } else { br#"],"more":false}"# });
    json
}

/// Adds the address of another page: `rel` is `next` or `prev`. What stands in the address needs no escaping.
pub(super) fn link(reply: &mut Reply, rel: &str, address: &str) {
    if let Ok(link) = HeaderValue::from_str(&format!("<{address}>; rel=\"{rel}\"")) {
        reply.headers_mut().append(LINK, link);
    }
}
