//! A query in the language of PostgreSQL: a `tsquery` that finds all that is looked for and
//! perhaps more, and conditions on the texts that leave the rest out.
//!
//! Words have neither weights nor places: the index does not know them, so that each comment with
//! the word would have to be read to tell.
//!
//! The index names the places of a word in no order. So that it can name those of a period alone, each
//! comment has words for the periods that its place is in, short ones and long ones. So that few texts
//! are read for a phrase, each has words for the tokens that follow one another in it, two at a time.
//!
//! Spec: "Text Search Types" and "GIN Indexes", PostgreSQL documentation.

use flate2::Crc;
use search::{Entry, Field, Mark, Node, Phrase};

/// Bits of a place that a period leaves out: the shortest is of 36 minutes, each of the others has eight
/// of those before it, the longest is of 18 years.
const PERIODS: [u32; 7] = [31, 34, 37, 40, 43, 46, 49];
/// Periods that a range is made of.
const MOST_PERIODS: i64 = 32;

/// The word for a period. No token of a text has the sign between.
fn period(number: i64, bits: u32) -> String {
    format!("'p{bits}_{number}'")
}

/// Words for each two tokens that follow one another. There are 4,096 of them: those of the longest text
/// are not many more, and of all that the index holds, the ends to which it adds stay in memory. No
/// token has the sign before them.
fn pairs<'a>(tokens: impl Iterator<Item = &'a str> + Clone) -> impl Iterator<Item = String> {
    tokens.clone().zip(tokens.skip(1)).map(|(one, next)| {
        let mut sum = Crc::new();
        [one, " ", next].iter().for_each(|part| sum.update(part.as_bytes()));
        format!("'+{:03x}'", sum.sum() & 0xfff)
    })
}

/// A `tsquery` for the periods that have the places from the first (inclusive) to the last (exclusive),
/// and a few around them; none if those are too long ago, or too many.
pub(crate) fn periods(from: i64, to: i64) -> Option<String> {
    let last = to.checked_sub(1).filter(|last| *last >= from)?;
    let bits = PERIODS.into_iter().find(|bits| (last >> bits) - (from >> bits) < MOST_PERIODS)?;
    let all: Vec<String> =
        (from >> bits..=last >> bits).map(|number| period(number, bits)).collect();
    Some(format!("({})", all.join(" | ")))
}

/// A condition on the columns `words` and `texts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// A `tsquery` that finds all that is looked for and perhaps more.
    pub(crate) words: String,
    /// What leaves the rest out, if there is a rest. Places of values are written `{}`.
    pub(crate) texts: Option<String>,
    pub(crate) values: Vec<String>,
}

/// The condition for a tree.
pub(crate) fn condition(node: &Node) -> Condition {
    let words = superset(node).unwrap_or_else(|| lexeme(Mark::everything().as_str(), "", false));
    let mut rest = Rest { sql: String::new(), values: Vec::new() };
    if !is_exact(node) {
        exact(node, &mut rest);
    }
    let texts = (!rest.sql.is_empty()).then_some(rest.sql);
    Condition { words, texts, values: rest.values }
}

/// A condition while it is written.
struct Rest {
    sql: String,
    values: Vec<String>,
}

/// Whether the words alone decide.
fn is_exact(node: &Node) -> bool {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().all(is_exact),
        Node::Not(node) => is_exact(node),
        Node::Mark(_) => true,
        Node::Phrase(phrase) => phrase.tokens.len() == 1 && phrase.field != Field::Body,
    }
}

/// A `tsquery` that no comment that is looked for fails; none if there is no such.
fn superset(node: &Node) -> Option<String> {
    match node {
        Node::All(nodes) => {
            let found: Vec<String> = nodes.iter().filter_map(superset).collect();
            (!found.is_empty()).then(|| format!("({})", found.join(" & ")))
        }
        Node::Any(nodes) => {
            let found: Option<Vec<String>> = nodes.iter().map(superset).collect();
            found.map(|found| format!("({})", found.join(" | ")))
        }
        // Without a phrase, there are as many words as comments: none is left out too many.
        Node::Not(node) if is_exact(node) => superset(node).map(|found| format!("!{found}")),
        Node::Not(_) => None,
        Node::Mark(mark) => Some(lexeme(mark.as_str(), "", false)),
        Node::Phrase(phrase) => {
            let own = letter(phrase.field);
            let last = phrase.tokens.len() - usize::from(phrase.is_prefix);
            let (whole, begun) = phrase.tokens.split_at(last);
            let each = whole.iter().map(|token| lexeme(token, own, false));
            let each = each.chain(begun.iter().map(|token| lexeme(token, own, true)));
            let pairs = pairs(whole.iter().map(String::as_str));
            let each: Vec<String> = each.chain(pairs).collect();
            Some(format!("({})", each.join(" & ")))
        }
    }
}

/// What stands before the words of a text, for those who look there alone. Nothing does before those
/// of the body, which are most of all words: whoever looks there reads the text.
fn letter(field: Field) -> &'static str {
    match field {
        Field::Anywhere | Field::Name | Field::Body => "",
        Field::Subject => "s_",
        Field::From => "f_",
        Field::To => "t_",
    }
}

/// A token holds nothing that would have to be escaped.
fn lexeme(token: &str, letter: &str, is_prefix: bool) -> String {
    let star = if is_prefix { ":*" } else { "" };
    format!("'{letter}{token}'{star}")
}

/// The tree itself, as SQL.
fn exact(node: &Node, into: &mut Rest) {
    if is_exact(node) {
        let words = superset(node).unwrap_or_default();
        into.values.push(words);
        into.sql.push_str("words @@ {}::tsquery");
        return;
    }
    match node {
        Node::All(nodes) => several(nodes, " AND ", into),
        Node::Any(nodes) => several(nodes, " OR ", into),
        Node::Not(node) => {
            into.sql.push_str("NOT (");
            exact(node, into);
            into.sql.push(')');
        }
        Node::Phrase(phrase) => stands(phrase, into),
        Node::Mark(_) => {}
    }
}

fn several(nodes: &[Node], between: &str, into: &mut Rest) {
    into.sql.push('(');
    for (number, node) in nodes.iter().enumerate() {
        if number > 0 {
            into.sql.push_str(between);
        }
        exact(node, into);
    }
    into.sql.push(')');
}

/// Tokens that follow one another: in the texts, one blank is between them.
fn stands(phrase: &Phrase, into: &mut Rest) {
    let line = match phrase.field {
        // They are in no other line.
        Field::Anywhere | Field::Name => "texts".to_owned(),
        Field::Subject => line(1),
        Field::From => line(2),
        Field::To => line(3),
        Field::Body => line(4),
    };
    let end = if phrase.is_prefix { "" } else { " " };
    into.sql.push_str(&format!("strpos({line}, {{}}) > 0"));
    into.values.push(format!(" {}{end}", phrase.tokens.join(" ")));
}

fn line(number: usize) -> String {
    format!("split_part(texts, chr(10), {number})")
}

fn tokens(line: &str) -> impl Iterator<Item = &str> + Clone {
    line.split(' ').filter(|token| !token.is_empty())
}

/// What an entry is in the columns `words` and `texts`.
pub(crate) fn columns(place: i64, entry: &Entry) -> (String, String) {
    let Entry { subject, from, to, body, marks } = entry;
    let lines = [subject, from, to, body, marks];
    let every = lines.iter().flat_map(|line| tokens(line));
    let mut words: Vec<String> = every.map(|own| lexeme(own, "", false)).collect();
    for (field, line) in [(Field::Subject, subject), (Field::From, from), (Field::To, to)] {
        words.extend(tokens(line).map(|own| lexeme(own, letter(field), false)));
    }
    words.extend(lines.iter().flat_map(|line| pairs(tokens(line))));
    words.extend(PERIODS.map(|bits| period(place >> bits, bits)));
    words.sort_unstable();
    words.dedup();
    let texts = lines.map(|line| format!(" {line} ")).join("\n");
    (words.join(" "), texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl search::Names for Nobody {
        fn source(&self, _: &str) -> Option<String> {
            None
        }

        fn project(&self, _: &str) -> Option<String> {
            None
        }
    }

    #[track_caller]
    fn check(text: &str, words: &str, texts: Option<&str>, values: &[&str]) {
        let query = search::parse(text, &Nobody).unwrap();
        let found = condition(&query.node.unwrap());
        assert_eq!((&*found.words, found.texts.as_deref()), (words, texts), "{text}");
        assert_eq!(found.values, values, "{text}");
    }

    #[test]
    fn words_decide_alone_and_phrases_do_not() {
        check("a", "('a')", None, &[]);
        check("subject:ab* -b", "(('s_ab':*) & !('b'))", None, &[]);
        check(
            "a OR \"b c\"",
            "(('a') | ('b' & 'c' & '+21c'))",
            Some("(words @@ {}::tsquery OR strpos(texts, {}) > 0)"),
            &["('a')", " b c "],
        );
        check(
            "body:ab*",
            "('ab':*)",
            Some("strpos(split_part(texts, chr(10), 4), {}) > 0"),
            &[" ab"],
        );
        // What is begun alone is no neighbor.
        check(
            "subject:\"b c de*\"",
            "('s_b' & 's_c' & 's_de':* & '+21c')",
            Some("strpos(split_part(texts, chr(10), 1), {}) > 0"),
            &[" b c de"],
        );
        check(
            "-subject:\"b cd*\"",
            "'_all'",
            Some("NOT (strpos(split_part(texts, chr(10), 1), {}) > 0)"),
            &[" b cd"],
        );
    }

    #[test]
    fn an_entry_is_words_and_lines() {
        let entry = Entry {
            subject: "b a".to_owned(),
            body: "a a c".to_owned(),
            marks: "_all".to_owned(),
            ..Entry::default()
        };
        let (words, texts) = columns(1_700_000_000_000_000, &entry);
        let periods = "'p31_791624' 'p34_98953' 'p37_12369' 'p40_1546' 'p43_193' 'p46_24' 'p49_3'";
        let pairs = "'+330' '+c45' '+d69'";
        assert_eq!(words, format!("{pairs} '_all' 'a' 'b' 'c' {periods} 's_a' 's_b'"));
        assert_eq!(texts, " b a \n  \n  \n a a c \n _all ");
    }

    #[test]
    fn a_range_is_covered_by_few_periods() {
        for (from, to, first, last, count) in [
            (0, 1, "p31_0", "p31_0", 1),
            (-1, 1, "p31_-1", "p31_0", 2),
            (0, 32 << 31, "p31_0", "p31_31", 32),
            (0, (32 << 31) + 1, "p34_0", "p34_4", 5),
            (1_600_000_000_000_000, 1_700_000_000_000_000, "p43_181", "p43_193", 13),
        ] {
            let found = periods(from, to).unwrap();
            let words: Vec<&str> = found.trim_matches(['(', ')']).split(" | ").collect();
            let ends = (words[0].trim_matches('\''), words[words.len() - 1].trim_matches('\''));
            assert_eq!((ends, words.len()), ((first, last), count), "{from} to {to}");
        }
        assert_eq!(periods(5, 5), None);
        assert_eq!(periods(i64::MIN, 5), None);
    }
}
