//! Frames of a client: each is understood or refused, and a refusal is a frame that can be sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::ClientFrame;

fuzz_target!(|text: &str| {
    match ClientFrame::parse(text) {
        // What is understood is understood again, the same way.
        Ok(frame) => assert_eq!(format!("{frame:?}"), format!("{:?}", ClientFrame::parse(text).unwrap())),
        Err(refusal) => assert!(!refusal.reason.is_empty()),
    }
});
