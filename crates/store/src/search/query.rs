//! What is looked for.

use mqttchat_protocol::Party;

use super::tokens::{Piece, pairs, pieces};

/// How many words and phrases a query has at most, and how many tokens they come to: each costs.
const MOST: usize = 32;
const MOST_TOKENS: usize = 128;

const EMPTY: &str =
    "say what to look for: words, \"a phrase\", the beginning of a word with * behind it, or from:somebody";
const TOO_MANY: &str = "a search is for at most 32 words";
const NOBODY: &str = "behind from: stands a user id, as in from:ann";

/// What is looked for: words, all of them; `"a phrase"`; `prefix*`; `from:ann`. Case and accents don't count. In
/// scripts that don't separate words, any part of a text is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(crate) phrases: Vec<Phrase>,
    pub(crate) from: Option<Party>,
}

/// Tokens that stand one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// At least one.
    pub(crate) tokens: Vec<String>,
    /// Whether the last one is only the beginning of a token.
    pub(crate) prefix: bool,
}

impl Query {
    /// Parses what somebody has typed. A quotation mark without another one goes to the end.
    ///
    /// # Errors
    /// A sentence for them, when there is nothing to look for, or too much.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }

    fn word(&mut self, word: &str) -> Result<(), &'static str> {
        if let Some(name) = word.strip_prefix("from:") {
            let party = Party::parse(&name.to_lowercase()).ok_or(NOBODY)?;
            // Nobody is two people: what the last one says counts.
            self.from = Some(party);
            return Ok(());
        }
        self.phrase(word, word.ends_with('*'))
    }

    fn phrase(&mut self, text: &str, prefix: bool) -> Result<(), &'static str> {
        let Some(phrase) = Phrase::of(text, prefix) else { return Ok(()) };
        if self.phrases.len() == MOST || phrase.tokens.len() > MOST_TOKENS {
            return Err(TOO_MANY);
        }
        if !self.phrases.contains(&phrase) {
            self.phrases.push(phrase);
        }
        Ok(())
    }
}

impl std::str::FromStr for Query {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut query = Self { phrases: Vec::new(), from: None };
        for (number, part) in text.split('"').enumerate() {
            if number % 2 == 1 {
                query.phrase(part, false)?;
                continue;
            }
            for word in part.split_whitespace() {
                query.word(word)?;
            }
        }
        if query.phrases.is_empty() && query.from.is_none() { Err(EMPTY) } else { Ok(query) }
    }
}

impl Phrase {
    /// What a text comes to; `None` when nothing of it can be found.
    fn of(text: &str, mut prefix: bool) -> Option<Self> {
        let pieces = pieces(text);
        let last = pieces.len().checked_sub(1)?;
        let mut tokens = Vec::new();
        for (number, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Word(word) => tokens.push(word),
                Piece::Run(run) => {
                    tokens.extend(pairs(&run));
                    // Where the text goes on, the run ends. Where it doesn't, it may go on behind what is looked for.
                    if number < last {
                        tokens.extend(run.last().map(ToString::to_string));
                    } else {
                        prefix = run.len() == 1;
                        if prefix {
                            tokens.extend(run.last().map(ToString::to_string));
                        }
                    }
                }
            }
        }
        Some(Self { tokens, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phrases as FTS5 would write them, and the author.
    fn parsed(text: &str) -> String {
        let query = Query::parse(text).unwrap();
        let mut words: Vec<String> = query
            .phrases
            .iter()
            .map(|phrase| format!("{}{}", phrase.tokens.join("+"), if phrase.prefix { "*" } else { "" }))
            .collect();
        words.extend(query.from.map(|from| format!("from:{from}")));
        words.join(" ")
    }

    #[test]
    fn words_phrases_prefixes_and_authors() {
        assert_eq!(parsed("Hello  wörld"), "hello world");
        assert_eq!(parsed("\"Hello, world\" now"), "hello+world now");
        assert_eq!(parsed("say \"hello world"), "say hello+world");
        assert_eq!(parsed("pre* fix"), "pre* fix");
        assert_eq!(parsed("e-mail* don't"), "e+mail* don+t");
        assert_eq!(parsed("from:Ann"), "from:ann");
        assert_eq!(parsed("from:mqtt:lamp on on"), "on from:mqtt:lamp");
    }

    #[test]
    fn scripts_without_spaces() {
        assert_eq!(parsed("東京"), "東京");
        assert_eq!(parsed("東京大"), "東京+京大");
        assert_eq!(parsed("京"), "京*");
        assert_eq!(parsed("買iPhone"), "買+iphone");
        assert_eq!(parsed("iPhone手機"), "iphone+手機");
        assert_eq!(parsed("手機iPhone*"), "手機+機+iphone*");
        assert_eq!(parsed("東京*"), "東京");
        assert_eq!(parsed("👍"), "👍*");
    }

    #[test]
    fn never_a_syntax_error() {
        for text in
            ["AND", "a OR (b", "NEAR(a b)", "a:b", "-a ^b", "a\0b", "\"\"\"a", "'; DROP", "{a}", "a* *b"]
        {
            assert!(Query::parse(text).is_ok(), "{text}");
        }
        for text in ["", "  ", "\"", "\"\"", "* - !", "..."] {
            assert_eq!(Query::parse(text), Err(EMPTY.into()), "{text}");
        }
        assert_eq!(Query::parse("from:"), Err(NOBODY.into()));
        assert_eq!(Query::parse("from:a/b hi"), Err(NOBODY.into()));
        let words: Vec<String> = (0..129).map(|n| format!("w{n}")).collect();
        assert_eq!(Query::parse(&words[..33].join(" ")), Err(TOO_MANY.into()));
        assert_eq!(Query::parse(&words.join("-")), Err(TOO_MANY.into()));
        assert!(Query::parse(&words[..32].join(" ")).is_ok());
    }
}
