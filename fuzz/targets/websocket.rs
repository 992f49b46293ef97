//! Bytes of a WebSocket client: the same messages and the same error come out however they are cut.
#![no_main]
#![allow(dead_code, reason = "the modules are those of the http crate, of which this is a part")]

#[path = "../../crates/http/src/ws/decoder.rs"]
mod decoder;
#[path = "../../crates/http/src/ws/error.rs"]
mod error;
#[path = "../../crates/http/src/ws/mask.rs"]
mod mask;
#[path = "../../crates/http/src/ws/message.rs"]
mod message;

use decoder::{Decoder, MessageLimits};
use error::WsError;
use libfuzzer_sys::fuzz_target;
use message::Message;

const LIMITS: MessageLimits = MessageLimits { text: 512, binary: 64 };

/// What comes out when so many bytes are read at a time.
fn decode(input: &[u8], step: usize) -> (Vec<Message>, Option<WsError>) {
    let mut decoder = Decoder::new(LIMITS);
    let (mut waiting, mut messages) = (Vec::new(), Vec::new());
    for chunk in input.chunks(step) {
        waiting.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut waiting) {
                Err(error) => return (messages, Some(error)),
                Ok((taken, message)) => {
                    waiting.drain(..taken);
                    let is_done = message.is_none();
                    if let Some(Message::Text(text)) = &message {
                        assert!(text.len() <= LIMITS.text);
                    }
                    messages.extend(message);
                    if is_done {
                        break;
                    }
                }
            }
        }
        // At most a header, or a control frame that is not whole.
        assert!(waiting.len() < 14 + 125);
    }
    (messages, None)
}

fuzz_target!(|input: &[u8]| {
    let whole = decode(input, input.len().max(1));
    for step in [1, 7] {
        assert_eq!(decode(input, step), whole);
    }
});
