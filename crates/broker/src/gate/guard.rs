//! What a device may send.

use rumqttd::protocol::v4::V4;
use rumqttd::protocol::{Error, Packet, Protocol, valid_filter, valid_topic};

use crate::gate::names::Names;
use bytes::BytesMut;

/// QoS 2 messages that a device has begun and not released; rumqttd keeps them all.
const MAX_UNRELEASED: usize = 100;

/// Why a device is thrown out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Offence {
    #[error("malformed packet: {0}")]
    Malformed(#[from] Error),
    #[error("a packet that a client does not send at this point")]
    Unexpected,
    #[error("a topic or filter that is malformed or not supported here")]
    BadName,
    #[error("too many different topics and filters")]
    TooManyNames,
    #[error("too many unreleased qos 2 messages")]
    TooManyUnreleased,
}

/// What to do with a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Pass it on as it is.
    Forward,
    /// The device takes its leave.
    Leave,
}

/// The checks for one connection.
pub(crate) struct Guard<'a> {
    names: &'a Names,
    unreleased: usize,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(names: &'a Names) -> Self {
        Self { names, unreleased: 0 }
    }

    /// Judges one whole packet of which `first` is the first byte.
    ///
    /// # Errors
    /// An [`Offence`]: rumqttd must not see it.
    pub(crate) fn judge(&mut self, mut packet: BytesMut) -> Result<Verdict, Offence> {
        let size = packet.len();
        let qos2 = packet.first().is_some_and(|first| first & 0b0110 == 0b0100);
        match V4.read_mut(&mut packet, size)? {
            Packet::Publish(publish, _) => {
                if qos2 {
                    self.unreleased += 1;
                    if self.unreleased > MAX_UNRELEASED {
                        return Err(Offence::TooManyUnreleased);
                    }
                }
                check_topic(&publish.topic, self.names)?;
            }
            Packet::PubRel(..) => self.unreleased = self.unreleased.saturating_sub(1),
            Packet::Subscribe(subscribe, _) => {
                for filter in &subscribe.filters {
                    check_filter(&filter.path)?;
                    self.names.note(&filter.path)?;
                }
            }
            Packet::Unsubscribe(unsubscribe, _) => {
                for filter in &unsubscribe.filters {
                    check_filter(filter)?;
                }
            }
            Packet::PubAck(..) | Packet::PubRec(..) | Packet::PubComp(..) | Packet::PingReq(_) => {}
            Packet::Disconnect(..) => return Ok(Verdict::Leave),
            Packet::Connect(..)
            | Packet::ConnAck(..)
            | Packet::SubAck(..)
            | Packet::UnsubAck(..)
            | Packet::PingResp(_) => return Err(Offence::Unexpected),
        }
        Ok(Verdict::Forward)
    }
}

/// Whether a message may be published on `topic`.
pub(crate) fn check_topic(topic: &[u8], names: &Names) -> Result<(), Offence> {
    let topic = str::from_utf8(topic).map_err(|_| Offence::BadName)?;
    if !starts_well(topic) || !valid_topic(topic) {
        return Err(Offence::BadName);
    }
    names.note(topic)
}

fn check_filter(filter: &str) -> Result<(), Offence> {
    if starts_well(filter) && valid_filter(filter) { Ok(()) } else { Err(Offence::BadName) }
}

/// rumqttd cuts off the first byte to look for a `$`, and its router ends if that is half of a character.
fn starts_well(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii() && first != b'$' && first != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttd::protocol::{
        Disconnect, DisconnectReasonCode, Filter, PubRel, PubRelReason, Publish, QoS, RetainForwardRule,
        Subscribe,
    };

    fn bytes(packet: Packet) -> BytesMut {
        let mut bytes = BytesMut::new();
        V4.write(packet, &mut bytes).expect("a valid packet");
        bytes
    }

    fn publish(topic: &str) -> BytesMut {
        bytes(Packet::Publish(Publish::new(topic.to_owned(), "x".to_owned(), false), None))
    }

    fn subscribe(path: &str) -> BytesMut {
        let filter = Filter {
            path: path.to_owned(),
            qos: QoS::AtLeastOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::Never,
        };
        bytes(Packet::Subscribe(Subscribe { pkid: 1, filters: vec![filter] }, None))
    }

    #[test]
    fn ordinary_packets_pass() {
        let names = Names::default();
        let mut guard = Guard::new(&names);
        for packet in [publish("public/msgs"), publish("räume/1"), subscribe("#"), subscribe("a/+/b/#")] {
            assert_eq!(guard.judge(packet).expect("passes"), Verdict::Forward);
        }
    }

    #[test]
    fn names_that_rumqttd_cannot_take_are_refused() {
        let names = Names::default();
        let mut guard = Guard::new(&names);
        for topic in ["", "ünder", "$SYS/x", "a/+", "a/#"] {
            assert!(matches!(guard.judge(publish(topic)), Err(Offence::BadName)), "{topic}");
        }
        for filter in ["", "ünder/#", "$share/g/a", "a#", "a/#/b", "a/+b"] {
            assert!(matches!(guard.judge(subscribe(filter)), Err(Offence::BadName)), "{filter}");
        }
    }

    #[test]
    fn a_disconnect_is_a_leave_and_not_passed_on() {
        let names = Names::default();
        let disconnect = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection };
        let verdict = Guard::new(&names).judge(bytes(Packet::Disconnect(disconnect, None)));
        assert_eq!(verdict.expect("passes"), Verdict::Leave);
    }

    #[test]
    fn unreleased_messages_are_counted() {
        let names = Names::default();
        let mut guard = Guard::new(&names);
        // PUBLISH, QoS 2, topic "t", packet id 1.
        let publish = BytesMut::from(&[0x34, 5, 0, 1, b't', 0, 1][..]);
        for _ in 0..MAX_UNRELEASED {
            assert_eq!(guard.judge(publish.clone()).expect("passes"), Verdict::Forward);
        }
        assert!(matches!(guard.judge(publish.clone()), Err(Offence::TooManyUnreleased)));
        let mut guard = Guard::new(&names);
        for _ in 0..=MAX_UNRELEASED {
            assert_eq!(guard.judge(publish.clone()).expect("passes"), Verdict::Forward);
            let pubrel = bytes(Packet::PubRel(PubRel { pkid: 1, reason: PubRelReason::Success }, None));
            assert_eq!(guard.judge(pubrel).expect("passes"), Verdict::Forward);
        }
    }

    #[test]
    fn malformed_packets_are_refused() {
        let names = Names::default();
        // SUBSCRIBE without a filter, and a PUBLISH whose topic is longer than the packet.
        for packet in [&[0x82, 2, 0, 1][..], &[0x30, 3, 0, 9, b'x'][..]] {
            let verdict = Guard::new(&names).judge(BytesMut::from(packet));
            assert!(matches!(verdict, Err(Offence::Malformed(_))), "{packet:?}");
        }
    }
}
