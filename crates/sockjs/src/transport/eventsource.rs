//! Server-sent events.

use bytes::Bytes;

use crate::receiver::Shape;

pub(crate) const CONTENT_TYPE: &str = "text/event-stream";

pub(crate) fn shape(limit: usize) -> Shape {
    // A frame is JSON behind a letter: no line ends in it.
    let wrap = |frame: &str| format!("data: {frame}\r\n\r\n");
    Shape { prelude: Some(Bytes::from_static(b"\r\n")), wrap: Box::new(wrap), limit }
}
