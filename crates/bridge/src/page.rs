//! Answers with a list in them: entries or people, bounded in number and bytes.

use mqttchat_protocol::{Entry, Frame};

/// The frames of entries, newest last; only the newest when they are more than `most` bytes, at least one.
pub(crate) fn newest_that_fit(frames: &[Frame], most: usize) -> &[Frame] {
    let mut bytes = 0;
    let fitting = frames.iter().rev().take_while(|frame| {
        bytes += frame.len();
        bytes <= most
    });
    let count = fitting.count().max(1).min(frames.len());
    &frames[frames.len() - count..]
}

/// The frames of entries, oldest first; only the oldest when they are more than `most` bytes, at least one.
pub(crate) fn oldest_that_fit(frames: &[Frame], most: usize) -> &[Frame] {
    let mut bytes = 0;
    let fitting = frames.iter().take_while(|frame| {
        bytes += frame.len();
        bytes <= most
    });
    let count = fitting.count().max(1).min(frames.len());
    &frames[..count]
}

/// The finished frames of entries.
pub(crate) fn frames(entries: &[Entry]) -> Vec<Frame> {
    entries.iter().map(Entry::to_frame).collect()
}

/// A JSON object with a list of finished frames behind its other members.
pub(crate) fn with_messages(members: &impl serde::Serialize, frames: &[Frame]) -> Vec<u8> {
    let size: usize = frames.iter().map(Frame::len).sum();
    let mut json = Vec::with_capacity(size + 512);
    // What is written here has no map with keys that aren't strings, and writing to a Vec can't fail.
    let _ = serde_json::to_writer(&mut json, members);
    json.pop();
    if json.len() > 1 {
        json.push(b',');
    }
    json.extend_from_slice(br#""messages":["#);
    for (at, frame) in frames.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(frame.as_json());
    }
    json.extend_from_slice(b"]}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded_from_either_end() {
        let frames: Vec<Frame> = (0..5).map(|_| Frame::text(&[b'x'; 30])).collect();
        assert_eq!((newest_that_fit(&frames, 100).len(), oldest_that_fit(&frames, 100).len()), (3, 3));
        let one = [Frame::text(&[b'x'; 200])];
        assert_eq!(
            (
                newest_that_fit(&one, 100).len(),
                oldest_that_fit(&one, 100).len(),
                newest_that_fit(&[], 100).len()
            ),
            (1, 1, 0)
        );
    }

    #[test]
    fn messages_stand_behind_the_other_members() {
        let frames = [Frame::text(b"1"), Frame::text(b"2")];
        assert_eq!(with_messages(&serde_json::json!({"a": 1}), &frames), br#"{"a":1,"messages":[1,2]}"#);
        assert_eq!(with_messages(&serde_json::json!({}), &[]), br#"{"messages":[]}"#);
    }
}
