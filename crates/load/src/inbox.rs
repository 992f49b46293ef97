//! Cuts what comes in over a WebSocket into payloads, wherever the network cut it.

use crate::ws::{self, Opcode};

/// What was found in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A message.
    Payload(&'a [u8]),
    /// A ping, to be answered with the same bytes.
    Ping(&'a [u8]),
    /// The end, with its code (1005 when there was none).
    Close(u16),
}

/// Keeps what is not whole yet, and no memory when there is none.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Vec<u8>,
    /// The fragments of a message so far.
    fragments: Option<Vec<u8>>,
}

impl Inbox {
    /// Takes in the next bytes and calls `on` with each piece that is whole now.
    ///
    /// # Errors
    /// What is wrong with the stream; it can't be read any further.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut on: impl FnMut(Piece<'_>)) -> Result<(), String> {
        if self.waiting.is_empty() {
            let taken = self.cut(chunk, &mut on)?;
            self.waiting.extend_from_slice(&chunk[taken..]);
            return Ok(());
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(chunk);
        let taken = self.cut(&waiting, &mut on)?;
        waiting.drain(..taken);
        if !waiting.is_empty() {
            self.waiting = waiting;
        }
        Ok(())
    }

    /// How many bytes were whole frames.
    fn cut(&mut self, bytes: &[u8], on: &mut impl FnMut(Piece<'_>)) -> Result<usize, String> {
        let mut at = 0;
        while let Some(frame) = ws::frame(&bytes[at..]).map_err(|error| error.to_string())? {
            at += frame.length;
            match (frame.opcode, frame.last) {
                (Opcode::Text | Opcode::Binary, true) => on(Piece::Payload(frame.payload)),
                (Opcode::Text | Opcode::Binary, false) => self.fragments = Some(frame.payload.to_vec()),
                (Opcode::Continuation, last) => {
                    let fragments = self
                        .fragments
                        .as_mut()
                        .ok_or("the server continued a message that it had not begun")?;
                    fragments.extend_from_slice(frame.payload);
                    if last && let Some(whole) = self.fragments.take() {
                        on(Piece::Payload(&whole));
                    }
                }
                (Opcode::Ping, _) => on(Piece::Ping(frame.payload)),
                (Opcode::Pong, _) => {}
                (Opcode::Close, _) => {
                    on(Piece::Close(
                        frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)),
                    ));
                }
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(stream: &[u8], size: usize) -> Vec<String> {
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        for chunk in stream.chunks(size) {
            let on = |piece: Piece<'_>| {
                seen.push(match piece {
                    Piece::Payload(bytes) => format!("payload {}", String::from_utf8_lossy(bytes)),
                    Piece::Ping(bytes) => format!("ping {}", String::from_utf8_lossy(bytes)),
                    Piece::Close(code) => format!("close {code}"),
                });
            };
            inbox.feed(chunk, on).unwrap();
        }
        assert!(inbox.waiting.is_empty() && inbox.waiting.capacity() == 0);
        seen
    }

    #[test]
    fn pieces_are_the_same_however_the_network_cuts_them() {
        let stream = b"\x81\x03one\x01\x01t\x89\x01p\x00\x01w\x80\x01o\x8a\x00\x82\x05three\x88\x02\x03\xe9";
        let whole = ["payload one", "ping p", "payload two", "payload three", "close 1001"];
        for size in 1..=stream.len() {
            assert_eq!(seen(stream, size), whole, "{size}");
        }
    }

    #[test]
    fn a_continuation_of_nothing_is_wrong() {
        assert!(Inbox::default().feed(b"\x80\x01x", |_| {}).is_err());
    }
}
