//! A query: what somebody typed, as a tree that each database's language can be made from.

mod fields;
mod lexer;
mod parser;

use chrono::{DateTime, Utc};

use crate::Mark;

pub use parser::{Names, parse};

/// Characters of a query.
pub(crate) const MAX_CHARS: usize = 4_096;
/// Words, phrases and marks of a query.
pub(crate) const MAX_TERMS: usize = 64;
/// Tokens of a phrase.
pub(crate) const MAX_PHRASE: usize = 32;
/// Ranges of numbers, of which each is hundreds of marks.
pub const MAX_RANGES: usize = 8;
/// Levels of parentheses and negations.
pub(crate) const MAX_DEPTH: usize = 16;

/// What is looked for. Without a tree, it is everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    pub node: Option<Node>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// All of them; at least one.
    All(Vec<Node>),
    /// Any of them; at least one.
    Any(Vec<Node>),
    Not(Box<Node>),
    Phrase(Phrase),
    Mark(Mark),
}

/// Tokens that follow one another in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    pub field: Field,
    /// At least one. Those in names of files are as the index has them.
    pub tokens: Vec<String>,
    /// The last token is the beginning of one.
    pub is_prefix: bool,
}

/// The text that a phrase stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Any of the four texts.
    Anywhere,
    Subject,
    Body,
    From,
    To,
    /// The names of attachments, which are beside the marks.
    Name,
}

/// Why a query cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryError {
    /// A clause in lower case without a full stop.
    pub message: String,
    /// Where it is, in characters of the query from 0.
    pub start: usize,
    /// Characters that it is about; 0 at the end.
    pub length: usize,
}

impl std::fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "at character {}: {}", self.start + 1, self.message)
    }
}

impl std::error::Error for QueryError {}

impl Query {
    /// The same, and `node` too.
    #[must_use]
    pub fn and(mut self, node: Node) -> Self {
        self.node = Some(match self.node {
            None => node,
            Some(Node::All(mut nodes)) => {
                nodes.push(node);
                Node::All(nodes)
            }
            Some(own) => Node::All(vec![own, node]),
        });
        self
    }

    /// The same within that time.
    #[must_use]
    pub fn within(mut self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        self.from = self.from.max(from);
        self.to = match (self.to, to) {
            (Some(own), Some(to)) => Some(own.min(to)),
            (own, to) => own.or(to),
        };
        self
    }

    /// The words and phrases that a comment is found for, rather than in spite of.
    pub fn phrases(&self) -> Vec<&Phrase> {
        let mut found = Vec::new();
        let mut open: Vec<&Node> = self.node.iter().collect();
        while let Some(node) = open.pop() {
            match node {
                Node::All(nodes) | Node::Any(nodes) => open.extend(nodes),
                Node::Phrase(phrase) => found.push(phrase),
                Node::Not(_) | Node::Mark(_) => {}
            }
        }
        found
    }
}

impl Node {
    /// One of the marks; nothing is found for none.
    pub fn any_mark(marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut marks: Vec<Node> = marks.into_iter().map(Node::Mark).collect();
        match marks.pop() {
            None => Self::nothing(),
            Some(only) if marks.is_empty() => only,
            Some(last) => {
                marks.push(last);
                Node::Any(marks)
            }
        }
    }

    /// The number property `name` (`number:Size`) is between the two, both included; a bound that
    /// is missing bounds nothing.
    pub fn number_between(name: &str, least: Option<f64>, most: Option<f64>) -> Self {
        let (least, most) = (least.unwrap_or(f64::MIN), most.unwrap_or(f64::MAX));
        Self::any_mark(Mark::numbers_between(name, least, most))
    }

    /// What no comment is.
    pub fn nothing() -> Self {
        Node::Not(Box::new(Node::Mark(Mark::everything())))
    }
}
