//! Makes a tree out of the words of a query.

use std::{iter::Peekable, ops::ControlFlow, vec::IntoIter};

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    Field, MAX_CHARS, MAX_DEPTH, MAX_PHRASE, MAX_RANGES, MAX_TERMS, Node, Phrase, Query,
    QueryError,
    fields::{self, Kind},
    lexer::{Comparison, Lexeme, LexemeKind, lex},
};
use crate::{
    Mark,
    mark::{address, name_token},
    tokens::{self, tokens},
};

/// Finds what a query names. What somebody may not see has no id.
pub trait Names {
    /// The id of the source `project/name`.
    fn source(&self, name: &str) -> Option<String>;
    /// The id of the project.
    fn project(&self, name: &str) -> Option<String>;
}

/// Reads a query.
///
/// # Errors
///
/// What is wrong, and where.
pub fn parse(text: &str, names: &dyn Names) -> Result<Query, QueryError> {
    let length = text.chars().count();
    if length > MAX_CHARS {
        let message = format!("a query has at most {MAX_CHARS} characters");
        return Err(QueryError { message, start: MAX_CHARS, length: length - MAX_CHARS });
    }
    let found = lex(text, &|word| fields::kind(word).is_some())?;
    let is_blank = found.is_empty();
    let mut parser = Parser {
        rest: found.into_iter().peekable(),
        names,
        terms: 0,
        ranges: 0,
        query: Query::default(),
    };
    let node = parser.any(0, Place::Top)?;
    if let Some(extra) = parser.rest.next() {
        return Err(extra.error("nothing is open that this closes"));
    }
    let Parser { mut query, .. } = parser;
    if node.is_none() && !is_blank && query.from.is_none() && query.to.is_none() {
        let message = "there is no letter and no digit to look for".to_owned();
        return Err(QueryError { message, start: 0, length });
    }
    query.node = node;
    Ok(query)
}

/// Where a term stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It must be met whatever else is.
    Top,
    Inner,
    /// In parentheses behind a field.
    Of(Kind),
}

struct Parser<'a> {
    rest: Peekable<IntoIter<Lexeme>>,
    names: &'a dyn Names,
    terms: usize,
    ranges: usize,
    query: Query,
}

type Found = Result<Option<Node>, QueryError>;

impl Parser<'_> {
    fn next_is(&mut self, wanted: impl Fn(&LexemeKind) -> bool) -> Option<Lexeme> {
        self.rest.next_if(|next| wanted(&next.kind))
    }

    /// `a OR b OR c`
    fn any(&mut self, depth: usize, place: Place) -> Found {
        // What stands in an alternative need not be met.
        let has_or = place == Place::Top && self.has_or();
        let place = if has_or { Place::Inner } else { place };
        let mut found: Vec<Node> = Vec::new();
        let mut before: Option<Lexeme> = None;
        loop {
            let all = self.all(depth, place)?;
            if all.is_none()
                && let Some(or) = before
            {
                return Err(or.error("`OR` stands between two things to look for"));
            }
            let is_missing = all.is_none();
            found.extend(all);
            match self.next_is(|next| *next == LexemeKind::Or) {
                Some(or) if is_missing => {
                    return Err(or.error("`OR` stands between two things to look for"));
                }
                Some(or) => before = Some(or),
                None => break,
            }
        }
        Ok(one_or(found, Node::Any))
    }

    /// Whether an `OR` stands outside of all parentheses.
    fn has_or(&self) -> bool {
        let mut depth = 0_i32;
        for next in self.rest.clone() {
            match next.kind {
                LexemeKind::Open => depth += 1,
                LexemeKind::Close => depth -= 1,
                LexemeKind::Or if depth == 0 => return true,
                _ => {}
            }
            if depth < 0 {
                break;
            }
        }
        false
    }

    /// `a b AND c`
    fn all(&mut self, depth: usize, place: Place) -> Found {
        let mut found = Vec::new();
        loop {
            let and = self.next_is(|next| *next == LexemeKind::And);
            let ends = self
                .rest
                .peek()
                .is_none_or(|next| matches!(next.kind, LexemeKind::Or | LexemeKind::Close));
            if let Some(and) = and
                && (ends || found.is_empty())
            {
                return Err(and.error("`AND` stands between two things to look for"));
            }
            if ends {
                return Ok(one_or(found, Node::All));
            }
            found.extend(self.one(depth, place)?);
        }
    }

    /// A term, or what stands in parentheses, perhaps negated.
    fn one(&mut self, depth: usize, place: Place) -> Found {
        let Some(lexeme) = self.rest.next() else { return Ok(None) };
        if depth >= MAX_DEPTH {
            return Err(lexeme.error(format!("this is nested more than {MAX_DEPTH} deep")));
        }
        let inner = if place == Place::Top { Place::Inner } else { place };
        match &lexeme.kind {
            LexemeKind::Minus | LexemeKind::Not => {
                let nothing = || lexeme.error("something to leave out must follow");
                let is_end = self.rest.peek().is_none_or(|next| {
                    use LexemeKind::{And, Close, Or};
                    matches!(next.kind, Or | And | Close)
                });
                if is_end {
                    return Err(nothing());
                }
                let negated = self.one(depth + 1, inner)?;
                Ok(negated.map(|node| Node::Not(Box::new(node))))
            }
            LexemeKind::Open => self.group(&lexeme, depth, place),
            LexemeKind::Field(name) => {
                let kind = fields::kind(name);
                let kind = kind.ok_or_else(|| lexeme.error("unknown field"))?;
                if let Place::Of(_) = place {
                    return Err(lexeme.error("a field cannot stand within that of another"));
                }
                self.field(&lexeme, name, kind, depth, place)
            }
            LexemeKind::Word(word) => {
                let kind =
                    if let Place::Of(kind) = place { kind } else { Kind::Text(Field::Anywhere) };
                if let (Some((name, _)), Place::Top | Place::Inner) = (word.split_once(':'), place)
                    && let Some(similar) = fields::similar(&name.to_lowercase())
                {
                    let message = format!(
                        "`{name}` is no field; did you mean `{similar}`? In quotation marks it is text"
                    );
                    return Err(lexeme.error(message));
                }
                self.value(&lexeme, kind, place)
            }
            LexemeKind::Quoted { .. } => {
                let kind =
                    if let Place::Of(kind) = place { kind } else { Kind::Text(Field::Anywhere) };
                self.value(&lexeme, kind, place)
            }
            LexemeKind::Compare(_) | LexemeKind::And | LexemeKind::Or | LexemeKind::Close => {
                Err(lexeme.error("something to look for must stand here"))
            }
        }
    }

    fn group(&mut self, open: &Lexeme, depth: usize, place: Place) -> Found {
        let found = self.any(depth + 1, place)?;
        if self.next_is(|next| *next == LexemeKind::Close).is_none() {
            return Err(open.error("the parenthesis is not closed"));
        }
        if found.is_none() && self.query.from.is_none() && self.query.to.is_none() {
            return Err(open.error("the parentheses are empty"));
        }
        Ok(found)
    }

    fn field(
        &mut self,
        lexeme: &Lexeme,
        name: &str,
        kind: Kind,
        depth: usize,
        place: Place,
    ) -> Found {
        let missing = || {
            let message = format!("a value must follow `{name}:`");
            QueryError { message, start: lexeme.start, length: lexeme.end - lexeme.start }
        };
        let next = self.rest.next().ok_or_else(missing)?;
        match next.kind {
            LexemeKind::Open if takes_group(kind) => self.group(&next, depth, Place::Of(kind)),
            LexemeKind::Word(_) | LexemeKind::Quoted { .. } if kind == Kind::Property => {
                self.property(&next)
            }
            LexemeKind::Word(_) | LexemeKind::Quoted { .. } => self.value(&next, kind, place),
            // `from:-ann` means the hyphen.
            LexemeKind::Minus => self.field(lexeme, name, kind, depth, place),
            _ => Err(missing()),
        }
    }

    fn count(&mut self, lexeme: &Lexeme) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let message = format!("a query has at most {MAX_TERMS} words, phrases and fields");
            return Err(lexeme.error(message));
        }
        Ok(())
    }

    fn value(&mut self, lexeme: &Lexeme, kind: Kind, place: Place) -> Found {
        self.count(lexeme)?;
        let (text, is_quoted) = match &lexeme.kind {
            LexemeKind::Word(word) => (word.as_str(), false),
            LexemeKind::Quoted { text, .. } => (text.as_str(), true),
            _ => return Err(lexeme.error("something to look for must stand here")),
        };
        let text = text.trim();
        if text.is_empty() && !matches!(kind, Kind::Text(_)) {
            return Err(lexeme.error("the value is empty"));
        }
        let domain = || text.trim_start_matches('@').trim_end_matches('.');
        let mark = match kind {
            Kind::Text(field) => return self.phrase(lexeme, field),
            Kind::Address(field) => {
                let is_from = field == Field::From;
                if let Some(domain) = text.strip_prefix('@').filter(|rest| !rest.is_empty()) {
                    if is_from { Mark::from_domain(domain) } else { Mark::to_domain(domain) }
                } else if let Some(address) = address(text).filter(|own| is_whole(own)) {
                    if is_from { Mark::from_address(address) } else { Mark::to_address(address) }
                } else {
                    return self.phrase(lexeme, field);
                }
            }
            Kind::Domain => {
                let marks = [Mark::from_domain(domain()), Mark::to_domain(domain())];
                return Ok(Some(Node::any_mark(marks)));
            }
            Kind::FromDomain => Mark::from_domain(domain()),
            Kind::ToDomain => Mark::to_domain(domain()),
            Kind::Folder => Mark::folder(text),
            Kind::Mailbox => Mark::text_property("string:Mailbox ID", text),
            Kind::Thread => Mark::thread(text),
            Kind::Has => match text.to_lowercase().as_str() {
                "attachment" | "attachments" => Mark::has_attachment(),
                _ => return Err(lexeme.error("`has:` is followed by `attachment`")),
            },
            Kind::Source => {
                let id = self.names.source(text).ok_or_else(|| {
                    lexeme.error(format!("the source `{text}` was not found; write `project/name`"))
                })?;
                Mark::source(&id)
            }
            Kind::Project => {
                let id = self.names.project(text);
                Mark::project(
                    &id.ok_or_else(|| lexeme.error(format!("the project `{text}` was not found")))?,
                )
            }
            Kind::After | Kind::Before => {
                return self.time(lexeme, kind, text, place).map(|()| None);
            }
            Kind::Property => return Err(lexeme.error("a property cannot stand here")),
        };
        if text.ends_with('*') && !is_quoted {
            return Err(lexeme.error("this field is compared as a whole, without `*`"));
        }
        Ok(Some(Node::Mark(mark)))
    }

    /// `prop:Name`, `prop:Name=value` or `prop:Name>=5`
    fn property(&mut self, lexeme: &Lexeme) -> Found {
        self.count(lexeme)?;
        let name = match &lexeme.kind {
            LexemeKind::Word(name) | LexemeKind::Quoted { text: name, .. } => name.trim(),
            _ => "",
        };
        if name.is_empty() {
            return Err(lexeme.error("the name of a property must stand here"));
        }
        let (text, number) = (format!("string:{name}"), format!("number:{name}"));
        let sign = self.next_is(|next| matches!(next, LexemeKind::Compare(_)));
        let Some((sign, LexemeKind::Compare(comparison))) =
            sign.as_ref().map(|sign| (sign, &sign.kind))
        else {
            let marks = [Mark::property(&text), Mark::property(&number)];
            return Ok(Some(Node::any_mark(marks)));
        };
        let value =
            self.next_is(|next| matches!(next, LexemeKind::Word(_) | LexemeKind::Quoted { .. }));
        let value = value.filter(|value| value.start == sign.end);
        let value = match value.map(|value| value.kind) {
            Some(LexemeKind::Word(value) | LexemeKind::Quoted { text: value, .. }) => value,
            _ => {
                let message = format!("a value must follow `{}`", comparison.sign());
                return Err(sign.error(message));
            }
        };
        let count = value.trim().replace('−', "-");
        let count = count.parse().ok().filter(|count: &f64| count.is_finite());
        if *comparison == Comparison::Equal {
            let mut marks = vec![Mark::text_property(&text, &value)];
            marks.extend(count.map(|count| Mark::number_property(&number, count)));
            return Ok(Some(Node::any_mark(marks)));
        }
        let count = count
            .ok_or_else(|| sign.error(format!("a number must follow `{}`", comparison.sign())))?;
        self.ranges += 1;
        if self.ranges > MAX_RANGES {
            return Err(sign.error(format!("a query compares at most {MAX_RANGES} numbers")));
        }
        let (least, most) = match comparison {
            Comparison::Less => (None, Some(count.next_down())),
            Comparison::AtMost | Comparison::Equal => (None, Some(count)),
            Comparison::Greater => (Some(count.next_up()), None),
            Comparison::AtLeast => (Some(count), None),
        };
        Ok(Some(Node::number_between(&number, least, most)))
    }

    fn time(
        &mut self,
        lexeme: &Lexeme,
        kind: Kind,
        text: &str,
        place: Place,
    ) -> Result<(), QueryError> {
        if place != Place::Top {
            let message = "times cannot stand in an alternative, in parentheses or behind a minus";
            return Err(lexeme.error(message));
        }
        let time = time(text).ok_or_else(|| {
            let message = "this is no time; write `2026-01-31` or `2026-01-31T08:00:00Z`";
            lexeme.error(message)
        })?;
        let query = std::mem::take(&mut self.query);
        self.query = match kind {
            Kind::After => query.within(Some(time), None),
            _ => query.within(None, Some(time)),
        };
        Ok(())
    }

    fn phrase(&self, lexeme: &Lexeme, field: Field) -> Found {
        let (text, mut is_prefix, is_quoted) = match &lexeme.kind {
            LexemeKind::Word(word) => (word.as_str(), false, false),
            LexemeKind::Quoted { text, is_prefix } => (text.as_str(), *is_prefix, true),
            _ => return Err(lexeme.error("something to look for must stand here")),
        };
        let stem = text.strip_suffix('*').unwrap_or(text);
        is_prefix |= stem.len() < text.len();
        if !is_quoted && stem.trim_end_matches('*').contains('*') {
            return Err(lexeme.error("a `*` can only stand at the end of a word"));
        }
        let found = read_tokens(stem, is_prefix);
        let Some((mut tokens, is_prefix)) = found else {
            // Punctuation between words is what people type; alone in quotes it is a mistake.
            if is_quoted || field != Field::Anywhere || is_prefix {
                return Err(lexeme.error("there is no letter and no digit to look for"));
            }
            return Ok(None);
        };
        if tokens.len() > MAX_PHRASE {
            return Err(lexeme.error(format!("a phrase has at most {MAX_PHRASE} words")));
        }
        if is_prefix && is_short(tokens.last()) {
            return Err(lexeme.error("at least two letters or digits must stand before `*`"));
        }
        if field == Field::Name {
            tokens = tokens.iter().map(|token| name_token(token)).collect();
        }
        Ok(Some(Node::Phrase(Phrase { field, tokens, is_prefix })))
    }
}

/// The tokens to look for, and whether the last is a beginning; none if there is nothing.
fn read_tokens(text: &str, is_prefix: bool) -> Option<(Vec<String>, bool)> {
    let mut found: Vec<String> = Vec::new();
    let mut last = tokens::Kind::Word;
    tokens(text, |token| {
        last = token.kind;
        found.push(token.text.to_owned());
        if found.len() > MAX_PHRASE + 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match last {
        // Anything may follow the last pair, and one character begins every pair with it.
        tokens::Kind::Last { is_alone: false } => {
            found.pop();
            Some((found, false))
        }
        tokens::Kind::Last { is_alone: true } => Some((found, true)),
        // A blank before the star ends the word.
        _ if found.is_empty() => None,
        _ => Some((found, is_prefix)),
    }
}

/// One letter begins so many words that they would all be read.
fn is_short(token: Option<&String>) -> bool {
    token.is_none_or(|token| token.chars().count() < 2 && token.is_ascii())
}

fn is_whole(address: &str) -> bool {
    let parts = address.split_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && !address.ends_with('*')
}

fn takes_group(kind: Kind) -> bool {
    !matches!(kind, Kind::Property | Kind::After | Kind::Before | Kind::Has)
}

fn one_or(mut nodes: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Option<Node> {
    if nodes.len() > 1 { Some(several(nodes)) } else { nodes.pop() }
}

/// A year, a month, a day, or a time with its offset; the first three begin at midnight UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let day = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        _ => text.to_owned(),
    };
    let time = match day.parse::<NaiveDate>().ok().filter(|_| day.len() == 10) {
        Some(day) => day.and_hms_opt(0, 0, 0)?.and_utc(),
        None => DateTime::parse_from_rfc3339(text).ok()?.to_utc(),
    };
    // Beyond these, databases cannot count microseconds.
    let years = time.timestamp() / (366 * 24 * 3600);
    ((-1900..=7900).contains(&years)).then_some(time)
}
