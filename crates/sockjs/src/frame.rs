//! What is said in a session, as text: one letter, and JSON behind it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// The session is open.
pub const OPEN: &str = "o";
/// The session is still there.
pub const HEARTBEAT: &str = "h";

/// Messages to the client: `a["…","…"]`.
#[must_use]
pub fn messages<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut frame = "a[".to_owned();
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            frame.push(',');
        }
        quote_into(&mut frame, text.as_ref());
    }
    frame.push(']');
    frame
}

/// The session is over: `c[3000,"Go away!"]`.
#[must_use]
pub fn close(code: u16, reason: &str) -> String {
    let mut frame = format!("c[{code},");
    quote_into(&mut frame, reason);
    frame.push(']');
    frame
}

/// A JSON string in which nothing is left that a browser might change on the way (surrogates aside, which a `str`
/// has none of).
fn quote_into(frame: &mut String, text: &str) {
    let quoted = serde_json::Value::from(text).to_string();
    // All of them begin with one of these bytes, which are rare in most texts.
    if !quoted.bytes().any(|byte| matches!(byte, 0xe2 | 0xef)) {
        frame.push_str(&quoted);
        return;
    }
    for character in quoted.chars() {
        if matches!(character, '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}')
        {
            frame.push_str(&format!("\\u{:04x}", character as u32));
        } else {
            frame.push(character);
        }
    }
}

/// What a client sent is not messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is nothing, or something else than an array of strings.
    #[error("Payload expected.")]
    Payload,
    /// It isn't JSON.
    #[error("Broken JSON encoding.")]
    Json,
    /// They are more than [`MESSAGES_MAX`].
    #[error("Too many messages.")]
    TooMany,
}

/// Messages that may come together.
pub const MESSAGES_MAX: usize = 1024;

/// Parses a JSON array of strings, in UTF-8. Halves of surrogate pairs, which JavaScript's strings can have, become U+FFFD.
///
/// # Errors
/// [`FrameError`], in the words that SockJS's clients know.
pub fn decode(json: &[u8]) -> Result<Vec<String>, FrameError> {
    if json.is_empty() {
        return Err(FrameError::Payload);
    }
    // Strings are asked for as bytes, which serde_json doesn't look at.
    let Ok(json) = std::str::from_utf8(json) else { return Err(FrameError::Json) };
    match serde_json::from_str::<Vec<Text>>(json) {
        Ok(texts) if texts.len() > MESSAGES_MAX => Err(FrameError::TooMany),
        Ok(texts) => Ok(texts.into_iter().map(|text| text.0).collect()),
        Err(error) if error.is_data() => Err(FrameError::Payload),
        Err(_) => Err(FrameError::Json),
    }
}

/// Parses what comes over a WebSocket: an array of strings, a string alone, or nothing.
///
/// # Errors
/// As [`decode`].
pub fn decode_websocket(text: &str) -> Result<Vec<String>, FrameError> {
    match text.as_bytes() {
        [] => Ok(Vec::new()),
        [b'"', ..] => match serde_json::from_str::<Text>(text) {
            Ok(text) => Ok(vec![text.0]),
            Err(_) => Err(FrameError::Json),
        },
        json => decode(json),
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        // As bytes, serde_json gives halves of surrogate pairs too.
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_browsers_mangle_is_escaped() {
        assert_eq!(messages(["x", "a\"\\\n\u{0}"]), r#"a["x","a\"\\\n\u0000"]"#);
        assert_eq!(messages(["\u{2028}\u{200d}grüße€🎈\u{fffd}"]), "a[\"\\u2028\\u200dgrüße€🎈\\ufffd\"]");
        assert_eq!(messages::<&str>([]), "a[]");
        assert_eq!(close(3000, "Go \"away\"!"), r#"c[3000,"Go \"away\"!"]"#);
    }

    #[test]
    fn arrays_of_strings() {
        assert_eq!(decode(br#"["a","\u00fc\ud83c\udf88"]"#).unwrap(), ["a", "ü🎈"]);
        assert_eq!(decode(b" [] ").unwrap(), Vec::<String>::new());
        for payload in [&b""[..], b"1", b"null", b"{}", b"\"a\"", b"[1]", b"[[\"a\"]]"] {
            assert_eq!(decode(payload), Err(FrameError::Payload), "{payload:?}");
        }
        for broken in [&br#"["x"#[..], b"[", b"x", br#"["a"] x"#, br#"["a",]"#, b"[\"\xff\"]"] {
            assert_eq!(decode(broken), Err(FrameError::Json), "{broken:?}");
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        let [text] = &decode(br#"["a\ud83cb"]"#).unwrap()[..] else { panic!("one text") };
        assert!(text.starts_with('a') && text.ends_with('b') && text.contains('\u{fffd}'), "{text:?}");
    }

    #[test]
    fn websockets_bring_strings_too() {
        assert_eq!(decode_websocket("\"a\"").unwrap(), ["a"]);
        assert_eq!(decode_websocket("[\"a\",\"b\"]").unwrap(), ["a", "b"]);
        assert_eq!(decode_websocket("").unwrap(), Vec::<String>::new());
        assert_eq!(decode_websocket("[\"a"), Err(FrameError::Json));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(texts in prop::collection::vec(any::<String>(), 0..8), code in 1000..5000u16) {
            let frame = messages(&texts);
            let json = frame.strip_prefix('a').unwrap();
            prop_assert_eq!(decode(json.as_bytes()).unwrap(), texts.as_slice());
            prop_assert_eq!(decode_websocket(json).unwrap(), texts.as_slice());
            // As clients send them, with other escapes.
            let sent = serde_json::to_string_pretty(&texts).unwrap();
            prop_assert_eq!(decode(sent.as_bytes()).unwrap(), texts.as_slice());
            let mangled = |c: char| matches!(c, '\0'..='\u{1f}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}');
            prop_assert!(!frame.contains(mangled), "{frame:?}");
            for text in &texts {
                prop_assert_eq!(&decode_websocket(&serde_json::to_string(text).unwrap()).unwrap()[..], std::slice::from_ref(text));
                let closed = close(code, text);
                let (read, reason): (u16, String) = serde_json::from_str(closed.strip_prefix('c').unwrap()).unwrap();
                prop_assert_eq!((read, &reason), (code, text));
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(decode("[".repeat(100_000).as_bytes()).is_err());
    }
}
