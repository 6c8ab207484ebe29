//! A query in the language of PostgreSQL: a `tsquery` that finds all that is looked for and
//! perhaps more, and conditions on the texts that leave the rest out.
//!
//! Spec: "Text Search Types" and "Controlling Text Search", PostgreSQL documentation.

use search::{Entry, Field, Mark, Node, Phrase};

/// Weight of the words of each text, in the order of the lines of `texts`.
const WEIGHTS: [char; 5] = ['A', 'B', 'C', 'D', 'D'];

/// A condition on the columns `words` and `texts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Places of values are written `{}`.
    pub(crate) sql: String,
    pub(crate) values: Vec<String>,
}

/// The condition for a tree.
pub(crate) fn condition(node: &Node) -> Condition {
    let first = superset(node).unwrap_or_else(|| lexeme(Mark::everything().as_str(), None, false));
    let mut found = Condition { sql: "words @@ {}::tsquery".to_owned(), values: vec![first] };
    if !is_exact(node) {
        found.sql.push_str(" AND ");
        exact(node, &mut found);
    }
    found
}

/// Whether the words alone decide.
fn is_exact(node: &Node) -> bool {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().all(is_exact),
        Node::Not(node) => is_exact(node),
        Node::Mark(_) => true,
        Node::Phrase(phrase) => phrase.tokens.len() == 1,
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
        Node::Mark(mark) => Some(lexeme(mark.as_str(), None, false)),
        Node::Phrase(phrase) => {
            let weight = weight(phrase.field);
            let last = phrase.tokens.len() - 1;
            let each = phrase.tokens.iter().enumerate();
            let each = each
                .map(|(number, token)| lexeme(token, weight, phrase.is_prefix && number == last));
            Some(format!("({})", each.collect::<Vec<_>>().join(" & ")))
        }
    }
}

fn weight(field: Field) -> Option<char> {
    match field {
        Field::Anywhere | Field::Name => None,
        Field::Subject => Some('A'),
        Field::From => Some('B'),
        Field::To => Some('C'),
        Field::Body => Some('D'),
    }
}

/// A token holds nothing that would have to be escaped.
fn lexeme(token: &str, weight: Option<char>, is_prefix: bool) -> String {
    let star = if is_prefix { "*" } else { "" };
    let weight = weight.map(String::from).unwrap_or_default();
    let colon = if is_prefix || !weight.is_empty() { ":" } else { "" };
    format!("'{token}'{colon}{star}{weight}")
}

/// The tree itself, as SQL.
fn exact(node: &Node, into: &mut Condition) {
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

fn several(nodes: &[Node], between: &str, into: &mut Condition) {
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
fn stands(phrase: &Phrase, into: &mut Condition) {
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

/// What an entry is in the columns `words` and `texts`.
pub(crate) fn columns(entry: &Entry) -> (String, String) {
    let lines = [&entry.subject, &entry.from, &entry.to, &entry.body, &entry.marks];
    let mut tokens: Vec<(&str, usize)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        tokens.extend(line.split(' ').filter(|token| !token.is_empty()).map(|own| (own, number)));
    }
    tokens.sort_unstable();
    tokens.dedup();
    let mut words = String::new();
    let mut last = "";
    for (token, number) in tokens {
        let weight = WEIGHTS.get(number).copied().unwrap_or('D');
        // The place of a word tells its weights apart, and nothing else.
        let place = (number + 1).min(4);
        if token == last {
            words.push(',');
        } else {
            words.push_str(if words.is_empty() { "'" } else { " '" });
            words.push_str(token);
            words.push_str("':");
        }
        words.push_str(&format!("{place}{weight}"));
        last = token;
    }
    let texts = lines.map(|line| format!(" {line} ")).join("\n");
    (words, texts)
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
    fn check(text: &str, sql: &str, values: &[&str]) {
        let query = search::parse(text, &Nobody).unwrap();
        let found = condition(&query.node.unwrap());
        assert_eq!(
            (found.sql.as_str(), found.values),
            (sql, values.iter().map(|v| v.to_string()).collect())
        );
    }

    #[test]
    fn words_decide_alone_and_phrases_do_not() {
        check("a", "words @@ {}::tsquery", &["('a')"]);
        check("subject:ab* -b", "words @@ {}::tsquery", &["(('ab':*A) & !('b'))"]);
        check(
            "a OR \"b c\"",
            "words @@ {}::tsquery AND (words @@ {}::tsquery OR strpos(texts, {}) > 0)",
            &["(('a') | ('b' & 'c'))", "('a')", " b c "],
        );
        check(
            "-subject:\"b cd*\"",
            "words @@ {}::tsquery AND NOT (strpos(split_part(texts, chr(10), 1), {}) > 0)",
            &["'_all'", " b cd"],
        );
    }

    #[test]
    fn an_entry_is_words_with_weights_and_lines() {
        let entry = Entry {
            subject: "b a".to_owned(),
            body: "a a c".to_owned(),
            marks: "_all".to_owned(),
            ..Entry::default()
        };
        let (words, texts) = columns(&entry);
        assert_eq!(words, "'_all':4D 'a':1A,4D 'b':1A 'c':4D");
        assert_eq!(texts, " b a \n  \n  \n a a c \n _all ");
    }
}
