//! What a program on the broker asks of a conversation's log (docs/mqtt.md "History").

use mqttchat_protocol::{Dest, ErrorCode, HistoryBounds, Refusal};
use serde::Deserialize;

/// Bytes of a question.
const QUESTION_MAX: usize = 4096;

/// A part of a conversation's log.
#[derive(Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) dest: Dest,
    pub(crate) bounds: HistoryBounds,
    /// How many entries at most.
    pub(crate) limit: u64,
    /// Comes back in the answer, whatever it is.
    pub(crate) id: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    dest: String,
    before: Option<u64>,
    after: Option<u64>,
    limit: Option<u64>,
    id: Option<String>,
}

impl Question {
    /// Parses a payload; an answer has at most `most` entries.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is wrong: `too_large`, `bad_frame` or `bad_dest`.
    pub(crate) fn parse(payload: &[u8], most: u64) -> Result<Self, Refusal> {
        let bad = |reason: String| Refusal::new(ErrorCode::BadFrame, reason);
        if payload.len() > QUESTION_MAX {
            let reason = format!("a question is at most {QUESTION_MAX} bytes");
            return Err(Refusal::new(ErrorCode::TooLarge, reason));
        }
        let raw: Raw =
            serde_json::from_slice(payload).map_err(|error| bad(format!("not a question: {error}")))?;
        if raw.before.is_some() && raw.after.is_some() {
            return Err(bad("give before or after, not both".to_owned()));
        }
        let dest = Dest::parse(&raw.dest)?;
        let limit = raw.limit.unwrap_or(most).min(most);
        let bounds = HistoryBounds { before: raw.before, after: raw.after, limit: Some(limit) };
        Ok(Self { dest, bounds, limit, id: raw.id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_what_is_none() {
        let question = Question::parse(br#"{"dest":"public","after":7,"limit":1000,"id":"q"}"#, 100).unwrap();
        assert_eq!((question.dest, question.bounds.after, question.limit), (Dest::Public, Some(7), 100));
        let code = |payload: &[u8]| Question::parse(payload, 100).unwrap_err().code;
        for bad in [&b"{}"[..], b"public", b"\xff", br#"{"dest":"public","before":1,"after":2}"#] {
            assert_eq!(code(bad), ErrorCode::BadFrame);
        }
        assert_eq!(code(br#"{"dest":"rooms/+"}"#), ErrorCode::BadDest);
        assert_eq!(code(&[b' '; QUESTION_MAX + 1]), ErrorCode::TooLarge);
    }
}
