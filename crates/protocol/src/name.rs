//! Display names, and the ids made from them (§1, §3).

use std::fmt;
use std::sync::Arc;

/// The longest display name, in Unicode characters.
const NAME_MAX: usize = 64;

/// What people see of somebody: 1 to 64 characters of any script, without control, bidi-control or invisible ones.
///
/// Spaces of any width around it are dropped before it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisplayName(Arc<str>);

impl DisplayName {
    /// Parses a name; `None` when it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c: char| c.is_whitespace() && !is_deceptive(c));
        let chars = text.chars().count();
        ((1..=NAME_MAX).contains(&chars) && !deceives(text)).then(|| Self(text.into()))
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of it, shared.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The user id that a guest of this name gets (§3): ASCII letters and digits in lower case, a `-` for each run of
    /// others, `u-` and 8 random characters when nothing is left.
    #[must_use]
    pub fn guest_id(&self) -> String {
        let id = slug(&self.0);
        if !id.is_empty() {
            return id;
        }
        let random = std::iter::repeat_with(|| {
            char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[rand::random_range(0..36)])
        });
        format!("u-{}", random.take(8).collect::<String>())
    }

    /// This name with a number behind it, shortened to stay a name: what to suggest when it is taken.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let suffix = format!(" {number}");
        let kept: String = self.0.chars().take(NAME_MAX - suffix.len()).collect();
        Self(format!("{}{suffix}", kept.trim_end()).into())
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for DisplayName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Whether something in it hides, or changes what is around it.
fn deceives(text: &str) -> bool {
    let mut before = None;
    text.chars().any(|c| {
        let previous = before.replace(c);
        match c {
            // Text or emoji: seen behind a symbol only. Elsewhere it makes one name look like another.
            '\u{fe0e}' | '\u{fe0f}' => !previous.is_some_and(is_symbol),
            // Forms of Mongolian letters.
            '\u{180b}'..='\u{180d}' | '\u{180f}' => !matches!(previous, Some('\u{1820}'..='\u{18aa}')),
            _ => is_deceptive(c),
        }
    })
}

/// Whether `c` is something that comes as text and as emoji; some letters do.
fn is_symbol(c: char) -> bool {
    matches!(c, '\u{2139}' | '\u{24c2}')
        || !(c.is_ascii() || c.is_alphanumeric() || c.is_whitespace() || is_deceptive(c))
}

/// Characters that hide, reorder or break the text around them: Unicode's `Cc`, `Bidi_Control` and
/// `Default_Ignorable_Code_Point` (`DerivedCoreProperties.txt` of Unicode 17), separators of lines, marks of annotations,
/// the blank of Braille, and what is no character.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
            | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// ASCII letters and digits in lower case, runs of others as one `-`, trimmed, at most 64 characters.
pub(crate) fn slug(text: &str) -> String {
    let mut id = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c.to_ascii_lowercase());
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
    }
    id.truncate(64);
    id.truncate(id.trim_end_matches('-').len());
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    #[test]
    fn names_of_any_script() {
        for good in [
            "Ann",
            " Ann ",
            "\u{a0}Ann\u{3000}",
            "Ångström",
            "小明",
            "Мария-Луиза",
            "a\u{301}",
            &"ü".repeat(64),
            "🦀",
            "I ❤\u{fe0f} you",
            "\u{2139}\u{fe0f}",
            "\u{182a}\u{180b}\u{1820}",
        ] {
            assert!(DisplayName::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\0",
            "a\u{202e}b",
            "a\u{200b}b",
            "\u{feff}a",
            "\u{3164}",
            "a\u{2028}",
            "A\u{34f}nn",
            "An\u{fe0f}n",
            "❤\u{fe0f}\u{fe0f}",
            "\u{fe0f}",
            "An\u{fe00}n",
            "An\u{180b}n",
            "An\u{1d173}n",
            "An\u{1bca0}n",
            "\u{2800}",
            "a\u{fffe}",
            "a\u{1ffff}",
            "a\u{fdd0}",
            &"ü".repeat(65),
        ] {
            assert!(DisplayName::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn guest_ids() {
        let id = |name: &str| DisplayName::parse(name).unwrap().guest_id();
        assert_eq!(id("Ann"), "ann");
        assert_eq!(id("  Ann  Müller! "), "ann-m-ller");
        assert_eq!(id("__x__"), "x");
        assert!(id("小明").starts_with("u-") && id("小明").len() == 10);
        assert_ne!(id("小明"), id("小明"));
        let long = id(&format!("{}!b", "a".repeat(62)));
        assert!(UserId::parse(&long).is_some(), "{long}");
    }

    #[test]
    fn numbered_names_stay_names() {
        assert_eq!(DisplayName::parse("Ann").unwrap().numbered(2).as_str(), "Ann 2");
        let long = DisplayName::parse(&"ü".repeat(64)).unwrap().numbered(12);
        assert!(DisplayName::parse(long.as_str()).is_some());
        let spaces = format!("\u{2000}{}kc", " ".repeat(59));
        let wide = DisplayName::parse(&spaces).unwrap();
        assert_eq!((wide.as_str(), wide.numbered(u32::MAX).as_str()), ("kc", "kc 4294967295"));
        let within = DisplayName::parse(&format!("k{}c", " ".repeat(62))).unwrap().numbered(u32::MAX);
        assert_eq!(DisplayName::parse(within.as_str()), Some(within));
    }
}
