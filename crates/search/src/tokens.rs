//! A text as tokens: words, and pairs of neighbors where no blanks stand between words.

use std::ops::ControlFlow;

use crate::fold::{Folded, fold, join};

/// Characters of a token; what follows them in a word does not count.
pub(crate) const MAX_TOKEN_CHARS: usize = 64;

/// One token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Letters, digits and marks, folded.
    pub text: &'a str,
    /// Where it stands, in characters of the text; end exclusive.
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

/// What stands behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// Two neighbors of a text without blanks.
    Pair,
    /// The last character of such a text, so that it can be found alone.
    Last {
        /// Nothing stood before it.
        is_alone: bool,
    },
}

/// Takes `text` apart; `take` may end it early.
///
/// `日本語 is` has the tokens `日本`, `本語`, `語`, `is`: a search for two or more characters is a
/// phrase of pairs, a search for one is a prefix.
pub fn tokens(text: &str, take: impl FnMut(Token<'_>) -> ControlFlow<()>) {
    let mut reader = Reader::new(take);
    let mut characters = text.chars().enumerate().peekable();
    while let Some((start, mut c)) = characters.next() {
        let mut end = start + 1;
        if !c.is_ascii() {
            while let Some(joined) = characters.peek().and_then(|(_, mark)| join(c, *mark)) {
                c = joined;
                end += 1;
                characters.next();
            }
        }
        let mut goes_on = ControlFlow::Continue(());
        fold(c, |folded| {
            if goes_on.is_continue() {
                goes_on = reader.read(folded, start, end);
            }
        });
        if goes_on.is_break() {
            return;
        }
    }
    // What comes back only says that nobody wants more.
    let _ended = reader.end_word().is_continue() && reader.end_run().is_continue();
}

struct Reader<F> {
    take: F,
    word: String,
    word_chars: usize,
    word_start: usize,
    word_end: usize,
    /// The last character of a text without blanks, and where it stands.
    last: Option<(char, usize, usize)>,
    is_first: bool,
}

impl<F: FnMut(Token<'_>) -> ControlFlow<()>> Reader<F> {
    fn new(take: F) -> Self {
        Self {
            take,
            word: String::with_capacity(MAX_TOKEN_CHARS),
            word_chars: 0,
            word_start: 0,
            word_end: 0,
            last: None,
            is_first: true,
        }
    }

    fn read(&mut self, folded: Folded, start: usize, end: usize) -> ControlFlow<()> {
        match folded {
            Folded::Letter(c) => {
                self.end_run()?;
                if self.word_chars == 0 {
                    self.word_start = start;
                }
                self.word_end = end;
                if self.word_chars < MAX_TOKEN_CHARS {
                    self.word.push(c);
                    self.word_chars += 1;
                }
            }
            Folded::Wide(c) => {
                self.end_word()?;
                if let Some((before, first, _)) = self.last {
                    self.is_first = false;
                    self.give(&[before, c], first, end, Kind::Pair)?;
                }
                self.last = Some((c, start, end));
            }
            Folded::Silent if self.word_chars > 0 => self.word_end = end,
            Folded::Silent => {
                if let Some((_, _, last)) = &mut self.last {
                    *last = end;
                }
            }
            Folded::Gap => {
                self.end_word()?;
                self.end_run()?;
            }
        }
        ControlFlow::Continue(())
    }

    fn end_word(&mut self) -> ControlFlow<()> {
        if self.word_chars == 0 {
            return ControlFlow::Continue(());
        }
        self.word_chars = 0;
        let (start, end) = (self.word_start, self.word_end);
        let went = (self.take)(Token { text: &self.word, start, end, kind: Kind::Word });
        self.word.clear();
        went
    }

    fn end_run(&mut self) -> ControlFlow<()> {
        let is_alone = std::mem::replace(&mut self.is_first, true);
        match self.last.take() {
            Some((c, start, end)) => self.give(&[c], start, end, Kind::Last { is_alone }),
            None => ControlFlow::Continue(()),
        }
    }

    /// Gives a token without touching the word, of which there is none.
    fn give(&mut self, text: &[char], start: usize, end: usize, kind: Kind) -> ControlFlow<()> {
        self.word.extend(text);
        let went = (self.take)(Token { text: &self.word, start, end, kind });
        self.word.clear();
        went
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut all = Vec::new();
        tokens(text, |token| {
            let original: String =
                text.chars().skip(token.start).take(token.end - token.start).collect();
            all.push(format!("{}={original}", token.text));
            ControlFlow::Continue(())
        });
        all.join(" ")
    }

    #[test]
    fn a_text_becomes_tokens_that_know_where_they_stand() {
        for (text, expected) in [
            ("Hello, WORLD! 42", "hello=Hello world=WORLD 42=42"),
            ("Ann.Lee@mail.example.com", "ann=Ann lee=Lee mail=mail example=example com=com"),
            ("cafe\u{301}s x", "cafes=cafe\u{301}s x=x"),
            ("日本語 is", "日本=日本 本語=本語 語=語 is=is"),
            ("x日y", "x=x 日=日 y=y"),
            ("か\u{3099}く", "がく=か\u{3099}く く=く"),
            ("ﬁ½", "fi1=ﬁ½ 2=½"),
            ("😀 --", ""),
            ("a_b", "a=a b=b"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_word_counts_by_its_beginning() {
        let mut seen = Vec::new();
        tokens(&"é".repeat(1000), |token| {
            seen.push((token.text.to_owned(), token.start, token.end));
            ControlFlow::Continue(())
        });
        assert_eq!(seen, [("e".repeat(MAX_TOKEN_CHARS), 0, 1000)]);
    }

    #[test]
    fn it_ends_when_nobody_wants_more() {
        let mut seen = 0;
        tokens("a b c 日本語 d", |_| {
            seen += 1;
            if seen == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen, 4);
    }
}
