//! Bytes of a client → messages, with nothing kept between them.

use std::io::Cursor;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqttchat_sockjs::{Bodies, Body};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::error::{WsError, may_be_sent};
use super::mask::{rotate, unmask};
use super::message::{Kind, Message};

/// How large a message may be, in bytes of its payload. Larger ones are [`Message::Skipped`].
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// Text messages.
    pub text: usize,
    /// Binary messages.
    pub binary: usize,
}

impl MessageLimits {
    fn of(self, kind: Kind) -> usize {
        match kind {
            Kind::Text => self.text,
            Kind::Binary => self.binary,
        }
    }
}

/// The state between two reads. It holds bytes only while a message is incomplete, and never more than the limit.
#[derive(Debug)]
pub struct Decoder {
    limits: MessageLimits,
    room: Bodies,
    payload: Option<Payload>,
    assembly: Option<Assembly>,
}

/// The part of a data frame that hasn't come yet.
#[derive(Debug)]
struct Payload {
    remaining: u64,
    /// The key for the next byte.
    key: [u8; 4],
    is_final: bool,
}

/// A data message whose frames are coming in.
#[derive(Debug)]
struct Assembly {
    kind: Kind,
    body: Body,
    /// How many bytes of `body` are known to be UTF-8.
    checked: usize,
    /// Why what comes is dropped, if it is.
    dropped: Option<Dropped>,
    /// Since when it has been incomplete.
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// It is over the limit.
    TooLarge,
    /// There was no room for it, or it took too long.
    NoRoom,
}

/// How long a message that has taken room may be incomplete, and while there is little room left.
const PATIENCE: Duration = Duration::from_secs(30);
const HASTE: Duration = Duration::from_secs(2);

/// The longest payload of a control frame (§5.5).
const CONTROL_MAX: u64 = 125;

impl Decoder {
    /// A decoder for a fresh connection.
    #[must_use]
    pub fn new(limits: MessageLimits) -> Self {
        Self::within(limits, Bodies::new(usize::MAX))
    }

    /// The same, with unfinished messages that have room together with those of other connections. One for which there is
    /// none becomes [`Message::Refused`].
    #[must_use]
    pub fn within(limits: MessageLimits, room: Bodies) -> Self {
        Self { limits, room, payload: None, assembly: None }
    }

    /// Takes bytes from the beginning of `input` up to the end of the next message, changing them (the mask is taken
    /// off in place). Returns how many were taken, and the message if there is one. Bytes that were not taken
    /// (at most 13 of a header, or an incomplete control frame) have to be given again, with what follows them.
    ///
    /// # Errors
    /// [`WsError`] as soon as the bytes can't become valid any more; nothing can be decoded afterwards.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<(usize, Option<Message>), WsError> {
        let mut taken = 0;
        loop {
            let rest = &mut input[taken..];
            if self.payload.is_some() {
                let (len, message) = self.take_payload(rest)?;
                taken += len;
                if message.is_some() || self.payload.is_some() {
                    return Ok((taken, message));
                }
                continue;
            }
            let mut cursor = Cursor::new(&*rest);
            let header = FrameHeader::parse(&mut cursor).map_err(|_| WsError::Opcode)?;
            let Some((header, len)) = header else { return Ok((taken, None)) };
            let read = cursor.position();
            let key = check_header(&header, len)?;
            let head = header.len(len);
            if read != head as u64 {
                return Err(WsError::Length);
            }
            match header.opcode {
                OpCode::Data(data) => {
                    self.begin_frame(data, len)?;
                    self.payload = Some(Payload { remaining: len, key, is_final: header.is_final });
                    taken += head;
                }
                OpCode::Control(control) => {
                    let end = head + len as usize;
                    let Some(payload) = rest.get_mut(head..end) else { return Ok((taken, None)) };
                    unmask(payload, key);
                    return Ok((taken + end, Some(control_message(control, payload)?)));
                }
            }
        }
    }

    /// A data frame's header has come: begins a message, or goes on with one.
    fn begin_frame(&mut self, data: Data, len: u64) -> Result<(), WsError> {
        let kind = match (data, &self.assembly) {
            (Data::Continue, None) => return Err(WsError::Continuation),
            (Data::Continue, Some(assembly)) => assembly.kind,
            (Data::Text | Data::Binary, Some(_)) => return Err(WsError::Interleaved),
            (Data::Text, None) => Kind::Text,
            (Data::Binary, None) => Kind::Binary,
            (Data::Reserved(_), _) => return Err(WsError::Opcode),
        };
        let limit = self.limits.of(kind);
        let begin = || Assembly { kind, body: self.room.begin(), checked: 0, dropped: None, since: None };
        let assembly = self.assembly.get_or_insert_with(begin);
        if (assembly.body.len() as u64).saturating_add(len) > limit as u64 {
            assembly.dropped = Some(Dropped::TooLarge);
            assembly.body = self.room.begin();
        }
        Ok(())
    }

    /// Whether a message is incomplete and has taken room of others.
    pub fn holds_room(&self) -> bool {
        self.assembly.as_ref().is_some_and(|assembly| assembly.body.has_room())
    }

    /// Whether that message has taken too long: 30 s, or 2 s while there is little room left.
    pub fn is_late(&self) -> bool {
        let patience = if self.room.is_short() { HASTE } else { PATIENCE };
        let since = self.assembly.as_ref().and_then(|assembly| assembly.since);
        self.holds_room() && since.is_some_and(|since| since.elapsed() >= patience)
    }

    /// Waits for that message no longer: what comes of it is dropped.
    pub fn give_up(&mut self) {
        if let Some(assembly) = &mut self.assembly {
            assembly.dropped.get_or_insert(Dropped::NoRoom);
            assembly.body = self.room.begin();
        }
    }

    /// Takes what there is of the current data frame. The message comes out with its last byte.
    fn take_payload(&mut self, input: &mut [u8]) -> Result<(usize, Option<Message>), WsError> {
        let (Some(payload), Some(assembly)) = (&mut self.payload, &mut self.assembly) else {
            return Ok((0, None));
        };
        let len =
            usize::try_from(payload.remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
        let chunk = &mut input[..len];
        let is_last = payload.is_final && payload.remaining == len as u64;
        if assembly.dropped.is_none() {
            unmask(chunk, payload.key);
            let limit = self.limits.of(assembly.kind);
            if is_last {
                assembly.body.push_last(chunk);
            } else if !assembly.body.try_push(chunk, limit) {
                assembly.dropped = Some(Dropped::NoRoom);
                assembly.body = self.room.begin();
            }
        }
        payload.key = rotate(payload.key, len);
        payload.remaining -= len as u64;
        if payload.remaining == 0 {
            self.payload = None;
        }
        if !is_last {
            assembly.since.get_or_insert_with(Instant::now);
            assembly.check_utf8(false)?;
            return Ok((len, None));
        }
        match self.assembly.take() {
            Some(assembly) => assembly.finish().map(|message| (len, Some(message))),
            None => Ok((len, None)),
        }
    }
}

impl Assembly {
    /// Finds bytes that can't become UTF-8 without waiting for the message's end. With `complete`, a character that
    /// is cut off at the end is an error too.
    fn check_utf8(&mut self, complete: bool) -> Result<(), WsError> {
        if self.kind == Kind::Binary || self.dropped.is_some() {
            return Ok(());
        }
        match std::str::from_utf8(&self.body.as_slice()[self.checked..]) {
            Ok(_) => self.checked = self.body.len(),
            Err(error) if error.error_len().is_some() || complete => return Err(WsError::Utf8),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Message, WsError> {
        // The usual message comes in one piece, and is looked at once.
        if self.checked > 0 {
            self.check_utf8(true)?;
        }
        let (bytes, _) = self.body.finish();
        match (self.dropped, self.kind) {
            (Some(Dropped::TooLarge), kind) => Ok(Message::Skipped(kind)),
            (Some(Dropped::NoRoom), kind) => Ok(Message::Refused(kind)),
            (None, Kind::Binary) => Ok(Message::Binary(bytes)),
            (None, Kind::Text) => String::from_utf8(bytes).map(Message::Text).map_err(|_| WsError::Utf8),
        }
    }
}

/// What holds for every frame of a client; gives its mask.
fn check_header(header: &FrameHeader, len: u64) -> Result<[u8; 4], WsError> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(WsError::ReservedBit);
    }
    if len >> 63 != 0 {
        return Err(WsError::Length);
    }
    if matches!(header.opcode, OpCode::Control(_)) && (len > CONTROL_MAX || !header.is_final) {
        return Err(WsError::Control);
    }
    header.mask.ok_or(WsError::Unmasked)
}

fn control_message(control: Control, payload: &[u8]) -> Result<Message, WsError> {
    match control {
        Control::Ping => Ok(Message::Ping(Bytes::copy_from_slice(payload))),
        Control::Pong => Ok(Message::Pong),
        Control::Close => match payload {
            [] => Ok(Message::Close(None)),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !may_be_sent(code) {
                    return Err(WsError::Close);
                }
                std::str::from_utf8(reason).map_err(|_| WsError::Utf8)?;
                Ok(Message::Close(Some(code)))
            }
            [_] => Err(WsError::Close),
        },
        Control::Reserved(_) => Err(WsError::Opcode),
    }
}

#[cfg(test)]
// The fuzzer has this file in another place.
#[path = "decoder/tests.rs"]
mod tests;
