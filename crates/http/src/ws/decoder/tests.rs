use proptest::prelude::*;

use super::*;

const LIMITS: MessageLimits = MessageLimits { text: 1000, binary: 10 };

/// A masked frame with its first byte as given.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x12, 0xf0, 0x07, 0x88];
    let mut wire = vec![first];
    match payload.len() {
        len @ 0..=125 => wire.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            wire.push(0x80 | 126);
            wire.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            wire.push(0x80 | 127);
            wire.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    wire.extend_from_slice(&key);
    let at = wire.len();
    wire.extend_from_slice(payload);
    unmask(&mut wire[at..], key);
    wire
}

/// Decodes everything, given in pieces of `step` bytes.
fn decode(wire: &[u8], step: usize) -> Result<Vec<Message>, WsError> {
    let mut decoder = Decoder::new(LIMITS);
    let mut messages = Vec::new();
    let mut waiting = Vec::new();
    for piece in wire.chunks(step) {
        waiting.extend_from_slice(piece);
        loop {
            let (taken, message) = decoder.decode(&mut waiting)?;
            waiting.drain(..taken);
            match message {
                Some(message) => messages.push(message),
                None => break,
            }
        }
    }
    assert!(waiting.len() < 140, "{} bytes are held back", waiting.len());
    Ok(messages)
}

#[test]
fn messages_in_pieces_of_any_size() {
    let text = "grüße 🎈 ".repeat(20);
    let bytes = text.as_bytes();
    let wire = [
        masked(0x81, b"one"),
        masked(0x01, &bytes[..4]),
        masked(0x89, b"ping"),
        masked(0x00, &bytes[4..11]),
        masked(0x8a, b""),
        masked(0x80, &bytes[11..]),
        masked(0x82, &[0xff; 10]),
        masked(0x82, &[0xff; 11]),
        masked(0x81, &[b'x'; 1001]),
        masked(0x01, &[b'x'; 600]),
        masked(0x80, &[b'x'; 600]),
        masked(0x81, b""),
        masked(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    let expected = [
        Message::Text("one".into()),
        Message::Ping(Bytes::from_static(b"ping")),
        Message::Pong,
        Message::Text(text.clone()),
        Message::Binary(vec![0xff; 10]),
        Message::Skipped(Kind::Binary),
        Message::Skipped(Kind::Text),
        Message::Skipped(Kind::Text),
        Message::Text(String::new()),
        Message::Close(Some(1000)),
    ];
    for step in [1, 2, 3, 5, 7, 13, 64, 1000, wire.len()] {
        assert_eq!(decode(&wire, step).unwrap(), expected, "in steps of {step}");
    }
}

#[test]
fn what_is_against_the_rules() {
    let cases: [(&[u8], WsError); 13] = [
        (&[0x81, 0x01, b'x'], WsError::Unmasked),
        (&[0xc1, 0x80, 0, 0, 0, 0], WsError::ReservedBit),
        (&[0x83, 0x80, 0, 0, 0, 0], WsError::Opcode),
        (&[0x8b, 0x80, 0, 0, 0, 0], WsError::Opcode),
        (&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], WsError::Control),
        (&[0x09, 0x80, 0, 0, 0, 0], WsError::Control),
        (&[0x80, 0x80, 0, 0, 0, 0], WsError::Continuation),
        (&[0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0], WsError::Interleaved),
        (&[0x88, 0x81, 0, 0, 0, 0, 3], WsError::Close),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], WsError::Close),
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], WsError::Length),
        (&[0x82, 0xfe, 0, 125, 0, 0, 0, 0], WsError::Length),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], WsError::Length),
    ];
    for (wire, error) in cases {
        assert_eq!(decode(wire, wire.len()).unwrap_err(), error);
    }
}

#[test]
fn bad_text_is_found_before_the_message_ends() {
    let cut = masked(0x01, &[b'o', b'k', 0xf4]);
    assert_eq!(decode(&cut, 1).unwrap(), []);
    let never = [cut.clone(), masked(0x00, &[0x90])].concat();
    assert_eq!(decode(&never, never.len()).unwrap_err(), WsError::Utf8);
    let unfinished = [cut, masked(0x80, &[0x8f])].concat();
    assert_eq!(decode(&unfinished, 3).unwrap_err(), WsError::Utf8);
    // Within a frame whose rest is still to come.
    let long = masked(0x81, &[&[b'a', 0xff][..], &[b'b'; 500]].concat());
    assert_eq!(decode(&long[..20], 20).unwrap_err(), WsError::Utf8);
    assert_eq!(decode(&masked(0x88, b"\x03\xe8\xff"), 20).unwrap_err(), WsError::Utf8);
}

#[test]
fn a_declared_length_reserves_nothing() {
    let mut decoder = Decoder::new(MessageLimits { text: usize::MAX, binary: usize::MAX });
    let mut wire = vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3];
    assert_eq!(decoder.decode(&mut wire).unwrap(), (17, None));
    assert!(decoder.assembly.unwrap().body.finish().0.capacity() < 100);
}

#[test]
fn large_messages_have_room_together() {
    let limits = MessageLimits { text: 64 << 10, binary: 64 << 10 };
    let room = Bodies::new(48 << 10);
    let [mut first, mut second] = [(); 2].map(|()| Decoder::within(limits, room.clone()));
    let mut large = masked(0x82, &[b'x'; 56 << 10]);
    let (part, rest) = large.split_at_mut(50 << 10);
    assert_eq!(first.decode(part).unwrap(), (part.len(), None));
    assert!(first.holds_room() && !first.is_late());
    // What is whole at once needs none; what comes in parts is dropped, and the next is taken as ever.
    let whole = Message::Binary(vec![b'x'; 40 << 10]);
    assert_eq!(second.decode(&mut masked(0x82, &[b'x'; 40 << 10])).unwrap().1, Some(whole.clone()));
    let mut parts = masked(0x82, &[b'x'; 40 << 10]);
    let (part, end) = parts.split_at_mut(20 << 10);
    assert_eq!(second.decode(part).unwrap(), (part.len(), None));
    assert!(!second.holds_room());
    assert_eq!(second.decode(end).unwrap().1, Some(Message::Refused(Kind::Binary)));
    assert_eq!(first.decode(rest).unwrap().1, Some(Message::Binary(vec![b'x'; 56 << 10])));
    assert!(!room.is_short(), "there is room again");
}

#[test]
fn a_message_that_does_not_end_is_given_up() {
    let limits = MessageLimits { text: 64 << 10, binary: 0 };
    let ages = |decoder: &mut Decoder, by| {
        let since = &mut decoder.assembly.as_mut().unwrap().since;
        *since = since.and_then(|since| since.checked_sub(by));
    };
    let begun = |room: &Bodies| {
        let mut decoder = Decoder::within(limits, room.clone());
        decoder.decode(&mut masked(0x01, &[b'x'; 20 << 10])).unwrap();
        decoder
    };
    let (wide, narrow) = (Bodies::default(), Bodies::new(13 << 10));
    let (mut patient, mut hasty) = (begun(&wide), begun(&narrow));
    ages(&mut patient, HASTE);
    ages(&mut hasty, HASTE);
    assert!(!patient.is_late() && hasty.is_late());
    ages(&mut patient, PATIENCE);
    assert!(patient.is_late());
    patient.give_up();
    assert!(!patient.is_late() && !patient.holds_room());
    let end = patient.decode(&mut masked(0x80, b"the end")).unwrap();
    assert_eq!(end.1, Some(Message::Refused(Kind::Text)));
    let next = patient.decode(&mut masked(0x81, b"the next")).unwrap();
    assert_eq!(next.1, Some(Message::Text("the next".to_owned())));
}

/// A data message, how its payload is cut into frames, and what is said between them.
#[derive(Clone, Debug)]
struct Said {
    text: Option<String>,
    binary: Vec<u8>,
    cuts: Vec<prop::sample::Index>,
    pings: Vec<Vec<u8>>,
}

prop_compose! {
    fn said()(
        text in prop::option::of("\\PC{0,400}"), binary in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        pings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=125), 0..3),
    ) -> Said {
        Said { text, binary, cuts, pings }
    }
}

impl Said {
    /// Its frames, and what the decoder is to make of them.
    fn frames(&self) -> (Vec<u8>, Vec<Message>) {
        let payload = self.text.as_ref().map_or(&self.binary[..], |text| text.as_bytes());
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let (mut wire, mut messages, mut from) = (Vec::new(), Vec::new(), 0);
        for (at, cut) in cuts.iter().enumerate() {
            let opcode = if at > 0 {
                0
            } else if self.text.is_some() {
                1
            } else {
                2
            };
            let fin = if at + 1 == cuts.len() { 0x80 } else { 0 };
            wire.extend(masked(fin | opcode, &payload[from..*cut]));
            from = *cut;
            for ping in self.pings.iter().filter(|_| fin == 0) {
                wire.extend(masked(0x89, ping));
                messages.push(Message::Ping(Bytes::copy_from_slice(ping)));
            }
        }
        messages.push(match &self.text {
            Some(text) if text.len() > LIMITS.text => Message::Skipped(Kind::Text),
            Some(text) => Message::Text(text.clone()),
            None if self.binary.len() > LIMITS.binary => Message::Skipped(Kind::Binary),
            None => Message::Binary(self.binary.clone()),
        });
        (wire, messages)
    }
}

proptest! {
    #[test]
    fn what_is_framed_is_read_as_the_same(all in prop::collection::vec(said(), 1..5), step in 1..200usize) {
        let (wire, messages): (Vec<_>, Vec<_>) = all.iter().map(Said::frames).unzip();
        prop_assert_eq!(decode(&wire.concat(), step).unwrap(), messages.concat());
    }
}
