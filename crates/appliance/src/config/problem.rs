//! What is wrong with a configuration, in words for the person who wrote it.

use std::fmt;

/// Most problems that are listed at once.
const MAX_LISTED: usize = 20;

/// Longest value that is quoted, in characters.
const MAX_QUOTED: usize = 80;

/// The configuration cannot be used. Its message is complete: it names the file, and for each
/// problem the key path, the value unless it is secret, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    problems: Vec<String>,
    unread: bool,
}

impl ConfigError {
    pub(super) fn new(place: &str, problems: Vec<String>) -> Self {
        Self { place: place.into(), problems, unread: false }
    }

    pub(super) fn unread(place: &str, problem: String) -> Self {
        Self { place: place.into(), problems: vec![problem], unread: true }
    }

    /// The file could not be read at all, so that nothing is known about its content. It may
    /// appear later.
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// One clause for each problem.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        if let [problem] = self.problems.as_slice() {
            return write!(f, "config `{place}`: {problem}");
        }
        write!(f, "config `{place}` has {} errors:", self.problems.len())?;
        for problem in self.problems.iter().take(MAX_LISTED) {
            write!(f, "\n- {problem}")?;
        }
        match self.problems.len().checked_sub(MAX_LISTED) {
            Some(more) if more > 0 => write!(f, "\n- and {more} more"),
            _ => Ok(()),
        }
    }
}

/// The known name that `given` was most likely meant to be.
pub(crate) fn nearest(given: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    // The comparison takes the product of both lengths.
    if given.len() > 200 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let wanted = plain(given);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(&name)), name))
        .min()
        // A third of the letters may be wrong, or a part missing: anything else is another word.
        .filter(|(distance, name)| {
            let close = distance * 3 <= name.len().min(given.len());
            close || (wanted.len() >= 5 && plain(name).contains(&wanted))
        })
        .map(|(_, name)| name)
}

/// `text` as a JSON string of bounded length, on one line.
pub(super) fn quoted(text: &str) -> String {
    // JSON escapes control characters below U+0020 only; terminals obey others too.
    let visible = |c: char| if c.is_control() && c > ' ' { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(MAX_QUOTED).map(visible).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        short.push('…');
    }
    serde_json::Value::String(short).to_string()
}

/// `text` as a part of a key path: on one line, of bounded length.
pub(super) fn key(text: &str) -> String {
    let quoted = quoted(text);
    match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if inner == text && !text.is_empty() => text.to_owned(),
        _ => quoted,
    }
}

/// `a`, `b` or `c`, each in backticks.
pub(super) fn listed<T: fmt::Display>(names: &[T]) -> String {
    let Some((last, first)) = names.split_last() else { return String::new() };
    let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
    if first.is_empty() { format!("`{last}`") } else { format!("{} or `{last}`", first.join(", ")) }
}

/// An address without what may be a secret in it: user, password, query and fragment.
pub(crate) fn without_user(value: &str) -> String {
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), value),
    };
    // The last `@` first: what stands before it may hold a `?` or `#` of a password.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    match rest.find(['?', '#']).and_then(|end| rest.get(..end)) {
        Some(rest) => format!("{scheme}{user}{rest}?***"),
        None => format!("{scheme}{user}{rest}"),
    }
}
