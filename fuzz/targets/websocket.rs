//! Bytes of a WebSocket client: the same messages and the same error come out however they are cut, and those that
//! tungstenite finds in them.
//!
//! An input is what comes over the wire; or, behind a byte 0xff, frames whose payload is still to be masked: each its first
//! byte, a length, and so much payload.
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
#[path = "websocket/reference.rs"]
mod reference;

use decoder::{Decoder, MessageLimits};
use error::WsError;
use libfuzzer_sys::fuzz_target;
use message::{Kind, Message};
use reference::{Reference, wire};

const LIMITS: MessageLimits = MessageLimits { text: 512, binary: 64 };
const NO_LIMITS: MessageLimits = MessageLimits { text: usize::MAX, binary: usize::MAX };

type Decoded = (Vec<Message>, Option<WsError>);

/// What comes out when so many bytes are read at a time.
fn decode(input: &[u8], limits: MessageLimits, step: usize) -> Decoded {
    let mut decoder = Decoder::new(limits);
    let (mut waiting, mut messages) = (Vec::new(), Vec::new());
    for chunk in input.chunks(step) {
        waiting.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut waiting) {
                Err(error) => return (messages, Some(error)),
                Ok((taken, message)) => {
                    waiting.drain(..taken);
                    let is_done = message.is_none();
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

/// With limits, the same comes out but for what is above them, which isn't looked at either.
fn assert_limited((limited, _): &Decoded, (whole, _): &Decoded) {
    assert!(limited.len() >= whole.len());
    for pair in limited.iter().zip(whole) {
        match pair {
            (Message::Skipped(Kind::Text), Message::Text(text)) => assert!(text.len() > LIMITS.text),
            (Message::Skipped(Kind::Binary), Message::Binary(bytes)) => assert!(bytes.len() > LIMITS.binary),
            (one, other) => assert_eq!(one, other),
        }
    }
    for message in limited {
        match message {
            Message::Text(text) => assert!(text.len() <= LIMITS.text),
            Message::Binary(bytes) => assert!(bytes.len() <= LIMITS.binary),
            Message::Ping(bytes) => assert!(bytes.len() <= 125),
            _ => {}
        }
    }
}

/// tungstenite finds the same messages, up to a close frame, behind which it reads nothing.
fn assert_as_reference((messages, error): &Decoded, reference: &Reference) {
    let is_close = |message: &Message| matches!(message, Message::Close(_));
    let closed = messages.iter().position(is_close).map(|at| at + 1);
    let mut messages = messages[..closed.unwrap_or(messages.len())].to_vec();
    // This one has been in IANA's registry for less long than tungstenite's list.
    if let Some(last @ Message::Close(Some(1014))) = messages.last_mut() {
        *last = Message::Close(Some(1002));
    }
    if closed.is_none() && matches!(error, Some(WsError::Close | WsError::Length)) {
        // It answers such a frame instead of failing, and takes lengths in any form.
        return assert!(reference.messages.starts_with(&messages));
    }
    if reference.has_no_opinion {
        return assert!(messages.starts_with(&reference.messages));
    }
    assert_eq!(messages, reference.messages);
    // It may find what is wrong only when the frame is whole.
    assert!(!reference.has_failed || error.is_some());
}

fuzz_target!(|input: &[u8]| {
    let built = input.strip_prefix(&[0xff]).map(wire);
    let input = built.as_deref().unwrap_or(input);
    let limited = decode(input, LIMITS, input.len().max(1));
    let whole = decode(input, NO_LIMITS, input.len().max(1));
    for step in [1, 7] {
        assert_eq!(decode(input, LIMITS, step), limited);
        assert_eq!(decode(input, NO_LIMITS, step), whole);
    }
    assert_limited(&limited, &whole);
    assert_as_reference(&whole, &Reference::of(input));
});
