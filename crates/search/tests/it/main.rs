//! Queries, and what they show of a text.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what stands in a test's way fails it"
)]

mod documents;
mod errors;
mod highlights;
mod never;
mod queries;

use search::{Names, Node, Query};

/// Knows one source and one project.
pub(crate) struct Known;

impl Names for Known {
    fn source(&self, name: &str) -> Option<String> {
        (name == "proj/src").then(|| "00000000000000aa".to_owned())
    }

    fn project(&self, name: &str) -> Option<String> {
        (name == "proj").then(|| "00000000000000bb".to_owned())
    }
}

pub(crate) fn parse(text: &str) -> Result<Query, search::QueryError> {
    search::parse(text, &Known)
}

/// A tree as one line.
pub(crate) fn show(node: &Node) -> String {
    let several = |nodes: &[Node], name: &str| {
        let shown: Vec<String> = nodes.iter().map(show).collect();
        format!("{name}({})", shown.join(" "))
    };
    match node {
        Node::All(nodes) => several(nodes, "all"),
        Node::Any(nodes) => several(nodes, "any"),
        Node::Not(node) => format!("not({})", show(node)),
        Node::Mark(mark) => mark.as_str().to_owned(),
        Node::Phrase(phrase) => {
            let field = match phrase.field {
                search::Field::Anywhere => String::new(),
                field => format!("{field:?}:").to_lowercase(),
            };
            let star = if phrase.is_prefix { "*" } else { "" };
            format!("{field}{}{star}", phrase.tokens.join("+"))
        }
    }
}
