//! Bodies and WebSocket texts of SockJS clients, and the frames that are made of texts.
#![no_main]
#![allow(dead_code, reason = "the module is that of the sockjs crate, of which this is a part")]

#[path = "../../crates/sockjs/src/frame.rs"]
mod frame;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let decoded = frame::decode(body);
    let Ok(text) = std::str::from_utf8(body) else { return };
    let by_websocket = frame::decode_websocket(text);
    if let Ok(texts) = decoded {
        assert_eq!(by_websocket.as_ref(), Ok(&texts));
        let written = frame::messages(&texts);
        let back = written.strip_prefix('a').map(|json| frame::decode(json.as_bytes()));
        assert!(texts.is_empty() || back == Some(Ok(texts)), "{written}");
    }
});
