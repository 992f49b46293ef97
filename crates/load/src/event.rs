//! What a client is told, as far as the generator looks at it.

use crate::client::Answer;
use crate::scan;
use crate::stamp::Stamp;

/// One frame or packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// 1000: signed in.
    Ready { token: &'a str, log: &'a str },
    /// 100, or PUBACK: a message of one's own is safe.
    Accepted { stamp: Stamp, seq: Option<u64> },
    /// A message; `stamp` is `None` when it is none of this run's.
    Message { stamp: Option<Stamp>, seq: Option<u64> },
    /// `reply` with its `data`.
    Reply { data: &'a [u8] },
    /// `presence` with its `data`, and the bytes of the frame.
    Presence { data: &'a [u8], bytes: usize },
    /// `gap`: the entries between are not sent.
    Gap { before: u64, reset: bool },
    /// `error`.
    Refused { code: &'a str, reason: &'a str },
    /// A broker's answer to CONNECT or SUBSCRIBE.
    Answer(Answer),
    /// Everything else.
    Other,
}

impl<'a> Event<'a> {
    /// Reads a frame of the chat. `None` when it is none.
    pub(crate) fn of_chat(frame: &'a [u8]) -> Option<Self> {
        let (mut kind, mut id, mut seq, mut data) = (&b""[..], None, None, &b""[..]);
        scan::members(frame, |name, value| match name {
            b"type" => kind = value,
            b"id" => id = scan::unquoted(value),
            b"seq" => seq = scan::number(value),
            b"data" => data = value,
            _ => {}
        })?;
        Some(match kind {
            br#""msg""# => Self::Message { stamp: id.and_then(Stamp::parse), seq },
            b"100" => match scan::unquoted(data).and_then(Stamp::parse) {
                Some(stamp) => Self::Accepted { stamp, seq },
                None => Self::Other,
            },
            br#""presence""# => Self::Presence { data, bytes: frame.len() },
            br#""reply""# => Self::Reply { data },
            br#""error""# => Self::Refused { code: member(data, "code"), reason: member(data, "reason") },
            br#""gap""# => Self::Gap {
                before: scan::member(data, "before").and_then(scan::number)?,
                reset: scan::member(data, "reset") == Some(b"true"),
            },
            b"1000" => Self::Ready { token: member(data, "token"), log: member(data, "log") },
            _ => Self::Other,
        })
    }
}

fn member<'a>(object: &'a [u8], name: &str) -> &'a str {
    scan::member(object, name).and_then(scan::text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { run: 1, sender: 2, number: 3, at: 4 };

    #[test]
    fn frames_of_the_protocol() {
        let id = "00000001-00000002-00000003-0000000000000004";
        let message = format!(
            r#"{{"type":"msg","id":"{id}","dest":"public","from":"ann","name":"Ann","time":5,"seq":9,"data":{{"text":"\"seq\":1"}}}}"#
        );
        assert_eq!(
            Event::of_chat(message.as_bytes()),
            Some(Event::Message { stamp: Some(STAMP), seq: Some(9) })
        );
        let accepted = format!(r#"{{"type":100,"dest":"public","seq":9,"time":5,"data":"{id}"}}"#);
        assert_eq!(Event::of_chat(accepted.as_bytes()), Some(Event::Accepted { stamp: STAMP, seq: Some(9) }));
        let other = br#"{"type":"msg","id":"1","dest":"public","from":"bob","seq":10,"data":{}}"#;
        assert_eq!(Event::of_chat(other), Some(Event::Message { stamp: None, seq: Some(10) }));
        let error =
            br#"{"type":"error","re":"1","data":{"code":"rate_limited","reason":"Slower.","retry":true}}"#;
        assert_eq!(Event::of_chat(error), Some(Event::Refused { code: "rate_limited", reason: "Slower." }));
        let gap = br#"{"type":"gap","dest":"public","data":{"after":41,"before":900,"reset":true}}"#;
        assert_eq!(Event::of_chat(gap), Some(Event::Gap { before: 900, reset: true }));
        let ready = br#"{"type":1000,"re":"h","data":{"user":{"id":"a"},"token":"t","log":"l"}}"#;
        assert_eq!(Event::of_chat(ready), Some(Event::Ready { token: "t", log: "l" }));
        assert_eq!(Event::of_chat(br#"{"type":"typing","from":"bob"}"#), Some(Event::Other));
        assert_eq!(Event::of_chat(b"[]"), None);
    }
}
