//! MQTT 3.1.1 packets: what a publisher and a subscriber need, on byte slices.

/// Packets longer than this are no answer to anything that was asked.
const LONGEST: usize = 64 << 20;

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// CONNACK with its return code; 0 is welcome.
    Connack(u8),
    /// SUBACK with the first filter's answer; 128 is a refusal.
    Suback(u8),
    /// PUBACK of a packet id.
    Puback(u16),
    /// PUBLISH; with a packet id when it wants a PUBACK.
    Publish { id: Option<u16>, payload: &'a [u8] },
    /// PINGRESP, UNSUBACK.
    Other,
}

/// Cuts a stream of bytes into packets, and keeps what is not whole yet.
#[derive(Default)]
pub(crate) struct Packets {
    waiting: Vec<u8>,
}

impl Packets {
    /// Takes in the next bytes and calls `on` with each packet that is whole now.
    ///
    /// # Errors
    /// What is wrong with the stream; it can't be read any further.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut on: impl FnMut(Packet<'_>)) -> Result<(), String> {
        if self.waiting.is_empty() {
            let taken = cut(chunk, &mut on)?;
            self.waiting.extend_from_slice(&chunk[taken..]);
            return Ok(());
        }
        self.waiting.extend_from_slice(chunk);
        let taken = cut(&self.waiting, &mut on)?;
        self.waiting.drain(..taken);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        Ok(())
    }
}

fn cut(bytes: &[u8], on: &mut impl FnMut(Packet<'_>)) -> Result<usize, String> {
    let mut at = 0;
    while let Some((header, body)) = lengths(&bytes[at..])? {
        let Some(content) = bytes.get(at + header..at + header + body) else { break };
        on(packet(bytes[at], content).ok_or_else(|| format!("packet {:#04x} can't be read", bytes[at]))?);
        at += header + body;
    }
    Ok(at)
}

/// Bytes of the fixed header and of the rest.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut body = 0;
    for place in 0..4 {
        let Some(byte) = bytes.get(1 + place) else { return Ok(None) };
        body |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return if body <= LONGEST {
                Ok(Some((2 + place, body)))
            } else {
                Err("a packet too long".into())
            };
        }
    }
    Err("a packet whose length has no end".into())
}

fn packet(first: u8, content: &[u8]) -> Option<Packet<'_>> {
    Some(match first >> 4 {
        2 => Packet::Connack(*content.get(1)?),
        3 => {
            let (topic, rest) = content.split_at_checked(2)?;
            let rest = rest.get(usize::from(u16::from_be_bytes(topic.try_into().ok()?))..)?;
            if first & 0b110 == 0 {
                Packet::Publish { id: None, payload: rest }
            } else {
                let (id, payload) = rest.split_at_checked(2)?;
                Packet::Publish { id: Some(u16::from_be_bytes(id.try_into().ok()?)), payload }
            }
        }
        4 => Packet::Puback(u16::from_be_bytes(content.try_into().ok()?)),
        9 => Packet::Suback(*content.get(2)?),
        11 | 13 => Packet::Other,
        _ => return None,
    })
}

/// CONNECT with a clean session.
pub(crate) fn connect(id: &str, login: Option<&(String, String)>, keep_alive: u16) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, "MQTT");
    let login_flags = if login.is_some() { 0xc0 } else { 0 };
    body.extend([4, 2 | login_flags]);
    body.extend(keep_alive.to_be_bytes());
    string(&mut body, id);
    if let Some((user, password)) = login {
        string(&mut body, user);
        string(&mut body, password);
    }
    whole(0x10, &body)
}

/// SUBSCRIBE to one filter.
pub(crate) fn subscribe(id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    string(&mut body, filter);
    body.push(qos);
    whole(0x82, &body)
}

/// PUBLISH at QoS 1.
pub(crate) fn publish(id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(payload.len() + topic.len() + 4);
    string(&mut body, topic);
    body.extend(id.to_be_bytes());
    body.extend_from_slice(payload);
    whole(0x32, &body)
}

/// PUBACK.
pub(crate) fn puback(id: u16) -> Vec<u8> {
    whole(0x40, &id.to_be_bytes())
}

/// Strings here are the generator's own names: far below the 65,535 bytes that MQTT allows.
fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn whole(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(first);
    let mut rest = body.len();
    loop {
        let more = if rest > 127 { 0x80 } else { 0 };
        packet.push((rest & 0x7f) as u8 | more);
        rest >>= 7;
        if rest == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_the_same_however_the_network_cuts_them() {
        let long = vec![b'x'; 300];
        let mut stream = vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 0];
        stream.extend(publish(7, "a/b", &long));
        stream.extend([0x30, 4, 0, 1, b't', b'!', 0x40, 2, 0x12, 0x34, 0xd0, 0]);
        for size in 1..=stream.len() {
            let mut packets = Packets::default();
            let mut seen = Vec::new();
            for chunk in stream.chunks(size) {
                packets.feed(chunk, |packet| seen.push(format!("{packet:?}"))).unwrap();
            }
            let whole = [
                Packet::Connack(0),
                Packet::Suback(0),
                Packet::Publish { id: Some(7), payload: &long },
                Packet::Publish { id: None, payload: b"!" },
                Packet::Puback(0x1234),
                Packet::Other,
            ];
            assert_eq!(seen, whole.map(|packet| format!("{packet:?}")), "{size}");
        }
    }

    #[test]
    fn a_stream_that_is_no_mqtt_is_refused() {
        // Read as MQTT, this begins with a PUBACK of 84 bytes.
        let http = format!("HTTP/1.1 400 Bad Request\r\n{}", "x".repeat(84));
        assert!(Packets::default().feed(http.as_bytes(), |_| {}).is_err());
        assert!(Packets::default().feed(&[0x30, 0xff, 0xff, 0xff, 0xff], |_| {}).is_err());
    }

    #[test]
    fn a_login_is_in_the_connect() {
        let packet = connect("c", Some(&("ann".into(), "pw".into())), 60);
        assert_eq!(packet, b"\x10\x16\0\x04MQTT\x04\xc2\0\x3c\0\x01c\0\x03ann\0\x02pw");
    }
}
