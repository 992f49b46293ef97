//! What a reaction can be: an emoji, or a short text that everybody sees (§4).

use crate::name::is_deceptive;

/// An emoji can be many code points long (flags, families, skin tones), but not this long. In bytes.
pub(crate) const EMOJI_MAX: usize = 32;

const JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';

/// Whether a text can be a reaction: 1 to 32 bytes without spaces, of which all can be seen. What joins and varies emoji
/// (Unicode Technical Standard #51) may stand where it does so; elsewhere it would make two reactions that look alike.
pub(crate) fn is_emoji(text: &str) -> bool {
    if text.is_empty() || text.len() > EMOJI_MAX {
        return false;
    }
    let chars: Vec<char> = text.chars().collect();
    let fits = |at: usize, c: char| {
        let (before, after) = (at.checked_sub(1).map(|at| chars[at]), chars.get(at + 1).copied());
        if c == JOINER {
            before.is_some_and(can_be_joined) && after.is_some_and(can_be_joined)
        } else if is_selector(c) {
            before.is_some_and(|before| !before.is_ascii_alphabetic() && !is_joining(before))
        } else if is_tag(c) {
            // The flags of regions, such as Scotland's.
            chars.first() == Some(&BLACK_FLAG) && chars[1..at].iter().all(|c| is_tag(*c))
        } else if is_mark(c) {
            before.is_some()
        } else {
            !is_unseen(c)
        }
    };
    chars.iter().enumerate().all(|(at, c)| fits(at, *c))
}

fn can_be_joined(c: char) -> bool {
    is_selector(c) || !(is_tag(c) || is_mark(c) || c.is_alphanumeric() || is_unseen(c))
}

/// Chooses how what is before it looks.
fn is_selector(c: char) -> bool {
    ('\u{fe00}'..='\u{fe0f}').contains(&c)
}

fn is_tag(c: char) -> bool {
    ('\u{e0020}'..='\u{e007f}').contains(&c)
}

fn is_joining(c: char) -> bool {
    c == JOINER || is_selector(c) || is_tag(c)
}

/// Stands over, under or around what is before it; U+20E3 makes a key of a digit.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

fn is_unseen(c: char) -> bool {
    c.is_whitespace() || is_deceptive(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_react_with() {
        for good in [
            "👍",
            "👍🏽",
            "❤",
            "❤️",
            "❤️‍🔥",
            "👩‍👩‍👧",
            "👩‍👩‍👧‍👦",
            "👩🏽‍🚀",
            "🏳️‍🌈",
            "🇩🇪",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
            "1️⃣",
            "#️⃣",
            "ℹ️",
            "©️",
            "㊗️",
            "🅰️",
            "+1",
            "-1",
            ":tada:",
            "lol",
            "ok!",
            "да",
            "好",
            "ですね",
            "e\u{301}",
            "¯\\_(ツ)_/¯",
            "<3",
            "नमस्ते",
            "x",
        ] {
            assert!(is_emoji(good), "{good}");
        }
    }

    #[test]
    fn what_cannot_be_seen_or_hides_something() {
        for bad in [
            "",
            " ",
            "a b",
            "a\n",
            "\u{7f}",
            "\u{a0}",
            "\u{3000}",
            "\u{202e}",
            "👍\u{202e}",
            "\u{2066}x",
            "\u{200b}",
            "👍\u{200b}",
            "\u{200c}",
            "\u{feff}",
            "\u{2060}",
            "\u{ad}",
            "\u{200d}",
            "👍\u{200d}",
            "\u{200d}👍",
            "👍\u{200d}\u{200d}👍",
            "a\u{200d}b",
            "1\u{200d}👍",
            "\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "a\u{fe0f}",
            "\u{301}",
            "\u{20e3}",
            "👍\u{e0067}",
            "\u{e0067}",
            "\u{e0001}",
            "\u{e0100}",
            "👍\u{e0100}",
            "\u{3164}",
            "\u{115f}",
            "\u{2800}",
            "a\u{34f}b",
        ] {
            assert!(!is_emoji(bad), "{bad:?}");
        }
        assert!(is_emoji(&"x".repeat(32)) && !is_emoji(&"x".repeat(33)));
    }
}
