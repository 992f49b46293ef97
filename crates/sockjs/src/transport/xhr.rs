//! XMLHttpRequest: a frame a line, one a response or many.

use bytes::Bytes;

use crate::receiver::Shape;

fn line(frame: &str) -> String {
    format!("{frame}\n")
}

pub(crate) fn polling() -> Shape {
    Shape { prelude: None, wrap: Box::new(line), limit: 1 }
}

pub(crate) fn streaming(limit: usize) -> Shape {
    // Browsers hand over the beginning of a response only when it is so long.
    const PRELUDE: [u8; 2049] = {
        let mut prelude = [b'h'; 2049];
        prelude[2048] = b'\n';
        prelude
    };
    Shape { prelude: Some(Bytes::from_static(&PRELUDE)), wrap: Box::new(line), limit }
}
