//! The words of a query, each with its place.

use super::QueryError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lexeme {
    pub(crate) kind: LexemeKind,
    /// In characters of the query; end exclusive.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LexemeKind {
    Open,
    Close,
    /// A minus that something follows at once.
    Minus,
    And,
    Or,
    Not,
    /// A word and a colon before a value, in lower case.
    Field(String),
    /// Of a property: its name is there, its value follows.
    Compare(Comparison),
    Word(String),
    Quoted {
        text: String,
        /// A star follows the closing quotation mark.
        is_prefix: bool,
    },
}

/// How a property is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    /// As it is written.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl Lexeme {
    pub(crate) fn error(&self, message: impl Into<String>) -> QueryError {
        QueryError {
            message: message.into(),
            start: self.start,
            length: self.end.saturating_sub(self.start),
        }
    }
}

/// Whether a colon behind this word makes it a field.
pub(crate) type IsField<'a> = &'a dyn Fn(&str) -> bool;

/// Cuts a query into its words.
///
/// # Errors
///
/// A quotation mark that is not closed.
pub(crate) fn lex(text: &str, is_field: IsField<'_>) -> Result<Vec<Lexeme>, QueryError> {
    let characters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { characters: &characters, at: 0, found: Vec::new(), is_field };
    while let Some(c) = lexer.peek() {
        lexer.read(c)?;
    }
    Ok(lexer.found)
}

struct Lexer<'a> {
    characters: &'a [char],
    at: usize,
    found: Vec<Lexeme>,
    is_field: IsField<'a>,
}

fn is_quote(c: char) -> bool {
    // Keyboards and word processors make these of what was typed.
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»')
}

fn is_comparison(c: char) -> bool {
    matches!(c, '=' | '<' | '>')
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn push(&mut self, kind: LexemeKind, start: usize) {
        self.found.push(Lexeme { kind, start, end: self.at });
    }

    fn read(&mut self, c: char) -> Result<(), QueryError> {
        let start = self.at;
        match c {
            _ if c.is_whitespace() || c.is_control() => self.at += 1,
            '(' => {
                self.at += 1;
                self.push(LexemeKind::Open, start);
            }
            ')' => {
                self.at += 1;
                self.push(LexemeKind::Close, start);
            }
            '-' | '−' if self.minus_negates() && !self.follows_comparison() => {
                self.at += 1;
                self.push(LexemeKind::Minus, start);
            }
            _ if is_comparison(c) && self.follows_property() => self.comparison(c, start),
            _ if is_quote(c) => self.quoted(start)?,
            _ => self.word(start),
        }
        Ok(())
    }

    fn minus_negates(&self) -> bool {
        let next = self.characters.get(self.at + 1);
        next.is_some_and(|next| !next.is_whitespace() && !matches!(next, '-' | '−' | ')'))
    }

    fn comparison(&mut self, c: char, start: usize) {
        self.at += 1;
        let is_equal = c != '=' && self.peek() == Some('=');
        self.at += usize::from(is_equal);
        let comparison = match (c, is_equal) {
            ('<', false) => Comparison::Less,
            ('<', true) => Comparison::AtMost,
            ('>', false) => Comparison::Greater,
            ('>', true) => Comparison::AtLeast,
            _ => Comparison::Equal,
        };
        self.push(LexemeKind::Compare(comparison), start);
    }

    /// Whether a minus here is the sign of a number.
    fn follows_comparison(&self) -> bool {
        let last = self.found.last();
        last.is_some_and(|last| matches!(last.kind, LexemeKind::Compare(_)) && last.end == self.at)
    }

    /// Whether a value and nothing else can stand here.
    fn follows_property(&self) -> bool {
        match self.found.as_slice() {
            [.., field, last] => {
                matches!(&field.kind, LexemeKind::Field(name) if super::fields::is_property(name))
                    && last.end == self.at
            }
            _ => false,
        }
    }

    fn quoted(&mut self, start: usize) -> Result<(), QueryError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => {
                    let message = "the quotation mark is not closed".to_owned();
                    return Err(QueryError { message, start, length: 1 });
                }
                Some(c) if is_quote(c) => break,
                Some(c) => text.push(c),
            }
            self.at += 1;
        }
        self.at += 1;
        let is_prefix = self.peek() == Some('*');
        self.at += usize::from(is_prefix);
        self.push(LexemeKind::Quoted { text, is_prefix }, start);
        Ok(())
    }

    fn word(&mut self, start: usize) {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            let ends = c.is_whitespace() || is_quote(c) || matches!(c, '(' | ')');
            if ends || is_comparison(c) && !word.is_empty() && self.names_property() {
                break;
            }
            self.at += 1;
            if c == ':' && (self.is_field)(&word.to_lowercase()) {
                let word = word.to_lowercase();
                return self.push(LexemeKind::Field(word), start);
            }
            word.push(c);
        }
        let kind = match word.as_str() {
            // After a field, they are what is looked for.
            "OR" | "|" if !self.follows_field() => LexemeKind::Or,
            "AND" | "&&" if !self.follows_field() => LexemeKind::And,
            "NOT" if !self.follows_field() => LexemeKind::Not,
            _ => LexemeKind::Word(word),
        };
        self.push(kind, start);
    }

    fn follows_field(&self) -> bool {
        let last = self.found.last();
        last.is_some_and(|last| matches!(last.kind, LexemeKind::Field(_) | LexemeKind::Compare(_)))
    }

    /// Whether the word that is being read is the name of a property.
    fn names_property(&self) -> bool {
        matches!(self.found.last(), Some(Lexeme { kind: LexemeKind::Field(name), .. })
            if super::fields::is_property(name))
    }
}
