//! Another WebSocket server to compare with, and a client that masks.

use std::io::{Error, ErrorKind, Read, Result, Write};

use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use crate::message::Message;

/// What tungstenite makes of what comes over a wire.
pub struct Reference {
    pub messages: Vec<Message>,
    /// It found something against the rules.
    pub has_failed: bool,
    /// A frame is longer than it wants to reserve memory for.
    pub has_no_opinion: bool,
}

/// Nothing more comes behind the input, and nobody reads the answers.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.0.is_empty() {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        self.0.read(into)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Reference {
    pub fn of(input: &[u8]) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .max_frame_size(Some(1 << 16))
            .max_message_size(None);
        let mut socket = WebSocket::from_raw_socket(Wire(input), Role::Server, Some(config));
        let mut messages = Vec::new();
        loop {
            let message = match socket.read() {
                Ok(tungstenite::Message::Text(text)) => Message::Text(text.as_str().to_owned()),
                Ok(tungstenite::Message::Binary(bytes)) => Message::Binary(bytes.to_vec()),
                Ok(tungstenite::Message::Ping(bytes)) => Message::Ping(bytes),
                Ok(tungstenite::Message::Pong(_)) => Message::Pong,
                Ok(tungstenite::Message::Close(close)) => {
                    messages.push(Message::Close(close.map(|close| close.code.into())));
                    return Self { messages, has_failed: false, has_no_opinion: false };
                }
                Ok(tungstenite::Message::Frame(_)) => unreachable!("frames are put together"),
                Err(error) => {
                    let has_no_opinion = matches!(error, tungstenite::Error::Capacity(_));
                    let has_ended = matches!(&error, tungstenite::Error::Io(_));
                    return Self { messages, has_failed: !has_no_opinion && !has_ended, has_no_opinion };
                }
            };
            messages.push(message);
        }
    }
}

/// Frames as a client sends them. A reserved bit in the first byte makes the length longer than it has to be.
pub fn wire(mut frames: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    while let [first, len, rest @ ..] = frames {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        frames = rest;
        wire.push(first & 0x8f);
        match (first & 0x70, payload.len() as u8) {
            (0, len @ 0..=125) => wire.push(0x80 | len),
            (0 | 0x10, len) => wire.extend([0x80 | 126, 0, len]),
            (_, len) => wire.extend([0x80 | 127, 0, 0, 0, 0, 0, 0, 0, len]),
        }
        let key = [first ^ 0x5a, *len, 0xf0, 0x11];
        wire.extend(key);
        wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    wire
}
