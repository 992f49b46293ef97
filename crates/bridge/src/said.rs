//! What strangers on the broker publish, before it is known where it belongs (docs/mqtt.md "Taking part with an MQTT client").

use std::sync::Arc;

use mqttchat_protocol::{DisplayName, MessageId, Party};
use serde_json::Value;

/// Why a stranger's message was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    NotText,
    Malformed,
    TooLong,
    /// It claims to be ours, and isn't.
    Forged,
    NoSuchPlace,
    /// By a route of the application.
    Stopped,
}

impl Rejected {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotText => "not_text",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Forged => "forged",
            Self::NoSuchPlace => "no_such_place",
            Self::Stopped => "stopped",
        }
    }
}

/// What a stranger says: a text, or an object that has one.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) from: Option<String>,
    pub(crate) id: Option<MessageId>,
}

impl Said {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Rejected> {
        let text = std::str::from_utf8(payload).map_err(|_| Rejected::NotText)?;
        let said = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => {
                if object.contains_key("type") || object.contains_key("sign") {
                    return Err(Rejected::Forged);
                }
                let member = |name: &str| match object.get(name) {
                    None | Some(Value::Null) => Ok(None),
                    Some(Value::String(text)) => Ok(Some(text.clone())),
                    Some(_) => Err(Rejected::Malformed),
                };
                let id =
                    member("id")?.map(|id| MessageId::parse(&id).ok_or(Rejected::Malformed)).transpose()?;
                Self { text: member("text")?.ok_or(Rejected::Malformed)?, from: member("from")?, id }
            }
            _ => Self { text: text.to_owned(), from: None, id: None },
        };
        let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
        if said.text.is_empty() || !said.text.chars().all(is_text) {
            return Err(Rejected::NotText);
        }
        Ok(said)
    }

    /// Who says it, and the name that is shown.
    pub(crate) fn sender(&self) -> (Party, Arc<str>) {
        let from = Party::foreign(self.from.as_deref().unwrap_or("guest"));
        let name = self.from.as_deref().and_then(DisplayName::parse);
        let name =
            name.map_or_else(|| from.as_str().trim_start_matches("mqtt:").into(), |name| name.to_shared());
        (from, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(payload: &str) -> Result<Said, Rejected> {
        Said::parse(payload.as_bytes())
    }

    #[test]
    fn text_and_objects_are_taken_in() {
        for text in ["hello", "7", "null", "[1]", "{broken", "two\nlines", "\"quoted\""] {
            assert_eq!(said(text).unwrap().text, text);
        }
        let full = said(r#"{"text":"on","from":"Lamp","id":"l1","more":1}"#).unwrap();
        assert_eq!(
            (full.text.as_str(), full.from.as_deref(), full.id),
            ("on", Some("Lamp"), MessageId::parse("l1"))
        );
    }

    #[test]
    fn what_claims_to_be_ours_or_is_no_text_is_not() {
        assert_eq!(said(r#"{"type":"msg","text":"x"}"#), Err(Rejected::Forged));
        assert_eq!(said(r#"{"text":"x","sign":"y"}"#), Err(Rejected::Forged));
        for bad in [r#"{"a":1}"#, r#"{"text":7}"#, r#"{"text":"x","id":""}"#, r#"{"text":"x","from":7}"#] {
            assert_eq!(said(bad), Err(Rejected::Malformed), "{bad}");
        }
        for bad in ["", "a\0b", "\u{1b}[2J", r#"{"text":""}"#] {
            assert_eq!(said(bad), Err(Rejected::NotText), "{bad:?}");
        }
        assert_eq!(Said::parse(&[0xff, 0xfe]), Err(Rejected::NotText));
    }
}
