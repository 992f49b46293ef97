//! What a text is found by: words without case and accents, and pairs of characters where a script has no words.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

/// The longest token, in bytes; longer ones are cut off, in the index and in queries alike.
const LONGEST: usize = 120;
/// How many tokens of a text are indexed, and how many bytes: about as far as PostgreSQL goes.
const MOST: usize = 16_000;
const MOST_BYTES: usize = 400_000;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A word.
    Word(String),
    /// Characters of a script that doesn't separate words.
    Run(Vec<char>),
}

/// What a text is indexed by. A run gives each character together with the next, and the last one alone: so whatever
/// part of it is looked for is a row of neighbours.
pub(super) fn of_text(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Word(word) => tokens.push(word),
            Piece::Run(run) => tokens.extend(pairs(&run).chain(run.last().map(ToString::to_string))),
        }
        if tokens.len() >= MOST {
            break;
        }
    }
    let mut bytes = 0;
    let kept = tokens.iter().take(MOST).take_while(|token| {
        bytes += token.len();
        bytes <= MOST_BYTES
    });
    let kept = kept.count();
    tokens.truncate(kept);
    tokens
}

/// Each character of a run with the next.
pub(super) fn pairs(run: &[char]) -> impl Iterator<Item = String> {
    run.windows(2).map(|pair| pair.iter().collect())
}

/// The words and runs of a text, folded.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let (mut pieces, mut word, mut run) = (Vec::new(), String::new(), Vec::new());
    let end_word = |word: &mut String, pieces: &mut Vec<Piece>| {
        if !word.is_empty() {
            cut(word);
            pieces.push(Piece::Word(std::mem::take(word)));
        }
    };
    for c in text.nfkc() {
        if is_unspaced(c) {
            end_word(&mut word, &mut pieces);
            run.push(c);
            continue;
        }
        if !run.is_empty() {
            pieces.push(Piece::Run(std::mem::take(&mut run)));
        }
        if is_point(c) {
            continue;
        }
        if c.is_alphanumeric() {
            c.to_lowercase().for_each(|c| fold(c, &mut word));
        } else if !is_combining_mark(c) {
            end_word(&mut word, &mut pieces);
        }
    }
    end_word(&mut word, &mut pieces);
    if !run.is_empty() {
        pieces.push(Piece::Run(run));
    }
    pieces
}

/// Points and strokes that most people leave out: accents on their own, Hebrew and Arabic vowels.
fn is_point(c: char) -> bool {
    is_combining_mark(c)
        && matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}'
            | '\u{670}' | '\u{6d6}'..='\u{6ed}')
}

/// Adds a letter without what stands above, below or through it.
fn fold(c: char, word: &mut String) {
    match c {
        'a'..='z' | '0'..='9' => word.push(c),
        'ß' => word.push_str("ss"),
        'ς' => word.push('σ'),
        'ø' => word.push('o'),
        'ł' => word.push('l'),
        'đ' | 'ð' => word.push('d'),
        'ı' => word.push('i'),
        'æ' => word.push_str("ae"),
        'œ' => word.push_str("oe"),
        'þ' => word.push_str("th"),
        // A syllable stays one: taken apart, it would be as long as a word.
        '\u{ac00}'..='\u{d7a3}' => word.push(c),
        _ => decompose_canonical(c, |part| {
            if part.is_alphanumeric() {
                word.push(part);
            }
        }),
    }
}

fn cut(word: &mut String) {
    if word.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
        word.truncate(end);
    }
}

/// Characters of scripts that don't put spaces between words, and pictures.
fn is_unspaced(c: char) -> bool {
    let in_range = matches!(c,
        // Thai, Lao, Tibetan, Myanmar, Khmer.
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ece}' | '\u{edc}'..='\u{edf}'
        | '\u{f00}' | '\u{f35}' | '\u{f37}' | '\u{f39}' | '\u{f40}'..='\u{f84}' | '\u{f86}'..='\u{fbc}'
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{109d}' | '\u{1780}'..='\u{17d3}' | '\u{17dc}'..='\u{17dd}'
        // Tai Le, New Tai Lue, Tai Tham, Balinese, Javanese, more Myanmar, Tai Viet.
        | '\u{1950}'..='\u{19c9}' | '\u{1a20}'..='\u{1a7f}' | '\u{1b00}'..='\u{1b4c}' | '\u{a980}'..='\u{a9c0}'
        | '\u{a9e0}'..='\u{a9ef}' | '\u{aa60}'..='\u{aaef}'
        // Han, kana, bopomofo, Yi.
        | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}'
        | '\u{303b}' | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30ff}' | '\u{3105}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{a000}'..='\u{a48c}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}');
    // Emoji: each stands for itself.
    in_range || matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::of_text;

    fn tokens(text: &str) -> String {
        of_text(text).join(" ")
    }

    #[test]
    fn words_without_case_accents_and_punctuation() {
        assert_eq!(tokens("Hello, WORLD! don't e-mail"), "hello world don t e mail");
        assert_eq!(
            tokens("Ångström ÉTÉ e\u{301}te\u{301} Straße Łódź İstanbul"),
            "angstrom ete ete strasse lodz istanbul"
        );
        assert_eq!(tokens("Привет МИР Ёлка"), "привет мир елка");
        assert_eq!(tokens("ΟΔΟΣ οδός"), "οδοσ οδοσ");
        assert_eq!(tokens("한국어 שָׁלוֹם"), "한국어 שלום");
        assert_eq!(tokens("ｆｕｌｌ ﬁne ①"), "full fine 1");
        assert_eq!(tokens("§c1 \"'*() --"), "c1");
        assert_eq!(tokens(""), "");
    }

    #[test]
    fn runs_of_scripts_without_spaces() {
        assert_eq!(tokens("東京大学"), "東京 京大 大学 学");
        assert_eq!(tokens("買iPhone手機!"), "買 iphone 手機 機");
        assert_eq!(tokens("สวัสดี"), "สว วั ัส สด ดี ี");
        assert_eq!(tokens("ok 👍"), "ok 👍");
    }

    #[test]
    fn long_ones_are_cut() {
        assert_eq!(tokens(&"x".repeat(1000)).len(), 120);
        assert_eq!(of_text(&"a ".repeat(100_000)).len(), 16_000);
    }
}
